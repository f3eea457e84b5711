"""The decoder against every segmentation of tiny inputs and a slow segmental Viterbi."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.references.decoder import (
    every_segmentation,
    follows,
    in_pieces,
    log_softmax,
    path_score,
    places,
    random_model,
    random_options,
    random_posteriors,
    run_score,
    scaled,
    segmental_viterbi,
    with_ngrams,
)

from speechattn.decoder import viterbi
from speechattn.decoder.decoder import Decoder, decode
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.decoder.options import DecoderOptions
from speechattn.errors import ConfigError

seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=60)
@given(seeds, st.integers(1, 5), st.integers(1, 3), st.integers(1, 7), st.sampled_from([0.0, 0.5]))
def test_best_of_every_segmentation(seed, num_frames, num_phones, longest, forbid):
    rng = np.random.default_rng(seed)
    model = random_model(rng, num_phones, longest_minimum=longest, forbid=forbid)
    options = random_options(rng)
    x = random_posteriors(rng, num_frames, num_phones)
    ranked = sorted(
        (
            (path_score(x, model, options, runs), places(runs))
            for runs in every_segmentation(num_frames, num_phones)
        ),
        reverse=True,
    )
    runs = decode(x, model, options)
    assert path_score(x, model, options, runs) == pytest.approx(ranked[0][0], abs=1e-6)
    if len(ranked) == 1 or ranked[0][0] - ranked[1][0] > 1e-6:
        assert places(runs) == ranked[0][1]


@settings(max_examples=60)
@given(seeds, st.integers(1, 5), st.integers(1, 3), st.integers(1, 3), st.integers(2, 4))
def test_best_of_every_segmentation_with_ngrams(seed, num_frames, num_phones, longest, order):
    rng = np.random.default_rng(seed)
    model = with_ngrams(rng, random_model(rng, num_phones, longest_minimum=longest), order)
    options = dataclasses.replace(random_options(rng), bigram_scale=float(rng.uniform(0, 5)))
    x = random_posteriors(rng, num_frames, num_phones, sharpness=1.0)
    every = [
        (path_score(x, model, options, runs), places(runs))
        for runs in every_segmentation(num_frames, num_phones)
    ]
    ranked = sorted(every, reverse=True)
    for beam in (None, 1e4):
        runs = decode(x, model, dataclasses.replace(options, beam=beam))
        # float32 tables
        assert path_score(x, model, options, runs) == pytest.approx(ranked[0][0], abs=1e-4)
        if len(ranked) == 1 or ranked[0][0] - ranked[1][0] > 1e-4:
            assert places(runs) == ranked[0][1]


@settings(max_examples=60)
@given(seeds, st.integers(1, 60), st.integers(1, 6), st.booleans(), st.sampled_from([0.0, 0.5]))
def test_a_beam_finds_a_reading_that_is_no_better(seed, num_frames, num_phones, ngrams, forbid):
    rng = np.random.default_rng(seed)
    model = random_model(rng, num_phones, longest_minimum=6, forbid=forbid)
    model = with_ngrams(rng, model) if ngrams else model
    options = random_options(rng)
    x = random_posteriors(rng, num_frames, num_phones, sharpness=2.0)
    best = path_score(x, model, options, decode(x, model, options))
    minimum = np.minimum(model.min_frames, num_frames)
    for beam in (1e-6, 0.5, 3.0, 10.0, 1e5):
        runs = decode(x, model, dataclasses.replace(options, beam=beam))
        edges = [0, *(run.end for run in runs)]
        assert [run.start for run in runs] == edges[:-1] and edges[-1] == num_frames
        assert all(run.end - run.start >= minimum[run.phone] for run in runs)
        score = path_score(x, model, options, runs)
        assert score <= best + 1e-4
        if beam == 1e5:
            assert score == pytest.approx(best, abs=1e-4)


def test_a_beam_is_narrower_where_there_are_many_tokens():
    few = viterbi.FEW_TOKENS
    assert [viterbi.beam_for(count, 16.0) for count in (1, few)] == [16.0, 16.0]
    assert viterbi.beam_for(2 * few, 16.0) == pytest.approx(16 - viterbi.NARROWING * math.log(2))
    assert viterbi.beam_for(100 * few, 16.0) == 8.0  # never below half
    assert viterbi.beam_for(100 * few, math.inf) == math.inf


def test_a_beam_gives_up_what_is_behind():
    rng = np.random.default_rng(5)
    model = with_ngrams(rng, random_model(rng, 6))
    x = random_posteriors(rng, 2000, 6, sharpness=2.0)
    held, found = [], []
    for beam in (1.0, 6.0, None):
        decoder = Decoder(model, DecoderOptions(beam=beam))
        runs = decoder.push(x)
        held.append(decoder._num_tokens)
        found.append(places(runs + decoder.finish()))
    assert held[0] < held[1] < held[2]
    assert found[0] != found[2]


def test_room_for_tokens_grows():
    rng = np.random.default_rng(6)
    model = with_ngrams(rng, random_model(rng, 12, longest_minimum=6), order=4, length=3000)
    assert model.ngrams.num_states > 1000
    x = random_posteriors(rng, 300, 12, sharpness=0.5)
    decoder = Decoder(model)
    runs = decoder.push(x)
    assert len(decoder._tokens.score) >= decoder._num_tokens > 1000
    runs += decoder.finish()
    assert (runs[0].start, runs[-1].end) == (0, 300)
    assert in_pieces(decoder, x, [1] * 300) == runs


@settings(max_examples=25)
@given(seeds, st.integers(1, 24), st.integers(1, 5), st.booleans(), st.sampled_from([0.0, 0.6]))
def test_score_of_segmental_viterbi(seed, num_frames, num_phones, ties, forbid):
    rng = np.random.default_rng(seed)
    model = random_model(rng, num_phones, longest_minimum=6, forbid=forbid)
    options = random_options(rng)
    x = random_posteriors(rng, num_frames, num_phones)
    if ties:
        x = -rng.integers(0, 3, x.shape).astype(np.float32)
    expected = segmental_viterbi(x, model, options)
    assert path_score(x, model, options, decode(x, model, options)) == pytest.approx(
        expected, abs=1e-6
    )


@settings(max_examples=60)
@given(seeds, st.integers(0, 80), st.integers(1, 6), st.floats(0.0, 6.0))
def test_runs_cover_all_frames_and_keep_minima(seed, num_frames, num_phones, sharpness):
    rng = np.random.default_rng(seed)
    model = random_model(rng, num_phones, longest_minimum=6)
    x = random_posteriors(rng, num_frames, num_phones, sharpness)
    runs = decode(x, model, random_options(rng))
    edges = [0] + [run.end for run in runs]
    assert [run.start for run in runs] == edges[:-1]
    assert edges[-1] == num_frames
    if num_frames >= model.min_frames.max():
        assert all(run.end - run.start >= model.min_frames[run.phone] for run in runs)
    for run in runs:
        mean = np.exp(x[run.start : run.end, run.phone].astype(np.float64)).mean()
        assert run.confidence == pytest.approx(mean, abs=1e-9)
        assert 0 <= run.confidence <= 1


@settings(max_examples=40)
@given(
    seeds,
    st.integers(0, 700),
    st.lists(st.integers(0, 300), max_size=8),
    st.booleans(),
    st.sampled_from([None, 4.0]),
)
def test_pieces_do_not_matter(seed, num_frames, sizes, ngrams, beam):
    rng = np.random.default_rng(seed)
    model = random_model(rng, 5, longest_minimum=6)
    model = with_ngrams(rng, model) if ngrams else model
    options = DecoderOptions(beam=beam)
    x = random_posteriors(rng, num_frames, 5, sharpness=1.0)
    whole = decode(x, model, options)
    decoder = Decoder(model, options)
    assert in_pieces(decoder, x, sizes) == whole
    assert in_pieces(decoder, x, [1] * num_frames) == whole  # the decoder serves again
    assert decoder.num_frames == 0


def test_frames_of_any_memory_layout():
    rng = np.random.default_rng(0)
    model = random_model(rng, 4)
    x = random_posteriors(rng, 50, 4)
    expected = decode(x, model)
    read_only = x.copy()
    read_only.flags.writeable = False
    for same in (
        np.asfortranarray(x),
        x.astype(np.float64),
        np.repeat(x, 2, axis=0)[::2],
        read_only,
    ):
        assert decode(same, model) == expected


def test_runs_are_final_soon_after_their_end():
    rng = np.random.default_rng(1)
    labels = np.repeat(rng.integers(0, 5, 200), 7)
    x = log_softmax(8.0 * np.eye(5)[labels] + 0.1 * rng.standard_normal((len(labels), 5)))
    decoder = Decoder(PhoneModel.uniform(5, min_frames=3))
    for t in range(len(x)):
        for run in decoder.push(x[t : t + 1]):
            assert t - run.end <= 6
    assert decoder.num_pending <= 12


@pytest.mark.parametrize("kind", ["silence", "flat", "in two minds", "noise"])
def test_memory_is_constant(kind):
    num_frames, num_phones = 200_000, 12
    rng = np.random.default_rng(2)
    logits = np.zeros((num_frames, num_phones), np.float32)
    if kind == "silence":
        logits[:, 0] = 9.0
    elif kind == "in two minds":
        logits[:, :2] = 9.0
    elif kind == "noise":
        logits = rng.standard_normal(logits.shape, dtype=np.float32)
    x = log_softmax(logits)
    decoder = Decoder(random_model(rng, num_phones))
    most, runs = 0, []
    for start in range(0, num_frames, 1000):
        runs += decoder.push(x[start : start + 1000])
        most = max(most, decoder.num_pending)
    runs += decoder.finish()
    assert most < 300
    assert len(decoder._history.nodes) == 4096
    assert runs[-1].end == num_frames


def test_memory_is_constant_with_ngrams_and_a_beam():
    rng = np.random.default_rng(2)
    model = with_ngrams(rng, random_model(rng, 12), length=300)
    x = random_posteriors(rng, 50_000, 12, sharpness=1.0)
    decoder = Decoder(model, DecoderOptions(beam=8.0))
    runs = []
    for start in range(0, len(x), 1000):
        runs += decoder.push(x[start : start + 1000])
        assert decoder.num_pending < 2000
    runs += decoder.finish()
    assert len(decoder._history.nodes) == 4096 and len(decoder._tokens.score) <= 4096
    assert runs[-1].end == len(x)


def test_history_grows_where_hypotheses_never_meet():
    # Two halves of the phones that exclude each other, and frames that favour neither: nothing is
    # final before the end, and the history outgrows the room it has at first.
    model = PhoneModel.uniform(4)
    bigram = np.full((4, 4), -np.inf)
    bigram[0, 1] = bigram[1, 0] = bigram[2, 3] = bigram[3, 2] = -0.01
    fields = {**model.to_dict(), "log_bigram": bigram}
    labels = np.arange(30_000) // 3 % 2
    logits = 5.0 * np.eye(2)[labels][:, [0, 1, 0, 1]]
    logits[-1, :2] += 3
    decoder = Decoder(PhoneModel(**fields))
    assert decoder.push(log_softmax(logits)) == []
    assert len(decoder._history.nodes) > 4096
    runs = decoder.finish()
    assert [run.phone for run in runs] == [0, 1] * 5000
    assert all(run.end - run.start == 3 for run in runs)


def test_no_drift_over_an_hour():
    rng = np.random.default_rng(3)
    block = random_posteriors(rng, 500, 6)
    model = random_model(rng, 6)
    runs = places(decode(np.tile(block, (720, 1)), model))  # 360,000 frames
    by_block = [[] for _ in range(720)]
    for phone, start, end in runs:
        by_block[start // 500].append((phone, start % 500, end - start))
    assert len(by_block[1]) > 50
    assert all(same == by_block[1] for same in by_block[2:-1])


def test_scores_stay_small():
    # Every frame costs more than a nat: without rebasing this would be beyond 50,000.
    decoder = Decoder(PhoneModel.uniform(3))
    decoder.push(np.full((50_000, 3), -math.log(3)))
    scores = decoder._tokens.score[: decoder._num_tokens]
    assert len(scores) >= 3
    assert np.abs(scores).max() < 1000


def test_one_frame_gets_its_best_phone():
    logits = np.array([[0.0, 3.0, 1.0]])
    for minima in ([1, 6, 1], [6, 6, 6]):
        model = PhoneModel(**{**PhoneModel.uniform(3).to_dict(), "min_frames": minima})
        (run,) = decode(log_softmax(logits), model)
        assert (run.phone, run.start, run.end) == (1, 0, 1)
        assert run.confidence == pytest.approx(np.exp(log_softmax(logits))[0, 1], abs=1e-6)


def test_no_frames_no_runs():
    decoder = Decoder(PhoneModel.uniform(3))
    assert decoder.finish() == []
    assert decode(np.empty((0, 3), np.float32), PhoneModel.uniform(3)) == []


def test_a_phone_may_follow_itself():
    model = PhoneModel.uniform(2)
    runs = decode(np.log(np.full((4, 2), 0.5)), model, DecoderOptions(insertion_penalty=-50))
    assert [(run.start, run.end) for run in runs] == [(0, 1), (1, 2), (2, 3), (3, 4)]


def test_impossible_frames_are_survived():
    x = np.full((30, 3), -np.inf, np.float32)
    x[:10, 0] = x[20:, 2] = 0.0
    runs = decode(x, PhoneModel.uniform(3, min_frames=2))
    assert (runs[0].phone, runs[-1].phone, runs[-1].end) == (0, 2, 30)
    assert all(0 <= run.confidence <= 1 for run in runs)
    assert decode(np.full((30, 3), -np.inf), PhoneModel.uniform(3))[-1].end == 30


def test_final_phones_that_cannot_be_reached_do_not_count():
    forbidden = [None, None, -0.1]
    stuck = [[-0.1, None, None], [None, -0.1, None], [-1.0, -1.0, -1.0]]
    values = PhoneModel.uniform(3).to_dict()
    values |= {"log_final": forbidden, "log_initial": [-1, -1, None], "log_bigram": stuck}
    logits = np.tile([0.0, 2.0, 9.0], (20, 1))
    runs = decode(log_softmax(logits), PhoneModel.from_dict(values))
    assert {run.phone for run in runs} == {1}
    assert runs[-1].end == 20


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros(3), "shape"),
        (np.zeros((5, 4)), "shape"),
        (np.full((5, 3), 0.3), "above 0"),
        (np.array([[-1.0, -1.0, np.inf]]), "above 0"),
        (np.array([[-1.0, -1.0, -1.0], [-1.0, np.nan, -1.0]]), "frame 8 contain NaN"),
    ],
)
def test_bad_frames_are_refused_and_leave_no_trace(x, message):
    rng = np.random.default_rng(4)
    good = random_posteriors(rng, 20, 3)
    decoder = Decoder(PhoneModel.uniform(3, min_frames=3))
    runs = decoder.push(good[:7])
    with pytest.raises(ValueError, match=message):
        decoder.push(x)
    runs += decoder.push(good[7:]) + decoder.finish()
    assert runs == decode(good, PhoneModel.uniform(3, min_frames=3))


@pytest.mark.parametrize(
    "values",
    [
        {"prior_scale": 1.5},
        {"bigram_scale": -1},
        {"duration_scale": math.inf},
        {"insertion_penalty": math.nan},
        {"prior_scale": "0.3"},
        {"bigram_scale": True},
        {"beam": 0},
        {"beam": -1.0},
        {"beam": math.inf},
        {"beam": True},
        {"width": 10},
    ],
)
def test_impossible_options(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        DecoderOptions.from_dict(values)


def test_options_survive_the_config():
    options = DecoderOptions(prior_scale=0.5, insertion_penalty=-1.25)
    assert DecoderOptions.from_dict(options.to_dict()) == options
    assert DecoderOptions.from_dict({}) == DecoderOptions()
    assert "beam" not in options.to_dict()
    beam = DecoderOptions(beam=12.5)
    assert DecoderOptions.from_dict(beam.to_dict()) == beam


def test_without_a_cache_folder(monkeypatch):
    from speechattn import jit

    njit, calls = jit.numba.njit, []

    def no_folder(*signature, **options):
        calls.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*signature, **options)

    monkeypatch.setattr(jit.numba, "njit", no_folder)
    add = jit.jit("float64", "float64")(lambda x: x + 1)
    assert add(1.0) == 2.0
    assert [bool(options.get("cache")) for options in calls[:2]] == [True, False]


def open_score(log_posteriors, model, options, runs):
    """Score of a reading whose last segment goes on: nothing for its end, and no minimum yet."""
    *before, last = runs
    minimum = model.min_frames
    total = scaled(model.log_initial[runs[0].phone], options.bigram_scale)
    phones = [run.phone for run in runs]
    for i in range(1, len(runs)):
        total += scaled(follows(model, phones[: i + 1]), options.bigram_scale)
        total -= options.insertion_penalty
    for run in before:
        total += run_score(log_posteriors, model, options, minimum, run.phone, run.start, run.end)
    emission = log_posteriors[last.start : last.end, last.phone].astype(np.float64)
    total += (emission - options.prior_scale * model.log_prior[last.phone]).sum()
    more = max(0, last.end - last.start - minimum[last.phone])
    return total + options.duration_scale * more * model.log_stay[last.phone]


@settings(max_examples=60)
@given(
    seeds,
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.5]),
    st.booleans(),
)
def test_the_partial_result_is_the_best_open_segmentation(
    seed, num_frames, num_phones, longest, forbid, ngrams
):
    rng = np.random.default_rng(seed)
    model = random_model(rng, num_phones, longest_minimum=longest, forbid=forbid)
    model = with_ngrams(rng, model) if ngrams else model
    options = random_options(rng)
    x = random_posteriors(rng, num_frames, num_phones)
    decoder = Decoder(model, options)
    assert decoder.partial() == []
    runs = decoder.push(x)
    found = runs + decoder.partial()
    if num_frames < model.min_frames.max():
        assert found == []
        return
    best = max(
        open_score(x, model, options, reading)
        for reading in every_segmentation(num_frames, num_phones)
    )
    # float32 tables of n-grams
    assert open_score(x, model, options, found) == pytest.approx(best, abs=1e-5 if ngrams else 1e-9)
    assert (found[0].start, found[-1].end) == (0, num_frames)
    end = x[found[-1].start :, found[-1].phone].astype(np.float64)
    assert found[-1].confidence == pytest.approx(np.exp(end).mean(), abs=1e-6)
    again = decoder.partial()
    assert runs + again == found  # looking changes nothing
    assert places(runs + decoder.finish()) == places(decode(x, model, options))
    assert decoder.partial() == []


def test_decoders_of_one_model_do_not_disturb_each_other():
    # What is set up for all states is handed on from a decoder that has come to an end.
    rng = np.random.default_rng(5)
    model = with_ngrams(rng, random_model(rng, 6), length=300)
    recordings = [random_posteriors(rng, n, 6, sharpness=1.0) for n in (60, 90, 2, 70)]
    options = DecoderOptions(beam=8.0)
    alone = [decode(x, PhoneModel(**vars(model)), options) for x in recordings]
    assert [decode(x, model, options) for x in recordings] == alone
    first, second, left = Decoder(model, options), Decoder(model, options), Decoder(model, options)
    runs = [], []
    for i in range(0, 60, 10):
        left.push(recordings[3][i : i + 10])  # and never finished
        runs[0].extend(first.push(recordings[0][i : i + 10]))
        runs[1].extend(second.push(recordings[1][i : i + 10]))
    runs[0].extend(first.finish())
    assert runs[0] == alone[0]
    assert first.push(recordings[3]) + first.finish() == alone[3]
    assert runs[1] + second.push(recordings[1][60:]) + second.finish() == alone[1]
    bigram = PhoneModel(**{**vars(model), "ngrams": None})
    assert decode(recordings[0], bigram, options) == decode(recordings[0], bigram, options)
