"""``speechattn report``: a page about a run of the recipe, or about a batch of recordings."""

from __future__ import annotations

import argparse
from pathlib import Path

from speechattn.cli.arguments import int_argument
from speechattn.cli.messages import OK, announce_page, check_page, report

SOUNDS = ("link", "embed", "none")  # as in viewer.report_players, which takes long to import
MOST_UTTERANCES = 500


def add_report(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of ``speechattn``."""
    parser = commands.add_parser(
        "report",
        allow_abbrev=False,
        help="write a page about a training or a batch",
        description="Write one HTML page, which needs neither network nor server, about a run: "
        "training curves, confusions, errors by phone and by speaker, lengths and boundaries of "
        "phones, calibration, and the worst and best utterances with players.",
        epilog="Exit status: 0 the page was written, 2 it was not, 130 interrupted.",
    )
    parser.set_defaults(run=run_report)
    parser.add_argument(
        "folder",
        metavar="RUN",
        help="work folder of a recipe, or output folder of `speechattn transcribe` or `align`",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="the page (default: report.html in RUN)",
    )
    parser.add_argument(
        "--reference",
        metavar="WHERE",
        help="for a batch: a corpus folder, or a folder of TextGrids, CTMs or JSONs that mirrors "
        "that of the recordings",
    )
    parser.add_argument(
        "--recordings",
        metavar="DIR",
        help="for a batch: where its recordings are now",
    )
    parser.add_argument(
        "--utterances",
        type=int_argument(0, MOST_UTTERANCES),
        default=25,
        metavar="N",
        help="list the N worst and the N best utterances (default: 25)",
    )
    parser.add_argument(
        "--sound",
        choices=SOUNDS,
        default="link",
        help="link recordings, so that the page stays small; embed those that are listed, up to 5 "
        "minutes; or have no players (default: link; what browsers cannot play is embedded)",
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.add_argument("--quiet", action="store_true", help="print errors only")


def run_report(arguments: argparse.Namespace) -> int:
    """Run ``report``; return the exit status."""
    folder = Path(arguments.folder)
    output = Path(arguments.output) if arguments.output else folder / "report.html"
    check_page(output)

    def status(line: str) -> None:
        if not arguments.quiet:
            report(line)

    # Imported here: NumPy and what reads sound, which `speechattn --help` does without.
    from speechattn.viewer.report import ReportOptions, report_page

    options = ReportOptions(
        reference=Path(arguments.reference) if arguments.reference else None,
        recordings=Path(arguments.recordings) if arguments.recordings else None,
        utterances=arguments.utterances,
        sound=arguments.sound,
    )
    report_page(folder, output, options, status)
    announce_page(output, quiet=arguments.quiet, browser=arguments.open)
    return OK
