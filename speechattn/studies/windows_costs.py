"""What an encoder costs at work: frames a second, and the memory of a process that runs it alone.

Frames go through it in blocks, as ``speechattn transcribe`` sends them; an encoder without a limit
to its look-ahead answers at the end. Weights are random, since neither time nor memory depends on
them. ``python -m speechattn.studies.windows_costs ENCODER INPUT_DIM PHONES FRAMES THREADS`` is such
a process; ENCODER is the configuration in JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import torch

from speechattn import __version__
from speechattn.bench.process import own_peak, peak_of_module
from speechattn.encoder.baselines import AnyEncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.files import atomic_write_text
from speechattn.inference.describe import costs
from speechattn.inference.streaming import look_ahead_ms
from speechattn.schema import build
from speechattn.segments import FRAMES_PER_SECOND

BLOCK_FRAMES = 20 * FRAMES_PER_SECOND  # as the recognizer's blocks
UTTERANCE_FRAMES = 10 * FRAMES_PER_SECOND
HOUR_FRAMES = 3600 * FRAMES_PER_SECOND
LENGTHS = (UTTERANCE_FRAMES, 60 * FRAMES_PER_SECOND, 600 * FRAMES_PER_SECOND, HOUR_FRAMES)
REPEATS = 3
MOST_WORK = 2e13  # multiply-adds of one process; about ten minutes on one core
QUICK_WORK = 2e12


@dataclass
class Measured:
    """What was counted and measured of a variant.

    Attributes:
        weights: trained numbers.
        multiply_adds: a frame, of an utterance of 10 s.
        receptive_field_ms: None for no limit.
        look_ahead_ms: front end included; None for no limit.
        frames_per_second: median, of an utterance of 10 s as a whole.
        memory: 10 ms frames of a recording → peak bytes of the process; None where it would have
            taken too long, or the system does not tell.
    """

    weights: int
    multiply_adds: float
    receptive_field_ms: float | None
    look_ahead_ms: float | None
    frames_per_second: float
    memory: dict[int, int | None] = field(default_factory=dict)


def measure(
    config: AnyEncoderConfig,
    input_dim: int,
    num_phones: int,
    lengths: Sequence[int],
    most_work: float = MOST_WORK,
) -> Measured:
    """Count and measure one encoder, with as many threads as torch has now.

    Args:
        config: of the encoder.
        input_dim: numbers a frame.
        num_phones: classes.
        lengths: 10 ms frames of the recordings whose memory is measured.
        most_work: multiply-adds beyond which a length is left out.

    Raises:
        SpeechattnError: if a process fails.
    """
    counted = costs(config, input_dim, num_phones, UTTERANCE_FRAMES)
    memory: dict[int, int | None] = {}
    for frames in lengths:
        work = frames * (costs(config, input_dim, num_phones, frames).multiply_adds or 0)
        memory[frames] = (
            peak_memory(config, input_dim, num_phones, frames) if work <= most_work else None
        )
    return Measured(
        counted.weights,
        counted.multiply_adds or 0.0,
        config.receptive_field_ms,
        look_ahead_ms(config),
        frames_per_second(config, input_dim, num_phones),
        memory,
    )


def measure_once(
    folder: Path,
    config: AnyEncoderConfig,
    input_dim: int,
    num_phones: int,
    lengths: Sequence[int],
    most_work: float = MOST_WORK,
) -> Measured:
    """What :func:`measure` gives, from a file in a folder if it has been measured before.

    The file is named after everything that was asked for, the threads and the version included.
    """
    from speechattn.training.stages import fingerprint  # not needed by the process that is measured

    asked = [config.kind, config.to_dict(), input_dim, num_phones, list(lengths), most_work]
    path = folder / f"{fingerprint([*asked, torch.get_num_threads(), __version__])[:12]}.json"
    if not path.is_file():
        found = measure(config, input_dim, num_phones, lengths, most_work)
        atomic_write_text(path, json.dumps(asdict(found)) + "\n")
    values = json.loads(path.read_text(encoding="utf-8"))
    values["memory"] = {int(frames): held for frames, held in values["memory"].items()}
    return Measured(**values)


def frames_per_second(config: AnyEncoderConfig, input_dim: int, num_phones: int) -> float:
    """Of an utterance of 10 s that goes through the classifier as a whole."""
    model = PhoneClassifier(input_dim, num_phones, config).eval()
    frames = torch.randn(1, UTTERANCE_FRAMES, input_dim)
    times = []
    with torch.inference_mode():
        for _ in range(REPEATS + 1):  # the first one warms up
            began = time.perf_counter()
            model(frames)
            times.append(time.perf_counter() - began)
    return UTTERANCE_FRAMES / median(times[1:])


def peak_memory(
    config: AnyEncoderConfig, input_dim: int, num_phones: int, frames: int
) -> int | None:
    """Most resident memory in bytes of a process that runs the encoder once, PyTorch included.

    None where the system does not tell.

    Raises:
        SpeechattnError: if the process fails.
    """
    encoder = json.dumps({"kind": config.kind, **config.to_dict()})
    numbers = input_dim, num_phones, frames, torch.get_num_threads()
    return peak_of_module(
        "speechattn.studies.windows_costs",
        [encoder, *map(str, numbers)],
        "an encoder",
        "give it more memory, or fewer variants with --only",
    )


def main(words: Sequence[str]) -> None:
    """Send random frames through the encoder that the arguments name, and print the peak memory."""
    config = build(AnyEncoderConfig, json.loads(words[0]), "encoder.")
    input_dim, num_phones, frames, threads = map(int, words[1:5])
    torch.set_num_threads(threads)
    stream = PhoneClassifier(input_dim, num_phones, config).eval().stream()
    for start in range(0, frames, BLOCK_FRAMES):
        count = min(BLOCK_FRAMES, frames - start)
        stream.push(torch.randn(count, input_dim), last=start + count == frames)
    print(own_peak() or 0)


if __name__ == "__main__":
    main(sys.argv[1:])
