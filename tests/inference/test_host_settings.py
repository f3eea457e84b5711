"""Whatever a program has set PyTorch to, a model gives the same results and leaves the settings."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch

from speechattn.inference.recognizer import load_model

RATE = 16_000


@contextlib.contextmanager
def default(get, put, value):
    before = get()
    put(value)
    try:
        yield
        assert get() == value
    finally:
        put(before)


def of_dtype(dtype):
    return default(torch.get_default_dtype, torch.set_default_dtype, dtype)


SETTINGS = {
    "float64": lambda: of_dtype(torch.float64),
    "bfloat16": lambda: of_dtype(torch.bfloat16),
    "meta": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "products": lambda: default(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"
    ),
    "deterministic": lambda: default(
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True
    ),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "numpy errors": lambda: np.errstate(all="raise"),
}


@pytest.fixture(scope="module")
def sound():
    return (0.1 * np.random.default_rng(0).standard_normal(12_000)).astype(np.float32)


@pytest.fixture(scope="module")
def loaded(tiny_model_dir):
    return load_model(tiny_model_dir, "cpu")


def results(model, sound):
    whole = model.transcribe(sound, sample_rate=RATE)
    stream = model.stream(sample_rate=RATE)
    parts = [stream.push(sound[:5000]), stream.push(sound[5000:]), stream.finish()]
    return whole.phones, whole.posteriors, np.concatenate([part.posteriors for part in parts])


@pytest.mark.parametrize("name", SETTINGS)
def test_results_do_not_depend_on_the_settings(name, tiny_model_dir, loaded, sound):
    expected = results(loaded, sound)
    with SETTINGS[name]():
        found = [results(loaded, sound), results(load_model(tiny_model_dir, "cpu"), sound)]
    for phones, posteriors, streamed in found:
        assert phones == expected[0]
        np.testing.assert_array_equal(posteriors, expected[1])
        np.testing.assert_array_equal(streamed, expected[2])
