"""``speechattn bench attention``: truncated attention against other ways to compute the same.

One sequence, on a CPU. All methods run in one process and in turn, so that a machine that slows
down does so for all of them; each must also give the right numbers, which are compared with the
equation in float64. Attention to everything is there to show what truncation saves.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from speechattn.errors import UsageError

if TYPE_CHECKING:
    from speechattn.bench.attention_peers import Case

LENGTHS = "1000,6144,30720,360000"  # frames; the last is an hour
WINDOWS = "16,32,64,128"
QUICK = {"lengths": "512,2048", "windows": "32", "heads": "4", "dtypes": "fp32", "repeats": 3}
LONGEST = 10_000_000  # frames
DTYPES = ("fp32", "bf16")
PACKAGES = ("torch", "local-attention")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options; imports neither PyTorch nor matplotlib."""
    add = parser.add_argument
    add("--lengths", metavar="LIST", help=f"frames of a sequence (default: {LENGTHS})")
    add(
        "--windows",
        metavar="LIST",
        help=f"frames that are seen, N to both sides or LEFT/RIGHT (default: {WINDOWS})",
    )
    add("--heads", metavar="LIST", help="numbers of heads (default: 4)")
    add("--dim", type=int, default=64, metavar="D", help="numbers a head (default: 64)")
    add("--dtypes", metavar="LIST", help="of fp32, bf16 (default: both)")
    add("--backward", action="store_true", help="time forward + backward too")
    add("--memory", action="store_true", help="measure the memory of our own method too")
    add("--threads", type=int, default=1, metavar="N", help="threads of PyTorch (default: 1)")
    add(
        "--repeats",
        type=int,
        metavar="N",
        help="rounds at most, of which medians are taken (default: 9)",
    )
    add("--quick", action="store_true", help="a small run to see that everything works")
    add("--output-dir", metavar="DIR", help="folder for attention.md, .csv and .png")


def run(arguments: argparse.Namespace, progress: Callable[[str], None] | None = None) -> int:
    """Measure; the report goes to standard output, and into a folder if one is given.

    Args:
        arguments: as :func:`add_arguments` defines them.
        progress: called with a line for people; by default they go to standard error.

    Raises:
        UsageError: for options that make no sense, or a folder that cannot be written.
    """
    cases = cases_of(arguments)
    repeats = _setting(arguments, "repeats", 9)
    for name, value in (("repeats", repeats), ("threads", arguments.threads)):
        if not 1 <= value <= 1000:
            raise UsageError(f"--{name} {value}: choose a number from 1 to 1000")
    folder = None if arguments.output_dir is None else Path(arguments.output_dir)
    _prepare(folder)  # before minutes are spent

    import torch

    from speechattn.bench.attention_memory import peak_memory
    from speechattn.bench.attention_report import csv_report, markdown_report, plot
    from speechattn.bench.attention_timing import measure
    from speechattn.bench.process import machine_facts
    from speechattn.files import atomic_write_text

    facts = machine_facts(PACKAGES) | {"threads": str(arguments.threads), "rounds": str(repeats)}
    before = torch.get_num_threads()
    torch.set_num_threads(arguments.threads)
    try:
        options = {"memory": peak_memory} if arguments.memory else {}
        found, peaks = measure(cases, repeats, progress=progress or _tell, **options)
    finally:
        torch.set_num_threads(before)
    report = markdown_report(found, peaks, facts)
    print(report, end="")
    if folder is not None:
        try:
            atomic_write_text(folder / "attention.md", report)
            atomic_write_text(folder / "attention.csv", csv_report(found, peaks))
        except OSError as error:
            raise UsageError(f"--output-dir {folder}: {error.strerror}; choose another") from None
        plot(folder / "attention.png", found)
    return 0


def cases_of(arguments: argparse.Namespace) -> list[Case]:
    """What is to be measured, in order of dtype, pass, heads, window and length.

    Raises:
        UsageError: for a list that makes no sense.
    """
    lengths = _numbers("lengths", _setting(arguments, "lengths", LENGTHS), 1, LONGEST)
    windows = parse_windows(_setting(arguments, "windows", WINDOWS))
    heads = _numbers("heads", _setting(arguments, "heads", "4"), 1, 1024)
    names = [n.strip() for n in _setting(arguments, "dtypes", ",".join(DTYPES)).split(",")]
    unknown = [name for name in names if name not in DTYPES]
    if unknown:
        raise UsageError(f"--dtypes: {unknown[0]!r} is none of {', '.join(DTYPES)}")
    if not 1 <= arguments.dim <= 1024:
        raise UsageError(f"--dim {arguments.dim}: choose a number from 1 to 1024")

    import torch

    from speechattn.bench.attention_peers import Case

    types = {"fp32": torch.float32, "bf16": torch.bfloat16}
    passes = (False, True) if arguments.backward else (False,)
    return [
        Case(length, left, right, count, arguments.dim, types[name], backward)
        for name, backward, count, (left, right), length in itertools.product(
            dict.fromkeys(names), passes, heads, windows, lengths
        )
    ]


def parse_windows(text: str) -> list[tuple[int, int]]:
    """Windows such as ``32,64/0``: (32, 32) and (64, 0).

    Raises:
        UsageError: if one is none.
    """
    found = []
    for item in text.split(","):
        sides = item.split("/")
        if len(sides) > 2:
            raise UsageError(f"--windows {text}: {item!r} is neither N nor LEFT/RIGHT")
        numbers = [_number("windows", text, side, 0, LONGEST) for side in sides]
        found.append((numbers[0], numbers[-1]))
    return list(dict.fromkeys(found))


def _setting(arguments: argparse.Namespace, name: str, default):
    """An option as given, else that of a quick run, else the default."""
    given = getattr(arguments, name)
    if given is not None:
        return given
    return QUICK.get(name, default) if arguments.quick else default


def _numbers(name: str, text: str, low: int, high: int) -> list[int]:
    return sorted({_number(name, text, item, low, high) for item in text.split(",")})


def _number(name: str, text: str, item: str, low: int, high: int) -> int:
    try:
        number = int(item)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise UsageError(f"--{name} {text}: {item!r} is no whole number from {low} to {high}")
    return number


def _prepare(folder: Path | None) -> None:
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output-dir {folder}: {error.strerror}; choose another") from None


def _tell(line: str) -> None:
    print(f"speechattn: {line}", file=sys.stderr)
