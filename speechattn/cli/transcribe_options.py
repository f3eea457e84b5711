"""The options of ``speechattn transcribe``, and how their texts are understood."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from speechattn.cli.arguments import add_device, add_precision, int_argument
from speechattn.errors import UsageError
from speechattn.inference.transcription import TranscribeOptions
from speechattn.options import ALL_CHANNELS, FORMS, MOST_THREADS, READINGS
from speechattn.phones import LABELS
from speechattn.transcription.batch import WORKERS_ON_CUDA
from speechattn.transcription.formats.registry import (
    NEED_WORDS,
    POSTERIORS,
    WORDS_CTM,
    WRITERS,
    check_channels,
)
from speechattn.transcription.inputs import SMALL_SECONDS
from speechattn.transcription.model_spec import ModelSpec
from speechattn.transcription.shards import parse_shard

MOST_WORKERS = 1024
MOST_ALTERNATIVES = 100
FORMAT, PRINTED_FORMAT = "textgrid", "ctm"  # of files, on standard output


def parse_formats(text: str) -> list[str]:
    """Split a list such as ``textgrid,ctm``; a format that stands in it twice counts once.

    Raises:
        UsageError: if a format is unknown or none is named.
    """
    names = list(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in WRITERS]
    if unknown or not names:
        what = f"unknown format {unknown[0]!r}" if unknown else "no format"
        raise UsageError(f"--format {text}: {what}; choose from {', '.join(WRITERS)}")
    return names


def parse_channel(text: str) -> int | str:
    """Parse a channel number, counted from 0, or ``all``."""
    if text == ALL_CHANNELS:
        return text
    try:
        channel = int(text)
    except ValueError:
        channel = -1
    if channel < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no channel; the first one is 0, or all")
    return channel


def model_spec(arguments: argparse.Namespace, model: Path) -> ModelSpec:
    """Return which model the command loads, and how."""
    return ModelSpec(
        str(model),
        arguments.device,
        arguments.threads,
        arguments.precision,
        arguments.window,
        arguments.lm_scale,
        arguments.reading,
    )


def transcribe_options(arguments: argparse.Namespace, formats: Sequence[str]) -> TranscribeOptions:
    """Return how each recording is transcribed.

    Args:
        arguments: of the command.
        formats: that are written or printed.

    Raises:
        UsageError: if a format cannot hold every channel, or words are wanted of a reading without.
    """
    needing = [name for name in formats if name in NEED_WORDS]
    _check_words(arguments, needing)
    options = TranscribeOptions(
        channel=arguments.channel,
        posteriors=False,  # in memory: files of them are written block by block
        labels=arguments.phones,
        alternatives=arguments.alternatives,
        words=arguments.words or bool(needing),
        forms=arguments.forms,
    )
    if options.every_channel:
        check_channels(formats)
    return options


def _check_words(arguments: argparse.Namespace, needing: Sequence[str]) -> None:
    """Refuse to give words of a reading that has none.

    Args:
        arguments: of the command.
        needing: formats that hold nothing but words.

    Raises:
        UsageError: if words are wanted all the same.
    """
    if arguments.reading != READINGS[0]:
        reading = f"--reading {arguments.reading}"
    elif arguments.lm_scale == 0:
        reading = "--lm-scale 0"
    else:
        return
    if needing:
        raise UsageError(
            f"--format {needing[0]}: holds nothing but words, and {reading} reads none; leave out "
            f"{reading}, or choose a format of phones, such as {FORMAT} or {PRINTED_FORMAT}"
        )
    for option, wanted in (("--words", arguments.words), ("--forms", arguments.forms != FORMS[0])):
        if wanted:
            raise UsageError(
                f"{option}: needs words, and {reading} reads none; leave one of them out"
            )


def add_contents(transcribe: argparse.ArgumentParser) -> None:
    """Add the options about the contents of the outputs."""
    transcribe.add_argument(
        "--format",
        metavar="LIST",
        help=f"one or more of {', '.join(WRITERS)}, separated by commas (default: {FORMAT}). What "
        f"is printed has one format (default: {PRINTED_FORMAT}, or txt with --words)",
    )
    transcribe.add_argument(
        "--phones",
        choices=LABELS,
        default="arpabet",
        help="what phones are called in all outputs: arpabet, the model's own labels, or ipa "
        "(default: arpabet)",
    )
    transcribe.add_argument(
        "--alternatives",
        type=int_argument(0, MOST_ALTERNATIVES),
        default=0,
        metavar="N",
        help="with each phone, give the N most probable others, in json and in transcripts.jsonl "
        "(default: 0)",
    )
    transcribe.add_argument(
        "--posteriors",
        choices=tuple(POSTERIORS),
        help="also write the probability of every phone in every 10 ms: npz for NumPy (arrays "
        "posteriors, labels, frame_shift), ark for Kaldi",
    )


def add_words(transcribe: argparse.ArgumentParser) -> None:
    """Add the options about words."""
    transcribe.add_argument(
        "--words",
        action="store_true",
        help="also write the words: as a tier, list or captions, or, of formats with one sequence "
        f"of labels, in a file of their own, such as *{WORDS_CTM.suffix}. The formats "
        f"{' and '.join(NEED_WORDS)} imply it. What is none of the model's words is <unk>",
    )
    transcribe.add_argument(
        "--forms",
        choices=FORMS,
        default=FORMS[0],
        help="which phones a word has: heard, those that were said; dictionary, those that the "
        "dictionary lists for it (default: heard)",
    )


def add_work(transcribe: argparse.ArgumentParser) -> None:
    """Add the options about the use of the machine."""
    add_device(transcribe)
    transcribe.add_argument(
        "--workers",
        type=int_argument(0, MOST_WORKERS),
        default=0,
        metavar="N",
        help="processes that transcribe side by side; the results are the same for any number. "
        "The first takes some 500 MB, each more 200 MB on Linux and 500 MB elsewhere (default: 0, "
        f"one for each core that may be used, with CUDA {WORKERS_ON_CUDA} at most, fewer if "
        f"memory is short, and one below {SMALL_SECONDS:.0f} s of audio)",
    )
    transcribe.add_argument(
        "--threads",
        type=int_argument(0, MOST_THREADS),
        default=1,
        metavar="N",
        help="threads of each worker; more than one helps where there are fewer recordings than "
        "cores; 0 for one for each core. The last digits of results may depend on it (default: 1, "
        "and in 8 bits, where they do not, all cores for one process with a large encoder)",
    )
    add_precision(
        transcribe,
        "number format: int8 and bf16 are faster on processors with instructions for them, "
        "and change probabilities in the second or third decimal; fp32 gives the same on all "
        "(default: auto, the fastest that this processor has; run.json says which)",
    )
    transcribe.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="let a Ray cluster transcribe (extra ray): HOST:PORT, auto for the cluster that this "
        "machine belongs to, local to start one here. Its machines must find recordings, output "
        "folder and model under the same paths. There, --workers 0 is one for each core of the "
        "cluster, --device auto the CPU, --device cuda a GPU for each worker",
    )
    transcribe.add_argument(
        "--shard",
        type=parse_shard,
        metavar="I/N",
        help="transcribe only part I of N of the recordings, on one of several machines. When all "
        "have ended, the same command with --resume and without --shard puts the parts together",
    )


def add_run(transcribe: argparse.ArgumentParser) -> None:
    """Add the options about the beginning and the end of a run."""
    transcribe.add_argument(
        "--resume",
        action="store_true",
        help="go on with an interrupted run: leave out recordings that are done and have not "
        "changed since",
    )
    transcribe.add_argument(
        "--keep-suffix",
        action="store_true",
        help="name outputs a.wav.TextGrid in place of a.TextGrid, for folders that have an a.wav "
        "and an a.mp3",
    )
    transcribe.add_argument(
        "--fail-fast", action="store_true", help="stop at the first recording that fails"
    )
    transcribe.add_argument(
        "--errors",
        metavar="FILE",
        help="write a line of JSON for each recording that failed: file, kind, error",
    )
    transcribe.add_argument(
        "--quiet", action="store_true", help="print failures only, no progress and no summary"
    )
