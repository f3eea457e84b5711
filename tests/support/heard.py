"""A recognizer that hears what a test wants."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from speechattn.inference.transcription import TranscribeOptions
from speechattn.phones import arpabet

PHONES = arpabet()
FRAMES = 8  # of each phone


def hear(phones: str, frames: int = FRAMES, posterior: float = 0.9) -> np.ndarray:
    """Log posteriors of phones, each for so many frames."""
    labels = phones.split()
    heard = np.full((frames * len(labels), len(PHONES)), (1 - posterior) / (len(PHONES) - 1))
    for place, phone in enumerate(labels):
        heard[place * frames : (place + 1) * frames, PHONES.index[phone]] = posterior
    return np.log(heard).astype(np.float32)


class FakeRecognizer:
    """Hears a string of phones, each for 80 ms, with a posterior of 0.9."""

    phones = PHONES

    def __init__(self, heard: str, *, short: bool = True) -> None:
        self._log = hear(heard)
        self._short, self.closed = short, False

    def prepare(self, audio, options, **_) -> SimpleNamespace:
        def close() -> None:
            self.closed = True

        return SimpleNamespace(
            options=options or TranscribeOptions(),
            names=PHONES.names,
            duration=len(self._log) / 100 + 0.003,
            sample_rate=8000,
            blocks=None,
            close=close,
        )

    def encode_short(self, prepared) -> np.ndarray | None:
        return self._log if self._short else None

    def log_posteriors(self, blocks):
        yield self._log[:13]
        yield self._log[13:]
