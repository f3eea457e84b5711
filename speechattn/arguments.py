"""Arguments, and types of them, that several commands take."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from speechattn.errors import UsageError


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """A type of argument: a whole number from ``low`` to ``high``."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {low} to {high}")
        return number

    return parse


def parse_window(text: str) -> tuple[int, int]:
    """A window such as ``32/4``, in 10 ms frames.

    Raises:
        UsageError: if it is none.
    """
    sides = text.split("/")
    if len(sides) != 2 or not all(side.isdecimal() for side in sides):
        raise UsageError(
            f"--window {text}: LEFT/RIGHT, whole numbers of 10 ms frames, such as 32/4"
        )
    return int(sides[0]), int(sides[1])


def add_window(command: argparse.ArgumentParser) -> None:
    """The option for models that work with any window."""
    command.add_argument(
        "--window",
        type=parse_window,
        metavar="LEFT/RIGHT",
        help="10 ms frames that every block of the encoder looks back and ahead, such as 16/4; for "
        "models trained with encoder.any_window (default: the model's own)",
    )
