"""A model in processes that fork, or in which Numba does not compile."""

from __future__ import annotations

import multiprocessing
from multiprocessing.queues import Queue

import numpy as np
import pytest
from support.recordings import needs_posix

from speechattn.errors import ConfigError
from speechattn.inference.host import check_numba
from speechattn.inference.recognizer import Recognizer, load_model


def transcribe(model: Recognizer, samples: np.ndarray, queue: Queue) -> None:
    queue.put(len(model.transcribe(samples, sample_rate=16_000).phones))


@needs_posix
def test_a_forked_child_transcribes(tiny_model_dir):
    model = load_model(tiny_model_dir, "cpu")
    samples = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    expected = len(model.transcribe(samples, sample_rate=16_000).phones)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=transcribe, args=(model, samples, queue), daemon=True)
    process.start()
    try:
        assert queue.get(timeout=120) == expected
    finally:
        process.kill()


def test_numba_must_compile(monkeypatch, tiny_model_dir):
    check_numba()
    monkeypatch.setattr("numba.config.DISABLE_JIT", 1)
    with pytest.raises(ConfigError, match="NUMBA_DISABLE_JIT"):
        load_model(tiny_model_dir, "cpu")
