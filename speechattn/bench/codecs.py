"""Speech as codecs leave it: written to a file in memory by libsndfile, and read again.

Bit rates are low, as of voice messages and telephones. No codec moves anything in time, and the
recording keeps its length.
"""

from __future__ import annotations

import io

import numpy as np
import soundfile

from speechattn.bench.sounds import LOW_RATE, sampled_down, sampled_up
from speechattn.segments import SAMPLE_RATE

# Of libsndfile: 0 is the best quality and 1 the fewest bits.
OPUS_LEVEL, MP3_LEVEL = 0.97, 0.8
DESCRIPTIONS = {
    "gsm": "a mobile telephone: 8 kHz, GSM 06.10, 13 kbit/s",
    "opus": "Opus at about 14 kbit/s, as voice messages",
    "mp3": "MP3 at about 30 kbit/s",
}


def gsm(samples: np.ndarray, random: np.random.Generator | None = None) -> np.ndarray:
    """Pass an utterance through the codec of GSM telephones, at 8 kHz."""
    return _coded(sampled_down(samples), len(samples), "WAV", "GSM610", rate=LOW_RATE)


def opus(samples: np.ndarray, random: np.random.Generator | None = None) -> np.ndarray:
    """Pass an utterance through Opus."""
    return _coded(samples, len(samples), "OGG", "OPUS", OPUS_LEVEL)


def mp3(samples: np.ndarray, random: np.random.Generator | None = None) -> np.ndarray:
    """Pass an utterance through MP3."""
    return _coded(samples, len(samples), "MP3", "MPEG_LAYER_III", MP3_LEVEL)


def _coded(
    samples: np.ndarray,
    length: int,
    container: str,
    coding: str,
    level: float | None = None,
    rate: int = SAMPLE_RATE,
) -> np.ndarray:
    """Write and read samples; return as many as ``length``, at 16 kHz.

    Args:
        samples: shape (n,), at ``rate``; what exceeds full scale is clipped.
        length: of the result.
        container: of libsndfile, as is ``coding``.
        level: of compression, from 0 to 1; None for the codec's own.
        rate: Hz.
    """
    file = io.BytesIO()
    settings = {"format": container, "subtype": coding, "compression_level": level}
    soundfile.write(file, np.clip(samples, -1, 1), rate, **settings)
    file.seek(0)
    heard, heard_rate = soundfile.read(file, dtype="float32")
    return sampled_up(heard, length, heard_rate)
