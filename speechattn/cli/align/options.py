"""The options of ``speechattn align``."""

from __future__ import annotations

import argparse

from speechattn.cli.print_transcripts import printed_format
from speechattn.cli.transcribe_options import (
    FORMAT,
    add_run,
    add_work,
    parse_channel,
    parse_formats,
)
from speechattn.errors import UsageError
from speechattn.options import DEFAULT_MODEL, parse_window
from speechattn.phones import LABELS
from speechattn.transcription.formats.registry import POSTERIORS, WORD_FILES, WORDS_CTM, WRITERS

UNKNOWN = ("guess", "spell", "fail")  # as in alignment.pronunciations, which takes long to import
NO_REDUCTIONS = "none"
PRINTED_ALIGNMENT = "csv"  # has words and phones, unlike ctm
DESCRIPTION = (
    "Write when the words of transcripts, and their phones, are said in recordings. Without "
    "--output-dir they are printed. With it, that folder gets a file for each recording and "
    "format, and transcripts.jsonl with all of them. Folders are searched with all their folders, "
    "and the output folder gets the same ones. Where a text and its recording differ is reported, "
    "and the rest is aligned."
)
EPILOG = (
    "Exit status: 0 all recordings went well, 1 some failed (each is named), 2 nothing could be "
    "done, 130 interrupted."
)


def add_options(align: argparse.ArgumentParser) -> None:
    """Add all options.

    Args:
        align: parser of the command.
    """
    align.add_argument(
        "inputs",
        nargs="+",
        metavar="AUDIO",
        help="audio file or folder, or a URL of one (extra fsspec); @FILE for a list",
    )
    align.add_argument(
        "--text",
        required=True,
        metavar="WHERE",
        help="what is said: a folder with a .txt, .lab or .TextGrid file for each recording, one "
        "such file for one recording, - for standard input, a Kaldi text file or folder, or a .csv "
        "or .tsv table with a header",
    )
    align.add_argument(
        "--encoding",
        metavar="NAME",
        help="of the transcripts, such as latin-1 or cp1252 (default: UTF-8, or UTF-16 with a byte "
        "order mark)",
    )
    align.add_argument(
        "--output-dir",
        metavar="DIR",
        help="folder for the results (default: print them on standard output)",
    )
    align.add_argument(
        "--format",
        metavar="LIST",
        help=f"of {', '.join(WRITERS)}, separated by commas (default: {FORMAT}); "
        f"{', '.join(WORD_FILES)} have the words in a file of their own, such as "
        f"*{WORDS_CTM.suffix}. What is printed has one format (default: {PRINTED_ALIGNMENT})",
    )
    _add_words(align)
    align.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="NAME_OR_DIR",
        help=f"name or folder of a model (default: {DEFAULT_MODEL}, which comes with the package)",
    )
    align.add_argument(
        "--window",
        type=parse_window,
        metavar="LEFT/RIGHT",
        help="10 ms frames that every block of the encoder looks back and ahead; for models "
        "trained with encoder.any_window (default: the model's own)",
    )
    align.add_argument(
        "--phones",
        choices=LABELS,
        default="arpabet",
        help="what phones are called: arpabet, the model's own labels, or ipa (default: arpabet)",
    )
    align.add_argument(
        "--channel",
        type=parse_channel,
        metavar="N",
        help="channel to take from recordings with several, counted from 0 (default: their mean)",
    )
    align.add_argument(
        "--posteriors",
        choices=tuple(POSTERIORS),
        help="write the probability of every phone in every 10 ms as well",
    )
    add_work(align)
    add_run(align)
    errors = next(action for action in align._actions if action.dest == "errors")
    errors.help = (
        "write where texts and recordings differ (file, start, end, kind, words, heard, score) "
        "and which recordings failed: a table if FILE ends in .csv or .tsv, otherwise lines of JSON"
    )


def _add_words(align: argparse.ArgumentParser) -> None:
    """Add the options about words and how they are said."""
    align.add_argument(
        "--lexicon",
        action="append",
        default=[],
        metavar="FILE",
        help="how words are said, in the form of CMU or MFA, before the dictionary of US English "
        "that comes with the package; may be given several times, the first file that lists a word "
        "counts",
    )
    align.add_argument(
        "--unknown",
        choices=UNKNOWN,
        default="guess",
        help="what becomes of a word of no dictionary: it is guessed from its letters, or taken "
        "letter by letter, or its recording fails (default: guess); what was assumed is listed",
    )
    align.add_argument(
        "--reductions",
        default="english",
        metavar="TABLE",
        help="what may be said instead of the dictionary's forms, such as a dropped T: a table in "
        f"the form of data/reductions.tsv, or {NO_REDUCTIONS} (default: english, for models with "
        "its phones)",
    )
    align.add_argument(
        "--every-word",
        action="store_true",
        help="give every word of a text a time, whether it was said or not",
    )


def check_formats(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return the formats that are written, or the one that is printed.

    Raises:
        UsageError: if one is unknown or cannot be printed, or every channel is asked for.
    """
    if arguments.output_dir is None:
        formats = [printed_format(arguments, PRINTED_ALIGNMENT)]
    else:
        formats = parse_formats(arguments.format or FORMAT)
    if isinstance(arguments.channel, str):
        raise UsageError(
            f"--channel {arguments.channel}: a text is of one channel; run once for each, into "
            "different folders"
        )
    return tuple(formats)
