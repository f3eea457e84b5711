"""Compiled functions: what their compiler brings into a process."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

from speechattn import jit, process

SCRIPT = """
import sys
from speechattn import process
if {ours}:
    process.start_own_process()
process.import_torch()
import torch
assert ("torch._meta_registrations" in sys.modules) is not {ours}
assert torch.nn.Linear(2, 3)(torch.ones(1, 2)).shape == (1, 3)
from speechattn.decoder import viterbi
from speechattn.decoder.decoder import decode
from speechattn.decoder.lm.phone_model import PhoneModel
frames = torch.tensor([[0.9, 0.1]] * 4 + [[0.2, 0.8]] * 3).log().numpy()
segments = decode(frames, PhoneModel.uniform(2))
assert [(each.phone, each.start, each.end) for each in segments] == [(0, 0, 4), (1, 4, 7)]
assert ("scipy.linalg" in sys.modules) is not {ours}
import numpy as np
import scipy.linalg
assert scipy.linalg.det(np.eye(2)) == 1
import numba
assert numba.njit(lambda a: a.sum() + 1)(np.ones(3)) == 4
import torch._meta_registrations
if not {ours}:
    assert numba.njit(lambda a: np.dot(a, a))(np.eye(2)).tolist() == [[1, 0], [0, 1]]
"""


@pytest.mark.parametrize("ours", [True, False])
def test_scipy_is_not_looked_for_in_a_process_of_our_own(ours):
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(ours=ours)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr


MODULE = """
from speechattn.jit import jit

@jit("int64", "int64")
def next_number(x):
    return x + 1
"""


@pytest.fixture
def ours(monkeypatch, tmp_path):
    """A process of our own, and a module with a compiled function that nobody has used."""
    monkeypatch.setattr(process, "_own_process", True)
    monkeypatch.setattr(process, "_told", set())
    name = f"numbers_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return lambda: importlib.reload(importlib.import_module(name)).next_number


def test_compiling_is_said_once(ours, capsys):
    for _ in range(2):
        assert ours()(1) == 2
    said = capsys.readouterr().err
    assert said == "speechattn: compiling for this processor, once\n"
    process._told.clear()
    assert ours()(2) == 3  # from the disk
    assert capsys.readouterr().err == ""


def test_without_a_cache_the_variable_is_named(ours, capsys, monkeypatch):
    njit = jit.numba.njit

    def refuse(*arguments, cache=False, **options):
        if cache:
            raise RuntimeError("no locator available")
        return njit(*arguments, **options)

    monkeypatch.setattr(jit.numba, "njit", refuse)
    assert ours()(1) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "set NUMBA_CACHE_DIR to a folder" in said


def test_other_programs_hear_nothing(ours, capsys, monkeypatch):
    monkeypatch.setattr(process, "_own_process", False)
    assert ours()(1) == 2
    assert capsys.readouterr().err == ""


def test_code_kept_by_an_earlier_version_is_compiled_anew(ours, capsys, tmp_path):
    assert ours()(1) == 2
    (index,) = tmp_path.rglob("*.nbi")
    with index.open("rb") as file:
        version = pickle.load(file)
    index.write_bytes(pickle.dumps(version) + b"cspeechattn.jit\nNoLongerThere\n.")
    capsys.readouterr()
    process._told.clear()
    assert ours()(2) == 3
    assert capsys.readouterr().err == "speechattn: compiling for this processor, once\n"
    process._told.clear()
    assert ours()(3) == 4  # it was kept this time
    assert capsys.readouterr().err == ""


def test_code_kept_before_a_part_was_changed_is_compiled_anew(ours, capsys, tmp_path):
    assert ours()(1) == 2
    (tmp_path / "parts.py").write_text("# of the same folder\n")
    jit._state_of_room.cache_clear()  # as in another process
    capsys.readouterr()
    process._told.clear()
    assert ours()(2) == 3
    assert capsys.readouterr().err == "speechattn: compiling for this processor, once\n"
    process._told.clear()
    assert ours()(3) == 4
    assert capsys.readouterr().err == ""


@jit.jit("float64", (jit.F64_ARRAY, jit.F32_ARRAY), "float64")
def times(x, factor):
    return x[0] * factor


def test_a_form_that_is_compiled_is_not_looked_for(monkeypatch):
    single = np.full(1, 3, np.float32)
    assert times(single, 2.0) == 6
    with monkeypatch.context() as patch:
        patch.setattr(jit.numba, "typeof", lambda value: pytest.fail("looked for"))
        assert times(single, 0.5) == 1.5
    assert times(np.full(1, 3.0), 2.0) == 6  # the other form, compiled now
    with pytest.raises(TypeError):
        times(np.full(1, 3), 2.0)  # there is none for whole numbers
    assert times(single, 1.0) == times(np.full(1, 3.0), 1.0) == 3
