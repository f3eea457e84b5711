"""The command ``speechattn``: ``transcribe``, ``stream``, ``info`` about a model, ``bench``.

Exit status: 0 if everything went well, 1 if some recordings failed, 2 if the command could not be
carried out (wrong arguments, no such model, an output folder that cannot be written), 130 if it
was interrupted. Results go to files or standard output, everything else to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

# The recognizer, and PyTorch with it, is imported when a command needs it: help comes at once.
from speechattn.batch import TRANSCRIPTS, transcribe_files
from speechattn.bench.command import MOST_THREADS, add_bench, whole_number
from speechattn.errors import SpeechattnError, UsageError
from speechattn.inputs import collect
from speechattn.resources import DEFAULT_MODEL
from speechattn.stream_command import add_stream
from speechattn.text import one_line
from speechattn.writers import WRITERS

OK, SOME_FAILED, NOT_DONE, INTERRUPTED = 0, 1, 2, 130
DEVICES = ("auto", "cpu", "cuda")


class _Parser(argparse.ArgumentParser):
    """Reports wrong arguments like every other error: one line, status 2."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see `{self.prog} --help`")


class _Version(argparse.Action):
    """Prints the version, which is looked up only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from speechattn import __version__

        print(f"speechattn {__version__}")
        parser.exit()


def parse_formats(text: str) -> list[str]:
    """Split a list such as ``textgrid,ctm``; a format named twice counts once.

    Raises:
        UsageError: if a format is unknown or none is named.
    """
    names = list(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in WRITERS]
    if unknown or not names:
        what = f"unknown format {unknown[0]!r}" if unknown else "no format"
        raise UsageError(f"--format {text}: {what}; choose from {', '.join(WRITERS)}")
    return names


def parse_channel(text: str) -> int:
    """A channel number, counted from 0."""
    try:
        channel = int(text)
    except ValueError:
        channel = -1
    if channel < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no channel; the first one is 0")
    return channel


def build_parser() -> argparse.ArgumentParser:
    """The arguments of all commands."""
    parser = _Parser(
        prog="speechattn", description="Turn speech recordings into time-aligned phone labels."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and leave")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_transcribe(commands)
    add_stream(commands, DEVICES)

    info = commands.add_parser(
        "info", help="describe a model", description="Describe a model: phones, context, size."
    )
    info.set_defaults(run=run_info)
    info.add_argument(
        "model",
        nargs="?",
        default=DEFAULT_MODEL,
        metavar="MODEL",
        help=f"name or folder of a model (default: {DEFAULT_MODEL})",
    )

    add_bench(commands)
    return parser


def _add_transcribe(commands: argparse._SubParsersAction) -> None:
    transcribe = commands.add_parser(
        "transcribe",
        allow_abbrev=False,
        help="write the phones of recordings and when they are spoken",
        description="Write the phones of recordings and when they are spoken, one file a "
        f"recording and format, and {TRANSCRIPTS} with all of them. Folders are searched with "
        "all their folders, and the output folder gets the same ones.",
        epilog="Exit status: 0 all recordings went well, 1 some failed (each is named), 2 nothing "
        "could be done, 130 interrupted.",
    )
    transcribe.set_defaults(run=run_transcribe)
    transcribe.add_argument("inputs", nargs="+", metavar="INPUT", help="audio file or folder")
    transcribe.add_argument(
        "--output-dir", required=True, metavar="DIR", help="folder for the results"
    )
    transcribe.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="NAME_OR_DIR",
        help=f"name or folder of a model (default: {DEFAULT_MODEL}, which comes with the package)",
    )
    transcribe.add_argument(
        "--format",
        default="textgrid",
        metavar="LIST",
        help=f"of {', '.join(WRITERS)}, separated by commas (default: textgrid)",
    )
    transcribe.add_argument(
        "--device", choices=DEVICES, default="auto", help="where to compute (default: auto)"
    )
    transcribe.add_argument(
        "--threads",
        type=whole_number(0, MOST_THREADS),
        default=0,
        metavar="N",
        help="threads that the encoder computes with on a CPU (default: 0, PyTorch's own choice)",
    )
    transcribe.add_argument(
        "--channel",
        type=parse_channel,
        metavar="N",
        help="channel to take from recordings with several, counted from 0 (default: their mean)",
    )
    transcribe.add_argument(
        "--quiet", action="store_true", help="print failures only, no progress and no summary"
    )


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line, in which inputs may stand on both sides of the options.

    Raises:
        UsageError: if it makes no sense.
    """
    parser = build_parser()
    arguments, rest = parser.parse_known_args(argv)
    # argparse fills INPUT... from the first place where inputs stand and gives the others back.
    if not hasattr(arguments, "inputs") or any(word.startswith("-") for word in rest):
        if rest:
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
    else:
        arguments.inputs += rest
    return arguments


def run_transcribe(arguments: argparse.Namespace) -> int:
    """The command ``transcribe``; returns the exit status."""
    formats = parse_formats(arguments.format)
    jobs = collect(arguments.inputs, arguments.output_dir, formats)

    from speechattn.recognizer import load_model

    if arguments.threads:
        import torch

        torch.set_num_threads(arguments.threads)
    recognizer = load_model(arguments.model, device=arguments.device)
    try:
        summary = transcribe_files(
            jobs,
            recognizer,
            arguments.output_dir,
            channel=arguments.channel,
            progress=not arguments.quiet,
        )
    except KeyboardInterrupt:
        partial = os.path.join(arguments.output_dir, TRANSCRIPTS + ".partial")
        _say(f"interrupted; the recordings done so far are listed in {partial}")
        return INTERRUPTED
    for error in summary.errors:
        _say(f"failed: {error}")
    if not arguments.quiet:
        _say(str(summary))
    return SOME_FAILED if summary.errors else OK


def run_info(arguments: argparse.Namespace) -> int:
    """The command ``info``: one ``key: value`` a line on standard output, then the model card."""
    from speechattn.recognizer import load_model

    facts = load_model(arguments.model, device="cpu").describe()
    card = facts.pop("card", None)
    for key, value in facts.items():
        print(f"{key}: {value if isinstance(value, str) else json.dumps(value, default=str)}")
    if card:
        print(f"\n{card.strip()}")
    return OK


def _say(message: str) -> None:
    print(f"speechattn: {one_line(message)}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status and never raises for a user's mistake.

    Args:
        argv: arguments without the program's name; those of the process by default.
    """
    try:
        arguments = parse_arguments(argv)
        return arguments.run(arguments)
    except SpeechattnError as error:
        _say(f"error: {error}")
        return NOT_DONE
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except SystemExit as leaving:  # --help and --version
        return int(leaving.code or OK)
