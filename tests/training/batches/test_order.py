"""Which utterances are in which batch, and how often."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.batched import DIM, LENGTHS, LOG_MEL, SIL, epochs, recipe, telling
from support.commands import make_prepared

from speechattn.audio.features import FrontEndConfig
from speechattn.training.batches import PADDING, TrainingBatches, dev_batches
from speechattn.training.config_sections import AugmentationConfig
from speechattn.training.speaker_balance import MAX_TURNS, MIN_TURNS, turns_in_epoch


def test_every_utterance_comes_once_an_epoch_and_epochs_differ(prepared):
    batches = TrainingBatches(prepared, recipe(), SIL)
    first, second, third = epochs(batches, len(LENGTHS), 3)
    for epoch in (first, second, third):
        assert sorted(chain(*epoch)) == list(range(len(LENGTHS)))
    assert first != second != third
    other = TrainingBatches(prepared, recipe(seed=1), SIL)
    assert epochs(other, len(LENGTHS), 1)[0] != first


@settings(max_examples=15)
@given(
    lengths=st.lists(st.integers(1, 400), min_size=1, max_size=60),
    crop=st.integers(1, 300),
    room=st.integers(0, 900),
    seed=st.integers(0, 9),
)
def test_batches_fit_and_pad_little(tmp_path_factory, lengths, crop, room, seed):
    folder = tmp_path_factory.mktemp("any") / "set"
    config = recipe(crop_frames=crop, batch_frames=crop + room, seed=seed)
    batches = TrainingBatches(make_prepared(folder, telling(lengths)), config, SIL)
    seen: list[int] = []
    step = 0
    while len(seen) < len(lengths):
        batch = batches.batch(step)
        rows, frames, dim = batch.frames.shape
        assert rows * frames <= config.training.batch_frames and dim == DIM
        assert batch.labels.shape == (rows, frames) and batch.lengths.shape == (rows,)
        assert int(batch.lengths.max()) == frames <= crop
        for row in range(rows):
            number, length = int(batch.frames[row, 0, 0]), int(batch.lengths[row])
            assert length == min(lengths[number], crop)
            assert (batch.labels[row, length:] == PADDING).all()
            assert (batch.labels[row, :length] >= 0).all()
            assert (batch.frames[row, length:] == 0).all()
            seen.append(number)
        step += 1
    assert sorted(seen) == list(range(len(lengths)))


def test_batches_hold_utterances_of_similar_length(tmp_path):
    lengths = np.random.default_rng(0).integers(20, 200, 300)
    batches = TrainingBatches(make_prepared(tmp_path / "set", telling(lengths)), recipe(), SIL)
    made = [batches.batch(step) for step in range(len(epochs(batches, 300, 1)[0]))]
    padded = sum(b.labels.numel() for b in made)
    assert 1 - lengths.sum() / padded < 0.05  # at random it would be a third
    order = [int(b.lengths.max()) for b in made]
    assert order != sorted(order)


def same(a, b) -> bool:
    return all(torch.equal(getattr(a, n), getattr(b, n)) for n in ("frames", "labels", "lengths"))


def test_a_batch_is_a_function_of_its_step_alone(tmp_path):
    """Also with everything augmented, in any order, whatever torch's generator is at."""
    random = np.random.default_rng(0)
    frames = [(random.normal(8, 3, (n, 20)), random.integers(0, 4, n)) for n in LENGTHS]
    prepared = make_prepared(tmp_path / "set", frames)
    config = replace(
        recipe(max_silence_frames=3),
        front_end=FrontEndConfig(num_mel_bins=20),
        augmentation=AugmentationConfig(noise_probability=0.5, band_limit_probability=0.5),
    )
    forwards = TrainingBatches(prepared, config, SIL)
    made = [forwards.batch(step) for step in range(30)]
    backwards = TrainingBatches(prepared, config, SIL)
    for step in [29, 3, 17, 0, *range(28, 0, -1)]:
        torch.manual_seed(step)
        torch.rand(step)
        assert same(backwards.batch(step), made[step])
    assert not any(same(made[0], other) for other in made[1:])
    reseeded = TrainingBatches(prepared, replace(config, seed=1), SIL)
    assert not any(same(reseeded.batch(step), made[step]) for step in range(5))


