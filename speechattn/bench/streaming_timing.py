"""Timing of a recognizer in chunks and as a whole: in turn, in one process, and compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from speechattn.audio.features import FrontEnd, FrontEndConfig
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.decoder.options import DecoderOptions
from speechattn.encoder.encoder import EncoderConfig, PhoneClassifier
from speechattn.encoder.precision import with_packed_linears
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.recognizer import Recognizer
from speechattn.phones import arpabet
from speechattn.timing import SAMPLE_RATE, SHIFT_MS

ENCODER, ALL = "encoder", "audio to phones"


@dataclass
class Measurement:
    """One way through a part.

    Attributes:
        part: ``ENCODER`` or ``ALL``.
        chunk_ms: length of a chunk; None for the recording as a whole.
        samples: seconds, one for every round.
        difference: largest absolute difference from the whole.
        same_phones: whether labels and times are those of the whole; None for the encoder.
    """

    part: str
    chunk_ms: int | None
    samples: list[float] = field(default_factory=list)
    difference: float = 0.0
    same_phones: bool | None = None


def random_recognizer(window: tuple[int, int], **encoder: int) -> Recognizer:
    """A recognizer with random weights; ``encoder``: its shape, but for the defaults."""
    shape = {"blocks": 6, "width": 256, "feedforward": 1024, "heads": 4} | encoder
    config = EncoderConfig(window=window, **shape)
    front_end, phones = FrontEndConfig(), arpabet()
    torch.manual_seed(0)
    classifier = PhoneClassifier(front_end.dim, len(phones), config).eval()
    classifier.mean.fill_(8.0)
    classifier.std.fill_(4.0)
    model = PhoneModel.uniform(len(phones), min_frames=3)
    name = f"random, {config.blocks} blocks of width {config.width}, window {window[0]}/{window[1]}"
    checkpoint = Checkpoint(name, classifier, front_end, phones, model, DecoderOptions())
    return Recognizer(checkpoint, torch.device("cpu"))


def made_up_sound(seconds: int) -> np.ndarray:
    """Tones that change ten times a second over noise; 16 kHz, float32, shape (n,)."""
    random = np.random.default_rng(0)
    count = SAMPLE_RATE * seconds
    hertz = np.repeat(random.uniform(100, 4000, 10 * seconds), SAMPLE_RATE // 10)
    phase = np.cumsum(2 * np.pi * hertz / SAMPLE_RATE)
    return (0.3 * np.sin(phase) + 0.02 * random.standard_normal(count)).astype(np.float32)


def measure(
    recognizer: Recognizer,
    samples: np.ndarray,
    chunks: Sequence[int],
    repeats: int,
    progress: Callable[[str], None] = lambda line: None,
) -> list[Measurement]:
    """Time both parts, as a whole and in chunks, in turn; the whole is the first of its part.

    Args:
        recognizer: on the CPU.
        samples: 16 kHz, float32, shape (n,).
        chunks: lengths in ms.
        repeats: rounds.
        progress: called with a line for people.
    """
    running = []
    for part, ways in ((ENCODER, _encoder_ways), (ALL, _all_ways)):
        whole = None
        for chunk, call in ways(recognizer, samples, [None, *chunks]):
            progress(f"{part}, {'whole' if chunk is None else f'chunks of {chunk} ms'}")
            result = Measurement(part, chunk)
            numbers, phones = call()  # not timed: compared
            whole = whole or (numbers, phones)
            result.difference = float(abs(numbers - whole[0]).max())
            if phones is not None:
                result.same_phones = phones == whole[1]
            running.append((result, call))
    for turn in range(repeats):
        first = turn % len(running)
        for result, call in running[first:] + running[:first]:
            start = time.perf_counter()
            call()
            result.samples.append(time.perf_counter() - start)
    return [result for result, _ in running]


def _encoder_ways(recognizer: Recognizer, samples: np.ndarray, chunks: Sequence[int | None]):
    """Calls that give scores and no phones."""
    classifier = with_packed_linears(recognizer.checkpoint.classifier)  # as it is used
    frames = FrontEnd(recognizer.checkpoint.front_end)(torch.from_numpy(samples))

    def call(chunk: int | None):
        if chunk is None:
            with torch.inference_mode():
                return classifier(frames[None])[0], None
        stream, size = classifier.stream(), chunk // int(SHIFT_MS)
        starts = range(0, len(frames), size)
        parts = [stream.push(frames[i : i + size], last=i + size >= len(frames)) for i in starts]
        return torch.cat(parts), None

    return [(chunk, lambda chunk=chunk: call(chunk)) for chunk in chunks]


def _all_ways(recognizer: Recognizer, samples: np.ndarray, chunks: Sequence[int | None]):
    """Calls that give posteriors and phones."""

    def call(chunk: int | None):
        if chunk is None:
            whole = recognizer.transcribe(samples, sample_rate=SAMPLE_RATE)
            return whole.posteriors, [(s.label, s.start, s.end) for s in whole.phones]
        stream, size = recognizer.stream(), SAMPLE_RATE * chunk // 1000
        results = [stream.push(samples[i : i + size]) for i in range(0, len(samples), size)]
        results.append(stream.finish())
        phones = [(s.label, s.start, s.end) for result in results for s in result.segments]
        return np.concatenate([result.posteriors for result in results]), phones

    return [(chunk, lambda chunk=chunk: call(chunk)) for chunk in chunks]
