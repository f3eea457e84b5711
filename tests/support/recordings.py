"""Recordings made up for the tests, and how those that are no good must be refused."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechattn.audio import media
from speechattn.audio.load import read_audio
from speechattn.errors import AudioError
from speechattn.text import one_line

needs_posix = pytest.mark.skipif(os.name == "nt", reason="links, pipes and bytes of POSIX")

RATE = 16_000
SIGNAL = (0.4 * np.sin(np.arange(16_001) * 0.05)).astype(np.float32)
PCM = (SIGNAL * 32767).astype("<i2").tobytes()


def tone(frames: int, rate: int, hertz: float = 440.0, level: float = 0.4) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(frames) / rate)).astype(np.float32)


def joined(blocks) -> np.ndarray:
    return np.concatenate(list(blocks))


def message(call) -> str:
    with pytest.raises(AudioError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def wav(data=PCM, declared=None, *, rate=RATE, channels=1, before=b"", after=b"", order="<"):
    """A PCM_16 WAV, with any lie told in its header."""
    declared = len(data) if declared is None else declared
    layout = (16, 1, channels, rate, rate * 2 * channels, 2 * channels, 16)
    body = b"WAVEfmt " + struct.pack(f"{order}IHHIIHH", *layout)
    body += before + b"data" + struct.pack(f"{order}I", declared) + data + after
    return (b"RIFF" if order == "<" else b"RIFX") + struct.pack(f"{order}I", len(body)) + body


def encoded(tmp_path, kind, subtype, signal=SIGNAL, rate=RATE, **options) -> bytes:
    path = tmp_path / "encoded"
    soundfile.write(path, signal, rate, format=kind, subtype=subtype, **options)
    return path.read_bytes()


def saver(folder: Path) -> Callable[..., Path]:
    """A function that writes bytes to a file in a folder and gives its path."""

    def write(data: bytes, name: str = "a.wav") -> Path:
        path = folder / name
        path.write_bytes(data)
        return path

    return write


def refused(path, *words) -> str:
    """The one-line message with which a file is refused; it names the file."""
    with pytest.raises(AudioError) as caught:
        read_audio(path)
    message = str(caught.value)
    assert "\n" not in message and one_line(path) in message
    for word in words:
        assert word in message, message
    return message


@contextlib.contextmanager
def without_media(monkeypatch) -> Iterator[None]:
    """As if the extra ``media`` were not installed."""
    with monkeypatch.context() as patch:
        patch.setattr(media.importlib.util, "find_spec", lambda name: None)
        media.has_media.cache_clear()
        yield
    media.has_media.cache_clear()


def make(folder: Path, *names: str) -> Path:
    """Files that only have to be there."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def two_recordings(folder: Path) -> Path:
    """A folder with recordings of 0.5 and 0.25 s."""
    (folder / "b").mkdir(parents=True)
    noise = np.random.default_rng(0).normal(0, 0.1, RATE // 2)
    soundfile.write(folder / "a.wav", noise, RATE)
    soundfile.write(folder / "b" / "c d.flac", noise[: RATE // 4], RATE)
    return folder
