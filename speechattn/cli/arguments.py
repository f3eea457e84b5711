"""Arguments that several commands take, and types of arguments."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

from speechattn.errors import UsageError
from speechattn.options import DEVICES, PRECISIONS, READINGS, parse_device, parse_window


def int_argument(low: int, high: int) -> Callable[[str], int]:
    """Return a type of argument: a whole number from ``low`` to ``high``."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {low} to {high}")
        return number

    return parse


def check_number(option: str, value: int, low: int, high: int) -> int:
    """Return the value of an option if it lies in its range.

    Raises:
        UsageError: if it does not.
    """
    if not low <= value <= high:
        raise UsageError(f"--{option} {value}: choose a number from {low} to {high}")
    return value


def parse_scale(text: str) -> float:
    """Parse a finite number from 0 on."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return number


def add_device(command: argparse.ArgumentParser) -> None:
    """Add the option that chooses where a model computes."""
    command.add_argument(
        "--device",
        type=parse_device,
        default="auto",
        metavar="NAME",
        help=f"where to compute: {DEVICES} (default: auto, CUDA where there is one)",
    )


def add_model_settings(command: argparse.ArgumentParser) -> None:
    """Add the options that override settings chosen in a model's training."""
    command.add_argument(
        "--window",
        type=parse_window,
        metavar="LEFT/RIGHT",
        help="how many frames of 10 ms every block of the encoder sees before and after each, such "
        "as 16/4; the model's card says what it takes (default: the model's own)",
    )
    command.add_argument(
        "--reading",
        choices=READINGS,
        default=READINGS[0],
        help="what the model reads into what it hears: words, the words of its language; phones, "
        "only which phones follow each other; none, nothing (default: words)",
    )
    command.add_argument(
        "--lm-scale",
        type=parse_scale,
        metavar="X",
        help="weight of what the model knows about words and the order of phones, against what it "
        "hears; 0 is the same as --reading none (default: the model's own)",
    )


def add_precision(
    command: argparse.ArgumentParser, description: str, default: str = "auto"
) -> None:
    """Add ``--precision`` to a command.

    Args:
        command: gets the option.
        description: for its help.
        default: one of :data:`speechattn.options.PRECISIONS`, or ``"auto"``.
    """
    command.add_argument(
        "--precision", choices=("auto", *PRECISIONS), default=default, help=description
    )
