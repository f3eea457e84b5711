"""Compiling ahead: what is compiled, when, and how often."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from speechattn import cache
from speechattn.inference import warmup


@pytest.mark.parametrize(
    "module, name, number", [*warmup._of_layers(), *warmup.KERNELS, *warmup.DECODER]
)
def test_the_functions_exist(module, name, number):
    function = getattr(importlib.import_module(module), name)
    assert 0 <= number < len(function._signatures)


def test_helpers_do_not_import_pytorch():
    functions = (*warmup.DECODER, *warmup.KERNELS, *warmup._of_layers())
    modules = ", ".join(sorted({module for module, _, _ in functions}))
    script = f"import sys, {modules}; assert 'numba' in sys.modules and 'torch' not in sys.modules"
    found = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert found.returncode == 0, found.stderr.decode()


@pytest.fixture
def steps(monkeypatch):
    """What would be done, in a process of our own with four cores."""
    seen: list = []
    monkeypatch.setattr(warmup, "is_own_process", lambda: True)
    monkeypatch.setattr(warmup, "num_usable_cores", lambda: 4)
    monkeypatch.setattr(warmup, "_start", lambda count: seen.append(("helpers", count)) or [])
    monkeypatch.setattr(warmup, "compile_all", lambda functions: seen.append("compiled"))
    return seen


def test_the_first_process_compiles_with_helpers_and_later_ones_do_not(
    steps, tmp_path, monkeypatch
):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    with warmup.compiled() as compiling:
        steps.append(compiling)
    assert steps == [("helpers", 3), True, "compiled"]
    with warmup.compiled() as compiling:
        steps.append(compiling)
    assert steps[3:] == [False]


def test_a_helper_compiles_everything_and_ends_at_once(monkeypatch):
    seen: list = []
    monkeypatch.setattr(warmup, "start_own_process", lambda: None)
    monkeypatch.setattr(warmup, "be_quiet", lambda: None)
    monkeypatch.setattr(warmup, "compile_all", seen.extend)
    monkeypatch.setattr(warmup.os, "_exit", lambda status: seen.append(status))
    warmup.help_out(1)
    assert seen[0] == warmup.DECODER[1] and seen[-1] == 0
    assert set(seen[:-1]) == {*warmup.DECODER, *warmup.KERNELS, *warmup._of_layers()}


def test_a_process_beside_the_first_has_no_helpers_of_its_own(steps, tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    with cache.lock("compile"), warmup.compiled():
        pass
    assert steps == ["compiled"]


def test_a_block_that_fails_is_not_marked_as_done(steps, tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    with pytest.raises(ValueError), warmup.compiled():
        raise ValueError
    with warmup.compiled():
        pass
    assert steps == [("helpers", 3)] * 2 + ["compiled"]


def test_without_a_cache_nothing_is_compiled_ahead(steps, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, "")
    with warmup.compiled():
        pass
    assert steps == []


def test_where_numba_may_not_compile_no_helper_tries(steps, tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    monkeypatch.setattr("numba.config.DISABLE_JIT", 1)
    with warmup.compiled():
        pass
    assert steps == []
