"""The options of ``speechattn transcribe``, and how their texts are understood."""

from __future__ import annotations

import argparse

from speechattn.cli.arguments import add_device, int_argument
from speechattn.errors import UsageError
from speechattn.options import ALL_CHANNELS, FORMS, MOST_THREADS, PRECISIONS
from speechattn.phones import LABELS
from speechattn.transcription.batch import WORKERS_ON_CUDA
from speechattn.transcription.formats.registry import NEED_WORDS, POSTERIORS, WORDS_CTM, WRITERS
from speechattn.transcription.inputs import SMALL_SECONDS
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


def add_contents(transcribe: argparse.ArgumentParser) -> None:
    """Add the options about the contents of the outputs."""
    transcribe.add_argument(
        "--format",
        metavar="LIST",
        help=f"of {', '.join(WRITERS)}, separated by commas (default: {FORMAT}; on standard output "
        f"one of them, {PRINTED_FORMAT} by default, or txt with --words)",
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
        help="give the N most probable other phones with each, in json and in "
        "transcripts.jsonl (default: 0)",
    )
    transcribe.add_argument(
        "--posteriors",
        choices=tuple(POSTERIORS),
        help="write the probability of every phone in every 10 ms as well: npz with the arrays "
        "posteriors, labels and frame_shift, or a Kaldi archive",
    )


def add_words(transcribe: argparse.ArgumentParser) -> None:
    """Add the options about words."""
    transcribe.add_argument(
        "--words",
        action="store_true",
        help="write the words as well, as tier, list or captions; formats with one sequence of "
        f"labels write them to a file of their own, such as *{WORDS_CTM.suffix}. Implied by "
        f"{' and '.join(NEED_WORDS)}. What is none of the model's words is <unk>",
    )
    transcribe.add_argument(
        "--forms",
        choices=FORMS,
        default=FORMS[0],
        help="phones of words: heard, as they were said, or dictionary, as a dictionary lists "
        "them (default: heard)",
    )


def add_work(transcribe: argparse.ArgumentParser) -> None:
    """Add the options about the use of the machine."""
    add_device(transcribe)
    transcribe.add_argument(
        "--workers",
        type=int_argument(0, MOST_WORKERS),
        default=0,
        metavar="N",
        help="processes that transcribe side by side, of some 600 MB each; the results are the "
        "same (default: 0, one for each core that may be used, with CUDA "
        f"{WORKERS_ON_CUDA} at most, fewer if memory is short, and one below {SMALL_SECONDS:.0f} s "
        "of audio)",
    )
    transcribe.add_argument(
        "--threads",
        type=int_argument(0, MOST_THREADS),
        default=1,
        metavar="N",
        help="threads of each worker, for long recordings that are fewer than the cores; another "
        "number may change the last digits of results (default: 1; 0 is PyTorch's own choice)",
    )
    transcribe.add_argument(
        "--precision",
        choices=("auto", *PRECISIONS),
        default="auto",
        help="bf16 and int8 multiply matrices in 16 and 8 bits, on processors with instructions "
        "for it: faster, and probabilities differ in the third or second decimal; fp32 is the same "
        "everywhere (default: auto, the fastest there is; run.json says which)",
    )
    transcribe.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="let the workers of a Ray cluster transcribe (extra ray): HOST:PORT, auto, or local "
        "to start one here; --workers 0 is one for each of its cores. Its machines must find "
        "recordings, output folder and model under the same paths as this one. --device auto is "
        "the CPU there, cuda a GPU for each worker",
    )
    transcribe.add_argument(
        "--shard",
        type=parse_shard,
        metavar="I/N",
        help="transcribe only the recordings of the Ith of N shards, on each of several machines; "
        "then run once more with --resume and without --shard to put the shards together",
    )


def add_run(transcribe: argparse.ArgumentParser) -> None:
    """Add the options about the beginning and the end of a run."""
    transcribe.add_argument(
        "--resume",
        action="store_true",
        help="go on with a run that was interrupted: leave out what has been done and has not "
        "changed since",
    )
    transcribe.add_argument(
        "--keep-suffix",
        action="store_true",
        help="name outputs after the whole file name, a.wav.TextGrid: for folders in which "
        "recordings differ in their suffix only",
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
