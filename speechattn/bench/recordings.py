"""Recordings for benchmarks: 16-bit samples, and WAV files of any length made of given speech."""

from __future__ import annotations

import itertools
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from speechattn.audio.load import AudioFile
from speechattn.errors import SpeechattnError
from speechattn.timing import SAMPLE_RATE

_FULL_SCALE = 32_768  # of 16-bit samples


def pcm16(samples: np.ndarray) -> bytes:
    """Samples as 16-bit little-endian PCM; what exceeds full scale is clipped.

    Args:
        samples: floats, full scale 1, shape (samples,).
    """
    scaled = np.rint(np.asarray(samples, dtype=np.float64) * _FULL_SCALE)
    return np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1).astype("<i2").tobytes()


def _endless(paths: Sequence[Path]) -> Iterator[np.ndarray]:
    for path in itertools.cycle(paths):
        with AudioFile(path) as audio:
            yield from audio.blocks()


def repeat_audio(paths: Sequence[Path], target: Path, seconds: float) -> None:
    """Write a 16 kHz mono WAV file with recordings one after the other, again and again.

    Block by block: it takes no more memory for hours than for seconds.

    Args:
        paths: recordings; at least one.
        target: the WAV file.
        seconds: its length; the last recording is cut there.

    Raises:
        AudioError: if a recording cannot be read.
        SpeechattnError: if the file cannot be written, for want of space most likely.
    """
    left = round(seconds * SAMPLE_RATE)
    try:
        with wave.open(str(target), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            for block in _endless(paths):
                file.writeframesraw(pcm16(block[:left]))
                left -= min(left, len(block))
                if not left:
                    break
    except OSError as error:
        raise SpeechattnError(
            f"{target}: {seconds / 60:g} minutes of audio cannot be written ({error.strerror}); "
            "free some space or set TMPDIR to a folder that has it"
        ) from error
