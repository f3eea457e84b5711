"""Tuning the decoder: every combination is scored, and the best one is taken."""

from __future__ import annotations

import dataclasses
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.commands import make_prepared
from support.references.decoder import with_ngrams
from support.word_lms import random_words

import speechattn.training.decoding
from speechattn.decoder.decoder import decode
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.decoder.options import CONFIDENCE, DecoderOptions, Evidence
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.errors import ConfigError
from speechattn.evaluation.metrics import phones_right
from speechattn.segments import FrameSegment
from speechattn.training.config_sections import TUNED, DecodingConfig
from speechattn.training.decoding import (
    decoder_grid,
    fit_confidence,
    frame_log_posteriors,
    spoken,
    tune_decoder,
)

CPU = torch.device("cpu")
SIL, PHONES = 0, 4
GRID = DecodingConfig(
    bigram_scale=(0.0, 3.0),
    prior_scale=(0.0, 0.9),
    insertion_penalty=(0.5, 8.0),
    duration_scale=(0.0, 1.0),
)


class Given(torch.nn.Module):
    """A classifier whose scores are the frames themselves; counts its calls."""

    calls = 0

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return frames


@pytest.fixture
def dev(tmp_path):
    """Noisy scores of random phone strings, with silence on either side."""
    random = np.random.default_rng(3)
    utterances = []
    for _ in range(5):
        phones = random.integers(1, PHONES, 8)
        labels = np.repeat([SIL, *phones, SIL], random.integers(3, 9, 10))
        scores = 2.5 * np.eye(PHONES)[labels] + random.normal(0, 1.6, (len(labels), PHONES))
        utterances.append((scores, labels.tolist()))
    return make_prepared(tmp_path / "dev", utterances)


@pytest.fixture
def phone_model(dev):
    return PhoneModel.learn([dev.runs(entry) for entry in dev.entries], PHONES)


def distance(one: list[int], two: list[int]) -> int:
    """Edit distance, by the recursion of its definition."""
    table = {(i, 0): i for i in range(len(one) + 1)} | {(0, j): j for j in range(len(two) + 1)}
    for i, j in itertools.product(range(1, len(one) + 1), range(1, len(two) + 1)):
        change = table[i - 1, j - 1] + (one[i - 1] != two[j - 1])
        table[i, j] = min(change, table[i - 1, j] + 1, table[i, j - 1] + 1)
    return table[len(one), len(two)]


def error_rate(dev, phone_model, options: DecoderOptions) -> float:
    errors = phones = 0
    for entry in dev.entries:
        scores = torch.from_numpy(dev.frames(entry)).log_softmax(-1).numpy()
        found = [run.phone for run in decode(scores, phone_model, options) if run.phone]
        reference = [run.phone for run in dev.runs(entry) if run.phone]
        errors += distance(reference, found)
        phones += len(reference)
    return errors / phones


def weights(options: DecoderOptions) -> tuple:
    """What the grid is over, without words."""
    return tuple(getattr(options, name) for name in TUNED[:4])


def test_confidences_are_fitted_on_dev(dev, phone_model):
    only = DecodingConfig((0.0,), (0.0,), (-9.0,), (0.0,))
    best, _ = tune_decoder(Given(), phone_model, dev, only, SIL, CPU)
    facts, right = [], []
    for entry in dev.entries:
        scores = torch.from_numpy(dev.frames(entry)).log_softmax(-1).numpy()
        runs = decode(scores, phone_model, DecoderOptions(0.0, 0.0, -9.0, 0.0))
        evidence = Evidence(None)  # without words nobody knows which phone is silence
        facts += [
            values for run, values in [(r, evidence.take(r)) for r in runs] if run.phone != SIL
        ]
        right += phones_right([run for run in runs if run.phone != SIL], dev.labels(entry))
    fitted = fit_confidence(facts, right, [1.0] * len(right))
    found = [getattr(best, name) for name in CONFIDENCE]
    assert found == pytest.approx(fitted, abs=1e-3)
    assert fitted != (1.0, 0.0, 0.0, 0.0)


def test_the_best_combination_wins(dev, phone_model):
    best, rows = tune_decoder(Given(), phone_model, dev, GRID, SIL, CPU)
    values = itertools.product(
        GRID.bigram_scale, GRID.prior_scale, GRID.insertion_penalty, GRID.duration_scale
    )
    expected = {v: error_rate(dev, phone_model, DecoderOptions(*v)) for v in values}
    names = ("bigram_scale", "prior_scale", "insertion_penalty", "duration_scale")
    found = {tuple(row[name] for name in names): row["per"] for row in rows}
    assert found == pytest.approx(expected)
    assert len(rows) == len(expected) and len(set(found.values())) > 3
    assert expected[weights(best)] == min(expected.values())
    assert [row["per"] for row in rows] == sorted(row["per"] for row in rows)
    # of equals, the first that was tried
    assert weights(best) == min(expected, key=expected.get)


def test_weights_of_words_are_tried_where_there_are_words(dev, phone_model):
    random = np.random.default_rng(0)
    known = with_ngrams(random, phone_model)
    known = dataclasses.replace(known, words=random_words(random, PHONES))
    grid = DecodingConfig(
        (1.0,), (0.0,), (0.0,), word_scale=(0.0, 0.5, 2.0), unknown_word=(0.0, 3.0)
    )
    best, rows = tune_decoder(Given(), known, dev, grid, SIL, CPU)
    expected = {}
    for scale, price in itertools.product(grid.word_scale, grid.unknown_word):
        options = DecoderOptions(1.0, 0.0, 0.0, word_scale=scale, unknown_word=price)
        expected[scale, price] = error_rate(dev, known, options)
    assert {(r["word_scale"], r["unknown_word"]): r["per"] for r in rows} == pytest.approx(expected)
    assert len(set(expected.values())) > 2
    assert expected[best.word_scale, best.unknown_word] == min(expected.values())


