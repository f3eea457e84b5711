"""Compiled functions made of parts: right with Numba's own way and with ours."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import numpy as np
import pytest
from numba.core import codegen

from speechattn import jit, jit_pipeline

MODULE = """
import numba
from speechattn.jit import F64_ARRAY, jit, jit_inline, jit_when_used

@jit_inline
def root(x):
    if x < 0:
        raise ArithmeticError("below zero")
    return x ** 0.5

@jit_inline
def place(i):
    return i + 1

@jit_inline
def total(values, past, table):
    found = 0.0
    for i in range(past):
        found += root(values[i]) * place(i)
    return found if table is None else found + table[0]

@jit("float64", F64_ARRAY, "int32")
def whole(values, past):
    return total(values, past, None) + total(values, 1, values)

@jit_when_used
def when_used(values):
    return total(values, len(values), None)

@numba.njit
def of_another(values):
    return total(values, 2, values)
"""
VALUES = np.array([4.0, 9.0, 25.0])
INSTANCE = """
import numpy as np
import numbers_of_parts as numbers
values = np.array([4.0, 9.0, 25.0])
print(numbers.whole(values, 3), numbers.when_used(values), numbers.of_another(values))
try:
    numbers.whole(-values, 3)
except ArithmeticError as error:
    print(error)
"""
PRINTED = "29.0 23.0 12.0\nbelow zero\n"


def no_library(*_):
    raise AttributeError("no such thing in this version")


def changed_arguments(self):
    """A library as of another version."""


FAULTS = {
    "removed": lambda patch: patch.delattr(codegen, "JITCodeLibrary"),
    "lacking": lambda patch: patch.setattr(jit_pipeline._PartLibrary, "finalize", no_library),
    "changed": lambda patch: patch.setattr(jit_pipeline._Library, "__init__", changed_arguments),
    "refusing": lambda patch: patch.setattr(jit_pipeline.PartCompiler, "__init__", no_library),
    "wrong": lambda patch: patch.setattr(jit_pipeline, "works", lambda: False),
}


@pytest.fixture
def numbers(tmp_path, monkeypatch):
    """A module with parts that nobody has compiled."""
    (tmp_path / "numbers_of_parts.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    jit._pipeline.cache_clear()
    yield importlib.import_module("numbers_of_parts")
    sys.modules.pop("numbers_of_parts", None)
    jit._pipeline.cache_clear()


@pytest.fixture(params=[None, *FAULTS])
def fault(request, numbers, monkeypatch):
    if request.param == "removed":  # it is imported when something is compiled
        monkeypatch.delitem(sys.modules, jit_pipeline.__name__)
        monkeypatch.delattr("speechattn.jit_pipeline")
    if request.param:
        FAULTS[request.param](monkeypatch)
    return request.param


def test_numbers_and_exceptions(numbers, fault, recwarn):
    assert numbers.whole(VALUES, 3) == 23 + 6
    assert numbers.when_used(VALUES) == 23
    assert numbers.of_another(VALUES) == 12
    with pytest.raises(ArithmeticError, match="below zero"):
        numbers.whole(-VALUES, 3)
    with pytest.raises(ArithmeticError, match="below zero"):
        numbers.of_another(-VALUES)
    assert (jit._pipeline() is None) is (fault is not None)
    assert not recwarn


def test_python_calls_a_part(numbers, fault):
    assert numbers.total(VALUES, 3, None) == 23
    assert numbers.place(np.int32(2)) == 3
    assert numbers.total.__name__ == "total"
    with pytest.raises(ArithmeticError, match="below zero"):
        numbers.root(-1.0)
    assert numbers.whole(VALUES, 3) == 29


def test_a_part_is_compiled_once_for_all_whole_numbers(numbers):
    assert jit._pipeline() is jit_pipeline, "slow with this version of Numba"
    assert numbers.whole(VALUES, 3) + numbers.when_used(VALUES) == 29 + 23
    assert len(numbers.place._within_others.overloads) == 1


def run(folder, **environment):
    found = subprocess.run(
        [sys.executable, "-c", INSTANCE],
        cwd=folder,
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder), **environment},
        check=False,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    assert found.stderr == ""
    return found.stdout


@pytest.mark.parametrize("disabled", ["0", "1"])
def test_a_process_and_one_that_finds_its_code(numbers, tmp_path, disabled):
    printed = [run(tmp_path, NUMBA_DISABLE_JIT=disabled) for _ in range(2)]
    assert printed == [PRINTED] * 2
    assert bool(list(tmp_path.rglob("*.nbi"))) is (disabled == "0")


def test_what_one_way_has_compiled_the_other_can_load(numbers, tmp_path):
    assert run(tmp_path) == PRINTED
    kept = sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc"))
    without = "import sys\nsys.modules['speechattn.jit_pipeline'] = None\n"
    found = subprocess.run(
        [sys.executable, "-c", without + INSTANCE],
        cwd=tmp_path,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert found.stdout == PRINTED
    assert sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")) == kept
