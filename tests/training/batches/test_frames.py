"""What becomes of frames and labels on their way into a batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.batched import CEPSTRA, DIM, LENGTHS, LOG_MEL, SIL, recipe, telling
from support.commands import make_prepared

from speechattn.corpora.alignment import shortened_silences
from speechattn.training.augmentation import Augmenter
from speechattn.training.babble import babble
from speechattn.training.batches import PADDING, TrainingBatches
from speechattn.training.config_sections import AugmentationConfig


def test_a_crop_is_one_stretch_with_its_labels_from_anywhere(prepared, utterances):
    batches = TrainingBatches(prepared, recipe(), SIL)
    starts = set()
    for step in range(120):
        batch = batches.batch(step)
        for row, length in enumerate(batch.lengths.tolist()):
            number, first = batch.frames[row, 0, :2].int().tolist()
            positions = batch.frames[row, :length, 1].numpy()
            np.testing.assert_array_equal(positions, np.arange(first, first + length))
            labels = utterances[number][1]
            np.testing.assert_array_equal(batch.labels[row, :length], labels[first:][:length])
            if LENGTHS[number] == 420:
                starts.add(first)
    assert min(starts) < 60 and max(starts) > 160 and len(starts) > 8  # of 0 to 220


def test_another_tempo_takes_the_labels_along(prepared, utterances):
    speed = 0.2
    batches = TrainingBatches(prepared, recipe(speed=speed), SIL)
    ratios = []
    for step in range(60):
        batch = batches.batch(step)
        for row, length in enumerate(batch.lengths.tolist()):
            number, first = batch.frames[row, 0, :2].int().tolist()
            before = min(LENGTHS[number], 200)
            assert (batch.frames[row, :length, 0] - number).abs().max() < 0.01
            positions = batch.frames[row, :length, 1].double().numpy()
            # ends stay ends, and in between time runs evenly
            np.testing.assert_allclose(
                positions, np.linspace(first, first + before - 1, length), atol=2e-3
            )
            labels = utterances[number][1]
            near = np.rint(positions).astype(int)
            tie = np.abs(positions - np.floor(positions) - 0.5) < 5e-3
            expected = labels[near.clip(0, len(labels) - 1)]
            assert ((batch.labels[row, :length].numpy() == expected) | tie).all()
            assert (batch.labels[row, length:] == PADDING).all()
            if before == 200:
                ratios.append(length / before)
    assert 1 / (1 + speed) - 0.01 <= min(ratios) < 0.9 and 1.12 < max(ratios) <= 1.251


def naive_shortening(labels: list[int], longest: int) -> list[int]:
    """Frame by frame: how far is it to either end of the silence it lies in?"""
    kept = []
    for i, label in enumerate(labels):
        before = after = 0
        while label == SIL and i - before > 0 and labels[i - before - 1] == SIL:
            before += 1
        while label == SIL and i + after + 1 < len(labels) and labels[i + after + 1] == SIL:
            after += 1
        whole = before + after + 1
        head = before < longest // 2
        tail = after < longest - longest // 2
        if label != SIL or longest == 0 or whole <= longest or head or tail:
            kept.append(i)
    return kept


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 12)), max_size=8).map(
        lambda runs: [label for label, length in runs for _ in range(length)]
    ),
    st.integers(0, 9),
)
def test_shortened_silences_against_a_naive_loop(labels, longest):
    kept = shortened_silences(np.array(labels, dtype=np.int64), SIL, longest)
    assert kept.tolist() == naive_shortening(labels, longest)
    if longest:
        short = np.array(labels, dtype=np.int64)[kept]
        assert shortened_silences(short, SIL, longest).tolist() == list(range(len(short)))


def test_long_silences_are_shortened_with_their_frames(tmp_path):
    labels = np.array([0] * 50 + [1] * 10 + [0] * 30 + [2] * 5 + [0] * 8)
    frames = telling([len(labels)])[0][0]
    prepared = make_prepared(tmp_path / "set", [(frames, labels)])
    batches = TrainingBatches(prepared, recipe(max_silence_frames=10), SIL)
    assert batches.num_frames == 10 + 10 + 10 + 5 + 8
    batch = batches.batch(0)
    positions = batch.frames[0, :, 1].int().numpy()
    np.testing.assert_array_equal(batch.labels[0], labels[positions])
    expected = [*range(5), *range(45, 65), *range(85, 103)]
    assert positions.tolist() == expected


@pytest.mark.parametrize("longest", [0, 4])
def test_statistics_are_those_of_all_frames_that_stay(tmp_path, longest):
    random = np.random.default_rng(1)
    utterances = []
    for length in LENGTHS:
        frames = random.normal([5.0, -3.0, 100.0], [2.0, 0.5, 0.0], (length, DIM))
        utterances.append((frames.astype(np.float16), random.integers(0, 2, length)))
    prepared = make_prepared(tmp_path / "set", utterances)
    batches = TrainingBatches(prepared, recipe(max_silence_frames=longest), SIL)
    stay = np.concatenate(
        [x[naive_shortening(y.tolist(), longest)].astype(np.float64) for x, y in utterances]
    )
    mean, std = batches.statistics()
    assert batches.num_frames == len(stay)
    np.testing.assert_allclose(mean, stay.mean(0), rtol=1e-9)
    np.testing.assert_allclose(std[:2], stay.std(0)[:2], rtol=1e-9)
    assert std[2] == pytest.approx(1e-3)  # a dimension that never changes must not divide by zero


def test_the_tempo_is_drawn_evenly_and_reads_within_the_utterance():
    config = AugmentationConfig(speed=0.3)
    augmenter = Augmenter(config, CEPSTRA, torch.Generator().manual_seed(0))
    for frames in (1, 2, 3, 100):
        for _ in range(200):
            positions = augmenter.tempo(frames)
            assert len(positions) >= 1 and positions[0] == 0
            assert (positions.diff() > 0).all() and positions[-1] <= frames - 1 + 1e-3
            assert 1 / 1.3 - 0.5 / frames <= len(positions) / frames <= 1 / 0.7 + 0.5 / frames
    tempi = np.array([10_000 / len(augmenter.tempo(10_000)) for _ in range(800)])
    assert abs(tempi.mean() - 1) < 0.03 and abs(tempi.std() - 0.3 / np.sqrt(3)) < 0.02


SILENCED = AugmentationConfig(
    speed=0.0, vocal_tract=0.0, gain_db=0.0, channel_db=0.0, noise_probability=0.0,
    band_limit_probability=0.0, time_masks=0, frequency_masks=0, silence_probability=1.0,
)  # fmt: skip


@pytest.mark.parametrize("recorded", [False, True])
def test_utterances_that_give_way_to_noise_are_silence_as_loud_as_they_were(tmp_path, recorded):
    random = np.random.default_rng(0)
    utterances = [
        (random.normal(number, 2.0, (20 + number, DIM)), random.integers(1, 5, 20 + number))
        for number in range(12)
    ]
    prepared = make_prepared(tmp_path / "set", utterances)
    noises = [random.normal(0, 1, (7, DIM)).astype(np.float16)] if recorded else []
    config = replace(recipe(), front_end=LOG_MEL, augmentation=SILENCED)
    batches = TrainingBatches(prepared, config, 3, noises)
    batch, periodic = batches.batch(0), 0
    for row, length in enumerate(batch.lengths.tolist()):
        said = prepared.frames(prepared.entries[length - 20])
        heard = batch.frames[row, :length].double()
        assert heard.exp().mean().log() == pytest.approx(np.log(np.exp(said).mean()), abs=1e-3)
        assert np.abs(heard.numpy() - said).max() > 1.0
        assert (batch.labels[row, :length] == 3).all()
        assert (batch.labels[row, length:] == PADDING).all()
        periodic += int(torch.allclose(heard[7:], heard[:-7], atol=1e-4))
    assert 1 <= periodic < len(batch.lengths) if recorded else periodic == 0


def test_a_share_of_the_utterances_gives_way_to_noise(tmp_path):
    prepared = make_prepared(tmp_path / "set", [(x, 1 + y) for x, y in telling([20] * 30)])
    config = replace(recipe(), augmentation=replace(SILENCED, silence_probability=0.3))
    counts = {}
    for front_end in (LOG_MEL, CEPSTRA):
        batches = TrainingBatches(prepared, replace(config, front_end=front_end), SIL)
        silent = [(batches.batch(step).labels == SIL).all(1) for step in range(20)]
        counts[front_end.kind] = float(torch.cat(silent).float().mean())
    assert abs(counts["fbank"] - 0.3) < 0.07 and counts["mfcc"] == 0.0


def test_babble_of_the_training_set_is_among_the_noises(tmp_path):
    prepared = make_prepared(tmp_path / "set", telling([20] * 8))
    recorded = np.ones((7, DIM), np.float16)
    config = replace(recipe(), front_end=LOG_MEL, augmentation=AugmentationConfig(babble=3))
    noises = TrainingBatches(prepared, config, SIL, [recorded]).noises
    assert noises[0] is recorded and len(noises) == 4
    mixed = babble(prepared, 3, config.seed)
    assert all(map(np.array_equal, noises[1:], mixed))
    cepstra = TrainingBatches(prepared, replace(config, front_end=CEPSTRA), SIL, [recorded])
    assert len(cepstra.noises) == 1


def test_pieces_in_another_order_keep_their_labels(tmp_path):
    utterances = telling([300] * 12)
    prepared = make_prepared(tmp_path / "set", utterances)
    change = AugmentationConfig(speed=0.0, shuffle_probability=1.0, shuffle_frames=30)
    batches = TrainingBatches(prepared, replace(recipe(), augmentation=change), SIL)
    moved = 0
    for step in range(6):
        batch = batches.batch(step)
        for frames, labels, length in zip(batch.frames, batch.labels, batch.lengths.tolist()):
            place = frames[:length, 1].long()  # of each frame in its utterance
            assert (place.sort().values.diff() == 1).all() and length == 200
            assert labels[:length].tolist() == utterances[int(frames[0, 0])][1][place].tolist()
            moved += int((place.diff() != 1).any())
    assert moved > 0


@pytest.mark.parametrize("consistency", [0.0, 1.0])
def test_a_share_of_the_views_is_heard_through_a_codec(tmp_path, utterances, consistency):
    prepared = make_prepared(tmp_path / "set", utterances)
    frames = np.load(tmp_path / "set" / "frames.npy").copy()
    frames[:, 2] = 5  # where the others have 1
    np.save(tmp_path / "set" / "coded.npy", frames)
    config = recipe(consistency_weight=consistency)
    config = replace(config, augmentation=replace(config.augmentation, codec_probability=0.3))
    batches = TrainingBatches(prepared, config, SIL)
    coded, pairs = [], set()
    for step in range(80):
        batch = batches.batch(step)
        for row, length in enumerate(batch.lengths.tolist()):
            number, first = batch.frames[row, 0, :2].int().tolist()
            flags = batch.frames[row, :length, 2]
            assert flags.min() == flags.max() and flags[0] in (1, 5)
            coded.append(bool(flags[0] == 5))
            labels = utterances[number][1][first:][:length]
            np.testing.assert_array_equal(batch.labels[row, :length], labels)
        if consistency:
            views = batch.frames[:, 0, 2].view(2, -1)
            pairs |= {tuple(pair) for pair in views.T.tolist()}
    assert 0.25 < np.mean(coded) < 0.35
    assert not consistency or pairs == {(1, 1), (1, 5), (5, 1), (5, 5)}
