"""Training batches: complete epochs, pure functions of the step, labels that stay on their frames.

The frames of the sets made here say which utterance they belong to and which frame of it they are,
so that whatever cropping, shortening and another tempo do can be read off the batch.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import make_prepared

from speechattn.audio.features import FrontEndConfig
from speechattn.training.augmentation import Augmenter
from speechattn.training.batches import PADDING, TrainingBatches, dev_batches, shortened_silences
from speechattn.training.config import RecipeConfig
from speechattn.training.config_sections import AugmentationConfig, TrainingConfig
from speechattn.training.speaker_balance import MAX_TURNS, MIN_TURNS, turns_in_epoch

SIL = 0
DIM = 3
# The augmenter leaves cepstra as they are: what the frames say can be read exactly.
CEPSTRA = FrontEndConfig(kind="mfcc", num_mel_bins=DIM, num_ceps=DIM)
LOG_MEL = FrontEndConfig(num_mel_bins=DIM)


def recipe(*, speed: float = 0.0, seed: int = 0, **training) -> RecipeConfig:
    training = {"batch_frames": 600, "crop_frames": 200, "max_silence_frames": 0, **training}
    return RecipeConfig(
        train=("c/t",),
        dev=("c/d",),
        test=("c/e",),
        seed=seed,
        front_end=CEPSTRA,
        training=TrainingConfig(**training),
        augmentation=AugmentationConfig(speed=speed),
    )


def telling(lengths, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Utterances whose frames are (own number, frame number, 1), with random runs of labels."""
    random = np.random.default_rng(seed)
    made = []
    for number, length in enumerate(lengths):
        labels = np.repeat(random.integers(0, 5, length), random.integers(1, 30, length))[:length]
        frames = np.stack([np.full(length, number), np.arange(length), np.ones(length)], 1)
        made.append((frames.astype(np.float32), labels))
    return made


def epochs(batches: TrainingBatches, utterances: int, count: int) -> list[list[list[int]]]:
    """Numbers of the utterances in every batch of the first epochs, by counting them."""
    found, step = [], 0
    for _ in range(count):
        epoch: list[list[int]] = []
        while sum(map(len, epoch)) < utterances:
            epoch.append(batches.batch(step).frames[:, 0, 0].int().tolist())
            step += 1
        found.append(epoch)
    return found


LENGTHS = [37, 150, 420, 81, 199, 200, 201, 12, 1, 333, 64, 64, 64, 2, 98, 130, 177, 55]


@pytest.fixture(scope="module")
def utterances():
    return telling(LENGTHS)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, utterances):
    return make_prepared(tmp_path_factory.mktemp("telling") / "set", utterances)


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
