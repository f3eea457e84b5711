"""A recognizer that hears what a test wants."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from speechattn.audio.features import FrontEnd, FrontEndConfig
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


def sound(phones: str, frames: int = FRAMES) -> np.ndarray:
    """Samples that are loud where there are phones, each for so many frames, and else silent."""
    loud = np.repeat([phone != PHONES.silence for phone in phones.split()], frames * 160)
    noise = np.random.default_rng(0).normal(0, 0.1, len(loud))
    return (noise * np.where(loud, 1.0, 1e-4)).astype(np.float32)


def frames_of(phones: str, frames: int = FRAMES) -> torch.Tensor:
    """Log-mel energies of that sound, shape (frames, bins)."""
    return FrontEnd()(torch.from_numpy(sound(phones, frames)))


class FakeRecognizer:
    """Hears a string of phones, each for 80 ms, with a posterior of 0.9.

    Its recordings are loud all through, or silent where there are pauses.
    """

    phones = PHONES
    checkpoint = SimpleNamespace(front_end=FrontEndConfig())

    def __init__(self, heard: str, *, short: bool = True, pauses: bool = False) -> None:
        self._sound = heard if pauses else heard.replace(PHONES.silence, "S")
        self._log, self._samples = hear(heard), sound(self._sound)
        self._short, self.closed = short, False

    def prepare(self, audio, options, **_) -> SimpleNamespace:
        def close() -> None:
            self.closed = True

        return SimpleNamespace(
            options=options or TranscribeOptions(),
            names=PHONES.names,
            duration=len(self._log) / 100 + 0.003,
            sample_rate=8000,
            frames=frames_of(self._sound) if self._short else None,
            blocks=iter([self._samples[:2000], self._samples[2000:]]),
            close=close,
        )

    def encode_short(self, prepared) -> np.ndarray | None:
        return self._log if self._short else None

    def log_posteriors(self, blocks):
        for _ in blocks:
            pass
        yield self._log[:13]
        yield self._log[13:]
