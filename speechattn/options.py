"""Names, defaults and limits that the Python API and the command line share."""

from __future__ import annotations

import re

from speechattn.errors import ConfigError, UsageError

PRECISIONS = ("fp32", "bf16", "int8")
MOST_THREADS = 1024  # more than any machine has cores; PyTorch dies when it cannot start them
DEVICES = "auto, cpu, cuda, cuda:0, cuda:1 … or mps"  # names of devices, for messages
_DEVICE = re.compile(r"auto|(cpu|cuda|mps|xpu)(:(0|[1-9][0-9]?))?")

READINGS = ("words", "phones", "none")  # what the decoder knows beside what it hears
FORMS = ("heard", "dictionary")  # of the phones of words
ALL_CHANNELS = "all"  # each channel of a recording by itself, instead of one or their mean

DEFAULT_MODEL = "english"  # of those that come with the package
STREAMING_MODEL = "english_streaming"  # needs hardly any look-ahead

RAW_SUFFIXES = (".raw", ".pcm")  # samples without a header
RAW_WAY_OUT = (
    "raw samples do not say how they are written: make a WAV of each, as by `ffmpeg -f s16le -ar "
    "16000 -ac 1 -i a.raw a.wav`, or pipe it into `speechattn stream`, which has --encoding, "
    "--sample-rate and --channels"
)


def parse_device(text: str) -> str:
    """Return the name of a device, whether this machine has it or not.

    Raises:
        ConfigError: if it is no name of a device.
    """
    if not _DEVICE.fullmatch(text):
        raise ConfigError(f"device: {text!r}: no name of a device; {DEVICES}")
    return text


def is_device(value: object) -> bool:
    """Whether a value is the name of a device."""
    return isinstance(value, str) and bool(_DEVICE.fullmatch(value))


def parse_window(text: str) -> tuple[int, int]:
    """Return the two sides of a window such as ``32/4``, in 10 ms frames.

    Raises:
        UsageError: if it is none.
    """
    sides = text.split("/")
    if len(sides) != 2 or not all(side.isdecimal() for side in sides):
        raise UsageError(
            f"--window {text}: LEFT/RIGHT, whole numbers of 10 ms frames, such as 32/4"
        )
    return int(sides[0]), int(sides[1])
