"""The arguments of ``speechattn bench``; the benchmarks are imported when they are run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from speechattn.bench import attention, conditions, streaming
from speechattn.resources import DEFAULT_MODEL
from speechattn.text import one_line

MOST_THREADS = 1024  # more than any machine has cores; PyTorch dies when it cannot start them
MOST_REPEATS = 1000


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """A type of argument: a whole number from ``low`` to ``high``."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {low} to {high}")
        return number

    return parse


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


def _add_transcribe(benchmarks: argparse._SubParsersAction) -> None:
    bench = benchmarks.add_parser(
        "transcribe",
        allow_abbrev=False,
        help="time `speechattn transcribe`, beside a peer and on long recordings",
        description="Time `speechattn transcribe` as whole processes, start and imports included: "
        "on recordings as they are, in turn with pocketsphinx's phone recognition, and on long "
        "recordings made by repeating them. The report goes to standard output.",
        epilog="Long recordings lie in a temporary folder (2 MB a minute); TMPDIR says where.",
    )
    bench.set_defaults(run=run_transcribe)
    bench.add_argument("inputs", nargs="*", metavar="AUDIO", help="audio file or folder")
    bench.add_argument("--list", metavar="FILE", help="text file with one audio path a line")
    bench.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="NAME_OR_DIR",
        help=f"name or folder of a model (default: {DEFAULT_MODEL})",
    )
    bench.add_argument(
        "--peer",
        choices=("pocketsphinx", "none"),
        default="pocketsphinx",
        help="what to compare with (default: pocketsphinx)",
    )
    bench.add_argument(
        "--repeats",
        type=whole_number(1, MOST_REPEATS),
        default=3,
        metavar="N",
        help="measure everything N times and report medians (default: 3)",
    )
    bench.add_argument(
        "--threads",
        type=whole_number(1, MOST_THREADS),
        default=1,
        metavar="N",
        help="threads of the encoder, and cores that every process is kept on (default: 1)",
    )
    bench.add_argument(
        "--long-minutes",
        default="6,20,60",
        metavar="LIST",
        help="lengths of the long recordings, or none (default: 6,20,60)",
    )
    bench.add_argument(
        "--output-dir", metavar="DIR", help="folder for transcribe.md and transcribe.csv"
    )


def run_transcribe(arguments: argparse.Namespace) -> int:
    """The command ``bench transcribe``: a report in Markdown on standard output."""
    from speechattn.bench.transcribe import bench_transcribe, parse_minutes, read_list

    long_minutes = parse_minutes(arguments.long_minutes)
    listed = read_list(arguments.list) if arguments.list is not None else []
    report = bench_transcribe(
        [*arguments.inputs, *listed],
        model=arguments.model,
        peer=arguments.peer,
        repeats=arguments.repeats,
        threads=arguments.threads,
        long_minutes=long_minutes,
        output_dir=arguments.output_dir,
        progress=_tell,
    )
    print(report, end="")
    return 0


def _tell(line: str) -> None:
    print(f"speechattn: {one_line(line)}", file=sys.stderr)
