"""Measure start-up and memory of transcription: this checkout and another one, in turn.

    python docs/measure_start.py OTHER_CHECKOUT FOLDER [ROUNDS]

FOLDER holds short recordings. Whole processes are timed, with caches filled: one recording, six
recordings, and all of them by two workers, whose memory is watched (Linux: the proportional set
size of all processes, shared pages counted once). The table has medians. Put it into
docs/benchmarks.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

HERE = Path(__file__).parents[1]
ROUNDS = 5


def run(checkout: Path, recordings: list[Path], workers: int) -> tuple[float, float, float]:
    """Return wall time and processor time in seconds, and the greatest memory in MB."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "speechattn", "transcribe", *map(str, recordings)]
        command += ["--output-dir", out, "--workers", str(workers), "--quiet"]
        before, began = os.times(), time.perf_counter()
        process = subprocess.Popen(command, env=environment, cwd=out)
        most = 0.0
        while process.poll() is None:
            if workers > 1:
                most = max(most, sum(map(memory, family(process.pid))))
            time.sleep(0.05 if workers > 1 else 0.002)
        took, after = time.perf_counter() - began, os.times()
        if process.returncode:
            raise SystemExit(f"{command}: exit status {process.returncode}")
    used = after.children_user + after.children_system
    return took, used - before.children_user - before.children_system, most


def family(process: int) -> list[int]:
    """Return a process and all that it has started."""
    found = [process]
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        for child in _read(task).split():
            found += family(int(child))
    return found


def memory(process: int) -> float:
    """Return the proportional set size of a process in MB."""
    for line in _read(Path(f"/proc/{process}/smaps_rollup")).splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1000
    return 0.0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the process has ended
        return ""


def main(other: Path, folder: Path, rounds: int) -> None:
    """Measure both checkouts in turn and print the table."""
    recordings = sorted(path for path in folder.iterdir() if path.is_file())
    tasks = {
        "one recording": (recordings[:1], 1),
        "six recordings": (recordings[:6], 1),
        f"{len(recordings)} recordings, two workers": (recordings, 2),
    }
    checkouts = {"other": other.resolve(), "this": HERE}
    print("| | checkout | wall time (s) | processor time (s) | memory (MB) |")
    print("|---|---|---:|---:|---:|")
    for name, task in tasks.items():
        found: dict[str, list[tuple[float, float, float]]] = {each: [] for each in checkouts}
        for turn in range(rounds + 1):
            for each, checkout in checkouts.items():
                facts = run(checkout, *task)
                if turn:  # the first fills the caches
                    found[each].append(facts)
        for each, rows in found.items():
            wall, used, most = (median(row[n] for row in rows) for n in range(3))
            shown = f"{most:.0f}" if most else ""
            print(f"| {name} | {each} | {wall:.2f} | {used:.2f} | {shown} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else ROUNDS)
