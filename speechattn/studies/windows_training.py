"""What an encoder takes at work: frames a second, and the memory of a process that runs it alone.

Frames go through it in blocks, as `speechattn transcribe` sends them; an encoder without a limit to
its look-ahead answers at the end. Weights are random: neither time nor memory depends on them.
``python -m speechattn.studies.windows_training ENCODER INPUT_DIM PHONES FRAMES THREADS`` is such a process;
ENCODER is the configuration in JSON.

One training of ``speechattn bench windows``: a variant and a seed, trained and scored in its folder.

A folder is named after everything its model depends on. A training that was interrupted goes on from
its checkpoint; one that is finished is not done again. The windows of a model trained for any share it.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import torch

from speechattn import __version__
from speechattn.bench.process import own_peak, peak_of_module
from speechattn.encoder.baselines import AnyEncoderConfig
from speechattn.encoder.encoder import PhoneClassifier, set_window
from speechattn.evaluation.scores import count_utterance
from speechattn.files import atomic_write_text
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.describe import costs
from speechattn.inference.streaming import look_ahead_ms
from speechattn.schema import build
from speechattn.segments import FRAMES_PER_SECOND
from speechattn.studies.windows_variants import Variant
from speechattn.training.config import RecipeConfig
from speechattn.training.decoding import decode_set
from speechattn.training.recipe_data import RecipeData
from speechattn.training.stages import fingerprint
from speechattn.training.train_stage import train_model

BLOCK_FRAMES = 20 * FRAMES_PER_SECOND  # as the recognizer's blocks
UTTERANCE_FRAMES = 10 * FRAMES_PER_SECOND
HOUR_FRAMES = 3600 * FRAMES_PER_SECOND
LENGTHS = (UTTERANCE_FRAMES, 60 * FRAMES_PER_SECOND, 600 * FRAMES_PER_SECOND, HOUR_FRAMES)
REPEATS = 3
MOST_WORK = 2e13  # multiply-adds of one process; about ten minutes on one core
QUICK_WORK = 2e12

CHECKPOINT, MODEL = "checkpoint.safetensors", "model"
DEPENDS_ON = ("front_end", "encoder", "training", "augmentation", "decoding", "seed")


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
        "speechattn.studies.windows_training",
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


class VariantRun:
    """A variant trained with one seed.

    Args:
        variant: the encoder.
        seed: of everything random.
        config: of the recipe; its encoder and its seed give way.
        data: its prepared sets.
        prepared: fingerprint of what those were made from.
        folder: that holds the folders of all runs.
        most_utterances: of the test set, evenly spread; None for all.
    """

    def __init__(
        self,
        variant: Variant,
        seed: int,
        config: RecipeConfig,
        data: RecipeData,
        prepared: str,
        folder: Path,
        most_utterances: int | None = None,
    ):
        self.variant, self.seed, self.data = variant, seed, data
        self._most_utterances = most_utterances
        encoder, name, self._scores = variant.encoder, variant.name, "scores.json"
        if encoder.any_window:
            self._scores = f"scores-{'-'.join(map(str, np.ravel(encoder.window)))}.json"
            encoder = dataclasses.replace(encoder, window=(encoder.any_window[1],) * 2)
            name = "any window"
        steps = config.training.steps * variant.updates
        training = dataclasses.replace(config.training, steps=steps)
        self.config = dataclasses.replace(config, encoder=encoder, training=training, seed=seed)
        parts = self.config.to_dict()
        depends = [__version__, prepared, *(parts[name] for name in DEPENDS_ON)]
        if most_utterances is not None:
            depends.append(most_utterances)
        name = "".join(c if c.isalnum() else "-" for c in name)
        self.folder = folder / f"{name}-seed{seed}-{fingerprint(depends)[:12]}"

    @property
    def done(self) -> bool:
        """Whether it has been trained and scored."""
        return (self.folder / self._scores).is_file()

    def run(self, device: torch.device) -> dict:
        """Train and score what is not done yet.

        Returns:
            ``seconds`` of training, ``steps``, ``dev_frame_accuracy`` and ``utterances``, a row for
            every test utterance with its ``corpus``, ``speaker``, ``utterance`` and counts.
        """
        if not self.done:
            if not (self.folder / MODEL).is_dir():
                self._trained(device).save(self.folder / MODEL)
            model = Checkpoint.load(self.folder / MODEL, device)
            if self.variant.encoder.any_window:
                set_window(model.classifier, self.variant.encoder.window)
            found = {**model.training, "utterances": self._scored(model, device)}
            atomic_write_text(self.folder / self._scores, json.dumps(found) + "\n")
            (self.folder / CHECKPOINT).unlink(missing_ok=True)
        return json.loads((self.folder / self._scores).read_text(encoding="utf-8"))

    def _trained(self, device: torch.device) -> Checkpoint:
        self.folder.mkdir(parents=True, exist_ok=True)
        model, history = train_model(self.config, self.data, self.folder / CHECKPOINT, device)
        facts = {
            "steps": history["steps"],
            "seconds": history["seconds"],
            "dev_frame_accuracy": history["history"][-1]["dev_frame_accuracy"],
        }
        name = f"{self.config.name}: {self.variant.name}"
        return dataclasses.replace(model, name=name, training=facts)

    def _scored(self, model: Checkpoint, device: torch.device) -> list[dict]:
        test, rows = self.data.prepared("test"), []
        if self._most_utterances is not None:
            test.entries = test.entries[:: -(-len(test.entries) // self._most_utterances)]
        for entry, runs, labels in decode_set(model, test, device):
            counts = count_utterance(test.runs(entry), runs, labels, model.phones)
            place = {"corpus": entry.corpus, "speaker": entry.speaker, "utterance": entry.id}
            rows.append({**place, **vars(counts)})
        return rows
