"""What each benchmark of ``speechattn bench`` does with its options; imports it when it is run."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Any

from speechattn.cli.arguments import check_number
from speechattn.cli.bench import options, values
from speechattn.cli.messages import FAILED, OK, print_line, report
from speechattn.errors import UsageError
from speechattn.options import DEFAULT_MODEL, MOST_THREADS, parse_window

MOST_REPEATS = 1000
MOST_SECONDS = 3600  # of sound
MOST_SEEDS = 1000
MOST_UTTERANCES = 10_000_000
MOST_UPDATES = 1000  # of a training, that are counted for a profile
MOST_SHARE = 0.9  # of words that are left out


def print_report(text: str) -> None:
    """Print a report in Markdown on standard output."""
    print(text, end="", flush=True)


def _destinations(arguments: argparse.Namespace) -> dict[str, Any]:
    """Where a benchmark puts its files, its report and its messages."""
    return {"output_dir": arguments.output_dir, "publish": print_report, "report": report}


def _check_sets(arguments: argparse.Namespace) -> None:
    """Check the numbers of a benchmark on labelled recordings."""
    check_number("limit", arguments.limit, 0, MOST_UTTERANCES)
    check_number("threads", arguments.threads, 1, MOST_THREADS)


def run_transcribe(arguments: argparse.Namespace) -> int:
    """Run ``speechattn bench transcribe``."""
    from speechattn.bench.transcription.benchmark import bench_transcribe

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
        **_destinations(arguments),
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

    from speechattn.bench.attention.benchmark import bench_attention

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
        own=arguments.own,
        **_destinations(arguments),
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
        precision=arguments.precision,
        **_destinations(arguments),
    )
    return OK


def run_conditions(arguments: argparse.Namespace) -> int:
    """Run ``speechattn bench conditions``; status 1 if some recordings could not be read."""
    conditions = values.parse_conditions(arguments.conditions)
    sets = values.parse_sets(arguments.sets)
    _check_sets(arguments)

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
        **_destinations(arguments),
    )
    return FAILED if results.failures else OK


def run_accuracy(arguments: argparse.Namespace) -> int:
    """Run ``speechattn bench accuracy``; status 1 if some recordings could not be read."""
    peers = None if arguments.peer is None else values.parse_peers(arguments.peer)
    sets, readings = values.parse_sets(arguments.sets), values.parse_readings(arguments.reading)
    _check_sets(arguments)
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
        **_destinations(arguments),
    )
    return FAILED if results.failures else OK


def run_cuda(arguments: argparse.Namespace) -> int:
    """Run ``speechattn bench cuda``; 1 if numbers differ."""
    from speechattn.bench.cuda import bench_cuda

    right = bench_cuda(
        model=arguments.model,
        dry=arguments.dry,
        **_destinations(arguments),
    )
    return OK if right else FAILED


def run_profile(arguments: argparse.Namespace) -> int:
    """Run ``speechattn bench training``."""
    check_number("updates", arguments.updates, 1, MOST_UPDATES)

    from speechattn.studies.training_profile import profile_updates
    from speechattn.training.recipe_file import read_config

    config = read_config(arguments.config, arguments.overrides)
    print_line(profile_updates(config, arguments.updates).report(config.name).rstrip())
    return OK


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
    check_number("epochs", arguments.epochs, 0, MOST_UTTERANCES)
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
            network=None if arguments.network == "none" else arguments.network,
            epochs=arguments.epochs,
        )
    )
    return OK
