"""Making an utterance of the synthetic corpus: its samples, and its phones on the frame grid.

Speech is resampled to 16 kHz, set to a random level between random stretches of silence, and
noise is added so that silence is not zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import soxr
from scipy.linalg.blas import dtbsv

from speechattn.corpora.synth.corpus import Job
from speechattn.corpora.synth.espeak import espeak
from speechattn.corpora.synth.espeak_phones import PhonemeTable, PhoneSpan, phone_spans
from speechattn.errors import CorpusError
from speechattn.timing import SAMPLE_RATE, SHIFT_SAMPLES, seconds_to_frame

PITCH_RANGE = (30, 70)  # espeak's scale; of an utterance
RATE_SPREAD_WPM = 12  # either side of the speaker's, of an utterance
PITCH_SPREAD = 5  # either side of the speaker's, of an utterance
SILENCE_S = (0.1, 0.4)  # seconds, before and after the speech
PEAK_DBFS = (-20.0, -3.0)  # dB below full scale, loudest sample of an utterance
SNR_DB = (20.0, 40.0)  # dB, mean power of speech over that of noise
NOISE_POLE = (0.0, 0.95)  # of the one-pole filter that colours the noise; 0 is white
MIN_PAUSE_FRAMES = 3  # frames; shorter silence inside an utterance goes to its neighbour


def frame_spans(
    spans: Sequence[PhoneSpan], offset: int, frames: int, silence: str
) -> list[tuple[str, int, int]]:
    """Put phones on the frame grid; every phone gets a frame at least.

    Args:
        spans: phones of the speech, contiguous from 0 s on.
        offset: frames of silence before the speech.
        frames: of the utterance, the silence around the speech included.
        silence: its label.

    Returns:
        (phone, first frame, frame after the last), which cover frames 0 to ``frames``.

    Raises:
        CorpusError: if the phones need more frames than there are.
    """
    phones, starts = [silence], [0]
    for span in spans:
        start = max(offset + seconds_to_frame(span.start), starts[-1] + 1)
        length = seconds_to_frame(span.end) - seconds_to_frame(span.start)
        is_silence = span.phone == silence
        if is_silence and (phones[-1] == silence or length < MIN_PAUSE_FRAMES):
            continue
        phones.append(span.phone)
        starts.append(start)
    speech_end = offset + seconds_to_frame(spans[-1].end)
    if phones[-1] != silence:
        phones.append(silence)
        starts.append(max(speech_end, starts[-1] + 1))
    if starts[-1] >= frames:
        raise CorpusError(f"{len(spans)} phones do not fit {frames} frames; slow the speech down")
    return list(zip(phones, starts, [*starts[1:], frames]))


def one_pole(pole: float, signal: np.ndarray) -> np.ndarray:
    """Filter a signal, shape (samples,): ``y[n] = x[n] + pole * y[n - 1]``.

    That is a system of equations with two diagonals, which BLAS solves. ``scipy.signal`` would do
    as well, but to import it takes as long as to make fifty utterances.
    """
    band = np.empty((2, len(signal)), order="F")
    band[0], band[1] = 1.0, -pole
    return dtbsv(1, band, signal, lower=1, diag=1)


def render(job: Job, table: PhonemeTable) -> tuple[np.ndarray, list[tuple[str, int, int]]]:
    """Make an utterance.

    Returns:
        int16 samples at 16 kHz, shape (samples,), a whole number of frames; and its
        :func:`frame_spans`.
    """
    rng = np.random.default_rng(job.seed)
    speaker = job.speaker
    speech = espeak().synthesize(
        job.text,
        speaker.accent,
        speaker.variant,
        rate=speaker.rate + int(rng.integers(-RATE_SPREAD_WPM, RATE_SPREAD_WPM + 1)),
        pitch=speaker.pitch + int(rng.integers(-PITCH_SPREAD, PITCH_SPREAD + 1)),
        pitch_range=int(rng.integers(PITCH_RANGE[0], PITCH_RANGE[1] + 1)),
    )
    spans = phone_spans(speech, speaker.accent, table)
    voice = soxr.resample(
        speech.samples.astype(np.float64) / 2**15, speech.sample_rate, SAMPLE_RATE
    )
    voice *= 10 ** (rng.uniform(*PEAK_DBFS) / 20) / np.abs(voice).max()
    before, after = (seconds_to_frame(rng.uniform(*SILENCE_S)) for _ in range(2))
    frames = before + -(-len(voice) // SHIFT_SAMPLES) + after
    signal = np.zeros(frames * SHIFT_SAMPLES)
    begin = before * SHIFT_SAMPLES
    signal[begin : begin + len(voice)] = voice
    noise = one_pole(rng.uniform(*NOISE_POLE), rng.standard_normal(len(signal)))
    power = (voice**2).mean() / 10 ** (rng.uniform(*SNR_DB) / 10)
    signal += noise * np.sqrt(power / (noise**2).mean())
    samples = np.clip(np.round(signal * 2**15), -(2**15), 2**15 - 1).astype(np.int16)
    return samples, frame_spans(spans, before, frames, table.phones.silence)
