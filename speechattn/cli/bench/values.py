"""The values of options of ``speechattn bench``, from their texts."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from speechattn.cli.bench.options import CONDITIONS, PEERS, READINGS
from speechattn.errors import UsageError

MINUTES_RANGE = (0.1, 2000.0)  # of long recordings; a WAV file ends at 4 GB, 2237 minutes
LONGEST = 10_000_000  # frames of a sequence
SHORTEST_CHUNK, LONGEST_CHUNK = 10, 60_000  # ms


def parse_number(option: str, text: str, item: str, low: int, high: int) -> int:
    """One whole number of a list.

    Args:
        option: its name, for messages.
        text: the whole list, for messages.
        item: the number.
        low, high: its range.

    Raises:
        UsageError: if it is no whole number of the range.
    """
    try:
        number = int(item)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise UsageError(f"--{option} {text}: {item!r} is no whole number from {low} to {high}")
    return number


def parse_numbers(option: str, text: str, low: int, high: int) -> list[int]:
    """Whole numbers separated by commas, sorted, each once.

    Raises:
        UsageError: if one is no whole number of the range.
    """
    return sorted({parse_number(option, text, item, low, high) for item in text.split(",")})


def parse_windows(text: str) -> list[tuple[int, int]]:
    """Windows such as ``32,64/0``: (32, 32) and (64, 0).

    Raises:
        UsageError: if one is no window.
    """
    windows = []
    for item in text.split(","):
        sides = item.split("/")
        if len(sides) > 2:
            raise UsageError(f"--windows {text}: {item!r} is neither N nor LEFT/RIGHT")
        numbers = [parse_number("windows", text, side, 0, LONGEST) for side in sides]
        windows.append((numbers[0], numbers[-1]))
    return list(dict.fromkeys(windows))


def parse_chunks(text: str) -> list[int]:
    """Lengths of chunks such as ``100,400``, in ms, shortest first.

    Raises:
        UsageError: if one is no such length.
    """
    chunks = set()
    for item in text.split(","):
        if not item.strip().isdecimal() or not SHORTEST_CHUNK <= int(item) <= LONGEST_CHUNK:
            raise UsageError(
                f"--chunks {text}: {item!r} is no whole number of ms from {SHORTEST_CHUNK} to "
                f"{LONGEST_CHUNK}"
            )
        chunks.add(int(item))
    return sorted(chunks)


def parse_names(option: str, text: str) -> list[str]:
    """Names separated by commas, each once.

    Raises:
        UsageError: if there is none.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise UsageError(f"--{option} {text!r}: names nothing; see --help")
    return names


def parse_choices(option: str, text: str, choices: Sequence[str]) -> list[str]:
    """Names separated by commas, each once, of which every one must be a choice.

    Raises:
        UsageError: if one is unknown, or there is none.
    """
    names = parse_names(option, text)
    for name in names:
        if name not in choices:
            raise UsageError(f"--{option}: {name!r} is none of {', '.join(choices)}")
    return names


def parse_readings(text: str) -> list[str]:
    """Split a list of ways to read, of :data:`READINGS` or ``dictionary``.

    Raises:
        UsageError: if one is unknown.
    """
    return parse_choices("reading", text, (*READINGS, "dictionary"))


def parse_scales(text: str) -> list[float]:
    """Split a list of weights such as ``0.5,1``; the same one twice counts once.

    Raises:
        UsageError: if one is no number from 0 on.
    """
    try:
        scales = [float(item) for item in text.split(",") if item.strip()]
    except ValueError:
        scales = [math.nan]
    if not all(0 <= scale < math.inf for scale in scales):
        raise UsageError(f"--lm-scale {text}: numbers from 0 on, such as 0.5,1")
    return list(dict.fromkeys(scales))


def parse_conditions(text: str) -> list[str]:
    """Names of :data:`CONDITIONS` separated by commas, or ``none``.

    Raises:
        UsageError: if one is unknown.
    """
    if parse_names("conditions", text) == ["none"]:
        return []
    try:
        return parse_choices("conditions", text, CONDITIONS)
    except UsageError as error:
        raise UsageError(f"{error}; or write none") from None


def parse_sets(text: str) -> list[str]:
    """Sets such as ``librispeech/test,asterisk/all``.

    Raises:
        UsageError: if one is not of the form ``corpus/split``.
    """
    sets = parse_names("sets", text)
    for name in sets:
        if len(name.split("/")) != 2 or not all(name.split("/")):
            raise UsageError(f"--sets: {name!r} is no set; write corpus/split or corpus/all")
    return sets


def read_list(path: str | Path) -> list[str]:
    """Read audio files and folders from a text file with one path a line; empty lines do not count.

    Paths are taken as they would be on the command line: relative to the current folder.

    Raises:
        UsageError: if the list cannot be read, is empty, or names something that does not exist.
    """
    try:
        text = os.fsdecode(Path(path).read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; check the name after --list") from None
    paths = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        if "\0" in line or not Path(line).exists():
            raise UsageError(
                f"{path}:{number}: {line!r} does not exist; a list has one path a line"
            )
        paths.append(line)
    if not paths:
        raise UsageError(f"{path}: no path in this list; write one a line")
    return paths


def parse_minutes(text: str) -> list[float]:
    """Lengths such as ``6,20,60``, or ``none``.

    Raises:
        UsageError: if one is not a number of minutes in :data:`MINUTES_RANGE`.
    """
    if text.strip().lower() == "none":
        return []
    low, high = MINUTES_RANGE
    lengths = []
    for item in text.split(","):
        try:
            minutes = float(item)
        except ValueError:
            minutes = -1.0
        if not low <= minutes <= high:  # NaN neither
            raise UsageError(
                f"--long-minutes {text}: {item!r} is no length between {low:g} and {high:g} "
                "minutes; give numbers separated by commas, or none"
            )
        lengths.append(minutes)
    return sorted(set(lengths))


def parse_cores(text: str) -> list[int]:
    """Numbers of cores such as ``1,2``.

    Raises:
        UsageError: if one is not a number of cores that this process may use.
    """
    from speechattn.bench.process import usable_core_ids

    most = len(usable_core_ids())
    counts = []
    for item in text.split(","):
        cores = int(item) if item.strip().isascii() and item.strip().isdigit() else 0
        if not 1 <= cores <= most:
            raise UsageError(
                f"--cores {text}: {item!r} is no number of cores; this process may use {most}: "
                f"choose from 1 to {most}, separated by commas"
            )
        counts.append(cores)
    return sorted(set(counts))


def parse_peers(text: str) -> list[str]:
    """Names such as ``pocketsphinx,hama``, or ``none``.

    Raises:
        UsageError: if one is not known.
    """
    names = list(dict.fromkeys(name.strip().lower() for name in text.split(",")))
    if names == ["none"]:
        return []
    choices = ", ".join((*PEERS, "none"))
    for name in names:
        if name not in PEERS:
            raise UsageError(f"--peer {text}: {name!r} is not known; choose from {choices}")
    return names
