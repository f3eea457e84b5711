"""The sound of a page: pieces of half a minute that the page decodes when it plays them.

A browser that is given a whole recording must hold it decoded, 115 MB for half an hour, to play a
stretch of it exactly; and a media element cannot stop at the end of a phone. Each piece is a file
of its own. It begins a little early, because a decoder needs some sound to settle.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile

from speechattn.errors import UsageError
from speechattn.segments import SAMPLE_RATE

PIECE_SECONDS = 30.0
LEAD_SECONDS = 0.5  # of a piece before its own sound
TAIL_SECONDS = 0.25  # after it
# Samples by which LAME's output is late. Its header says so and browsers cut them off; one that
# does not is found by the length of what it decodes.
MP3_DELAY = 1105


@dataclass(frozen=True)
class Format:
    """How sound is encoded: names of libsndfile's, options of soundfile's, MIME type."""

    container: str
    subtype: str
    options: dict[str, Any]
    kind: str
    delay: int = 0


FORMATS = {
    "mp3": Format("MP3", "MPEG_LAYER_III", {}, "audio/mpeg", MP3_DELAY),
    "opus": Format("OGG", "OPUS", {"compression_level": 0.9}, "audio/ogg"),
    "flac": Format("FLAC", "PCM_16", {}, "audio/flac"),
}
SILENT = "none"


@dataclass(frozen=True)
class Sound:
    """Sound in pieces.

    Attributes:
        format: of the pieces.
        samples: of the recording, at 16 kHz.
        pieces: files; piece ``i`` is for the ``PIECE_SECONDS`` from ``i * PIECE_SECONDS`` on.
    """

    format: Format
    samples: int
    pieces: tuple[bytes, ...]

    def describe(self, name: str) -> dict[str, Any]:
        """Return what the page needs to know; the files are ``name-0``, ``name-1`` …"""
        return {
            "name": name,
            "kind": self.format.kind,
            "rate": SAMPLE_RATE,
            "samples": self.samples,
            "pieceSeconds": PIECE_SECONDS,
            "leadSeconds": LEAD_SECONDS,
            "tailSeconds": TAIL_SECONDS,
            "pieces": len(self.pieces),
            "delay": self.format.delay,
        }

    def files(self, name: str) -> Iterable[tuple[str, bytes]]:
        """Yield the names and bytes of the files."""
        for number, data in enumerate(self.pieces):
            yield f"{name}-{number}", data


def encode_sound(samples: np.ndarray, name: str, executor: Executor) -> Sound:
    """Encode the sound of a recording.

    Args:
        samples: 16 kHz mono, float32, shape (samples,).
        name: a key of :data:`FORMATS`.
        executor: that encodes the pieces.

    Raises:
        UsageError: if there is no such format, or this libsndfile cannot write it.
    """
    form = FORMATS.get(name)
    if form is None:
        known = ", ".join([*FORMATS, SILENT])
        raise UsageError(f"sound: {name!r} is unknown; choose from {known}")
    if form.container not in soundfile.available_formats():
        raise UsageError(f"sound: this libsndfile writes no {name}; choose flac, or update it")
    size, lead, tail = (
        int(seconds * SAMPLE_RATE) for seconds in (PIECE_SECONDS, LEAD_SECONDS, TAIL_SECONDS)
    )
    peak = float(np.abs(samples).max(initial=0.0))
    scale = 1 / peak if peak > 1 else 1.0  # beyond full scale it would be cut
    parts = [
        samples[max(0, first - lead) : first + size + tail] * np.float32(scale)
        for first in range(0, len(samples), size)
    ]
    return Sound(form, len(samples), tuple(executor.map(lambda part: _encode(part, form), parts)))


def encode_whole(samples: np.ndarray, name: str) -> bytes:
    """Encode all samples, 16 kHz mono, as one file; ``name`` is a key of :data:`FORMATS`."""
    return _encode(samples, FORMATS[name])


def _encode(samples: np.ndarray, form: Format) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(
        buffer,
        samples,
        SAMPLE_RATE,
        format=form.container,
        subtype=form.subtype,
        **form.options,
    )
    return buffer.getvalue()
