"""Stages of the work on one recording, side by side."""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path

import pytest
import torch

from speechattn.inference.pipeline import ahead


def count(numbers, seen):
    try:
        for number in numbers:
            seen.append(number)
            yield number
    finally:
        seen.append("closed")


def test_items_come_in_order_from_another_thread():
    def items():
        for number in range(50):
            yield number, threading.current_thread()

    numbers, threads = zip(*ahead(items()))
    assert numbers == tuple(range(50))
    assert set(threads) != {threading.current_thread()} and len(set(threads)) == 1


def test_stages_may_follow_each_other():
    doubled = (2 * number for number in ahead(count(range(20), [])))
    assert list(ahead(doubled, room=1)) == list(range(0, 40, 2))


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise ValueError("the third")

    found = ahead(items())
    assert [next(found), next(found)] == [1, 2]
    with pytest.raises(ValueError, match="the third"):
        next(found)


def test_a_stage_is_ahead_by_its_room_only():
    seen: list = []
    found = ahead(count(range(100), seen), room=3)
    assert next(found) == 0
    found.close()
    assert seen[-1] == "closed" and len(seen) <= 3 + 1 + 1


def test_closing_ends_all_threads_and_generators():
    seen: list = []
    before = threading.active_count()
    found = ahead(item for item in ahead(count(range(100), seen)))
    next(found)
    found.close()
    assert threading.active_count() == before and seen[-1] == "closed"


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="asks for libgomp in /proc")
def test_a_stage_computes_on_as_many_cores_as_its_caller():
    before = torch.get_num_threads()
    maps = Path("/proc/self/maps").read_text().splitlines()
    own = str(
        Path(torch.__file__).resolve().parent
    )  # other packages of the process may bring one too
    loaded = [
        path for path in (line.split()[-1] for line in maps) if "libgomp" in path and own in path
    ]
    if not loaded:
        pytest.skip("this PyTorch has no libgomp")
    openmp = ctypes.CDLL(loaded[0])
    try:
        for cores in (1, 2):
            torch.set_num_threads(cores)
            assert list(ahead(openmp.omp_get_max_threads() for _ in range(3))) == [cores] * 3
    finally:
        torch.set_num_threads(before)
