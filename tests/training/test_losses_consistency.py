"""Consistency: two hearings of an utterance in a batch, and how far they are apart."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.commands import make_prepared

from speechattn.corpora.prepared import PreparedSet
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.training.batches import PADDING, Batch, TrainingBatches, delay_second_view
from speechattn.training.config import RecipeConfig
from speechattn.training.config_sections import AugmentationConfig, TrainingConfig
from speechattn.training.losses import disagreement, frame_loss
from speechattn.training.replicas import Replicas


def telling(folder: Path, lengths: list[int], bins: int = 80) -> PreparedSet:
    """Utterances whose frames and labels say where they are from."""
    made = []
    for number, length in enumerate(lengths):
        places = np.arange(length)[:, None] / 8 + 100 * number
        made.append((np.repeat(places, bins, 1), np.arange(length) % 5))
    return make_prepared(folder / "set", made)


def recipe(**training) -> RecipeConfig:
    settings = {"batch_frames": 240, "crop_frames": 60, "max_silence_frames": 0, **training}
    still = AugmentationConfig(
        speed=0.0, vocal_tract=0.0, gain_db=0.0, channel_db=0.0, noise_probability=0.0,
        band_limit_probability=0.0, time_masks=0, frequency_masks=0,
    )  # fmt: skip
    encoder = EncoderConfig(width=16, heads=2, feedforward=32, blocks=1, window=(6, 6), stack=3)
    return RecipeConfig(
        train=("x/train",),
        dev=("x/dev",),
        test=("x/test",),
        encoder=encoder,
        training=TrainingConfig(**settings),
        augmentation=still,
    )


def test_the_second_half_begins_later():
    x = torch.arange(12).view(4, 3)
    found = delay_second_view(x, 1, -1)
    assert found.tolist() == [[0, 1, 2], [3, 4, 5], [7, 8, -1], [10, 11, -1]]
    assert torch.equal(delay_second_view(x, 0, -1), x)
    assert torch.equal(delay_second_view(x[..., None], 1, -1), found[..., None])


def test_a_batch_has_every_utterance_twice_the_second_time_later(tmp_path):
    batches = TrainingBatches(
        telling(tmp_path, [40, 50, 60, 60, 30]), recipe(consistency_weight=1.0), 0
    )
    seen = set()
    for step in range(24):
        batch = batches.batch(step)
        half = len(batch.lengths) // 2
        assert batch.frames.shape[1] * len(batch.lengths) <= 240
        assert torch.equal(batch.lengths[:half] - batch.second_view_delay, batch.lengths[half:])
        for first, second in zip(range(half), range(half, 2 * half)):
            n = int(batch.lengths[second])
            for of in (batch.frames, batch.labels):
                assert torch.equal(
                    of[first, batch.second_view_delay : batch.second_view_delay + n], of[second, :n]
                )
            assert (batch.labels[second, n:] == PADDING).all()
        seen.add(batch.second_view_delay)
    assert seen == {0, 1, 2}


def test_without_it_every_utterance_comes_once(tmp_path):
    batch = TrainingBatches(telling(tmp_path, [40, 50, 60, 60]), recipe(), 0).batch(0)
    assert batch.second_view_delay is None and len(batch.lengths) == 4


def test_an_utterance_shorter_than_a_stack_keeps_a_frame(tmp_path):
    batches = TrainingBatches(telling(tmp_path, [2, 1]), recipe(consistency_weight=1.0), 0)
    assert all(int(batches.batch(step).lengths.min()) >= 1 for step in range(8))


def by_hand(scores: torch.Tensor, lengths: list[int], late: int) -> float:
    """From the definition, one frame at a time."""
    p = scores.double().softmax(2).numpy()
    total = 0.0
    for u, n in enumerate(lengths):
        for t in range(n - late):
            a, b = p[u, t + late], p[len(lengths) + u, t]
            total += sum(x * math.log(x / y) + y * math.log(y / x) for x, y in zip(a, b))
    return total


@pytest.mark.parametrize("late", [0, 1, 2])
def test_disagreement_is_the_divergence_both_ways_of_the_frames_that_both_have(late):
    draw = torch.Generator().manual_seed(late)
    scores = torch.randn(4, 7, 5, generator=draw)
    lengths = torch.tensor([7, 4, 7 - late, 4 - late])
    counted = torch.arange(7) < lengths[:, None]
    found = disagreement(scores, counted, late).item()
    assert found == pytest.approx(by_hand(scores, [7, 4], late), rel=1e-5)


def test_one_way_only_the_second_view_learns():
    scores = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    counted = torch.ones(2, 6, dtype=torch.bool)
    found = disagreement(scores, counted, 1, one_way=True)
    first, second = scores.detach().double().softmax(2)
    wanted, own = first[1:], second[:-1]
    by_definition = (wanted * (wanted / own).log()).sum().item()
    assert found.item() == pytest.approx(by_definition, rel=1e-5)
    found.backward()
    assert not scores.grad[0].any()
    torch.testing.assert_close(scores.grad[1, :-1].double(), own - wanted, rtol=1e-4, atol=1e-6)


def test_the_same_twice_does_not_disagree_and_what_is_wanted_gets_no_gradient():
    scores = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(0))
    counted = torch.ones(2, 3, dtype=torch.bool)
    assert disagreement(scores.repeat(2, 1, 1), counted, 0).item() == pytest.approx(0, abs=1e-6)
    other = torch.zeros(1, 3, 4)
    both = torch.cat([scores, other]).requires_grad_()
    disagreement(both, counted, 0).backward()
    # Of KL(wanted, softmax(found)) in the scores: found - wanted, for either as the one found.
    apart = scores.softmax(2) - other.softmax(2)
    torch.testing.assert_close(both.grad, torch.cat([apart, -apart]))


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_hearings_stay_together_however_many_replicas_share_a_batch(tmp_path, replicas):
    batches = TrainingBatches(
        telling(tmp_path, [40, 44, 50, 60, 60]), recipe(consistency_weight=1.0, batch_frames=900), 0
    )
    batch = next(b for b in map(batches.batch, range(20)) if b.second_view_delay == 2)
    draw = torch.Generator().manual_seed(5)
    noise = torch.randn(batch.frames.shape, generator=draw)
    batch = Batch(batch.frames / 100 + noise, batch.labels, batch.lengths, batch.second_view_delay)
    settings = TrainingConfig(consistency_weight=0.7, replicas=replicas)
    torch.manual_seed(1)
    config = EncoderConfig(width=16, heads=2, feedforward=32, blocks=1, window=(4, 4), dropout=0.0)
    model = PhoneClassifier(80, 5, config)
    count = (batch.labels != PADDING).sum()
    found = Replicas(model, settings).backward(batch, 3)
    assert found == pytest.approx((frame_loss(model, batch, settings) / count).item(), rel=1e-5)
    plain = TrainingConfig()
    assert found > (frame_loss(model, batch, plain) / count).item() * 1.001


@pytest.mark.parametrize("replicas", [1, 2])
def test_second_views_have_the_drawn_windows_and_learn_from_the_own(replicas):
    torch.manual_seed(0)
    config = EncoderConfig(
        width=16, heads=2, feedforward=32, blocks=2, window=(6, 6), stack=1, any_window=(0, 12),
        dropout=0.0,
    )  # fmt: skip
    model = PhoneClassifier(8, 5, config)
    reference = PhoneClassifier(8, 5, config).train()
    reference.load_state_dict(model.state_dict())
    draw = torch.Generator().manual_seed(1)
    frames, labels = (
        torch.randn(8, 20, 8, generator=draw),
        torch.randint(5, (8, 20), generator=draw),
    )
    batch = Batch(frames, labels, torch.full((8,), 20), second_view_delay=0)
    settings = TrainingConfig(consistency_weight=0.7, replicas=replicas, label_smoothing=0.0)
    windows = [(12, 0), (2, 2), (6, 6), (3, 1)]
    found = Replicas(model, settings).backward(batch, 0, windows)

    expected = torch.zeros(())
    for number, window in enumerate(windows):
        reference.set_window((6, 6))
        first = reference(frames[[number]], torch.tensor([20]))[0]
        reference.set_window(window)
        second = reference(frames[[4 + number]], torch.tensor([20]))[0]
        both = F.cross_entropy(torch.cat([first, second]), labels[[number, 4 + number]].flatten())
        wanted = first.detach().softmax(1)
        apart = (wanted * (wanted.log() - second.log_softmax(1))).sum()
        expected = expected + (both * 40 + 0.7 * apart) / 160
    expected.backward()
    assert found == pytest.approx(expected.item(), rel=1e-5)
    for p, q in zip(model.parameters(), reference.parameters()):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-6)
