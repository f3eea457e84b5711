"""Phone models: what is learned from labels, against counting by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.decoder.lm.phone_model import SMALLEST_PRIOR, PhoneModel
from speechattn.errors import ConfigError, CorpusError, ModelError
from speechattn.segments import FrameSegment

FORBIDDEN = -math.inf


def runs_of(*lengths):
    """Contiguous runs from (phone, frames) pairs."""
    runs, start = [], 0
    for phone, length in lengths:
        runs.append(FrameSegment(phone, start, start + length))
        start += length
    return runs


def learn(sequences, num_phones=3, **settings):
    return PhoneModel.learn(sequences, num_phones, **settings)


@st.composite
def utterances(draw):
    pairs = st.tuples(st.integers(0, 4), st.integers(1, 40))
    lists = draw(st.lists(st.lists(pairs, max_size=8), min_size=1, max_size=6))
    return [runs_of(*pairs) for pairs in [*lists, [(0, 3)]]]


def test_counts_without_smoothing():
    model = learn([runs_of((0, 5), (1, 2), (1, 2), (0, 9)), runs_of((0, 1), (2, 3))], smoothing=0.0)
    assert np.exp(model.log_initial) == pytest.approx([1, 0, 0])
    assert np.exp(model.log_bigram[0]) == pytest.approx([0, 0.5, 0.5])
    assert np.exp(model.log_bigram[1]) == pytest.approx([0.5, 0.5, 0])
    assert np.exp(model.log_final) == pytest.approx([1 / 3, 0, 1])
    assert np.exp(model.log_prior) == pytest.approx([15 / 22, 4 / 22, 3 / 22], abs=1e-6)
    assert model.log_bigram[0, 0] == FORBIDDEN
    # Phone 2 was never followed by any: all phones, as often as they are.
    assert np.exp(model.log_bigram[2]) == pytest.approx([3 / 6, 2 / 6, 1 / 6], abs=1e-6)


def test_smoothing_by_hand():
    # Phone 0 twice, phone 1 once, and the pair 0 -> 1 once; smoothing counts as one example.
    model = learn([runs_of((0, 4), (1, 4)), runs_of((0, 4))], num_phones=2, smoothing=1.0)
    often = np.array([(2 + 0.5) / 4, (1 + 0.5) / 4])
    assert np.exp(model.log_bigram[0]) == pytest.approx((often + [0, 1]) / 2, abs=1e-6)
    assert np.exp(model.log_bigram[1]) == pytest.approx(often, abs=1e-6)
    assert np.exp(model.log_initial) == pytest.approx((often + [2, 0]) / 3, abs=1e-6)
    assert np.exp(model.log_final) == pytest.approx([(1 + 2 / 3) / 3, (1 + 2 / 3) / 2], abs=1e-6)


@settings(max_examples=60)
@given(utterances(), st.sampled_from([0.5, 10.0, 100.0]))
def test_smoothed_models_are_proper(sequences, smoothing):
    model = learn(sequences, 6, smoothing=smoothing)  # phone 5 has no examples
    assert np.exp(model.log_initial).sum() == pytest.approx(1, abs=1e-4)
    assert np.exp(model.log_bigram).sum(axis=1) == pytest.approx(np.ones(6), abs=1e-4)
    assert np.exp(model.log_stay) + np.exp(model.log_leave) == pytest.approx(np.ones(6), abs=1e-4)
    for values in (model.log_initial, model.log_bigram, model.log_final, model.log_prior):
        assert np.isfinite(values).all()
    assert (np.exp(model.log_final) <= 1).all()
    assert model.log_prior.min() >= np.round(np.log(SMALLEST_PRIOR), 6)
    assert ((model.min_frames >= 1) & (model.min_frames <= 6)).all()


@settings(max_examples=60)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.sampled_from([0.0, 0.05, 0.3]))
def test_minimum_is_the_longest_that_few_examples_break(lengths, too_short):
    sequences = [runs_of((0, length)) for length in lengths]
    model = learn(sequences, 1, smoothing=0.0, too_short=too_short, longest_minimum=8)
    (minimum,) = model.min_frames
    shorter = sum(length < minimum for length in lengths) / len(lengths)
    assert shorter <= too_short
    if minimum < 8:
        assert sum(length < minimum + 1 for length in lengths) / len(lengths) > too_short


def test_tail_has_the_mean_duration_of_the_examples():
    lengths = np.random.default_rng(0).geometric(0.2, 5000) + 2  # 3 and more, mean 7
    model = learn([runs_of((0, int(length))) for length in lengths], 1, longest_minimum=3)
    stay = math.exp(model.log_stay[0])
    assert model.min_frames[0] == 3
    assert 3 + stay / (1 - stay) == pytest.approx(lengths.mean(), abs=0.01)
    assert stay == pytest.approx(0.8, abs=0.02)


def test_phone_without_examples_lasts_as_phones_do():
    sequences = [runs_of((0, 4), (1, 8), (0, 4)) for _ in range(20)]
    for smoothing in (0.0, 10.0):
        model = learn(sequences, smoothing=smoothing)
        assert model.min_frames[2] == 4
        assert np.isfinite(model.log_stay[2])
        assert model.log_stay[0] < model.log_stay[2]


def test_gap_separates():
    gap = [FrameSegment(0, 0, 5), FrameSegment(1, 6, 9), FrameSegment(2, 9, 12)]
    model = learn([gap, runs_of((0, 4), (2, 4))], smoothing=0.0)
    assert model.log_bigram[0, 1] == FORBIDDEN
    assert model.log_bigram[0, 2] == 0


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([], "none of the utterances"),
        ([[], []], "none of the utterances"),
        ([runs_of((0, 3)), runs_of((0, 3), (3, 2))], "utterance 2: .*outside 0 to 2"),
        ([runs_of((-1, 3))], "outside 0 to 2"),
        ([runs_of((0, 3), (1, 0))], "empty"),
        ([[FrameSegment(0, 0, 5), FrameSegment(1, 4, 9)]], "overlaps"),
    ],
)
def test_bad_labels(sequences, message):
    with pytest.raises(CorpusError, match=message):
        learn(sequences)


@pytest.mark.parametrize(
    "setting",
    [{"smoothing": -1}, {"smoothing": math.nan}, {"too_short": 1.0}, {"longest_minimum": 0}],
)
def test_bad_settings(setting):
    with pytest.raises(ConfigError, match=next(iter(setting))):
        learn([runs_of((0, 3))], **setting)


@settings(max_examples=30)
@given(utterances(), st.sampled_from([0.0, 10.0]))
def test_survives_the_config(sequences, smoothing):
    model = learn(sequences, 6, smoothing=smoothing)
    text = json.dumps(model.to_dict(), allow_nan=False)
    again = PhoneModel.from_dict(json.loads(text))
    for name in model.to_dict():
        one, two = getattr(model, name), getattr(again, name)
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"log_stay": [-1.0, -1.0]}, "log_stay has shape"),
        ({"log_bigram": [[-1.0] * 3] * 2}, "log_bigram has shape"),
        ({"log_bigram": [[-1.0] * 3, [-1.0] * 2, [-1.0] * 3]}, "log_bigram is not an array"),
        ({"log_initial": "many"}, "log_initial is not an array"),
        ({"log_initial": [0.5, -1.0, -1.0]}, "log_initial has the value 0.5"),
        ({"log_final": [math.nan, -1.0, -1.0]}, "log_final has the value nan"),
        ({"log_final": [None, None, None]}, "log_final allows no phone"),
        ({"log_leave": [None, -1.0, -1.0]}, "log_leave has the value -inf"),
        ({"min_frames": [0, 1, 1]}, "min_frames has the value 0"),
        ({"min_frames": [1.5, 1, 1]}, "min_frames has the value 1.5"),
        ({"min_frames": [10**9, 1, 1]}, "min_frames has the value"),
        ({"log_prior": [None, -1.0, -1.0]}, "log_prior has the value -inf"),
        ({"colour": 1}, "unknown colour"),
    ],
)
def test_bad_models(change, message):
    values = PhoneModel.uniform(3).to_dict() | change
    with pytest.raises(ModelError, match=message):
        PhoneModel.from_dict(values)


def test_missing_key():
    values = PhoneModel.uniform(3).to_dict()
    del values["log_prior"]
    with pytest.raises(ModelError, match="log_prior"):
        PhoneModel.from_dict(values)


def test_uniform():
    model = PhoneModel.uniform(4, min_frames=3)
    assert model.num_phones == 4
    assert model.min_frames.tolist() == [3] * 4
    assert np.exp(model.log_bigram) == pytest.approx(np.full((4, 4), 0.25))
