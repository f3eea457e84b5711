"""Compiled functions: what their compiler brings into a process."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from speechattn import process
if {ours}:
    process.start_own_process()
from speechattn.decoder import viterbi
assert ("scipy.linalg" in sys.modules) is not {ours}
import numpy as np
import scipy.linalg
assert scipy.linalg.det(np.eye(2)) == 1
if not {ours}:
    import numba
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
