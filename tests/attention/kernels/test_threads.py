"""Work on several cores."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import threading
import warnings
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechattn.attention.kernels import threads
from speechattn.attention.kernels.matmul import ArrayPanels
from speechattn.attention.kernels.norms import Norm
from speechattn.attention.kernels.threads import WORTHWHILE, Fixed, address, parallel_for


@given(cores=st.integers(1, 9), count=st.integers(0, 40))
def test_every_part_once(cores, count):
    done, lock = [], threading.Lock()

    def run(begin, end):
        with lock:
            done.extend(range(begin, end))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: cores)
        parallel_for(run, count, 1 << 60)
    assert sorted(done) == list(range(count))


def test_little_work_is_not_shared(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    parts = []
    parallel_for(lambda *part: parts.append(part), 100, WORTHWHILE - 1)
    assert parts == [(0, 100)]
    parallel_for(lambda *part: parts.append(part), 100, WORTHWHILE)
    assert sorted(parts[1:]) == [(0, 50), (50, 100)]


def test_what_one_core_cannot_do_is_told(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    done = []

    def run(begin, end):
        if begin:
            raise MemoryError("no room")
        done.append((begin, end))

    with pytest.raises(MemoryError, match="no room"):
        parallel_for(run, 10, 1 << 40)
    assert done == [(0, 5)]


def test_a_forked_process_has_threads_of_its_own(monkeypatch):
    if not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    done = []
    parallel_for(
        lambda *part: done.append(part), 2, 1 << 60
    )  # the threads of this process exist now
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks where there are threads
        child = os.fork()
    if child == 0:
        try:
            parallel_for(lambda *part: done.append(part), 2, 1 << 60)
            os._exit(0 if len(done) == 4 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_is_held_lives_as_long_as_any_part(monkeypatch):
    class Held:
        pass

    held, begun, ended = Held(), threading.Event(), threading.Event()
    watched = weakref.ref(held)
    alive = []

    def run(begin, end):
        if begin == 0:
            begun.wait(10)
            raise KeyboardInterrupt
        begun.set()
        ended.wait(10)
        alive.append(watched() is not None)

    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.raises(KeyboardInterrupt):
        parallel_for(run, 2, 1 << 60, held)
    del held
    ended.set()
    parallel_for(lambda *part: None, 2, 1 << 60)  # behind it
    assert alive == [True]


def test_at_the_end_of_python_one_core_does_it_all(monkeypatch):
    class Ending:
        def submit(self, *arguments):
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    monkeypatch.setattr(threads, "_pool", lambda *arguments: Ending())
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    done = []
    parallel_for(lambda *part: done.append(part), 9, 1 << 60)
    assert sorted(done) == [(0, 3), (3, 6), (6, 9)]


@pytest.mark.parametrize(
    "values",
    [
        np.arange(12.0).reshape(3, 4),
        np.arange(12.0).reshape(3, 4)[:, 1:3],
        np.empty((0, 4), np.float32),
        np.frombuffer(bytes(range(16)), np.uint8),
    ],
    ids=["plain", "part", "empty", "read-only"],
)
def test_addresses_are_where_arrays_begin(values):
    assert address(values) == values.__array_interface__["data"][0]


@pytest.mark.parametrize("again", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_of_a_fixed_array_has_an_address_of_its_own(again):
    fixed = Fixed(np.arange(5.0))
    other = again(fixed)
    assert other.address == address(other.array) != fixed.address
    np.testing.assert_array_equal(other.array, fixed.array)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_layers_outlive_what_they_were_copied_from(again):
    random = np.random.default_rng(0)
    weight = random.standard_normal((40, 64)).astype(np.float32)
    x = random.standard_normal((7, 64)).astype(np.float32)
    layers = [ArrayPanels(weight, None), Norm(*random.standard_normal((2, 64)).astype(np.float32))]
    expected = [layers[0].product(x), layers[1].rows(x)]
    copies = again(layers)
    del layers
    gc.collect()
    found = [copies[0].product(x), copies[1].rows(x)]
    for one, two in zip(found, expected):
        np.testing.assert_array_equal(one, two)
