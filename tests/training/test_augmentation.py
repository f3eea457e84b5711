"""Augmentation: every part does what it says, by as much as it says, and nothing else."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from speechattn.audio.features import FrontEndConfig
from speechattn.training.augmentation import (
    BAND_EDGES_HZ,
    DIRECT_DB,
    LOW_EDGES_HZ,
    QUIET,
    ROOM_FRAMES,
    Augmenter,
)
from speechattn.training.config_sections import AugmentationConfig

BINS = 80
FRONT_END = FrontEndConfig(num_mel_bins=BINS)
OFF = {
    "speed": 0.0,
    "vocal_tract": 0.0,
    "gain_db": 0.0,
    "channel_db": 0.0,
    "noise_probability": 0.0,
    "band_limit_probability": 0.0,
    "time_masks": 0,
    "frequency_masks": 0,
}
PARTS = {
    "vocal_tract": {"vocal_tract": 0.2},
    "gain": {"gain_db": 6.0},
    "channel": {"channel_db": 3.0},
    "noise": {"noise_probability": 1.0},
    "room": {"room_probability": 1.0},
    "band_limit": {"band_limit_probability": 1.0},
    "time_masks": {"time_masks": 3, "time_mask_frames": 9},
    "frequency_masks": {"frequency_masks": 2, "frequency_mask_bins": 9},
}
EVERYTHING = {key: value for part in PARTS.values() for key, value in part.items()}
NEPERS_PER_DB = math.log(10) / 10


def augmenter(
    seed: int = 0, front_end: FrontEndConfig = FRONT_END, noises=(), **parts
) -> Augmenter:
    generator = torch.Generator().manual_seed(seed)
    return Augmenter(AugmentationConfig(**{**OFF, **parts}), front_end, generator, noises)


def speechlike(batch: int = 6, frames: int = 50, seed: int = 1) -> Tensor:
    """Log-mel frames of about the level and the spread of speech."""
    generator = torch.Generator().manual_seed(seed)
    return 9 + 3 * torch.randn(batch, frames, BINS, generator=generator)


def full(x: Tensor) -> Tensor:
    return torch.full((len(x),), x.shape[1])


def masked(augment: Augmenter, x: Tensor, lengths: Tensor) -> Tensor:
    """A batch augmented and masked, as training does it."""
    return augment.mask(augment(x, lengths), lengths)


def mel(hertz):
    return 1127 * np.log1p(np.asarray(hertz) / 700)


# Centres of the filters in mel, as Kaldi places them: the inner ones of evenly spaced points.
CENTRES = np.linspace(mel(20.0), mel(8000.0), BINS + 2)[1:-1]
CENTRES_HZ = 700 * np.expm1(CENTRES / 1127)


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


def added(out: Tensor, x: Tensor) -> Tensor:
    """Energy that the output has beyond the input."""
    return out.double().exp() - x.double().exp()


RECORDED = [9 + np.sin(np.arange(37 * BINS)).reshape(37, BINS).astype(np.float16)]


@pytest.mark.parametrize("noises", [(), RECORDED], ids=["coloured", "recorded"])
@pytest.mark.parametrize("snr", [0.0, 10.0])
def test_noise_has_the_ratio_asked_for(snr, noises):
    """In a steady signal: its energy to that of the noise, over all frames and bins."""
    x = torch.full((60, 100, BINS), 9.0) + torch.linspace(-4, 4, 60)[:, None, None]
    out = augmenter(noises=noises, noise_probability=1.0, noise_snr_db=(snr, snr))(x, full(x))
    decibels = (x[:, 0, 0].double() - added(out, x).mean((1, 2)).log()) / NEPERS_PER_DB
    assert (decibels - snr).abs().max() < 0.01, decibels


def test_noise_of_a_colour_is_white_noise_filtered():
    x = torch.full((60, 100, BINS), 9.0)
    out = augmenter(noise_probability=1.0, noise_snr_db=(0.0, 0.0))(x, full(x))
    energy = added(out, x)
    energy = energy / energy.mean(1, keepdim=True)  # exponential: deviation equals mean
    assert abs(energy.std() - 1) < 0.05
    assert abs((energy > math.log(2)).double().mean() - 0.5) < 0.01


def test_noise_ratios_fill_their_range_and_its_colours_differ():
    x = torch.full((800, 30, BINS), 9.0)
    out = augmenter(noise_probability=1.0, noise_snr_db=(-5.0, 10.0))(x, full(x))
    noise = added(out, x)
    decibels = (9.0 - noise.mean((1, 2)).log()) / NEPERS_PER_DB
    assert -5.01 < decibels.min() < -4.8 and 9.8 < decibels.max() < 10.01
    assert abs(decibels.mean() - 2.5) < 0.6 and abs(decibels.std() - 15 / math.sqrt(12)) < 0.4
    tilt = (noise[:, :, :20].mean((1, 2)) / noise[:, :, -20:].mean((1, 2))).log()
    assert (tilt > 0.5).any() and (tilt < -0.5).any()


def test_recorded_noises_are_stretches_that_take_turns_with_colours():
    """They begin anywhere, and over again where they end."""
    made = augmenter(noises=[RECORDED[0], RECORDED[0][:5] + 3])
    lengths, starts = [], set()
    for _ in range(400):
        x = made.noise(50, BINS)
        assert x.exp().mean() == pytest.approx(1.0, rel=1e-4)
        for recorded in made.noises:
            later = [np.roll(recorded.astype(np.float32), -start, 0) for start in (0, 1, 2)]
            places = [np.resize(stretch, (50, BINS)) for stretch in later]
            for start, place in enumerate(places):
                offset = x.numpy() - place
                if offset.max() - offset.min() < 1e-3:
                    starts.add((len(recorded), start))
        period = next((n for n in (5, 37) if torch.equal(x[:-n], x[n:])), 0)
        lengths.append(period)
    shares = [lengths.count(n) / 400 for n in (0, 5, 37)]
    assert abs(shares[0] - 0.5) < 0.09 and abs(shares[1] - 0.25) < 0.08, shares
    assert {(5, 0), (5, 1), (5, 2)} <= starts


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


def test_noise_only_adds_energy_and_is_faint_at_a_high_ratio():
    x = speechlike()
    loud = augmenter(noise_probability=1.0, noise_snr_db=(0.0, 0.0))(x, full(x))
    faint = augmenter(noise_probability=1.0, noise_snr_db=(80.0, 80.0))(x, full(x))
    assert (loud >= x - 1e-4).all() and (loud - x).mean() > 0.3
    assert (faint - x).mean() < 0.01


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


def click(batch: int, frames: int, at: int = 5) -> Tensor:
    """Silence but for one loud frame."""
    x = torch.full((batch, frames, BINS), -15.0)
    x[:, at] = 12.0
    return x


def tails(x: Tensor, at: int = 5) -> Tensor:
    """What follows a click, as shares of its energy, shape (batch, frames)."""
    return (x[:, at:, 0].double() - 12.0).exp()


@pytest.mark.parametrize("seconds", [0.4, 0.8])
def test_a_click_in_a_room_has_an_exponential_tail(seconds):
    x = click(300, 120)
    out = augmenter(room_probability=1.0, room_seconds=(seconds, seconds))(x, full(x))
    assert (out[:, :5] + 15.0).abs().max() < 3.0  # nothing before it but the silence's own echo
    torch.testing.assert_close(out, out[:, :, :1].expand_as(out), rtol=0, atol=1e-4)
    tail = tails(out)
    assert (tail[:, 0] - 1).abs().max() < 1e-4
    echo = tail[:, 1:ROOM_FRAMES]
    heard = echo[:, : round(50 * seconds)]  # as far as it is loud
    fall = -heard.log().diff(dim=1) / NEPERS_PER_DB
    assert (fall - 60 * 0.01 / seconds).abs().max() < 0.01  # dB a frame
    direct = -echo.sum(1).log() / NEPERS_PER_DB
    low, high = DIRECT_DB
    assert low - 0.01 < direct.min() < low + 0.5 and high - 0.5 < direct.max() < high + 0.01
    assert tail[:, ROOM_FRAMES:].max() < 1e-9


def test_reverberation_times_fill_their_range():
    x = click(400, 40)
    out = augmenter(room_probability=1.0, room_seconds=(0.2, 0.8))(x, full(x))
    fall = -tails(out)[:, 1:10].log().diff(dim=1).mean(1) / NEPERS_PER_DB
    seconds = 60 * 0.01 / fall
    assert 0.199 < seconds.min() < 0.21 and 0.79 < seconds.max() < 0.801
    assert abs(seconds.mean() - 0.5) < 0.04


def test_a_room_adds_up_the_echoes_of_all_frames():
    """Against a convolution written out, the response being what a click gives."""
    parts = {"seed": 4, "room_probability": 1.0}
    x = speechlike(3, 100)
    response = tails(augmenter(**parts)(click(3, 120), torch.full((3,), 120)))
    out = augmenter(**parts)(x, full(x)).double().exp()
    for row in range(3):
        energy = x[row].double().exp()
        for t in (0, 1, 50, 99):
            first = max(0, t - ROOM_FRAMES + 1)
            expected = sum(energy[s] * response[row, t - s] for s in range(first, t + 1))
            torch.testing.assert_close(out[row, t], expected, rtol=1e-3, atol=0)


def test_how_long_the_batch_is_makes_no_difference_to_a_room():
    parts = {"seed": 2, "room_probability": 1.0}
    long, short = (augmenter(**parts)(click(5, n), torch.full((5,), 12)) for n in (100, 12))
    torch.testing.assert_close(long[:, :12], short, rtol=0, atol=1e-4)


def test_a_share_of_the_utterances_gives_way_to_noise():
    half = augmenter(silence_probability=0.3)
    assert abs(np.mean([half.silenced() for _ in range(2000)]) - 0.3) < 0.04
    assert not any(augmenter().silenced() for _ in range(50))
    mfcc = FrontEndConfig(kind="mfcc", num_mel_bins=BINS, num_ceps=BINS)
    assert not augmenter(front_end=mfcc, silence_probability=1.0).silenced()


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


def runs_of(mask: np.ndarray) -> list[int]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


@pytest.mark.parametrize(
    ("parts", "axis"),
    [
        ({"time_masks": 1, "time_mask_frames": 9}, 1),
        ({"frequency_masks": 1, "frequency_mask_bins": 9}, 2),
    ],
    ids=["time", "frequency"],
)
def test_a_mask_is_one_stretch_of_the_mean(parts, axis):
    x = speechlike(300, 40)
    out = masked(augmenter(**parts), x, full(x))
    widths = []
    for row in range(len(x)):
        lines = ((out[row] - x[row].mean()).abs() < 1e-4).all(2 - axis).numpy()
        assert len(runs_of(lines)) <= 1
        widths += runs_of(lines)
        changed = ((out[row] - x[row]).abs() > 1e-3).any(2 - axis).numpy()
        assert (lines >= changed).all()
    assert 7 <= max(widths) <= 9 and min(widths) == 1 and len(widths) > 200


def test_several_masks_are_drawn_apart():
    x = speechlike(200, 60)
    out = masked(augmenter(time_masks=3, time_mask_frames=6), x, full(x))
    hit = (out == out[:, :, :1]).all(2).numpy()
    assert max(len(runs_of(row)) for row in hit) == 3
    assert hit.sum(1).max() <= 18


def test_masks_wider_than_the_batch_do_no_harm():
    x = speechlike(4, 2)
    out = masked(augmenter(time_masks=2, time_mask_frames=50), x, full(x))
    assert out.isfinite().all() and out.shape == x.shape
    zero_wide = masked(augmenter(time_masks=2, time_mask_frames=0), x, full(x))
    torch.testing.assert_close(zero_wide, x, rtol=0, atol=1e-5)


def test_masks_are_drawn_over_the_padding_as_well():
    """As the docstring says: of a quarter as long an utterance about a quarter is hit."""
    x = speechlike(400, 100)
    lengths = torch.tensor([100, 25] * 200)
    out = masked(augmenter(time_masks=1, time_mask_frames=12), x, lengths)
    hit = ((out - x).abs() > 1e-3).any(2) & (torch.arange(100) < lengths[:, None])
    share = hit.any(1).float().view(-1, 2).mean(0)
    assert share[0] > 0.85  # not all: a mask may be empty
    assert 0.2 < share[1] / share[0] < 0.4


def test_the_longest_mask_has_one_frame_less_than_the_setting():
    x = speechlike(2000, 40)
    for parts, axis in (
        ({"time_masks": 1, "time_mask_frames": 4}, 1),
        ({"frequency_masks": 1, "frequency_mask_bins": 4}, 2),
    ):
        out = masked(augmenter(**parts), x, full(x))
        widths = ((out - x).abs() > 1e-3).any(3 - axis).sum(1)
        counts = torch.bincount(widths, minlength=5) / len(x)
        assert counts[4] == 0 and (counts[:4] - 0.25).abs().max() < 0.05


def test_the_level_that_noise_is_measured_against_is_the_mean_energy():
    """Speech at 12, pauses at 2, half and half: 3 dB below the speech."""
    x = torch.full((60, 100, BINS), 2.0)
    x[:, ::2] = 12.0
    out = augmenter(noise_probability=1.0, noise_snr_db=(10.0, 10.0))(x, full(x))
    noise = added(out, x)[:, 1::2].mean((1, 2)).log()
    below_speech = (12.0 - noise) / NEPERS_PER_DB
    assert (below_speech - 10.0 - 10 * math.log10(2)).abs().max() < 0.6


def test_padding_is_no_part_of_the_level_that_noise_is_measured_against():
    x = torch.full((60, 100, BINS), 9.0)
    lengths = torch.tensor([100, 20] * 30)
    x[1::2, 20:] = 0.0
    out = augmenter(noise_probability=1.0, noise_snr_db=(10.0, 10.0))(x, lengths)
    noise = added(out, x)[:, :20].mean((1, 2)).log()
    decibels = (9.0 - noise) / NEPERS_PER_DB
    assert (decibels - 10.0).abs().max() < 0.9
