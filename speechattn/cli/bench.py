"""The arguments of ``speechattn bench``; the benchmarks are imported when they are run.

The arguments of ``speechattn bench transcribe``.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from speechattn.bench import attention, conditions, streaming
from speechattn.bench.process import usable_core_ids
from speechattn.errors import UsageError
from speechattn.options import DEFAULT_MODEL
from speechattn.studies import windows
from speechattn.text import one_line

PEERS = ("pocketsphinx", "hama")  # a module peer_NAME each, which needs the package NAME
MINUTES_RANGE = (0.1, 2000.0)  # of long recordings; a WAV file ends at 4 GB, 2237 minutes
MOST_REPEATS = 1000


def add_bench(commands: argparse._SubParsersAction) -> None:
    """Add the command ``bench`` with its benchmarks to the commands of ``speechattn``."""
    bench = commands.add_parser(
        "bench",
        help="measure speed, memory and robustness",
        description="Measure speed, memory and robustness.",
    )
    benchmarks = bench.add_subparsers(dest="benchmark", metavar="BENCHMARK", required=True)
    _add_transcribe(benchmarks)
    _add_attention(benchmarks)
    _add_streaming(benchmarks)
    _add_conditions(benchmarks)
    _add_windows(benchmarks)


def _add_attention(benchmarks: argparse._SubParsersAction) -> None:
    bench = benchmarks.add_parser(
        "attention",
        allow_abbrev=False,
        help="time truncated attention beside other ways to compute it",
        description="Time truncated attention beside other ways to compute it, in turn in one "
        "process, with the error of each beside its time.",
    )
    attention.add_arguments(bench)
    bench.set_defaults(run=attention.run)


def _add_streaming(benchmarks: argparse._SubParsersAction) -> None:
    bench = benchmarks.add_parser(
        "streaming",
        allow_abbrev=False,
        help="time recognition in chunks beside the same recording as a whole",
        description="Time recognition in chunks of several lengths beside the same recording taken "
        "as a whole, in turn in one process, with the largest difference beside each time.",
    )
    streaming.add_arguments(bench)
    bench.set_defaults(run=streaming.run)


def _add_conditions(benchmarks: argparse._SubParsersAction) -> None:
    bench = benchmarks.add_parser(
        "conditions",
        allow_abbrev=False,
        help="score a model in noise, rooms and telephones, and by group of speakers",
        description="Score a model on test sets as recorded and in noise, in rooms, at 8 kHz and "
        "through a telephone; by group of speakers; and say what it hears where nobody speaks. "
        "The report goes to standard output.",
    )
    conditions.add_arguments(bench)
    bench.set_defaults(run=conditions.run)


def _add_windows(benchmarks: argparse._SubParsersAction) -> None:
    bench = benchmarks.add_parser(
        "windows",
        allow_abbrev=False,
        help="train windows of attention and other encoders on one recipe, and compare them",
        description="Train windows of attention and other encoders on the same data for as many "
        "updates, and compare their accuracy, size, speed and memory. The same command goes on "
        "where it was interrupted. The report goes to standard output and into a folder.",
    )
    windows.add_arguments(bench)
    bench.set_defaults(run=windows.run)


def _add_transcribe(benchmarks: argparse._SubParsersAction) -> None:
    bench = benchmarks.add_parser(
        "transcribe",
        allow_abbrev=False,
        help="time `speechattn transcribe`, beside peers and on long recordings",
        description="Time `speechattn transcribe` as whole processes, start and imports included: "
        "on recordings as they are, in turn with other phone recognizers and with the encoder "
        "alone, and on long recordings made by repeating them. The report goes to standard output.",
        epilog="Long recordings lie in a temporary folder (2 MB a minute); TMPDIR says where.",
    )
    add_arguments(bench)
    bench.set_defaults(run=run)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the benchmark to its parser."""
    parser.add_argument("inputs", nargs="*", metavar="AUDIO", help="audio file or folder")
    parser.add_argument("--list", metavar="FILE", help="text file with one audio path a line")
    parser.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="NAME_OR_DIR",
        help=f"name or folder of a model (default: {DEFAULT_MODEL})",
    )
    parser.add_argument(
        "--peer",
        default=",".join(PEERS),
        metavar="LIST",
        help=f"what to compare with, of {', '.join(PEERS)}, or none (default: all of them)",
    )
    parser.add_argument(
        "--repeats",
        type=int,
        default=3,
        metavar="N",
        help="measure everything N times and report medians (default: 3)",
    )
    parser.add_argument(
        "--cores",
        default="1",
        metavar="LIST",
        help="numbers of cores to measure on, such as 1,2: every process is kept on the first so "
        "many of those that may be used, and our command uses as many workers (default: 1)",
    )
    parser.add_argument(
        "--long-minutes",
        default="6,20,60",
        metavar="LIST",
        help="lengths of the long recordings, or none; peers take the first (default: 6,20,60)",
    )
    parser.add_argument(
        "--output-dir", metavar="DIR", help="folder for transcribe.md and transcribe.csv"
    )


