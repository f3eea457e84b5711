"""Where the cycles of an update go, counted on one core with utterances of random numbers.

Each part of an update is done by itself, and the processor time of the process is taken, which
other programs on the machine change little. A training on several cores has the same parts: its
replicas share the forward and backward passes, and one thread more makes the next batch meanwhile.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from speechattn.audio.features import FrontEnd
from speechattn.corpora.prepared import PreparedUtterance
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.inference.describe import costs
from speechattn.segments import FRAMES_PER_SECOND, SAMPLE_RATE
from speechattn.text import table
from speechattn.training.batches import PADDING, TrainingBatches
from speechattn.training.config import RecipeConfig
from speechattn.training.losses import PhoneLoss, frame_transitions
from speechattn.training.optim import Optimizers
from speechattn.training.recipe_data import recipe_phones
from speechattn.training.updates.window_draws import draw_window
from speechattn.training.warm_start import load_teacher

NETWORK = ("forward", "backward")
PARTS = {
    "read and augment": "crop, tempo, vocal tract, noise, room, masks",
    "forward": "encoder and classifier",
    "teacher": "its encoder, if the recipe has one",
    "losses": "cross-entropy, paths, consistency, with their own backward pass",
    "backward": "classifier and encoder",
    "exchange": "adding up the gradients of two replicas",
    "optimizer": "clipping, the update of the weights, their running mean",
}
WARM_UP = 2  # updates that are not counted
UTTERANCES = 200
PEAK_SIZE = 1024  # rows and columns of the product that shows the peak


@dataclass(frozen=True)
class UpdateProfile:
    """Processor time of an update.

    Attributes:
        seconds: part → seconds on one core, the mean of an update.
        frames: 10 ms frames of an update, padding included.
        operations: floating point operations of the forward and backward pass of these frames.
        peak: operations a second of one core in a large matrix product of the same precision.
        front_end: seconds on one core for an hour of audio, once, when the sets are prepared.
    """

    seconds: dict[str, float]
    frames: float
    operations: float
    peak: float
    front_end: float

    @property
    def total(self) -> float:
        """Seconds of an update on one core."""
        return sum(self.seconds.values())

    @property
    def outside(self) -> float:
        """Share outside the forward and backward pass."""
        return 1 - sum(self.seconds[name] for name in NETWORK) / self.total

    @property
    def of_peak(self) -> float:
        """Share of the peak that the forward and backward pass reach."""
        return self.operations / sum(self.seconds[name] for name in NETWORK) / self.peak

    def report(self, name: str) -> str:
        """Return a table for people."""
        rows = [
            [part, f"{1000 * own:.0f}", f"{100 * own / self.total:.1f} %", PARTS[part]]
            for part, own in self.seconds.items()
        ]
        rows.append(["**all**", f"{1000 * self.total:.0f}", "100 %", ""])
        hours = self.frames / FRAMES_PER_SECOND / 3600 / self.total * 3600
        return (
            f"# An update of {name}\n\n{table(['part', 'ms on one core', 'share', 'what'], rows)}\n"
            f"\n{self.frames:.0f} frames an update. Outside forward and backward: "
            f"{100 * self.outside:.1f} %. Forward and backward reach "
            f"{self.operations / sum(self.seconds[n] for n in NETWORK) / 1e9:.0f} GFLOP/s, "
            f"{100 * self.of_peak:.0f} % of the {self.peak / 1e9:.0f} GFLOP/s of a matrix product "
            f"of {PEAK_SIZE} x {PEAK_SIZE}. One core trains on {hours:.1f} hours of audio an hour. "
            f"The front end, once: {self.front_end:.1f} s of one core for an hour of audio.\n"
        )


def profile_updates(config: RecipeConfig, updates: int = 5) -> UpdateProfile:
    """Measure the parts of an update of a recipe.

    Args:
        config: recipe; its data are not read, but its teacher is.
        updates: number of updates to count.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _profile(config, updates)
    finally:
        torch.set_num_threads(threads)


