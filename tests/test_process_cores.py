"""How many cores may be used: those of the process, and no more than the container's share."""

from __future__ import annotations

import os

import pytest

from speechattn import process


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        (None, 6),
        ("max 100000", 6),
        ("250000 100000", 3),
        ("50000 100000", 1),
        ("900000 100000", 6),
        ("", 6),
        ("100 0", 6),
    ],
)
def test_usable_cores(monkeypatch, tmp_path, quota, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(process, "QUOTA", tmp_path / "cpu.max")
    if quota is not None:
        (tmp_path / "cpu.max").write_text(quota)
    assert process.num_usable_cores() == expected


def test_where_there_is_no_affinity(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    monkeypatch.setattr(process, "QUOTA", tmp_path / "gone")
    assert process.num_usable_cores() == 1


def test_cuda_is_looked_for_where_it_may_be(monkeypatch):
    monkeypatch.setattr(os.path, "exists", lambda path: path == "/dev/nvidiactl")
    assert process.may_have_cuda()
    monkeypatch.setattr(os.path, "exists", lambda path: False)
    assert process.may_have_cuda() == (os.name == "nt")
