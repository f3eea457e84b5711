"""Work on several cores; cached tensors; which tensors compiled code may use."""

from __future__ import annotations

import os
import threading
import warnings
import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.references.attention import brute_force, tensors
from torch._subclasses.fake_tensor import FakeTensorMode

from speechattn.attention.functional import truncated_attention
from speechattn.attention.kernels import runtime
from speechattn.attention.kernels.runtime import (
    WORTHWHILE,
    cached_tensors,
    is_plain_cpu_tensor,
    parallel_for,
)
from speechattn.attention.sparse_masks import ImageMask


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

    monkeypatch.setattr(runtime, "_pool", lambda *arguments: Ending())
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    done = []
    parallel_for(lambda *part: done.append(part), 9, 1 << 60)
    assert sorted(done) == [(0, 3), (3, 6), (6, 9)]


def counting():
    made = []

    @cached_tensors(2)
    def ramp(count: int) -> torch.Tensor:
        made.append(count)
        return torch.arange(float(count))

    return ramp, made


def test_the_last_ones_are_kept():
    ramp, made = counting()
    assert ramp(3) is ramp(3)
    assert made == [3]
    ramp(4), ramp(5)  # 3 is let go
    assert ramp(3).tolist() == [0, 1, 2]
    assert made == [3, 4, 5, 3]


def test_made_in_inference_they_serve_gradients():
    ramp, made = counting()
    with torch.inference_mode():
        ramp(3)
    x = torch.ones(3, requires_grad=True)
    (x * ramp(3)).sum().backward()  # keeps its factors for the way back
    assert x.grad.tolist() == [0, 1, 2]
    assert made == [3]


def test_nothing_is_kept_of_a_dry_run():
    ramp, made = counting()
    with FakeTensorMode():
        assert type(ramp(3)) is not torch.Tensor
    assert type(ramp(3)) is torch.Tensor
    with FakeTensorMode():
        assert type(ramp(3)) is not torch.Tensor
    assert made == [3, 3, 3]


def test_attention_after_a_dry_run():
    q, k, v = tensors(1, 90)
    grid = ImageMask(3, 4)
    with FakeTensorMode():
        fake = torch.empty(1, 90, 2, 4)
        assert truncated_attention(fake, fake, fake, 7, 7).shape == (1, 90, 2, 4)
        grid.blocks(12)
    expected = brute_force(q, k, v, 7, 7)
    found = truncated_attention(q, k, v, 7, 7).double()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert all(type(x) is torch.Tensor for block in grid.blocks(12) for x in block)


def test_without_private_functions_pytorch_computes_everything(monkeypatch):
    """In a version of PyTorch that does not tell who watches: the same numbers, on the plain way."""
    q, k, v = tensors(1, 90)
    expected = truncated_attention(q, k, v, 7, 7)
    assert is_plain_cpu_tensor(q)
    monkeypatch.setattr(runtime, "_dispatch_queries", lambda: None)
    assert not is_plain_cpu_tensor(q)
    torch.testing.assert_close(truncated_attention(q, k, v, 7, 7), expected, rtol=0, atol=1e-5)


def test_private_functions_that_are_gone_are_found_out(monkeypatch):
    assert runtime._dispatch_queries.__wrapped__() is not None
    monkeypatch.delattr(torch._C, "_len_torch_dispatch_stack")
    assert runtime._dispatch_queries.__wrapped__() is None
