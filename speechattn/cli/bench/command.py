"""``speechattn bench``: a table of the benchmarks, each imported when it is run."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

from speechattn.cli.bench import options, runs


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


BENCHMARKS = (
    Benchmark(
        "transcribe",
        "time `speechattn transcribe`, beside peers and on long recordings",
        "Time `speechattn transcribe` as whole processes, start and imports included: on "
        "recordings as they are, in turn with other phone recognizers and with the encoder alone, "
        "and on long recordings made by repeating them. The report goes to standard output.",
        options.add_transcribe_options,
        runs.run_transcribe,
        "Long recordings lie in a temporary folder (2 MB a minute); TMPDIR says where.",
    ),
    Benchmark(
        "align",
        "compare alignments with those of a corpus, and count wrong words that are found",
        "Align a corpus by its texts and compare words and phones with its own times; replace "
        "words of the texts and count how many are reported; align all recordings as one. The "
        "report goes to standard output.",
        options.add_align_options,
        runs.run_align,
    ),
    Benchmark(
        "attention",
        "time truncated attention beside other ways to compute it",
        "Time truncated attention beside other ways to compute it, in turn in one process, with "
        "the error of each beside its time.",
        options.add_attention_options,
        runs.run_attention,
    ),
    Benchmark(
        "streaming",
        "time recognition in chunks beside the same recording as a whole",
        "Time recognition in chunks of several lengths beside the same recording taken as a "
        "whole, in turn in one process, with the largest difference beside each time.",
        options.add_streaming_options,
        runs.run_streaming,
    ),
    Benchmark(
        "cuda",
        "check the CUDA path against the CPU, and time it",
        "Check attention and the encoder on CUDA against the CPU, time attention beside other ways "
        "to compute it, transcribe an hour and train 200 steps, in at most eight minutes. Exit "
        "status 1 if numbers differ. The report goes to standard output.",
        options.add_cuda_options,
        runs.run_cuda,
    ),
    Benchmark(
        "accuracy",
        "score models and other recognizers on labelled recordings",
        "Score models and other phone recognizers on labelled corpora: phone errors, frames, "
        "boundaries and articulatory features, with intervals over speakers, by corpus and by "
        "group of speakers. The report goes to standard output.",
        options.add_accuracy_options,
        runs.run_accuracy,
    ),
    Benchmark(
        "conditions",
        "score a model in noise, rooms, telephones and codecs, and by group of speakers",
        "Score a model on test sets as recorded and in noise, in rooms, at 8 kHz, through a "
        "telephone and through codecs; by group of speakers; and say what it hears where nobody "
        "speaks. The report goes to standard output.",
        options.add_conditions_options,
        runs.run_conditions,
    ),
    Benchmark(
        "training",
        "say where the time of a training goes",
        "Measure the parts of an update of a recipe on one core: augmentation, forward, losses, "
        "backward, exchange of gradients, optimizer. Nothing is read but the recipe. The report "
        "goes to standard output.",
        options.add_training_options,
        runs.run_profile,
    ),
    Benchmark(
        "windows",
        "train windows of attention and other encoders on one recipe, and compare them",
        "Train windows of attention and other encoders on the same data for as many updates, and "
        "compare their accuracy, size, speed and memory. The same command goes on where it was "
        "interrupted. The report goes to standard output and into a folder.",
        options.add_windows_options,
        runs.run_windows,
    ),
    Benchmark(
        "g2p",
        "score guessed pronunciations on words that were left out",
        "Make a model of pronunciations from a part of a dictionary, and score what it guesses of "
        "the other words. With --share 0 and --output this makes the model that comes with the "
        "package. The report goes to standard output.",
        options.add_g2p_options,
        runs.run_g2p,
    ),
)
