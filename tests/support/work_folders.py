"""A work folder in which another process is at work."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import speechattn

IMPORT_FROM = str(Path(speechattn.__file__).resolve().parent.parent)
HOLD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from speechattn.training.work_folder import at_work
with at_work(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(folder: Path) -> Iterator[subprocess.Popen]:
    """Let another process be at work in a folder; it is killed at the end of the block."""
    program = [sys.executable, "-c", HOLD, str(folder), IMPORT_FROM]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        yield holder
        holder.kill()
