"""What an encoder costs at inference: frames a second, and the memory of a process that runs it.

For memory, a process of its own sends random frames through the encoder in blocks, as
``speechattn transcribe`` does. An encoder without a limit to its look-ahead gives its outputs at
the end. Weights are random, since neither time nor memory depends on them. The process is
``python -m speechattn.studies.windows_costs ENCODER INPUT_DIM PHONES FRAMES THREADS``, where
ENCODER is the configuration in JSON.
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
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.kinds import AnyEncoderConfig
from speechattn.files import atomic_write_text
from speechattn.inference.describe import costs
from speechattn.inference.streaming import look_ahead_ms
from speechattn.process import tell
from speechattn.schema import build
from speechattn.segments import FRAMES_PER_SECOND

BLOCK_FRAMES = 20 * FRAMES_PER_SECOND  # the size of the recognizer's blocks
UTTERANCE_FRAMES = 10 * FRAMES_PER_SECOND
HOUR_FRAMES = 3600 * FRAMES_PER_SECOND
LENGTHS = (UTTERANCE_FRAMES, 60 * FRAMES_PER_SECOND, 600 * FRAMES_PER_SECOND, HOUR_FRAMES)
REPEATS = 3  # timed runs
MOST_WORK = 2e13  # multiply-adds of one process; about ten minutes on one core
QUICK_WORK = 2e12


@dataclass
class Measured:
    """Costs of an encoder.

    Attributes:
        weights: number of weights.
        multiply_adds: multiply-adds for a frame, in an utterance of 10 s.
        receptive_field_ms: receptive field in ms; None for no limit.
        look_ahead_ms: look-ahead in ms, with that of the front end; None for no limit.
        frames_per_second: median speed on an utterance of 10 s, processed as a whole.
        memory: length of a recording in 10 ms frames → peak memory of the process in bytes; None if
            it would take too long, or the system does not give it.
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
    """Measure one encoder with PyTorch's current number of threads.

    Args:
        config: configuration of the encoder.
        input_dim: dimension of the frames.
        num_phones: number of classes.
        lengths: lengths of the recordings for which memory is measured, in 10 ms frames.
        most_work: largest number of multiply-adds; longer recordings are left out.

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
    """Return the result of :func:`measure`, from a file in ``folder`` if it is there already.

    The name of the file has a fingerprint of the arguments, the number of threads and the version.
    """
    # not needed by the process that is measured
    from speechattn.studies.trials import remove_damaged
    from speechattn.training.stages import fingerprint

    inputs = [config.kind, config.to_dict(), input_dim, num_phones, list(lengths), most_work]
    path = folder / f"{fingerprint([*inputs, torch.get_num_threads(), __version__])[:12]}.json"
    remove_damaged(path, tell)
    if not path.is_file():
        measured = measure(config, input_dim, num_phones, lengths, most_work)
        atomic_write_text(path, json.dumps(asdict(measured)) + "\n")
    values = json.loads(path.read_text(encoding="utf-8"))
    values["memory"] = {int(frames): peak for frames, peak in values["memory"].items()}
    return Measured(**values)


def frames_per_second(config: AnyEncoderConfig, input_dim: int, num_phones: int) -> float:
    """Measure the speed of the classifier on an utterance of 10 s, processed as a whole."""
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
    """Measure the peak resident memory of a process that runs the encoder once, in bytes.

    It includes PyTorch. None if the system does not give it.

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


def main(arguments: Sequence[str]) -> None:
    """Send random frames through an encoder and print the peak memory; see the module."""
    config = build(AnyEncoderConfig, json.loads(arguments[0]), "encoder.")
    input_dim, num_phones, frames, threads = map(int, arguments[1:5])
    torch.set_num_threads(threads)
    stream = PhoneClassifier(input_dim, num_phones, config).eval().stream()
    for start in range(0, frames, BLOCK_FRAMES):
        count = min(BLOCK_FRAMES, frames - start)
        stream.push(torch.randn(count, input_dim), last=start + count == frames)
    print(own_peak() or 0)


if __name__ == "__main__":
    main(sys.argv[1:])
