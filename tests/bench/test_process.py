"""Measuring a process and saying on what machine: the parts that all benchmarks share."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from speechattn.bench import process
from speechattn.bench.process import Usage, pick_cores, pinned, run_process, usable_core_ids
from speechattn.errors import SpeechattnError, UsageError

IMPORT_FROM = str(Path(process.__file__).resolve().parents[2])
CORE = usable_core_ids()[:1]


@pytest.fixture(autouse=True)
def find_package(monkeypatch) -> None:
    """The processes find the package where these tests found it."""
    path = os.pathsep.join(filter(None, [IMPORT_FROM, os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)


def python(code: str, name: str = "child") -> Usage:
    """Measure a Python process."""
    return run_process([sys.executable, "-S", "-c", code], CORE, name)


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="this system does not tell CPU and memory")
def test_usage():
    idle = python("import time; time.sleep(0.3)")
    assert idle.wall >= 0.3 > idle.cpu
    busy = python("import time\nwhile time.process_time() < 0.3: pass")
    assert busy.wall >= 0.3 * 0.99 and 0.3 <= busy.cpu < 3
    # Measured by a small process: peak memory is never less than that of the one who asks.
    code = (
        "import sys; from speechattn.bench.process import run_process, usable_core_ids\n"
        "for size in (0, 200):\n"
        "    child = [sys.executable, '-S', '-c', f'b = bytearray(b\"x\") * ({size} << 20)']\n"
        "    print(run_process(child, usable_core_ids()[:1], 'child').peak_rss >> 20)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    small, large = map(int, done.stdout.split())
    assert 180 < large - small < 220


@pytest.mark.skipif(not process.can_pin(), reason="this system cannot pin processes")
def test_processes_are_pinned_and_this_one_is_not(tmp_path):
    before = os.sched_getaffinity(0)
    last = usable_core_ids()[-1:]
    code = f"import os; open({str(tmp_path / 'c')!r}, 'w').write(str(os.sched_getaffinity(0)))"
    run_process([sys.executable, "-c", code], last, "child")
    assert (tmp_path / "c").read_text() == str(set(last))
    assert os.sched_getaffinity(0) == before
    with pytest.raises(KeyError), pinned(last):
        raise KeyError
    assert os.sched_getaffinity(0) == before
    assert pick_cores(len(before)) == sorted(before)
    for threads in (0, len(before) + 1):
        with pytest.raises(UsageError):
            pick_cores(threads)


def test_a_process_that_fails_is_an_error_with_its_last_line():
    with pytest.raises(SpeechattnError, match=r"^child: failed with status 3: b\\x1b c$"):
        python("import sys; print('a\\nb\\x1b c\\n', file=sys.stderr); sys.exit(3)")
    with pytest.raises(SpeechattnError, match="status 1: it said nothing"):
        python("import os; os._exit(1)")
    with pytest.raises(SpeechattnError, match="child: cannot be started .No such file"):
        run_process(["./no such program"], CORE, "child")


def test_an_interrupt_leaves_no_process(monkeypatch):
    started = []

    def interrupted(child, began):
        started.append(child)
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "_wait", interrupted)
    began = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        python("import time; time.sleep(60)")
    assert started[0].returncode != 0 and time.perf_counter() - began < 30


def test_machine(tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text("processor : 0\nmodel name\t: Fast: 3000\nmodel name\t: Other\n")
    assert process.cpu_model(info) == "Fast: 3000"
    assert process.cpu_model(tmp_path / "none")
    facts = process.machine_facts(["numpy", "no-such-package"])
    assert facts["numpy"] == np.__version__ and facts["no-such-package"] == "not installed"
    assert facts["cores"].endswith(f"usable {len(usable_core_ids())}")


def test_this_process_stays_small():
    # What the caller holds is the least that a process it starts is said to have held.
    code = "import sys, speechattn.bench.transcription.benchmark; print({'torch', 'numba'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps"), reason="not told by this system")
def test_memory_of_all_processes_together():
    # Three processes of 60 MiB each; the largest alone would be 60.
    child = "b = bytearray(b'x') * (60 << 20); import time; time.sleep({0})"
    parent = (
        f"import subprocess, sys; c = {child.format(1.0)!r}; b = bytearray(b'x') * (60 << 20)\n"
        "for p in [subprocess.Popen([sys.executable, '-S', '-c', c]) for _ in 'ab']: p.wait()"
    )
    code = (
        "import sys; from speechattn.bench.process import run_process, usable_core_ids\n"
        f"arguments = [sys.executable, '-S', '-c', {parent!r}]\n"
        "print(run_process(arguments, usable_core_ids()[:1], 'parent').peak_rss >> 20)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 180 < int(done.stdout) < 240
