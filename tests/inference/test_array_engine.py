"""Posteriors on arrays: which models get them, and that they are those of PyTorch."""

from __future__ import annotations

import difflib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.array_models import CONFIG, array_checkpoint, chords, save_array_model
from support.recordings import RATE

import speechattn
from speechattn.attention.kernels import byte_layers, byte_matrix
from speechattn.encoder import array_weights
from speechattn.encoder.int8_matrix import fast_int8
from speechattn.inference import array_engine
from speechattn.inference.array_engine import ArrayEngine, log_softmax
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.engine import make_engine
from speechattn.inference.recognizer import Recognizer
from speechattn.inference.stored import StoredCheckpoint
from speechattn.inference.tensor_engine import TensorEngine
from speechattn.machine import num_threads, set_num_threads
from speechattn.transcription.model_spec import ModelSpec

pytestmark = pytest.mark.skipif(
    not byte_matrix.OFFERED, reason="PyTorch computes on this processor"
)
needs_int8 = pytest.mark.skipif(not fast_int8(), reason="PyTorch has no such products here")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_array_model(tmp_path_factory.mktemp("models") / "arrays")


@pytest.fixture(scope="module")
def model(folder) -> Recognizer:
    return speechattn.load_model(folder, "cpu", precision="int8")


@pytest.fixture(scope="module")
def exact(folder) -> Recognizer:
    return speechattn.load_model(folder, "cpu", precision="fp32")


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    return chords()


def by_pytorch(folder, window=None) -> Recognizer:
    """The same in 8 bits by PyTorch."""
    checkpoint = Checkpoint.load(folder)
    if window is not None:
        checkpoint.set_window(window)
    return Recognizer(checkpoint, "cpu", "int8")


def numbers(*shape, seed=0):
    return 8 + 3 * np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("precision", ["int8", "auto"])
def test_eight_bits_are_computed_on_arrays(folder, precision):
    model = speechattn.load_model(folder, "cpu", precision=precision)
    assert isinstance(model.engine, ArrayEngine)
    assert (model.device, model.precision) == ("cpu", "int8")
    assert isinstance(model.checkpoint, StoredCheckpoint)
    assert model.engine.checkpoint() is model.checkpoint


def test_anything_else_is_computed_by_pytorch(folder, exact):
    assert isinstance(exact.engine, TensorEngine) and exact.precision == "fp32"
    assert isinstance(speechattn.load_model(folder, "cpu").engine, TensorEngine)


@needs_int8
def test_a_model_that_is_in_no_folder_is_computed_by_pytorch():
    engine = make_engine(array_checkpoint(), "cpu", "int8")
    assert isinstance(engine, TensorEngine) and engine.precision == "int8"


@needs_int8
@pytest.mark.parametrize(
    "missing",
    [
        lambda patch: patch.setattr(byte_layers, "works", lambda: False),
        lambda patch: patch.setattr(array_weights, "ready_arrays", lambda *_: None),
    ],
    ids=["inexact", "damaged"],
)
def test_pytorch_takes_over(folder, monkeypatch, missing, sound, model):
    missing(monkeypatch)
    found = speechattn.load_model(folder, "cpu", precision="int8", lm_scale=0.0)
    assert isinstance(found.engine, TensorEngine) and found.precision == "int8"
    assert found.checkpoint.decoding.bigram_scale == 0
    wanted = model.transcribe(sound, sample_rate=RATE).posteriors
    probabilities = found.transcribe(sound, sample_rate=RATE).posteriors
    assert np.abs(probabilities - wanted).mean() < 0.01
    found.free_loaded_weights()
    again = found.transcribe(sound, sample_rate=RATE).posteriors
    np.testing.assert_array_equal(again, probabilities)


@needs_int8
def test_phones_and_posteriors_are_those_of_pytorch(folder, model, sound):
    found, wanted = (
        each.transcribe(sound, sample_rate=RATE) for each in (model, by_pytorch(folder))
    )
    assert found.posteriors.shape == wanted.posteriors.shape == (300, len(model.phones))
    assert found.posteriors.dtype == np.float32
    np.testing.assert_allclose(found.posteriors.sum(1), 1, atol=1e-5)
    apart = np.abs(found.posteriors - wanted.posteriors)
    assert apart.mean() < 2e-3 and apart.max() < 0.1
    labels = [[segment.label for segment in each.phones] for each in (found, wanted)]
    assert len(labels[1]) > 30 and len(set(labels[1])) > 5
    assert difflib.SequenceMatcher(None, *labels).ratio() > 0.95


def test_phones_and_posteriors_are_near_those_in_float32(model, exact, sound):
    found, wanted = (each.transcribe(sound, sample_rate=RATE) for each in (model, exact))
    assert np.abs(found.posteriors - wanted.posteriors).mean() < 0.01
    assert (found.posteriors.argmax(1) == wanted.posteriors.argmax(1)).mean() > 0.8


