"""What ``speechattn stream`` hears: a pipe, a file of raw samples, or a sound file of any kind."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np

from speechattn.audio.containers.detect import container_of
from speechattn.audio.encodings import ENCODINGS
from speechattn.audio.load import AudioFile
from speechattn.audio.piped import PipedSamples
from speechattn.audio.quality import QualityMonitor
from speechattn.audio.raw import read_start
from speechattn.errors import AudioError, UsageError
from speechattn.files import exists, is_file, is_folder
from speechattn.segments import SAMPLE_RATE

DEFAULT_RATE = 16_000  # Hz, of raw samples
STANDARD_INPUT = "standard input"
_RAW_OPTIONS = "--encoding, --sample-rate and --channels"


class PipedSound:
    """Raw samples or a WAV, as they come.

    Attributes:
        name: for messages.
        sample_rate: Hz.
        problem: why the sound ends before its source does; ``""`` if it does not.

    Args:
        source: of the bytes.
        name: for messages.
        arguments: of the command.

    Raises:
        AudioError: if it is of another format.
        UsageError: if options contradict its header.
    """

    def __init__(self, source: BinaryIO, name: str, arguments: argparse.Namespace) -> None:
        start = read_start(source.read)
        default = start.header or ("s16le", DEFAULT_RATE, 1)
        encoding: str = arguments.encoding or default[0]
        self.sample_rate: int = arguments.sample_rate or default[1]
        self._channels: int = arguments.channels or default[2]
        if start.header not in (None, (encoding, self.sample_rate, self._channels)):
            has = "{} samples, {} Hz, {} channels".format(*start.header)
            raise UsageError(f"{name}: the WAV header says {has}; leave out {_RAW_OPTIONS}")
        self._encoding = ENCODINGS[encoding]
        self._samples = PipedSamples(source.read, start)
        self.name, self.problem = name, ""

    @property
    def warnings(self) -> list[str]:
        """What was found that may be wrong."""
        return self._samples.warnings

    def pieces(self, milliseconds: int) -> Iterator[np.ndarray]:
        """Yield the sound in pieces of this length, shape (channels, samples)."""
        width = self._encoding.width
        size = width * self._channels
        count = size * max(1, self.sample_rate * milliseconds // 1000)
        while data := self._samples.read(count):
            whole = len(data) - len(data) % size
            yield self._encoding.decode(data[:whole]).reshape(-1, self._channels).T
            if whole < len(data):
                self.problem = (
                    f"ends after {len(data) - whole} bytes of a sample of {size} ({width} a "
                    "channel); the sound is cut off or of another format"
                )
        self.problem = self.problem or self._samples.problem


class FileSound:
    """A sound file, as `speechattn transcribe` reads it.

    Attributes:
        name: for messages.
        sample_rate: Hz, of the pieces.
        problem: why it cannot be read to its end; ``""`` if it can.

    Args:
        path: of the file.

    Raises:
        AudioError: if it cannot be read or trusted.
    """

    def __init__(self, path: Path) -> None:
        self._monitor = QualityMonitor()
        self._file = AudioFile(path, on_samples=self._monitor.add)
        self._is_whole = False
        self.name, self.sample_rate, self.problem = str(path), SAMPLE_RATE, ""

    @property
    def warnings(self) -> list[str]:
        """What is unusual about it, if all of it was read."""
        return self._monitor.warnings() if self._is_whole else []

    def pieces(self, milliseconds: int) -> Iterator[np.ndarray]:
        """Yield the sound in pieces of this length, shape (samples,)."""
        with self._file:
            try:
                yield from self._file.blocks(milliseconds / 1000)
            except AudioError as error:
                self.problem = str(error).removeprefix(f"{self.name}: ")
                return
        self._is_whole = True


StreamSound: TypeAlias = "PipedSound | FileSound"


def check_source(arguments: argparse.Namespace) -> None:
    """Refuse a source that cannot be heard, before a model is loaded.

    Raises:
        UsageError: if there is no such file, or standard input is a terminal or closed.
    """
    file = arguments.input
    if file == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError(
                f"{STANDARD_INPUT}: a terminal, or closed; pipe raw samples into the command, such "
                "as those of `arecord -f S16_LE -r 16000 -t raw`, or give a file"
            )
        return
    if is_folder(file):
        raise UsageError(f"{file}: a folder; give a recording, or use `speechattn transcribe`")
    if not exists(file):
        raise UsageError(f"{file}: no such file; give a recording, or - for {STANDARD_INPUT}")


def open_sound(arguments: argparse.Namespace, stack: contextlib.ExitStack) -> StreamSound:
    """Open what is to be heard.

    A file is read as raw samples if options say how they are written, or if it is a pipe.

    Args:
        arguments: of the command.
        stack: closes it.

    Raises:
        AudioError: if it cannot be read or trusted.
        UsageError: if options contradict its header.
    """
    file = arguments.input
    if file == "-":
        return PipedSound(sys.stdin.buffer, STANDARD_INPUT, arguments)
    is_raw = bool(arguments.encoding or arguments.sample_rate or arguments.channels)
    if is_file(file) and not is_raw:
        return FileSound(Path(file))
    try:
        source = stack.enter_context(Path(file).open("rb"))  # noqa: SIM115 - the stack closes it
    except OSError as error:
        raise AudioError(f"{file}: cannot be read ({error.strerror}); check the file") from None
    kind = container_of(source.peek(12)[:12]) if is_file(file) else ""
    if kind not in ("", "WAV"):
        raise UsageError(f"{file}: is {kind}, whose header says more; leave out {_RAW_OPTIONS}")
    return PipedSound(source, file, arguments)
