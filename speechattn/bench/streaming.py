"""``speechattn bench streaming``: the cost of recognition in chunks, beside a recording as a whole.

The same recording goes through the encoder alone, and through everything from samples to phones: as
a whole, and in chunks of several lengths. All of them run in one process and in turn. The results
of chunks are compared with those of the whole.
"""

from __future__ import annotations

import csv
import functools
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from speechattn.audio.features import FrontEndConfig
from speechattn.bench.output import prepare_folder, write_files
from speechattn.bench.process import machine_facts, torch_threads
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.decoder.options import DecoderOptions
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.recognizer import Recognizer, load_model
from speechattn.phones import arpabet
from speechattn.segments import SAMPLE_RATE, SHIFT_MS
from speechattn.text import table

WINDOW = (32, 32)  # frames, of the random model
COLUMNS = (
    *("part", "chunk_ms", "ms_a_frame", "fastest", "slowest", "rounds"),
    *("to_whole", "times_real_time", "max_abs_difference", "same_phones"),
)
NOTE = """\
Medians; every round times each line once, in turn, in one process. *x whole*: time relative to the
same recording taken as a whole. *difference*: largest absolute difference from it, of log
posteriors (encoder) or posteriors (audio to phones)."""

ENCODER, ALL = "encoder", "audio to phones"  # parts

Numbers = np.ndarray  # scores or posteriors, shape (frames, phones)
Phones = list[tuple[str, float, float]]  # label, start and end in seconds
Call = Callable[[], tuple[Numbers, Phones | None]]


