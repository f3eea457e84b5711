"""Synthetic speech for the tests of pages, with the phones that were said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr

from speechattn.corpora.synth.espeak import espeak

RATE = 16_000


def speech(text: str = "Nine green apples, please.") -> np.ndarray:
    """Samples at 16 kHz, float32."""
    samples, rate, _ = espeak().synthesize(text)
    return soxr.resample(samples.astype(np.float32) / 32768, rate, RATE)


def write_speech(path: Path, text: str = "Nine green apples, please.") -> np.ndarray:
    """Write a recording of synthetic speech and return its samples."""
    samples = speech(text)
    soundfile.write(path, samples, RATE)
    return samples