def _profile(config: RecipeConfig, updates: int) -> UpdateProfile:
    settings = config.training
    spent: dict[str, float] = defaultdict(float)

    @contextmanager
    def timed(part: str) -> Iterator[None]:
        begin = time.process_time()
        yield
        spent[part] += time.process_time() - begin

    phones = recipe_phones(config)
    data = _RandomSet(config.front_end.dim, len(phones))
    batches = TrainingBatches(data, config, silence=0)
    torch.manual_seed(config.seed)
    model = PhoneClassifier(config.front_end.dim, len(phones), config.encoder).train()
    average = [p.detach().clone() for p in model.parameters()]
    optimizers = Optimizers(model, settings)
    transitions, teacher = None, None
    if settings.sequence_weight:
        labels = (data.labels(entry) for entry in data.entries)
        transitions = frame_transitions(labels, len(phones))
    if config.teacher:
        taught = load_teacher(config, phones, torch.device("cpu")).classifier

        def teacher(x: Tensor, lengths: Tensor) -> Tensor:
            with timed("teacher"):
                return taught(x, lengths)

    loss = PhoneLoss(transitions, teacher)
    frames = 0
    for update in range(WARM_UP + updates):
        if update == WARM_UP:
            spent.clear()
            frames = 0
        with timed("read and augment"):
            batch = batches.batch(update)
        windows: list[tuple | None] = [None]
        if config.encoder.any_window:
            windows = [*(draw_window(config.encoder, 0, 4 * update + i) for i in range(4))]
        count = int((batch.labels != PADDING).sum())
        frames += batch.labels.numel()
        model.zero_grad(set_to_none=True)
        for part, window in zip(batch.parts(len(windows)), windows):
            if window is not None:
                model.set_window(window)
            seen: list[Tensor] = []

            def forward(x: Tensor, lengths: Tensor, seen: list[Tensor] = seen) -> Tensor:
                with timed("forward"):
                    seen.append(model(x, lengths))
                seen.append(seen[0].detach().requires_grad_())
                return seen[1]

            before = spent["forward"] + spent["teacher"]
            with timed("losses"):
                (loss(forward, part, settings) / count).backward()
            spent["losses"] -= spent["forward"] + spent["teacher"] - before
            with timed("backward"):
                seen[0].backward(seen[1].grad)
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        others = [g.clone() for g in gradients]
        with timed("exchange"):
            torch._foreach_add_(others, gradients)
        with timed("optimizer"):
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
            optimizers.step(settings.learning_rate)
            torch._foreach_lerp_(average, [p.detach() for p in model.parameters()], 0.01)
    seconds = {part: spent[part] / updates for part in PARTS}
    frames_each = frames / updates
    shape = config.encoder, config.front_end.dim, len(phones)
    each = costs(*shape, settings.crop_frames).multiply_adds
    operations = 3 * 2 * (each or 0.0) * frames_each  # the backward pass is two forward passes
    return UpdateProfile(
        seconds, frames_each, operations, _peak(settings.precision), _front_end_seconds(config)
    )


def _peak(precision: str) -> float:
    """Operations a second of one core in a large matrix product."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    x = torch.randn(PEAK_SIZE, PEAK_SIZE).to(dtype)
    fastest = float("inf")
    for _ in range(5):
        begin = time.process_time()
        x @ x
        fastest = min(fastest, time.process_time() - begin)
    return 2 * PEAK_SIZE**3 / fastest


def _front_end_seconds(config: RecipeConfig) -> float:
    """Seconds of one core for the frames of an hour of audio."""
    minute = torch.randn(60 * SAMPLE_RATE) / 10
    front_end = FrontEnd(config.front_end)
    front_end(minute)
    begin = time.process_time()
    front_end(minute)
    return 60 * (time.process_time() - begin)


class _RandomSet:
    """Utterances of random numbers, three to eight seconds long."""

    def __init__(self, dim: int, phones: int) -> None:
        random = np.random.default_rng(0)
        self.phones = tuple(f"p{number}" for number in range(phones))
        self._labels: Sequence[np.ndarray] = [
            np.repeat(random.integers(phones, size=150), random.integers(2, 14, size=150))[
                : random.integers(300, 800)
            ]
            for _ in range(UTTERANCES)
        ]
        self._frames = random.standard_normal((800, dim), dtype=np.float32)
        self.entries = [
            PreparedUtterance(f"u{n}", "s", "c", "", n, len(labels), 0, 0)
            for n, labels in enumerate(self._labels)
        ]

    def frames(self, entry: PreparedUtterance) -> np.ndarray:
        """Frames of an utterance, shape (frames, dim)."""
        return self._frames[: entry.frames]

    def coded_frames(self, entry: PreparedUtterance) -> np.ndarray:
        """Return the same: no codec changes random frames."""
        return self.frames(entry)

    def labels(self, entry: PreparedUtterance) -> np.ndarray:
        """Classes of its frames, shape (frames,)."""
        return self._labels[entry.first]