def run(arguments: argparse.Namespace) -> int:
    """The command: a report in Markdown on standard output.

    Raises:
        SpeechattnError: if something that is needed is missing, or a process fails.
    """
    from speechattn.bench.transcribe import bench_transcribe

    if not 1 <= arguments.repeats <= MOST_REPEATS:
        raise UsageError(f"--repeats {arguments.repeats}: give a number from 1 to {MOST_REPEATS}")
    options = {
        "cores": parse_cores(arguments.cores),
        "peers": parse_peers(arguments.peer),
        "long_minutes": parse_minutes(arguments.long_minutes),
    }
    listed = read_list(arguments.list) if arguments.list is not None else []
    report = bench_transcribe(
        [*arguments.inputs, *listed],
        model=arguments.model,
        repeats=arguments.repeats,
        output_dir=arguments.output_dir,
        progress=_tell,
        **options,
    )
    print(report, end="")
    return 0


def _tell(line: str) -> None:
    print(f"speechattn: {one_line(line)}", file=sys.stderr)


def read_list(path: str | Path) -> list[str]:
    """Audio files and folders from a text file with one path a line; empty lines do not count.

    Paths are taken as they would be on the command line: relative to the current folder.

    Raises:
        UsageError: if the list cannot be read, is empty, or names something that does not exist.
    """
    try:
        text = os.fsdecode(Path(path).read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; check the name after --list") from None
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        if "\0" in line or not os.path.exists(line):
            raise UsageError(
                f"{path}:{number}: {line!r} does not exist; a list has one path a line"
            )
        found.append(line)
    if not found:
        raise UsageError(f"{path}: no path in this list; write one a line")
    return found


def parse_minutes(text: str) -> list[float]:
    """Lengths such as ``6,20,60``, or ``none``.

    Raises:
        UsageError: if one is no number of minutes in :data:`MINUTES_RANGE`.
    """
    if text.strip().lower() == "none":
        return []
    low, high = MINUTES_RANGE
    found = []
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
        found.append(minutes)
    return sorted(set(found))


def parse_cores(text: str) -> list[int]:
    """Numbers of cores such as ``1,2``.

    Raises:
        UsageError: if one is no number of cores that this process may use.
    """
    most = len(usable_core_ids())
    found = []
    for item in text.split(","):
        cores = int(item) if item.strip().isascii() and item.strip().isdigit() else 0
        if not 1 <= cores <= most:
            raise UsageError(
                f"--cores {text}: {item!r} is no number of cores; this process may use {most}: "
                f"choose from 1 to {most}, separated by commas"
            )
        found.append(cores)
    return sorted(set(found))


def parse_peers(text: str) -> list[str]:
    """Names such as ``pocketsphinx,hama``, or ``none``.

    Raises:
        UsageError: if one is not known.
    """
    names = list(dict.fromkeys(name.strip().lower() for name in text.split(",")))
    if names == ["none"]:
        return []
    for name in names:
        if name not in PEERS:
            raise UsageError(f"--peer {text}: {name!r} is not known; choose from {_choices()}")
    return names


def _choices() -> str:
    return ", ".join((*PEERS, "none"))
