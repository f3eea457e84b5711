"""The command ``speechattn corpus``: ``check`` and ``convert``.

Exit status: 0 if nothing is wrong, 1 if problems were found (``convert`` writes the rest), 2 if
the corpus cannot be read or written. Problems go to standard output, one a line.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from speechattn.cli.messages import FAILED, OK, print_line, report
from speechattn.errors import SpeechattnError, cannot_write
from speechattn.text import counted, length_of_time, one_line

if TYPE_CHECKING:
    from speechattn.corpora.corpus import Corpus

CUTS = (".jsonl", ".jsonl.gz")  # what an output of Lhotse cuts is called


def add_corpus(commands: argparse._SubParsersAction) -> None:
    """Add the command and its two parts."""
    corpus = commands.add_parser(
        "corpus",
        help="check or convert a corpus",
        description="Check a corpus as it is published, or convert it to the form that recipes "
        "train on.",
    )
    parts = corpus.add_subparsers(dest="part", metavar="check|convert", required=True)
    check = parts.add_parser(
        "check",
        help="list everything that is wrong with a corpus",
        description="Read a corpus and list everything that is wrong with it, one line each.",
    )
    check.set_defaults(run=run_check)
    convert = parts.add_parser(
        "convert",
        help="write a corpus as a folder that recipes can train on",
        description="Write a corpus as a folder in Kaldi's form, or as cuts of Lhotse. Recordings "
        "are not copied.",
    )
    convert.set_defaults(run=run_convert)
    for command in (check, convert):
        command.add_argument("folder", metavar="FOLDER", help="of the corpus")
        command.add_argument(
            "--format",
            metavar="NAME",
            help="timit, librispeech, buckeye, mfa, l2arctic, speechocean762, kaldi, commonvoice, "
            "lhotse, or texts for recordings with a .txt or .lab file beside each (default: found "
            "out where it is certain)",
        )
        command.add_argument(
            "--phones",
            default="arpabet",
            metavar="NAME",
            help="phone set that its labels become: the name of one that comes with the package, "
            "or a table (default: arpabet)",
        )
        command.add_argument(
            "--alignments",
            metavar="DIR",
            help="folder of TextGrids, for librispeech and mfa (default: under FOLDER)",
        )
    convert.add_argument(
        "out", metavar="OUT", help="new folder; a name that ends in .jsonl or .jsonl.gz for cuts"
    )


def _read(arguments: argparse.Namespace) -> Corpus:
    """Read the corpus; if nothing of it is usable, its problems are printed all the same."""
    from speechattn.corpora.readers import read_published
    from speechattn.corpora.readers.builder import NothingUsableError

    try:
        return read_published(
            arguments.folder,
            arguments.format,
            phones=arguments.phones,
            alignments=arguments.alignments,
        )
    except NothingUsableError as error:
        for problem in error.problems:
            print_line(one_line(problem))
        raise


def run_check(arguments: argparse.Namespace) -> int:
    """Run ``corpus check``; return the exit status."""
    return _report(_read(arguments))


def run_convert(arguments: argparse.Namespace) -> int:
    """Run ``corpus convert``; return the exit status."""
    from pathlib import Path

    from speechattn.corpora.readers.lhotse import write_cuts
    from speechattn.corpora.writing import write_corpus

    corpus = _read(arguments)
    out = Path(arguments.out)
    try:
        if out.name.endswith(CUTS):
            write_cuts(corpus, out)
        else:
            corpus = write_corpus(corpus, out)
    except OSError as error:
        raise SpeechattnError(cannot_write(out, error)) from error
    status = _report(corpus)
    if all(utterance.alignment is None for utterance in corpus):
        report("no phones are written, since there are none; a recipe finds them: align=english")
    return status


def _report(corpus: Corpus) -> int:
    """Print the problems, and on standard error what the corpus holds; returns the status."""
    problems = (*corpus.problems, *corpus.notes)
    for problem in problems:
        print_line(one_line(problem))
    seconds = sum(utterance.duration or 0.0 for utterance in corpus)
    speakers = len({utterance.speaker for utterance in corpus})
    aligned = sum(utterance.alignment is not None for utterance in corpus)
    report(
        f"{counted(len(corpus), 'utterance')}, {length_of_time(seconds)}, "
        f"{counted(speakers, 'speaker')}, {aligned} with phones; "
        f"{counted(len(problems), 'problem')}"
    )
    for name, ids in corpus.splits.items():
        report(f"split {name}: {counted(len(ids), 'utterance')}")
    return FAILED if problems else OK
