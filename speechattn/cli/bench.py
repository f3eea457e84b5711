"""``speechattn bench``: a table of the benchmarks, each imported when it is run."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from speechattn.cli import bench_options as options
from speechattn.cli import bench_values as values
from speechattn.cli.bench_values import check_number
from speechattn.cli.messages import report
from speechattn.cli.train import run_profile
from speechattn.errors import UsageError
from speechattn.options import DEFAULT_MODEL, MOST_THREADS, parse_window

OK, SOME_FAILED = 0, 1  # exit statuses
MOST_REPEATS = 1000
MOST_SECONDS = 3600  # of sound
MOST_SEEDS = 1000
MOST_UTTERANCES = 10_000_000
MOST_SHARE = 0.9  # of words that are left out


class Benchmark(NamedTuple):
    """A command below ``speechattn bench``.

    Attributes:
        name: of the command.
        help: one line in the list of benchmarks.
        description: what its own help begins with.
        add_options: adds its options to a parser.
        run: measures, given the parsed options; returns the exit status.
        epilog: what its own help ends with.
    """

    name: str
    help: str
    description: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    epilog: str | None = None


def add_bench(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command ``bench`` with its benchmarks to the commands of ``speechattn``."""
    bench = commands.add_parser(
        "bench",
        help="measure speed, memory, accuracy and robustness",
        description="Measure speed, memory, accuracy and robustness.",
    )
    benchmarks = bench.add_subparsers(dest="benchmark", metavar="BENCHMARK", required=True)
    for benchmark in BENCHMARKS:
        parser = benchmarks.add_parser(
            benchmark.name,
            allow_abbrev=False,
            help=benchmark.help,
            description=benchmark.description,
            epilog=benchmark.epilog,
        )
        benchmark.add_options(parser)
        parser.set_defaults(run=benchmark.run)


def print_report(text: str) -> None:
    """Print a report in Markdown on standard output."""
    print(text, end="")


def run_transcribe(arguments: argparse.Namespace) -> int:
    """Run ``speechattn bench transcribe``."""
    from speechattn.bench.transcribe import bench_transcribe

    if not 1 <= arguments.repeats <= MOST_REPEATS:
        raise UsageError(f"--repeats {arguments.repeats}: give a number from 1 to {MOST_REPEATS}")
    cores, peers = values.parse_cores(arguments.cores), values.parse_peers(arguments.peer)
    long_minutes = values.parse_minutes(arguments.long_minutes)
    listed = values.read_list(arguments.list) if arguments.list is not None else []
    bench_transcribe(
        [*arguments.inputs, *listed],
        model=arguments.model,
        peers=peers,
        repeats=arguments.repeats,
        cores=cores,
        long_minutes=long_minutes,
        output_dir=arguments.output_dir,
        publish=print_report,
        report=report,
    )
    return OK


def run_align(arguments: argparse.Namespace) -> int:
    """Run ``speechattn bench align``."""
    if not 0 < arguments.wrong < 1:
        raise UsageError(f"--wrong {arguments.wrong}: give a share between 0 and 1, such as 0.1")

    from speechattn.bench.align import bench_align

    bench_align(
        Path(arguments.corpus),
        split=arguments.split,
        model=arguments.model,
        lexicons=arguments.lexicon,
        wrong=arguments.wrong,
        seed=arguments.seed,
        output_dir=None if arguments.output_dir is None else Path(arguments.output_dir),
        publish=print_report,
        report=report,
    )
    return OK


def run_attention(arguments: argparse.Namespace) -> int:
    """Run ``speechattn bench attention``."""
    given = {name: getattr(arguments, name) for name in options.AttentionDefaults._fields}
    chosen = (options.QUICK if arguments.quick else options.FULL)._replace(
        **{name: value for name, value in given.items() if value is not None}
    )
    lengths = values.parse_numbers("lengths", chosen.lengths, 1, values.LONGEST)
    windows = values.parse_windows(chosen.windows)
    heads = values.parse_numbers("heads", chosen.heads, 1, 1024)
    dtypes = values.parse_choices("dtypes", chosen.dtypes, options.DTYPES)
    check_number("dim", arguments.dim, 1, 1024)
    check_number("repeats", chosen.repeats, 1, MOST_REPEATS)
    check_number("threads", arguments.threads, 1, MOST_THREADS)

    from speechattn.bench.attention import bench_attention

    bench_attention(
        lengths=lengths,
        windows=windows,
        heads=heads,
        dim=arguments.dim,
        dtypes=dtypes,
        repeats=chosen.repeats,
        threads=arguments.threads,
        backward=arguments.backward,
        memory=arguments.memory,
        output_dir=arguments.output_dir,
        publish=print_report,
        report=report,
    )
    return OK


