"""``speechattn bench streaming``: what answering early costs, beside a recording taken as a whole.

The same recording goes through the encoder alone, and through everything from samples to phones:
whole, and in chunks of several lengths. All of them run in one process and in turn, and each must
give the numbers of the whole, which are compared.

Timing of a recognizer in chunks and as a whole: in turn, in one process, and compared.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import torch

from speechattn.audio.features import FrontEnd, FrontEndConfig
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.decoder.options import DecoderOptions
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.precision import with_packed_linears
from speechattn.errors import UsageError
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.recognizer import Recognizer
from speechattn.options import parse_window
from speechattn.phones import arpabet
from speechattn.segments import SAMPLE_RATE, SHIFT_MS

CHUNKS = "100,200,400,1000"  # ms
SHORTEST_CHUNK, LONGEST_CHUNK = 10, 60_000  # ms
MOST_SECONDS = 3600
WINDOW = (32, 32)  # frames, of the random model
COLUMNS = (
    *("part", "chunk_ms", "ms_a_frame", "fastest", "slowest", "rounds"),
    *("to_whole", "times_real_time", "max_abs_difference", "same_phones"),
)
NOTE = """\
Medians; every round times each line once, in turn, in one process. *x whole*: time relative to the
same recording taken as a whole. *difference*: largest absolute difference from it, of scores
(encoder) or posteriors (audio to phones)."""


ENCODER, ALL = "encoder", "audio to phones"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options; imports neither PyTorch nor NumPy."""
    add = parser.add_argument
    add(
        "--model",
        metavar="NAME_OR_DIR",
        help="name or folder of a model (default: random weights, 6 blocks, width 256, "
        "feed-forward 1024, 4 heads)",
    )
    add(
        "--window",
        metavar="LEFT/RIGHT",
        help="10 ms frames that a block sees, of the random model (default: 32/32) or of one that "
        "works with any window",
    )
    add("--chunks", default=CHUNKS, metavar="LIST", help=f"milliseconds (default: {CHUNKS})")
    add("--seconds", type=int, default=60, metavar="N", help="of sound (default: 60)")
    add("--threads", type=int, default=1, metavar="N", help="threads of PyTorch (default: 1)")
    add("--repeats", type=int, default=7, metavar="N", help="rounds (default: 7)")
    add("--output-dir", metavar="DIR", help="folder for streaming.md and streaming.csv")


def run(arguments: argparse.Namespace, progress: Callable[[str], None] | None = None) -> int:
    """Measure; the report goes to standard output, and into a folder if one is given.

    Args:
        arguments: as :func:`add_arguments` defines them.
        progress: called with a line for people; by default they go to standard error.

    Raises:
        UsageError: for options that make no sense, or a folder that cannot be written.
        SpeechattnError: if the model cannot be loaded or cannot stream.
    """
    chunks = parse_chunks(arguments.chunks)
    for name, most in (("seconds", MOST_SECONDS), ("threads", 1000), ("repeats", 1000)):
        value = getattr(arguments, name)
        if not 1 <= value <= most:
            raise UsageError(f"--{name} {value}: choose a number from 1 to {most}")
    window = None if arguments.window is None else parse_window(arguments.window)
    folder = None if arguments.output_dir is None else Path(arguments.output_dir)

    import torch

    from speechattn.bench.process import machine_facts

    pass
    from speechattn.files import atomic_write_text
    from speechattn.inference.recognizer import load_model

    facts = machine_facts(("torch", "numba", "numpy"))
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _not_written(folder, error) from None
    before = torch.get_num_threads()
    torch.set_num_threads(arguments.threads)
    try:
        if arguments.model is None:
            recognizer = random_recognizer(window or WINDOW)
        else:
            recognizer = load_model(arguments.model, device="cpu", window=window)
        samples = made_up_sound(arguments.seconds)
        found = measure(recognizer, samples, chunks, arguments.repeats, progress or _tell)
    finally:
        torch.set_num_threads(before)
    facts |= {
        "model": recognizer.checkpoint.name,
        "look-ahead": f"{recognizer.look_ahead_ms:g} ms",
        "sound": f"{arguments.seconds} s",
        "threads": str(arguments.threads),
        "rounds": str(arguments.repeats),
    }
    report = markdown_report(found, arguments.seconds, facts)
    print(report, end="")
    if folder is not None:
        try:
            atomic_write_text(folder / "streaming.md", report)
            atomic_write_text(folder / "streaming.csv", csv_report(found, arguments.seconds))
        except OSError as error:
            raise _not_written(folder, error) from None
    return 0


def parse_chunks(text: str) -> list[int]:
    """Lengths of chunks such as ``100,400``, in ms, shortest first.

    Raises:
        UsageError: if one is none.
    """
    found = set()
    for item in text.split(","):
        if not item.strip().isdecimal() or not SHORTEST_CHUNK <= int(item) <= LONGEST_CHUNK:
            raise UsageError(
                f"--chunks {text}: {item!r} is no whole number of ms from {SHORTEST_CHUNK} to "
                f"{LONGEST_CHUNK}"
            )
        found.add(int(item))
    return sorted(found)


def _rows(found: Sequence[Measurement], seconds: float) -> list[dict]:
    """The cells of each line, by the names of :data:`COLUMNS`; None where there is nothing."""
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
    from speechattn.text import table

    header = ("", "chunk (ms)", "ms a frame", "x whole", "x real time", "difference", "same phones")
    lines = [
        (
            row["part"],
            "whole" if row["chunk_ms"] is None else str(row["chunk_ms"]),
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


def _not_written(folder: Path, error: OSError) -> UsageError:
    return UsageError(f"--output-dir {folder}: {error.strerror}; choose another")


def _tell(line: str) -> None:
    print(f"speechattn: {line}", file=sys.stderr)


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