@pytest.mark.parametrize("size", [1, 160, 777, 5000])
def test_a_stream_gives_the_bits_of_the_whole(model, sound, size):
    if size == 1:
        sound, size = sound[:400], 1
    stream, found = model.stream(), []
    for begin in range(0, len(sound), size):
        found.append(stream.push(sound[begin : begin + size]).posteriors)
    found.append(stream.finish().posteriors)
    whole = model.transcribe(sound, sample_rate=RATE).posteriors
    np.testing.assert_array_equal(np.concatenate(found), whole)


@settings(max_examples=25)
@given(counts=st.lists(st.integers(0, 50), max_size=5))
def test_recordings_together_give_each_alone(model, counts):
    recordings = [numbers(count, 20, seed=count) for count in counts]
    together = model.encode(recordings)
    for frames, one in zip(recordings, together, strict=True):
        assert one.shape == (len(frames), len(model.phones)) and one.dtype == np.float32
        np.testing.assert_array_equal(one, model.encode([frames])[0])


def test_frames_may_be_tensors(model):
    frames = numbers(30, 20)
    found = model.encode([torch.from_numpy(frames)])[0]
    np.testing.assert_array_equal(found, model.encode([frames])[0])


def test_a_model_on_arrays_says_what_one_of_pytorch_says(model, exact):
    assert model.describe() == exact.describe()
    assert model.look_ahead_ms == exact.look_ahead_ms
    assert model.phones == exact.phones


def test_it_works_after_weights_are_freed(folder, sound, model):
    freed = speechattn.load_model(folder, "cpu", precision="int8")
    freed.free_loaded_weights()
    found = freed.transcribe(sound, sample_rate=RATE)
    wanted = model.transcribe(sound, sample_rate=RATE)
    np.testing.assert_array_equal(found.posteriors, wanted.posteriors)
    assert found.phones == wanted.phones


@needs_int8
@pytest.mark.parametrize("window", [(0, 0), (12, 12), (2, 6)])
def test_another_window(folder, model, sound, window):
    found, exact = (
        speechattn.load_model(folder, "cpu", precision=precision, window=window)
        for precision in ("int8", "fp32")
    )
    assert isinstance(found.engine, ArrayEngine)
    assert found.look_ahead_ms == exact.look_ahead_ms
    assert found.describe() == exact.describe()
    probabilities, wanted, own = (
        each.transcribe(sound, sample_rate=RATE).posteriors
        for each in (found, by_pytorch(folder, window), model)
    )
    apart = np.abs(probabilities - wanted).mean()
    assert apart < 2e-3 and np.abs(probabilities - own).mean() > 2 * apart


def test_weights_of_the_language_are_chosen_alike(folder):
    for options in ({"lm_scale": 0.5}, {"reading": "none"}):
        found, wanted = (
            speechattn.load_model(folder, "cpu", precision=precision, **options)
            for precision in ("int8", "fp32")
        )
        assert found.checkpoint.decoding == wanted.checkpoint.decoding


def test_logarithms_of_posteriors():
    scores = np.array([[0, 0], [1000, 0], [-1000, -1000], [3, 1]], np.float32)
    wanted = torch.log_softmax(torch.from_numpy(scores), -1).numpy()
    before = scores.copy()
    np.testing.assert_allclose(log_softmax(scores), wanted, rtol=1e-6)
    np.testing.assert_array_equal(scores, before)
    assert log_softmax(scores[:0]).shape == (0, 2)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused_as_by_pytorch(model, exact, wrong):
    frames = numbers(30, 20)
    frames[7, 3] = wrong
    said = []
    for recognizer in (model, exact):
        with pytest.raises(ValueError, match="of frame 7") as caught:
            recognizer.encode([frames])
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_only_a_stored_model_has_an_engine_of_arrays(folder):
    kinds = [
        type(make_engine(each, "cpu", "auto"))
        for each in (StoredCheckpoint.open(folder), Checkpoint.load(folder))
    ]
    assert kinds == [ArrayEngine, TensorEngine]
    assert StoredCheckpoint.open(folder).attention == CONFIG


@pytest.mark.parametrize("limit, cores", [(0, 3), (10**9, 1)])
def test_a_large_encoder_takes_the_cores_that_are_free(folder, monkeypatch, limit, cores):
    monkeypatch.setattr(array_engine, "SEARCH_WEIGHTS", limit)
    before = num_threads()
    try:
        set_num_threads(1)
        ModelSpec(str(folder), "cpu", precision="int8", cores=3).load()
        assert num_threads() == cores
        # What may change results is left as it is.
        ModelSpec(str(folder), "cpu", precision="fp32", cores=3).load()
        assert num_threads() == 1
    finally:
        set_num_threads(before)
