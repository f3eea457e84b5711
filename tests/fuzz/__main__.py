"""Fuzzers of everything that reads a file: only our own errors may come out, in one line, soon.

``python -m fuzz --minutes 10``, in ``tests``, goes round all targets until the time is over and ends with
status 1 if it found something; ``--target NAME`` takes one. The input that was tried last stays in
the folder that is named at the beginning, should a library crash or hang. Short runs of the same
are in ``test_fuzz.py``.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from fuzz.runner import Target
from fuzz.targets import MAKERS, SHARES

BATCH = 250  # examples between looks at the clock
LONGEST_BATCH = 900  # seconds, on however busy a machine, until a library that hangs is ended


@cache
def target(name: str) -> Target:
    """A target, made when it is asked for."""
    return MAKERS[name]()


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--target", choices=MAKERS, action="append")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    options = parser.parse_args(arguments)
    names = options.target or list(MAKERS)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    print(f"seed {options.seed}; the last input is in {folder}", flush=True)
    with _silent_libraries():
        found = _round(names, options, folder)
    for name in options.target or MAKERS:
        outcomes = target(name).outcomes
        print(f"{name}: {outcomes.total()} inputs, {dict(outcomes)}")
    print(f"{found} found")
    return 1 if found else 0


@contextmanager
def _silent_libraries() -> Iterator[None]:
    """Drop what goes to standard error: libraries have much to say of broken files."""
    before, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nothing)


def _round(names: list[str], options: argparse.Namespace, folder: Path) -> int:
    """Go round the targets until the time is over; how many failed, each once."""
    end, number, found = time.monotonic() + 60 * options.minutes, options.seed, 0
    while time.monotonic() < end and names:
        for name in [each for each in names for _ in range(SHARES.get(each, 1))]:
            number += 1
            faulthandler.dump_traceback_later(LONGEST_BATCH, exit=True, file=sys.__stdout__)
            try:
                target(name).fuzz(folder, BATCH, number)
            except Exception:  # noqa: BLE001 - whatever it is, it is what was looked for
                found += 1
                lines = [line[:400] for line in traceback.format_exc().splitlines()]
                print(f"\n{name}, seed {number}:", *lines[:20], "...", *lines[-60:], sep="\n")
                names = [other for other in names if other != name]
                break
            if time.monotonic() > end:
                break
    faulthandler.cancel_dump_traceback_later()
    return found


if __name__ == "__main__":
    sys.exit(main())