def test_making_a_batch_leaves_the_global_generator_alone(prepared):
    batches = TrainingBatches(prepared, replace(recipe(), front_end=LOG_MEL), SIL)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    batches.batch(0)
    assert torch.equal(torch.rand(3), expected)


def test_slower_utterances_make_batches_larger_by_no_more_than_their_tempo(tmp_path):
    """Batches are planned before tempi change: 600 frames, and up to 1 / 0.8 times as many."""
    prepared = make_prepared(tmp_path / "set", telling([200] * 12))
    batches = TrainingBatches(prepared, recipe(speed=0.2), SIL)
    made = [batches.batch(step) for step in range(20)]
    assert 600 < max(batch.labels.numel() for batch in made) <= 600 / 0.8
    assert 200 < max(int(batch.lengths.max()) for batch in made) <= 200 / 0.8


def test_a_digest_tells_every_frame_and_label(tmp_path):
    def digest(name: str, utterances, **training) -> str:
        prepared = make_prepared(tmp_path / name, utterances)
        return TrainingBatches(prepared, recipe(**training), SIL).digest

    (x, y), (z, w) = telling([30, 20])
    expected = digest("a", [(x, y), (z, w)])
    assert digest("b", [(x, y), (z, w)], batch_frames=999) == expected  # of the data alone
    louder, other = x.copy(), y.copy()
    louder[7, 1] += 1
    other[7] = 1 + other[7] % 4
    joined = np.concatenate([x, z]), np.concatenate([y, w])
    changed = [[(louder, y), (z, w)], [(x, other), (z, w)], [(z, w), (x, y)], [joined]]
    found = {digest(f"c{i}", utterances) for i, utterances in enumerate(changed)}
    assert len({*found, expected}) == 5


def test_dev_batches_hold_every_utterance_once_and_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("speechattn.training.batches.DEV_BATCH_FRAMES", 300)
    utterances = telling([*range(20, 150, 6), 400])  # the last one is too long for a batch
    dev = make_prepared(tmp_path / "dev", utterances)
    found = []
    for frames, labels, lengths in dev_batches(dev):
        assert frames.shape[:2] == labels.shape and len(lengths) == len(frames)
        assert frames.shape[:2].numel() <= 300 or len(frames) == 1
        for x, y, length in zip(frames, labels, lengths.tolist()):
            assert (y[length:] == PADDING).all()
            found.append((x[:length].numpy().tobytes(), y[:length].tolist()))
    expected = [(dev.frames(e).tobytes(), dev.labels(e).tolist()) for e in dev.entries]
    assert sorted(found) == sorted(expected)


def test_speakers_of_whom_a_corpus_has_little_come_more_often():
    corpora = ["a"] * 11 + ["b"] * 2
    speakers = ["many"] * 10 + ["few"] + ["one", "two"]
    lengths = [100] * 11 + [50, 50]
    assert turns_in_epoch(corpora, speakers, lengths, 0.0).tolist() == [1.0] * 13
    turns = turns_in_epoch(corpora, speakers, lengths, 0.5)
    assert turns[:10].tolist() == [turns[0]] * 10 and turns[10] > 2 * turns[0]
    assert turns @ np.array(lengths) == pytest.approx(sum(lengths))
    assert turns[11:].tolist() == [1.0, 1.0]  # every corpus keeps its share
    extreme = turns_in_epoch(["a"] * 101, ["x"] * 100 + ["y"], [100] * 101, 1.0)
    assert extreme.max() == pytest.approx(MAX_TURNS) and extreme.min() >= MIN_TURNS


def test_turns_decide_how_often_utterances_are_in_an_epoch(tmp_path):
    frames = [np.zeros((20, DIM), np.float32)] * 8
    prepared = make_prepared(tmp_path / "set", [(f, [1] * 20) for f in frames])
    batches = TrainingBatches(prepared, recipe(speaker_balance=0.5), SIL)
    batches._turns = np.array([0.5, 2.5, 1, 1, 1, 1, 1, 1])
    counts = np.zeros(8)
    for epoch in range(200):
        for batch in batches._plan(epoch):
            np.add.at(counts, batch, 1)
    assert counts[2:].tolist() == [200] * 6
    assert counts[:2] / 200 == pytest.approx([0.5, 2.5], abs=0.12)
