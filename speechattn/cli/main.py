"""The command ``speechattn``; each of its commands is a module beside this one.

Exit status: 0 if everything succeeded, 1 if some recordings failed, 2 if the command could not be
carried out (wrong arguments, no such model, an output folder that cannot be written), 130 if it
was interrupted, 141 if the reader of its output has left. Results go to files or standard output,
everything else to standard error.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import NoReturn

from speechattn import process
from speechattn.cli.align import add_align
from speechattn.cli.bench import add_bench
from speechattn.cli.corpus import add_corpus
from speechattn.cli.messages import report
from speechattn.cli.stream import add_stream
from speechattn.cli.transcribe import add_transcribe
from speechattn.errors import SpeechattnError, UsageError
from speechattn.options import DEFAULT_MODEL, DEVICES

OK, NOT_DONE, INTERRUPTED = 0, 2, 130
MANY = ("inputs", "overrides")  # arguments that may stand several times


class _Parser(argparse.ArgumentParser):
    """Reports wrong arguments like every other error: one line, status 2."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see `{self.prog} --help`")


class _Version(argparse.Action):
    """Prints the version; it is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from speechattn import __version__

        print(f"speechattn {__version__}")
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser: argparse.ArgumentParser = _Parser(
        prog="speechattn", description="Turn speech recordings into time-aligned phone labels."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and leave")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    add_transcribe(commands, DEVICES)
    add_align(commands, DEVICES)
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

    add_corpus(commands)
    add_bench(commands)
    return parser


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line, in which inputs and overrides may stand on both sides of the options.

    Args:
        argv: arguments without the program's name; those of the process if None.

    Raises:
        UsageError: if they are not those of any command.
    """
    parser = build_parser()
    arguments, rest = parser.parse_known_args(argv)
    # argparse fills INPUT... from the first place where inputs stand and gives the others back.
    many = next((name for name in MANY if hasattr(arguments, name)), None)
    if many is None or any(word.startswith("-") for word in rest):
        if rest:
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
    else:
        setattr(arguments, many, [*getattr(arguments, many), *rest])
    return arguments


def run_info(arguments: argparse.Namespace) -> int:
    """Run ``info``: print one ``key: value`` a line on standard output, then the model card."""
    from speechattn.inference.recognizer import load_model

    facts = load_model(arguments.model, device="cpu").describe()
    card = facts.pop("card", None)
    for key, value in facts.items():
        print(f"{key}: {value if isinstance(value, str) else json.dumps(value, default=str)}")
    if card:
        print(f"\n{card.strip()}")
    return OK


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status and never raises for a user's mistake.

    Args:
        argv: arguments without the program's name; those of the process if None.
    """
    try:
        arguments = parse_arguments(argv)
        return arguments.run(arguments)
    except SpeechattnError as error:
        report(f"error: {error}")
        return NOT_DONE
    except KeyboardInterrupt:
        report("interrupted")
        return INTERRUPTED
    except SystemExit as end:  # --help and --version
        return int(end.code or OK)


def run() -> NoReturn:
    """Run the command as a process of its own, and end it with the status of :func:`main`."""
    process.run(main, "speechattn")
