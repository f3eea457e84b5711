"""Training batches: utterances of similar length, cropped, augmented and padded."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from speechattn.corpora.prepared import PreparedSet, PreparedUtterance
from speechattn.encoder.config import EncoderConfig
from speechattn.training.augmentation import Augmenter
from speechattn.training.config import RecipeConfig

DEV_BATCH_FRAMES = 40_000  # 10 ms frames
PADDING = -100  # label of frames that do not count, as in torch's cross-entropy
POOL_BATCHES = 40  # batches sorted by length together


@dataclass(frozen=True)
class Batch:
    """Frames (batch, frames, dim), labels (batch, frames) and lengths (batch,).

    Attributes:
        late: frames by which the utterances of the second half, which are those of the first half
            heard again, begin later (:mod:`speechattn.training.losses`); None if each comes once.
    """

    frames: Tensor
    labels: Tensor
    lengths: Tensor
    late: int | None = None

    def to(self, device: torch.device) -> Batch:
        """On another device."""
        tensors = (each.to(device) for each in (self.frames, self.labels, self.lengths))
        return Batch(*tensors, self.late)

    def parts(self, count: int) -> Iterator[Batch]:
        """In parts of about as many utterances; fewer than ``count`` if it has not as many.

        Utterances of a batch are of like length: every ``count``-th of them is a fair share. Two
        hearings of one stay together.
        """
        hearings = 1 if self.late is None else 2
        utterances = torch.arange(len(self.lengths)).view(hearings, -1)
        for number in range(min(count, utterances.shape[1])):
            own = utterances[:, number::count].flatten()
            longest = int(self.lengths[own].max())
            yield Batch(
                self.frames[own, :longest], self.labels[own, :longest], self.lengths[own], self.late
            )


class UnmaskedBatch(NamedTuple):
    """A batch that is not masked yet, and what will mask it."""

    batch: Batch
    augmenter: Augmenter


class TrainingBatches:
    """All batches of a training set, in an order that the seed and the epoch decide.

    Silences longer than ``max_silence_frames`` are shortened first: they would be most of the
    frames of some corpora, and there is little to learn from them.

    Batches are planned, and utterances cropped, before their tempo is changed: a slowed utterance
    is up to 1 / (1 - ``augmentation.speed``) times as long, and so a batch may have more than
    ``batch_frames`` frames by as much.

    Args:
        prepared: the training set.
        config: its seed, front end, training and augmentation.
        silence: class of silence.
        noises: see :class:`Augmenter`.
    """

    def __init__(
        self,
        prepared: PreparedSet,
        config: RecipeConfig,
        silence: int,
        noises: Sequence[np.ndarray] = (),
    ):
        self.config, self.silence, self.noises = config, silence, noises
        self._items: list[tuple[np.ndarray, np.ndarray]] = []
        for entry in prepared.entries:
            frames, labels = self._item(prepared, entry)
            self._items.append((frames.astype(np.float16), labels))
        self._plans: dict[int, list[list[int]]] = {}

    def _item(
        self, prepared: PreparedSet, entry: PreparedUtterance
    ) -> tuple[np.ndarray, np.ndarray]:
        """What is kept of an utterance: frames, shape (frames, dim), and labels."""
        labels = prepared.labels(entry)
        kept = shortened_silences(labels, self.silence, self.config.training.max_silence_frames)
        return prepared.frames(entry)[kept], labels[kept]

    @property
    def num_frames(self) -> int:
        """10 ms frames after silences were shortened."""
        return sum(len(frames) for frames, _ in self._items)

    @cached_property
    def digest(self) -> str:
        """Of every frame and label, to tell training sets of as many frames apart."""
        digest = hashlib.blake2b(digest_size=16)
        for frames, labels in self._items:
            digest.update(f"{frames.shape}".encode())
            digest.update(frames.tobytes())
            digest.update(labels.tobytes())
        return digest.hexdigest()

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the frames, each of shape (dim,)."""
        total = sum(frames.sum(0, dtype=np.float64) for frames, _ in self._items)
        mean = total / self.num_frames
        squares = sum(np.square(f.astype(np.float32) - mean).sum(0) for f, _ in self._items)
        return mean, np.sqrt(squares / self.num_frames).clip(1e-3)

    def batch(self, step: int) -> Batch:
        """The batch of an update; the same whenever it is asked for."""
        return self.masked(self.draft(step))

    def draft(self, step: int) -> UnmaskedBatch:
        """A batch but for its masks; may be called in a thread beside the training."""
        epoch, position = 0, step
        while position >= len(self._plan(epoch)):
            position -= len(self._plan(epoch))
            epoch += 1
        generator = torch.Generator().manual_seed(_seed(self.config.seed, 1, step))
        augmenter = Augmenter(
            self.config.augmentation, self.config.front_end, generator, self.noises
        )
        return UnmaskedBatch(self._make(self._plan(epoch)[position], augmenter), augmenter)

    @staticmethod
    def masked(draft: UnmaskedBatch) -> Batch:
        """The batch of a draft; not in a thread: masks are drawn from torch's own generator."""
        batch = draft.batch
        frames = draft.augmenter.mask(batch.frames, batch.lengths)
        return replace(batch, frames=frames)

    def _plan(self, epoch: int) -> list[list[int]]:
        """Which utterances make up each batch of an epoch."""
        if epoch not in self._plans:
            settings = self.config.training
            most = settings.batch_frames // (2 if settings.consistency_weight else 1)
            random = np.random.default_rng(_seed(self.config.seed, 2, epoch))
            lengths = np.array([min(len(x), settings.crop_frames) for x, _ in self._items])
            order = random.permutation(len(lengths))
            pool = max(1, POOL_BATCHES * settings.batch_frames // settings.crop_frames)
            batches: list[list[int]] = []
            for start in range(0, len(order), pool):
                some = order[start : start + pool]
                some = some[np.argsort(lengths[some], kind="stable")]
                batch: list[int] = []
                for item in some.tolist():
                    if batch and (len(batch) + 1) * lengths[item] > most:
                        batches.append(batch)
                        batch = []
                    batch.append(item)
                batches.append(batch)
            self._plans[epoch] = [batches[i] for i in random.permutation(len(batches))]
        return self._plans[epoch]

    def _make(self, items: list[int], augmenter: Augmenter) -> Batch:
        made = [self._utterance(item, augmenter) for item in items]
        lengths = torch.tensor([len(frames) for frames, _ in made])
        x = pad_sequence([f for f, _ in made], batch_first=True)
        y = pad_sequence([y for _, y in made], batch_first=True, padding_value=PADDING)
        if not self.config.training.consistency_weight:
            return Batch(augmenter(x, lengths), y, lengths)
        lengths = lengths.repeat(2)
        x = augmenter(x.repeat(2, 1, 1), lengths)
        latest = min(self.config.encoder.stack, int(lengths.min()))
        late = int(torch.randint(latest, (1,), generator=augmenter.generator))
        lengths[len(made) :] -= late
        return Batch(
            begun_later(x, late, 0.0), begun_later(y.repeat(2, 1), late, PADDING), lengths, late
        )

    def _utterance(self, item: int, augmenter: Augmenter) -> tuple[Tensor, Tensor]:
        """Frames of an utterance, cropped and at another tempo, and their labels."""
        crop = self.config.training.crop_frames
        frames, labels = (torch.from_numpy(a) for a in self._items[item])
        if len(frames) > crop:
            spare = len(frames) - crop + 1
            start = int(torch.randint(spare, (1,), generator=augmenter.generator))
            frames, labels = frames[start : start + crop], labels[start : start + crop]
        if (order := augmenter.shuffled(labels)) is not None:
            frames, labels = frames[order], labels[order]
        frames, position = self._other_tempo(frames.float(), augmenter)
        labels = labels[position.round().long()]
        if augmenter.silenced():
            loudness = frames.logsumexp((0, 1)) - math.log(frames.numel())
            frames = augmenter.noise(*frames.shape) + loudness
            labels = torch.full_like(labels, self.silence)
        return frames, labels

    def _other_tempo(self, frames: Tensor, augmenter: Augmenter) -> tuple[Tensor, Tensor]:
        """Frames of an utterance at another tempo, and the positions they were read at."""
        if not self.config.augmentation.speed or len(frames) < 2:
            return frames, torch.arange(len(frames)).float()
        position = augmenter.tempo(len(frames))
        low = position.long().clamp(max=len(frames) - 2)
        return torch.lerp(frames[low], frames[low + 1], (position - low)[:, None]), position


def dev_batches(prepared: PreparedSet) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Whole utterances in batches, sorted by length.

    Yields:
        Frames, shape (batch, frames, dim), labels, shape (batch, frames), and lengths, (batch,);
        labels of a :class:`speechattn.studies.sequence_data.SequenceSet` have the shape (batch, longest).
    """
    entries = sorted(prepared.entries, key=lambda entry: entry.frames)
    while entries:
        count = max(1, min(len(entries), DEV_BATCH_FRAMES // entries[-1].frames))
        some, entries = entries[-count:], entries[:-count]
        frames = [torch.from_numpy(prepared.frames(entry)) for entry in some]
        labels = [torch.from_numpy(prepared.labels(entry)) for entry in some]
        yield (
            pad_sequence(frames, batch_first=True),
            pad_sequence(labels, batch_first=True, padding_value=PADDING),
            torch.tensor([len(x) for x in frames]),
        )


def shortened_silences(labels: np.ndarray, silence: int, longest: int) -> np.ndarray:
    """Indices of the frames that stay when silences lose their middle.

    Args:
        labels: shape (frames,).
        silence: its class.
        longest: frames that stay of a silence, half at either end; 0 to keep all.
    """
    keep = np.ones(len(labels), dtype=bool)
    if longest:
        quiet = np.concatenate([[0], (labels == silence).astype(np.int8), [0]])
        starts, ends = np.flatnonzero(np.diff(quiet) == 1), np.flatnonzero(np.diff(quiet) == -1)
        for start, end in zip(starts, ends):
            if end - start > longest:
                keep[start + longest // 2 : end - (longest - longest // 2)] = False
    return np.flatnonzero(keep)


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


EQUAL_SIDES_SHARE = 0.5  # share of draws with both sides alike


def draw_window(config: EncoderConfig, seed: int, number: int) -> tuple[int, int]:
    """A window to train with, in 10 ms frames; a small one as often as one twice as large.

    Half of the draws have both sides alike, the others draw each.

    Args:
        config: with ``any_window``.
        seed: of the training.
        number: of the draw.
    """
    random = np.random.default_rng((seed, 3, number))  # 1 and 2: see batches
    least, most = (side // config.stack for side in config.any_window)

    def side() -> int:
        drawn = math.exp(random.uniform(math.log(1 + least), math.log(2 + most))) - 1
        return min(most, int(drawn)) * config.stack

    left = side()
    return left, left if random.random() < EQUAL_SIDES_SHARE else side()


def begun_later(x: Tensor, late: int, padding: float) -> Tensor:
    """Without the first frames of the second half of a batch; padding comes in at their end.

    Args:
        x: shape (2 * utterances, frames, ...).
        late: frames to leave out.
        padding: value of frames that are none.
    """
    first, second = x.chunk(2)
    at_end = (0, 0) * (x.ndim - 2) + (0, late)
    return torch.cat([first, F.pad(second[:, late:], at_end, value=padding)])
