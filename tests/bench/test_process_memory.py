"""Memory of processes: of this one at its most, and of a family while it runs."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from speechattn.bench.process import (
    MemorySampler,
    own_peak,
    process_tree,
    run_process,
    usable_core_ids,
)

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").is_file(), reason="this system has no /proc to read memory from"
)

SIZE = 120 << 20  # bytes
HOLD = f"held = bytearray(b'x') * {SIZE}"
WAIT = "print('ready', flush=True); input()"
PEAK = "from speechattn.bench.process import own_peak; print(own_peak())"


def ask(program: str) -> int:
    return int(
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
    )


def test_the_peak_of_a_process_is_what_it_held_and_not_what_its_parent_holds():
    held = bytearray(b"x") * SIZE
    little, much = ask(PEAK), ask(f"{HOLD}; del held; {PEAK}")
    assert SIZE * 0.9 < much - little < SIZE * 1.2
    assert little < len(held) < own_peak()


def test_what_the_caller_holds_is_not_in_the_samples_of_a_small_process():
    held = bytearray(b"x") * SIZE
    code = "import time; time.sleep(1)"
    usage = run_process([sys.executable, "-S", "-c", code], usable_core_ids()[:1], "small")
    assert 0 < usage.sampled_peak < SIZE / 2 < len(held) < usage.peak_rss


def test_a_family_is_counted_together():
    child = f"import subprocess, sys; {HOLD}; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    process = subprocess.Popen(
        [sys.executable, "-c", child, f"{HOLD}; {WAIT}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process, MemorySampler(process.pid) as sampler:
        assert process.stdout.readline() == b"ready\n"
        assert len(process_tree(process.pid)) == 2
        deadline = time.monotonic() + 20
        while (sampler.peak or 0) < 2 * SIZE and time.monotonic() < deadline:
            time.sleep(0.05)
        process.stdin.write(b"\n")
        process.stdin.close()
    assert 2 * SIZE < sampler.peak < 3 * SIZE
