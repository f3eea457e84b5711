"""What ``import speechattn`` offers, and what it does not drag in."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import speechattn

IMPORT_FROM = str(Path(speechattn.__file__).resolve().parent.parent)


@pytest.mark.parametrize("name", [name for name in speechattn.__all__ if name != "__version__"])
def test_every_public_name_is_what_its_module_defines(name):
    value = getattr(speechattn, name)
    assert value.__module__.startswith("speechattn.") and value.__doc__
    assert value is getattr(importlib.import_module(value.__module__), name)
    assert name in dir(speechattn)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="speechattn.*no attribute 'load_modle'"):
        speechattn.load_modle  # noqa: B018
    assert not hasattr(speechattn, "torch")


def test_importing_the_package_is_light_and_leaves_a_variable_that_is_set():
    program = (
        f"import os, sys; sys.path.insert(0, {IMPORT_FROM!r})\n"
        "import speechattn\n"
        "print([m for m in ('torch', 'numpy', 'numba', 'matplotlib') if m in sys.modules])\n"
        "print(os.environ['OMP_WAIT_POLICY'], speechattn.__version__)\n"
        "print(os.environ['THP_MEM_ALLOC_ENABLE'])\n"
    )
    environment = {"PATH": "", "OMP_WAIT_POLICY": "ACTIVE"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["[]", "ACTIVE", speechattn.__version__, "1"]
