"""The command ``speechattn``; each of its commands is a module or folder beside this one.

Exit status: 0 if everything succeeded, 1 if some recordings failed, 2 if the command could not be
carried out (wrong arguments, no such model, an output folder that cannot be written), 130 if it
was interrupted, 141 if the reader of its output has left. Results go to files or standard output,
everything else to standard error.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from speechattn import process
from speechattn.cli.messages import INTERRUPTED, NOT_DONE, OK, report
from speechattn.errors import SpeechattnError, UsageError

# In the order of the help. Each is beside this one, imported when it is used.
COMMANDS = (
    *("transcribe", "align", "stream", "show", "report", "demo", "info", "warmup"),
    *("train", "decoder", "corpus", "export", "bench"),
)
MANY = ("inputs", "overrides")  # arguments that may stand several times
# Options that have a letter, the same in every command.
LETTERS = {
    **{"--output-dir": "-o", "--output": "-o", "--format": "-f", "--model": "-m"},
    **{"--workers": "-w", "--quiet": "-q"},
}


class _Parser(argparse.ArgumentParser):
    """Reports wrong arguments like every other error: one line, status 2.

    Options of :data:`LETTERS` get their letter.
    """

    def add_argument(self, *names: str, **settings: Any) -> argparse.Action:
        """As that of argparse."""
        letters = [LETTERS[name] for name in names if name in LETTERS]
        return super().add_argument(*letters, *names, **settings)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see `{self.prog} --help`")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As that of argparse; the namespace gets ``parser``, that of the innermost command."""
        namespace, rest = super().parse_known_args(args, namespace)
        if not hasattr(namespace, "parser"):
            namespace.parser = self
        return namespace, rest

    def refuse(self, words: Sequence[str]) -> NoReturn:
        """Report words that are no arguments of this command, with options that look like them.

        Raises:
            UsageError: always.
        """
        known = [name for name in self._option_string_actions if name.startswith("--")]
        given = [word.partition("=")[0] for word in words if word.startswith("-")]
        near = [name for word in given for name in difflib.get_close_matches(word, known, n=1)]
        hint = f", did you mean {' and '.join(dict.fromkeys(near))}?" if near else ""
        self.error(f"unrecognized arguments: {' '.join(words)}{hint}")


class _Version(argparse.Action):
    """Prints the version; it is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from speechattn import __version__

        print(f"speechattn {__version__}")
        parser.exit()


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """Return the parser.

    Args:
        command: one of :data:`COMMANDS`, which alone is imported then; None for all of them.
    """
    parser: argparse.ArgumentParser = _Parser(
        prog="speechattn", description="Turn speech recordings into time-aligned phone labels."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and leave")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS if command is None else [command]:
        module = importlib.import_module(f"speechattn.cli.{name}")
        getattr(module, f"add_{name}")(commands)
    return parser


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line, in which inputs and overrides may stand on both sides of the options.

    Args:
        argv: arguments without the program's name; those of the process if None.

    Raises:
        UsageError: if they are not those of any command, or a file would be taken for the letter
            of an option with its value, as ``-out.wav`` for ``-o ut.wav``.
    """
    words = sys.argv[1:] if argv is None else argv
    only = words[0] if words and words[0] in COMMANDS else None
    options = words[: words.index("--")] if "--" in words else words
    files = list(filter(_is_file_with_dash, options))
    if file := next(filter(_begins_with_letter, files), None):
        raise _dash_error(file, only)
    try:
        return _parsed(only, words)
    except UsageError:
        if files:
            raise _dash_error(files[0], only) from None
        raise


def _dash_error(file: str, command: str | None) -> UsageError:
    """The error for a file that looks like an option."""
    apart = ""
    if _begins_with_letter(file):
        apart = f"; if it is an option, write {file[:2]} {file[2:]}"
    help = " ".join(["speechattn", *([command] if command else []), "--help"])
    return UsageError(
        f"{file!r} looks like an option; if it is a file, write ./{file}, or -- before it{apart}; "
        f"see `{help}`"
    )


def _begins_with_letter(word: str) -> bool:
    """Whether a word may be the letter of an option with its value behind it."""
    return len(word) > 2 and word[:2] in LETTERS.values()


def _is_file_with_dash(word: str) -> bool:
    """Whether a word that is taken for an option is rather a file."""
    if not word.startswith("-") or word == "-":
        return False
    if os.path.lexists(word):
        return True
    return re.fullmatch(r"-[^=]*\.[A-Za-z]\w*", word) is not None


def _parsed(only: str | None, words: Sequence[str]) -> argparse.Namespace:
    arguments, rest = build_parser(only).parse_known_args(words)
    # argparse fills INPUT... from the first place where inputs stand and gives the others back.
    many = next((name for name in MANY if hasattr(arguments, name)), None)
    split = rest.index("--") if "--" in rest else len(rest)
    if many is None or any(word.startswith("-") for word in rest[:split]):
        if rest:
            arguments.parser.refuse(rest)
    else:
        setattr(arguments, many, [*getattr(arguments, many), *rest[:split], *rest[split + 1 :]])
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status and never raises for a user's mistake.

    Args:
        argv: arguments without the program's name; those of the process if None.
    """
    try:
        arguments = parse_arguments(argv)
        if getattr(arguments, "quiet", False) and process.is_own_process():
            process.be_quiet()
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