def test_every_corpus_counts_alike(dev, phone_model):
    """One utterance of a corpus of its own weighs as much as the four of the other."""
    dev.entries[0] = dataclasses.replace(dev.entries[0], corpus="other")
    options = DecoderOptions(0.0, 0.0, 8.0, 0.0)
    only = DecodingConfig((0.0,), (0.0,), (8.0,), (0.0,))
    _, rows = tune_decoder(Given(), phone_model, dev, only, SIL, CPU)
    parts = []
    for some in (dev.entries[:1], dev.entries[1:]):
        part = SimpleNamespace(entries=some, frames=dev.frames, runs=dev.runs)
        parts.append(error_rate(part, phone_model, options))
    assert parts[0] != parts[1]
    assert rows[0]["per"] == pytest.approx(sum(parts) / 2)


def test_a_single_candidate_is_taken_as_it_is(dev, phone_model):
    only = DecodingConfig((1.25,), (0.5,), (2,), (0.75,))
    best, rows = tune_decoder(Given(), phone_model, dev, only, SIL, CPU)
    assert weights(best) == (1.25, 0.5, 2, 0.75) and len(rows) == 1


def test_the_beam_is_not_tuned(dev, phone_model):
    only = DecodingConfig((1.25,), (0.5,), (2,), (0.75,), beam=7.5, ngram_order=4)
    best, rows = tune_decoder(Given(), phone_model, dev, only, SIL, CPU)
    assert best.beam == 7.5 and weights(best) == (1.25, 0.5, 2, 0.75)
    assert [set(row) for row in rows] == [{*TUNED, "per"}]


def test_large_dev_sets_are_sampled_the_same_way_every_time(dev, phone_model, monkeypatch):
    total = sum(entry.frames for entry in dev.entries)
    assert total < speechattn.training.decoding.MAX_TUNING_FRAMES
    monkeypatch.setattr(speechattn.training.decoding, "MAX_TUNING_FRAMES", total // 2)
    seen = []
    for _ in range(2):
        model = Given()
        _, rows = tune_decoder(model, phone_model, dev, GRID, SIL, CPU)
        seen.append((model.calls, rows))
    assert seen[0] == seen[1] and 1 < seen[0][0] < len(dev.entries)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"bigram_scale": ()}, "decoding.bigram_scale: empty"),
        ({"duration_scale": ()}, "decoding.duration_scale: empty"),
        ({"prior_scale": (0.5, 1.5)}, "prior_scale is 1.5"),
        ({"insertion_penalty": ("much",)}, "insertion_penalty: 'much'"),
        ({"bigram_scale": (1.0, -1)}, "bigram_scale is -1"),
        ({"bigram_scale": (None,)}, "bigram_scale: None"),
    ],
)
def test_impossible_candidates_are_refused(values, said):
    with pytest.raises(ConfigError) as caught:
        decoder_grid(DecodingConfig(**values))
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_the_grid_holds_every_combination_once():
    grid = decoder_grid(GRID)
    assert len(grid) == len({tuple(o.to_dict().values()) for o in grid}) == 2 * 2 * 2 * 2


def test_log_posteriors_are_those_of_the_classifier():
    torch.manual_seed(0)
    encoder = EncoderConfig(width=16, heads=2, feedforward=32, blocks=1, window=(4, 4), stack=2)
    model = PhoneClassifier(6, PHONES, encoder).eval()
    frames = np.random.default_rng(0).normal(size=(23, 6)).astype(np.float32)
    found = frame_log_posteriors(model, frames, CPU)
    scores = model(torch.from_numpy(frames)[None])[0].detach().double().numpy()
    assert found.dtype == np.float32 and found.shape == (23, PHONES)
    expected = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_spoken_drops_silence_and_keeps_repeated_phones():
    runs = [FrameSegment(p, i, i + 1) for i, p in enumerate([0, 2, 2, 0, 1, 0])]
    assert spoken(runs, 0) == [2, 2, 1] and spoken([], 0) == []


def test_each_way_to_read_is_tuned_on_its_own(dev, phone_model):
    penalties = (-3.0, 0.0, 2.0)
    candidates = dataclasses.replace(
        GRID, phones_scale=(0.2, 1.0), phones_penalty=penalties, alone_penalty=penalties
    )
    best, _ = tune_decoder(Given(), phone_model, dev, candidates, SIL, CPU)
    for reading, names in (
        ("phones", ("phones_scale", "phones_penalty")),
        ("none", ("alone_penalty",)),
    ):
        found = error_rate(dev, phone_model, best.for_reading(reading))
        for values in itertools.product(*(getattr(candidates, name) for name in names)):
            other = dataclasses.replace(best, **dict(zip(names, values))).for_reading(reading)
            assert found <= error_rate(dev, phone_model, other) + 1e-12
    plain, _ = tune_decoder(Given(), phone_model, dev, GRID, SIL, CPU)
    assert plain.phones_scale is plain.phones_penalty is plain.alone_penalty is None
