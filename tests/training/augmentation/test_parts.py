"""Every part of augmentation alone and all together; gain, channel, vocal tract, order of pieces."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.augmented import (
    BINS,
    CENTRES,
    CENTRES_HZ,
    EVERYTHING,
    NEPERS_PER_DB,
    PARTS,
    augmenter,
    full,
    masked,
    mel,
    speechlike,
)

from speechattn.audio.features import FrontEndConfig
from speechattn.training.augmentation import (
    BAND_EDGES_HZ,
    LOW_EDGES_HZ,
    QUIET,
)


def test_with_everything_off_nothing_changes():
    x = speechlike()
    torch.testing.assert_close(augmenter()(x, full(x)), x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", PARTS)
def test_every_part_changes_something_alone(name):
    x = speechlike()
    before = x.clone()
    out = masked(augmenter(**PARTS[name]), x, full(x))
    assert out.shape == x.shape and out.isfinite().all()
    assert ((out - x).abs().amax((1, 2)) > 0.01).float().mean() > 0.7  # nearly every utterance
    assert torch.equal(x, before)  # what was given stays


@pytest.mark.parametrize("parts", [*PARTS.values(), EVERYTHING], ids=[*PARTS, "everything"])
def test_the_seed_decides_and_torch_is_left_alone(parts):
    x, lengths = speechlike(), torch.tensor([50, 3, 20, 50, 1, 49])
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    first = masked(augmenter(7, **parts), x, lengths)
    assert torch.equal(torch.rand(4), expected)
    assert torch.equal(masked(augmenter(7, **parts), x, lengths), first)
    assert not torch.equal(masked(augmenter(8, **parts), x, lengths), first)


@pytest.mark.parametrize("parts", [*PARTS.values(), EVERYTHING], ids=[*PARTS, "everything"])
def test_what_the_padding_holds_makes_no_difference(parts):
    x, lengths = speechlike(), torch.tensor([50, 3, 20, 50, 1, 49])
    within = (torch.arange(50) < lengths[:, None])[:, :, None]
    outs = [
        augmenter(**parts)(torch.where(within, x, torch.tensor(padding)), lengths)
        for padding in (0.0, -15.9, 30.0)
    ]
    for out in outs:
        torch.testing.assert_close(
            torch.where(within, out, 0.0), torch.where(within, outs[0], 0.0), rtol=0, atol=1e-4
        )


def test_cepstra_stay_as_they_are():
    x = speechlike()
    mfcc = FrontEndConfig(kind="mfcc", num_mel_bins=BINS, num_ceps=BINS)
    assert torch.equal(masked(augmenter(front_end=mfcc, **EVERYTHING), x, full(x)), x)


def test_a_gain_is_one_offset_of_the_right_size():
    x = speechlike(1500, 4)
    change = augmenter(gain_db=6.0)(x, full(x)) - x
    gain = change[:, :1, :1]
    torch.testing.assert_close(change, gain.expand_as(change), rtol=0, atol=1e-4)
    decibels = gain / NEPERS_PER_DB
    assert abs(decibels.mean()) < 0.5 and abs(decibels.std() - 6.0) < 0.4


def test_a_channel_is_one_smooth_curve_of_the_right_size():
    x = speechlike(1500, 4)
    change = augmenter(channel_db=3.0)(x, full(x)) - x
    curve = change[:, :1]
    torch.testing.assert_close(change, curve.expand_as(change), rtol=0, atol=1e-4)
    decibels = curve[:, 0] / NEPERS_PER_DB
    assert abs(decibels.square().mean().sqrt() - 3.0) < 0.3
    assert decibels.mean().abs() < 0.2
    assert decibels.diff().abs().max() < 3.0  # smooth: of a range of some 20 dB
    assert decibels.diff().square().mean().sqrt() < 0.4


@pytest.mark.parametrize(
    "parts",
    [{"noise_probability": 0.3}, {"band_limit_probability": 0.3}, {"room_probability": 0.3}],
    ids=["noise", "band", "room"],
)
def test_only_a_share_of_the_utterances_is_chosen(parts):
    x = speechlike(1000, 5)
    out = augmenter(noise_snr_db=(0.0, 5.0), **parts)(x, full(x))
    changed = (out - x).abs().amax((1, 2)) > 1e-3
    assert abs(changed.float().mean() - 0.3) < 0.06


def test_band_limiting_empties_the_bins_above_an_edge_and_for_half_below_another():
    x = speechlike(400, 6)
    out = augmenter(band_limit_probability=1.0)(x, full(x))
    emptied = ((out - x).abs() > 1e-3).any(1)  # (batch, bins)
    highs, lows, depths = [], [], []
    for row in range(len(x)):
        first, last = np.flatnonzero(~emptied[row].numpy())[[0, -1]]
        assert not emptied[row, first : last + 1].any()
        floor = out[row][:, emptied[row]]
        least = x[row].min().item()
        assert floor.max() - floor.min() < 1e-4
        assert QUIET - 1e-4 <= floor.min() <= least + 1e-4
        depths.append((least - floor.min().item()) / (least - QUIET))
        assert last < BINS - 1 and CENTRES_HZ[last] < BAND_EDGES_HZ[1]
        assert CENTRES_HZ[last + 1] > BAND_EDGES_HZ[0]
        highs.append(CENTRES_HZ[last])
        if first:
            assert CENTRES_HZ[first - 1] < LOW_EDGES_HZ[1] and CENTRES_HZ[first] > LOW_EDGES_HZ[0]
            lows.append(CENTRES_HZ[first])
    assert min(highs) < 3400 and max(highs) > 6500
    assert abs(len(lows) / len(x) - 0.5) < 0.08 and min(lows) < 150 and max(lows) > 300
    assert min(depths) < 0.05 and max(depths) > 0.95 and abs(np.mean(depths) - 0.5) < 0.06


@settings(max_examples=60)
@given(
    runs=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 30)), min_size=1, max_size=40),
    least=st.integers(1, 60),
    seed=st.integers(0, 99),
)
def test_pieces_in_another_order_are_whole_phones_and_nothing_is_lost(runs, least, seed):
    labels = torch.cat([torch.full((count,), label) for label, count in runs])
    made = augmenter(seed=seed, shuffle_probability=1.0, shuffle_frames=least)
    order = made.shuffled(labels)
    assert sorted(order.tolist()) == list(range(len(labels)))
    ends = {-1, len(labels) - 1, *(labels.diff().nonzero()[:, 0].tolist())}
    cuts = [0, *((order.diff() != 1).nonzero()[:, 0] + 1).tolist(), len(labels)]
    for start, end in itertools.pairwise(cuts):
        first, last = int(order[start]), int(order[end - 1])
        assert {first - 1, last} <= ends
        assert last + 1 - first >= least or last == len(labels) - 1


def test_a_share_of_the_utterances_comes_in_another_order():
    labels = torch.arange(40).repeat_interleave(10)
    some = augmenter(shuffle_probability=0.3, shuffle_frames=20)
    orders = [some.shuffled(labels) for _ in range(1000)]
    assert abs(np.mean([order is not None for order in orders]) - 0.3) < 0.05
    assert len({tuple(order.tolist()) for order in orders if order is not None}) > 200
    assert all(augmenter().shuffled(labels) is None for _ in range(50))


def peak(curve: np.ndarray) -> float:
    """Hertz of the highest point of a curve over the bins, between bins by a parabola."""
    i = int(curve.argmax())
    left, top, right = curve[i - 1 : i + 2]
    mels = CENTRES[i] + 0.5 * (left - right) / (left - 2 * top + right) * (CENTRES[1] - CENTRES[0])
    return float(700 * np.expm1(mels / 1127))


def test_another_vocal_tract_moves_every_peak_by_one_factor():
    """A formant at f comes to lie at f / factor, whatever f is."""
    formants = (500.0, 1500.0, 4000.0)
    curves = [np.exp(-0.5 * ((CENTRES - mel(f)) / 90) ** 2) for f in formants]
    factors = []
    for curve, hertz in zip(curves, formants):
        x = torch.tensor(curve, dtype=torch.float32).expand(40, 3, BINS).contiguous()
        out = augmenter(vocal_tract=0.2)(x, full(x)).double().numpy()
        assert np.abs(out - out[:, :1]).max() < 1e-5  # every frame alike
        assert abs(peak(curve) / hertz - 1) < 0.003  # the measure itself
        factors.append([hertz / peak(row[0]) for row in out])
    factors = np.array(factors)
    np.testing.assert_allclose(factors[0], factors[1], rtol=0.02)
    np.testing.assert_allclose(factors[2], factors[1], rtol=0.02)
    assert 0.79 < factors[1].min() < 0.86 and 1.14 < factors[1].max() < 1.21