def run_streaming(arguments: argparse.Namespace) -> int:
    """Run ``speechattn bench streaming``."""
    chunks = values.parse_chunks(arguments.chunks)
    check_number("seconds", arguments.seconds, 1, MOST_SECONDS)
    check_number("threads", arguments.threads, 1, MOST_THREADS)
    check_number("repeats", arguments.repeats, 1, MOST_REPEATS)
    window = None if arguments.window is None else parse_window(arguments.window)

    from speechattn.bench.streaming import bench_streaming

    bench_streaming(
        model=arguments.model,
        window=window,
        chunks=chunks,
        seconds=arguments.seconds,
        threads=arguments.threads,
        repeats=arguments.repeats,
        output_dir=arguments.output_dir,
        publish=print_report,
        report=report,
    )
    return OK


def run_conditions(arguments: argparse.Namespace) -> int:
    """Run ``speechattn bench conditions``; status 1 if some recordings could not be read."""
    conditions = values.parse_conditions(arguments.conditions)
    sets = values.parse_sets(arguments.sets)
    check_number("limit", arguments.limit, 0, MOST_UTTERANCES)
    check_number("threads", arguments.threads, 1, MOST_THREADS)

    from speechattn.bench.conditions import bench_conditions

    results = bench_conditions(
        model=arguments.model,
        corpora=arguments.corpora,
        sets=sets,
        conditions=conditions,
        noise=arguments.noise,
        limit=arguments.limit,
        precision=arguments.precision,
        threads=arguments.threads,
        output_dir=arguments.output_dir,
        publish=print_report,
        report=report,
    )
    return SOME_FAILED if results.failures else OK


def run_accuracy(arguments: argparse.Namespace) -> int:
    """Run ``speechattn bench accuracy``; status 1 if some recordings could not be read."""
    peers = None if arguments.peer is None else values.parse_peers(arguments.peer)
    sets, readings = values.parse_sets(arguments.sets), values.parse_readings(arguments.reading)
    check_number("limit", arguments.limit, 0, MOST_UTTERANCES)
    check_number("threads", arguments.threads, 1, MOST_THREADS)
    window = None if arguments.window is None else parse_window(arguments.window)

    from speechattn.bench.accuracy import bench_accuracy

    results = bench_accuracy(
        models=list(dict.fromkeys(arguments.model or [DEFAULT_MODEL])),
        readings=readings,
        lm_scales=values.parse_scales(arguments.lm_scale),
        peers=peers,
        corpora=arguments.corpora,
        sets=sets,
        limit=arguments.limit,
        window=window,
        precision=arguments.precision,
        threads=arguments.threads,
        output_dir=arguments.output_dir,
        publish=print_report,
        report=report,
    )
    return SOME_FAILED if results.failures else OK


def run_cuda(arguments: argparse.Namespace) -> int:
    """Run ``speechattn bench cuda``; 1 if numbers differ."""
    from speechattn.bench.cuda import bench_cuda

    right = bench_cuda(
        model=arguments.model,
        dry=arguments.dry,
        output_dir=arguments.output_dir,
        publish=lambda text: print(text, end=""),
        report=report,
    )
    return OK if right else SOME_FAILED


def run_windows(arguments: argparse.Namespace) -> int:
    """Run ``speechattn bench windows``."""
    seeds = arguments.seeds or (1 if arguments.quick else options.SEEDS)
    check_number("seeds", seeds, 1, MOST_SEEDS)

    from speechattn.studies.windows import bench_windows

    output = sys.stdout
    # Stages of recipes print on standard output, which is for the report.
    with contextlib.redirect_stdout(sys.stderr):
        bench_windows(
            arguments.config,
            arguments.overrides,
            variants=arguments.variants,
            only=arguments.only,
            seeds=seeds,
            quick=arguments.quick,
            list_only=arguments.list,
            output_dir=arguments.output_dir,
            publish=lambda text: print(text, end="", file=output),
            report=report,
        )
    return OK


