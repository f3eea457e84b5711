"""Reading a configuration imports no compiler: neither Numba nor llvmlite."""

from __future__ import annotations

import subprocess
import sys

import pytest

CHECK = "import sys; found = {'numba', 'llvmlite'} & set(sys.modules); assert not found, found"


@pytest.mark.parametrize(
    "module",
    [
        "speechattn.encoder.encoder",  # and with it attention, its masks and all configurations
        "speechattn.training.config",
    ],
)
def test_a_configuration_compiles_nothing(module):
    code = f"import {module}, speechattn.encoder.config, speechattn.attention.functional; {CHECK}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
