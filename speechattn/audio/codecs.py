"""Speech as codecs leave it: written to a file in memory by libsndfile, and read again.

No codec moves anything in time, and the recording keeps its length. Benchmarks use GSM, Opus and
MP3 at low bit rates, as of telephones and voice messages; training draws a codec and its bit rate.
"""

from __future__ import annotations

import io

import numpy as np
import soundfile
import soxr

from speechattn.audio.load import array_blocks
from speechattn.errors import UsageError
from speechattn.segments import SAMPLE_RATE

LOW_RATE = 8_000  # Hz, of telephones
# Compression levels of libsndfile: 0 is the best quality and 1 the fewest bits.
OPUS_LEVEL, MP3_LEVEL = 0.97, 0.8
OPUS_LEVELS, MP3_LEVELS = (0.85, 0.985), (0.4, 0.9)  # that training draws from
DESCRIPTIONS = {
    "gsm": "a mobile telephone: 8 kHz, GSM 06.10, 13 kbit/s",
    "opus": "Opus at about 14 kbit/s, as voice messages",
    "mp3": "MP3 at about 30 kbit/s",
}


def gsm(samples: np.ndarray, random: np.random.Generator | None = None) -> np.ndarray:
    """Pass an utterance through the codec of GSM telephones, at 8 kHz."""
    return _coded(sampled_down(samples), len(samples), "WAV", "GSM610", rate=LOW_RATE)


def mu_law(samples: np.ndarray, random: np.random.Generator | None = None) -> np.ndarray:
    """Pass an utterance through the mu-law of telephones (ITU-T G.711), at 8 kHz."""
    return _coded(sampled_down(samples), len(samples), "WAV", "ULAW", rate=LOW_RATE)


def opus(
    samples: np.ndarray, random: np.random.Generator | None = None, level: float = OPUS_LEVEL
) -> np.ndarray:
    """Pass an utterance through Opus."""
    return _coded(samples, len(samples), "OGG", "OPUS", level)


def mp3(
    samples: np.ndarray, random: np.random.Generator | None = None, level: float = MP3_LEVEL
) -> np.ndarray:
    """Pass an utterance through MP3."""
    return _coded(samples, len(samples), "MP3", "MPEG_LAYER_III", level)


def check_codecs() -> None:
    """Check that all codecs work, on 0.1 s of silence.

    Raises:
        UsageError: if libsndfile was built without one of them.
    """
    for codec in (gsm, mu_law, opus, mp3):
        codec(np.zeros(SAMPLE_RATE // 10, np.float32))


def through_drawn_codec(samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Pass an utterance through GSM, mu-law, Opus or MP3, the last two at a drawn bit rate.

    Args:
        samples: at 16 kHz, shape (n,); what exceeds full scale is clipped.
        random: draws the codec and its level.

    Returns:
        As many samples, float32.
    """
    codec = random.integers(4)
    if codec < 2:
        return (gsm, mu_law)[codec](samples)
    if codec == 2:
        return opus(samples, level=random.uniform(*OPUS_LEVELS))
    return mp3(samples, level=random.uniform(*MP3_LEVELS))


def sampled_down(samples: np.ndarray) -> np.ndarray:
    """Resample from 16 kHz to ``LOW_RATE``."""
    return soxr.resample(samples, SAMPLE_RATE, LOW_RATE, quality="HQ")


def sampled_up(low: np.ndarray, length: int, rate: int = LOW_RATE) -> np.ndarray:
    """Resample to 16 kHz, and to a length, as a recording is when it is read."""
    samples = np.concatenate(list(array_blocks(low, rate)))[:length]
    return np.pad(samples, (0, length - len(samples)))


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

    Raises:
        UsageError: if libsndfile was built without the codec.
    """
    file = io.BytesIO()
    settings = {"format": container, "subtype": coding, "compression_level": level}
    try:
        soundfile.write(file, np.clip(samples, -1, 1), rate, **settings)
        file.seek(0)
        heard, heard_rate = soundfile.read(file, dtype="float32")
    except soundfile.SoundFileError as error:
        raise UsageError(
            f"libsndfile {soundfile.__libsndfile_version__} cannot write {coding} ({error}); "
            "install the soundfile package from a wheel, or do without codecs"
        ) from error
    return sampled_up(heard, length, heard_rate)