def run_g2p(arguments: argparse.Namespace) -> int:
    """Run ``speechattn bench g2p``."""
    check_number("words", arguments.words, 1, MOST_UTTERANCES)
    check_number("seed", arguments.seed, 0, MOST_UTTERANCES)
    if not 0 <= arguments.share <= MOST_SHARE:
        raise UsageError(f"--share {arguments.share}: give a number from 0 to {MOST_SHARE}")

    from speechattn.bench.g2p import bench_g2p

    output = None if arguments.output is None else Path(arguments.output)
    print_report(
        bench_g2p(
            arguments.dictionary,
            share=arguments.share,
            most=arguments.words,
            seed=arguments.seed,
            output=output,
        )
    )
    return OK


BENCHMARKS = (
    Benchmark(
        "transcribe",
        "time `speechattn transcribe`, beside peers and on long recordings",
        "Time `speechattn transcribe` as whole processes, start and imports included: on "
        "recordings as they are, in turn with other phone recognizers and with the encoder alone, "
        "and on long recordings made by repeating them. The report goes to standard output.",
        options.add_transcribe_options,
        run_transcribe,
        "Long recordings lie in a temporary folder (2 MB a minute); TMPDIR says where.",
    ),
    Benchmark(
        "align",
        "compare alignments with those of a corpus, and count wrong words that are found",
        "Align a corpus by its texts and compare words and phones with its own times; replace "
        "words of the texts and count how many are reported; align all recordings as one. The "
        "report goes to standard output.",
        options.add_align_options,
        run_align,
    ),
    Benchmark(
        "attention",
        "time truncated attention beside other ways to compute it",
        "Time truncated attention beside other ways to compute it, in turn in one process, with "
        "the error of each beside its time.",
        options.add_attention_options,
        run_attention,
    ),
    Benchmark(
        "streaming",
        "time recognition in chunks beside the same recording as a whole",
        "Time recognition in chunks of several lengths beside the same recording taken as a "
        "whole, in turn in one process, with the largest difference beside each time.",
        options.add_streaming_options,
        run_streaming,
    ),
    Benchmark(
        "cuda",
        "check the CUDA path against the CPU, and time it",
        "Check attention and the encoder on CUDA against the CPU, time attention beside other ways "
        "to compute it, transcribe an hour and train 200 steps, in at most eight minutes. Exit "
        "status 1 if numbers differ. The report goes to standard output.",
        options.add_cuda_options,
        run_cuda,
    ),
    Benchmark(
        "accuracy",
        "score models and other recognizers on labelled recordings",
        "Score models and other phone recognizers on labelled corpora: phone errors, frames, "
        "boundaries and articulatory features, with intervals over speakers, by corpus and by "
        "group of speakers. The report goes to standard output.",
        options.add_accuracy_options,
        run_accuracy,
    ),
    Benchmark(
        "conditions",
        "score a model in noise, rooms and telephones, and by group of speakers",
        "Score a model on test sets as recorded and in noise, in rooms, at 8 kHz and through a "
        "telephone; by group of speakers; and say what it hears where nobody speaks. The report "
        "goes to standard output.",
        options.add_conditions_options,
        run_conditions,
    ),
    Benchmark(
        "training",
        "say where the time of a training goes",
        "Measure the parts of an update of a recipe on one core: augmentation, forward, losses, "
        "backward, exchange of gradients, optimizer. Nothing is read but the recipe. The report "
        "goes to standard output.",
        options.add_training_options,
        run_profile,
    ),
    Benchmark(
        "windows",
        "train windows of attention and other encoders on one recipe, and compare them",
        "Train windows of attention and other encoders on the same data for as many updates, and "
        "compare their accuracy, size, speed and memory. The same command goes on where it was "
        "interrupted. The report goes to standard output and into a folder.",
        options.add_windows_options,
        run_windows,
    ),
    Benchmark(
        "g2p",
        "score guessed pronunciations on words that were left out",
        "Make a model of pronunciations from a part of a dictionary, and score what it guesses of "
        "the other words. With --share 0 and --output this makes the model that comes with the "
        "package. The report goes to standard output.",
        options.add_g2p_options,
        run_g2p,
    ),
)
