"""Cores and memory, within the limits of containers: control groups of both versions."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

from speechattn import machine
from speechattn.machine import available_memory, num_usable_cores

GIB = 1 << 30


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    """A machine of six cores, of which 8 GiB are free, without any control group."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    (tmp_path / "meminfo").write_text(
        f"MemTotal: 99 kB\nMemAvailable: {8 * GIB // 1024} kB\nX: 0\n"
    )
    monkeypatch.setattr(machine, "GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(machine, "MEMORY", tmp_path / "meminfo")
    return tmp_path


def group(tree: Path, path: str, **files: object) -> None:
    (tree / "cgroup" / path).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (tree / "cgroup" / path / name.replace("__", ".")).write_text(f"{text}\n")


def test_without_groups(tree):
    assert (num_usable_cores(), available_memory()) == (6, 8 * GIB)


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", 6),
        ("250000 100000", 3),
        ("50000 100000", 1),
        ("900000 100000", 6),
        ("", 6),
        ("100 0", 6),
    ],
)
def test_cores_of_a_container(tree, quota, expected):
    (tree / "own").write_text("0::/\n")
    group(tree, "", cpu__max=quota)
    assert num_usable_cores() == expected


def test_the_least_limit_of_the_groups_above_holds(tree):
    (tree / "own").write_text("0::/job.slice/step\n")
    group(tree, "job.slice/step", cpu__max="max 100000", memory__max="max", memory__current=GIB)
    group(tree, "job.slice", cpu__max="200000 100000", memory__max=4 * GIB)
    group(tree, "job.slice", memory__current=3 * GIB, memory__stat=f"file 7\ninactive_file {GIB}")
    assert (num_usable_cores(), available_memory()) == (2, 2 * GIB)


def test_groups_of_version_1(tree):
    (tree / "own").write_text(
        "4:memory:/a/b\n3:cpu,cpuacct:/a\n2:pids:/x\n1:name=systemd:/\n0::/\n"
    )
    group(tree, "cpu,cpuacct/a", cpu__cfs_quota_us=150_000, cpu__cfs_period_us=100_000)
    group(tree, "cpu,cpuacct", cpu__cfs_quota_us=-1, cpu__cfs_period_us=100_000)
    group(tree, "memory/a/b", memory__limit_in_bytes=GIB, memory__usage_in_bytes=3 * GIB // 4)
    group(tree, "memory", memory__limit_in_bytes=1 << 62, memory__usage_in_bytes=0)
    assert (num_usable_cores(), available_memory()) == (2, GIB // 4)


def test_a_container_sees_its_groups_at_the_top(tree):
    (tree / "own").write_text("4:memory:/docker/0123\n3:cpu:/../elsewhere\n")
    group(tree, "memory", memory__limit_in_bytes=GIB, memory__usage_in_bytes=0)
    group(tree, "cpu", cpu__cfs_quota_us=100_000, cpu__cfs_period_us=100_000)
    assert (num_usable_cores(), available_memory()) == (1, GIB)


def test_more_than_the_limit_leaves_nothing(tree):
    (tree / "own").write_text("0::/\n")
    group(tree, "", memory__max=GIB, memory__current=2 * GIB)
    assert available_memory() == 0


def test_other_systems(tree, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    (tree / "meminfo").unlink()
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1000}.__getitem__)
    assert (num_usable_cores(), available_memory()) == (1, 4_096_000)
    monkeypatch.delattr(os, "sysconf")
    assert available_memory() is None


def test_this_machine():
    assert 1 <= num_usable_cores() <= (os.cpu_count() or 1)
    memory = available_memory()
    assert memory is None or memory > 0


@pytest.fixture
def without_torch(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(machine, "_chosen", None)


@pytest.mark.parametrize(
    ("given", "expected"),
    [("3", 3), ("", 7), ("0", 7), ("many", 7), ("-2", 7), ("4,2", 4), (None, 7)],
)
def test_without_torch_the_environment_says_how_many(without_torch, monkeypatch, given, expected):
    monkeypatch.setattr(machine, "num_usable_cores", lambda: 7)
    machine._default_threads.cache_clear()
    if given is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert machine.num_threads() == expected
    machine.set_num_threads(5)
    assert machine.num_threads() == 5


def test_torch_gets_the_number_when_it_comes_and_keeps_its_own(monkeypatch):
    before = torch.get_num_threads()
    try:
        with monkeypatch.context() as away:
            away.delitem(sys.modules, "torch")
            away.setattr(machine, "_chosen", None)
            machine.set_num_threads(3)
            chosen = machine._chosen
        monkeypatch.setattr(machine, "_chosen", chosen)
        assert machine.num_threads() == torch.get_num_threads() == 3
        torch.set_num_threads(2)
        machine.hand_on_threads()
        assert machine.num_threads() == 2
        machine.set_num_threads(1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