@dataclass
class Measurement:
    """Times of one part of the recognizer with one length of chunks.

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


def bench_streaming(
    *,
    model: str | None,
    window: tuple[int, int] | None,
    chunks: Sequence[int],
    seconds: int,
    threads: int,
    repeats: int,
    precision: str,
    output_dir: str | Path | None,
    publish: Callable[[str], None],
    report: Callable[[str], None],
) -> None:
    """Time a model on a recording as a whole and in chunks.

    Args:
        model: name or folder; None for one with random weights.
        window: 10 ms frames that every block sees of the past and of the future; None for
            :data:`WINDOW`, or the model's own.
        chunks: their lengths in ms.
        seconds: of sound.
        threads: of PyTorch.
        repeats: rounds.
        precision: of a model with a name, as for :func:`speechattn.load_model`.
        output_dir: folder for ``streaming.md`` and ``streaming.csv``; None to write no files.
        publish: receives the report, in Markdown, before files are written.
        report: receives a line for the user before each measurement.

    Raises:
        UsageError: if the folder cannot be written.
        SpeechattnError: if the model cannot be loaded or cannot stream.
    """
    facts = machine_facts(("torch", "numba", "numpy"))
    folder = None if output_dir is None else Path(output_dir)
    if folder is not None:
        prepare_folder(folder)
    with torch_threads(threads):
        if model is None:
            recognizer = random_recognizer(window or WINDOW)
        else:
            recognizer = load_model(model, "cpu", precision=precision, window=window)
        measured = measure(recognizer, made_up_sound(seconds), chunks, repeats, report)
    facts |= {
        "model": recognizer.checkpoint.name,
        "look-ahead": f"{recognizer.look_ahead_ms:g} ms",
        "sound": f"{seconds} s",
        "precision": recognizer.precision,
        "threads": str(threads),
        "rounds": str(repeats),
    }
    text = markdown_report(measured, seconds, facts)
    publish(text)
    if folder is not None:
        table = csv_report(measured, seconds)
        write_files(folder, {"streaming.md": text, "streaming.csv": table})


def _rows(found: Sequence[Measurement], seconds: float) -> list[dict[str, Any]]:
    """Return the cells of each line, by the names of :data:`COLUMNS`; None if it has no value."""
    whole = {m.part: median(m.samples) for m in found if m.chunk_ms is None}
    per_frame = 1000 / (100 * seconds)  # a run in seconds → ms a frame
    return [
        {
            "part": m.part,
            "chunk_ms": m.chunk_ms,
            "ms_a_frame": median(m.samples) * per_frame,
            "fastest": min(m.samples) * per_frame,
            "slowest": max(m.samples) * per_frame,
            "rounds": len(m.samples),
            "to_whole": median(m.samples) / whole[m.part],
            "times_real_time": seconds / median(m.samples),
            "max_abs_difference": m.difference,
            "same_phones": m.same_phones,
        }
        for m in found
    ]


def markdown_report(found: Sequence[Measurement], seconds: float, facts: dict[str, str]) -> str:
    """The whole report; ``seconds``: of sound, ``facts``: what it ran on."""
    header = (
        "",
        "chunk (ms)",
        "ms a chunk",
        "ms a frame",
        "x whole",
        "x real time",
        "difference",
        "same phones",
    )
    lines = [
        (
            row["part"],
            "whole" if row["chunk_ms"] is None else str(row["chunk_ms"]),
            ""
            if row["chunk_ms"] is None
            else f"{row['chunk_ms'] / SHIFT_MS * row['ms_a_frame']:.2f}",
            f"{row['ms_a_frame']:.4f}",
            f"{row['to_whole']:.2f}",
            f"{row['times_real_time']:.0f}",
            f"{row['max_abs_difference']:.0e}",
            {None: "–", True: "yes", False: "NO"}[row["same_phones"]],
        )
        for row in _rows(found, seconds)
    ]
    parts = ["# Streaming benchmark", table(("", ""), facts.items()), NOTE, table(header, lines)]
    return "\n\n".join(parts) + "\n"


def csv_report(found: Sequence[Measurement], seconds: float) -> str:
    """Every line, with the header :data:`COLUMNS`; what does not apply is empty."""
    buffer = io.StringIO()
    rows = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    rows.writeheader()
    for row in _rows(found, seconds):
        rows.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    return buffer.getvalue()


def random_recognizer(
    window: tuple[int, int],
    blocks: int = 6,
    width: int = 256,
    feedforward: int = 1024,
    heads: int = 4,
) -> Recognizer:
    """Make a recognizer with random weights; its arguments are those of the encoder."""
    config = EncoderConfig(
        window=window, blocks=blocks, width=width, feedforward=feedforward, heads=heads
    )
    front_end, phones = FrontEndConfig(), arpabet()
    torch.manual_seed(0)
    classifier = PhoneClassifier(front_end.dim, len(phones), config).eval()
    classifier.get_buffer("mean").fill_(8.0)
    classifier.get_buffer("std").fill_(4.0)
    model = PhoneModel.uniform(len(phones), min_frames=3)
    name = f"random, {config.blocks} blocks of width {config.width}, window {window[0]}/{window[1]}"
    checkpoint = Checkpoint(name, classifier, front_end, phones, model, DecoderOptions())
    return Recognizer(checkpoint, torch.device("cpu"))


def made_up_sound(seconds: int) -> np.ndarray:
    """Make tones that change ten times a second over noise; 16 kHz, float32, shape (n,)."""
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
    report: Callable[[str], None] = lambda line: None,
) -> list[Measurement]:
    """Time both parts, as a whole and in chunks, in turn; the whole is the first of its part.

    Args:
        recognizer: on the CPU.
        samples: 16 kHz, float32, shape (n,).
        chunks: lengths in ms.
        repeats: rounds.
        report: receives a line for the user before each measurement.
    """
    running: list[tuple[Measurement, Call]] = []
    for part, ways in ((ENCODER, _encoder_ways), (ALL, _all_ways)):
        whole: tuple[Numbers, Phones | None] | None = None
        for chunk, call in ways(recognizer, samples, [None, *chunks]):
            report(f"{part}, {'whole' if chunk is None else f'chunks of {chunk} ms'}")
            result = Measurement(part, chunk)
            numbers, phones = call()  # not timed: compared
            whole = whole or (numbers, phones)
            result.difference = float(np.abs(numbers - whole[0]).max())
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


def _encoder_ways(
    recognizer: Recognizer, samples: np.ndarray, chunks: Sequence[int | None]
) -> list[tuple[int | None, Call]]:
    """Calls that give log posteriors and no phones."""
    engine = recognizer.engine
    frames = engine.front_end(samples)

    def call(chunk: int | None) -> tuple[Numbers, Phones | None]:
        if chunk is None:
            return engine.log_posteriors([frames])[0], None
        stream, size = engine.stream(), chunk // int(SHIFT_MS)
        starts = range(0, len(frames), size)
        parts = [stream.push(frames[i : i + size], last=i + size >= len(frames)) for i in starts]
        return np.concatenate(parts), None

    return [(chunk, functools.partial(call, chunk)) for chunk in chunks]


def _all_ways(
    recognizer: Recognizer, samples: np.ndarray, chunks: Sequence[int | None]
) -> list[tuple[int | None, Call]]:
    """Calls that give posteriors and phones."""

    def call(chunk: int | None) -> tuple[Numbers, Phones | None]:
        if chunk is None:
            whole = recognizer.transcribe(samples, sample_rate=SAMPLE_RATE)
            assert whole.posteriors is not None  # unless options say otherwise
            return whole.posteriors, [(s.label, s.start, s.end) for s in whole.phones]
        stream, size = recognizer.stream(), SAMPLE_RATE * chunk // 1000
        results = [stream.push(samples[i : i + size]) for i in range(0, len(samples), size)]
        results.append(stream.finish())
        phones = [(s.label, s.start, s.end) for result in results for s in result.segments]
        return np.concatenate([result.posteriors for result in results]), phones

    return [(chunk, functools.partial(call, chunk)) for chunk in chunks]
