"""The arguments of ``speechattn bench``; the benchmarks are imported when they are run."""

from __future__ import annotations

import argparse

from speechattn.bench import attention, conditions, streaming
from speechattn.cli import transcribe_command
from speechattn.studies import windows

MOST_THREADS = 1024  # more than any machine has cores; PyTorch dies when it cannot start them


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
    transcribe_command.add_arguments(bench)
    bench.set_defaults(run=transcribe_command.run)
