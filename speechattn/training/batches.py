"""Training batches: utterances of similar length, cropped, augmented and padded.

With ``training.consistency_weight``, a batch has two views of every utterance: its second half is
the first half again, with other noise, room and vocal tract, and begun a few frames later (see
:mod:`speechattn.training.losses`).
"""

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

from speechattn.corpora.alignment import shortened_silences
from speechattn.corpora.prepared import PreparedUtterance
from speechattn.training.augmentation import Augmenter
from speechattn.training.babble import babble
from speechattn.training.speaker_balance import turns_in_epoch
from speechattn.training.updates.inputs import LabelledSet, TrainingSections

DEV_BATCH_FRAMES = 40_000  # 10 ms frames
PADDING = -100  # label of frames that do not count, as in torch's cross-entropy
STATISTICS_FRAMES = 50_000_000  # 10 ms frames, 139 hours
POOL_BATCHES = 40  # utterances of so many batches are sorted by length together


@dataclass(frozen=True)
class Batch:
    """Padded utterances and their labels.

    Attributes:
        frames: shape (batch, frames, dim).
        labels: shape (batch, frames), or (batch, longest) where a label belongs to no frame.
        lengths: frames of each utterance, shape (batch,).
        second_view_delay: frames by which the second half, which holds the second views of the
            first half, begins later; None if there is one view of each utterance.
        one_way: whether the second views learn from the first alone, and not the reverse.
    """

    frames: Tensor
    labels: Tensor
    lengths: Tensor
    second_view_delay: int | None = None
    one_way: bool = False

    def to(self, device: torch.device) -> Batch:
        """Return the batch on another device."""
        return replace(
            self,
            frames=self.frames.to(device),
            labels=self.labels.to(device),
            lengths=self.lengths.to(device),
        )

    def parts(self, count: int) -> Iterator[Batch]:
        """Split into parts of about as many utterances each.

        Utterances of a batch have similar lengths, so every ``count``-th of them is a fair share.
        Two views of an utterance stay together.

        Args:
            count: number of parts; there are fewer if there are fewer utterances.
        """
        views = 1 if self.second_view_delay is None else 2
        utterances = torch.arange(len(self.lengths)).view(views, -1)
        for number in range(min(count, utterances.shape[1])):
            own = utterances[:, number::count].flatten()
            longest = int(self.lengths[own].max())
            yield replace(
                self,
                frames=self.frames[own, :longest],
                labels=self.labels[own, :longest],
                lengths=self.lengths[own],
            )


class UnmaskedBatch(NamedTuple):
    """A batch before its masks, and the augmenter that will mask it."""

    batch: Batch
    augmenter: Augmenter


class TrainingBatches:
    """All batches of a training set, in an order that depends on the seed and the epoch.

    Silences longer than ``max_silence_frames`` are shortened first: in some corpora they would be
    most of the frames, and there is little to learn from them.

    Batches are planned, and utterances cropped, before their tempo is changed. A slowed utterance
    is up to 1 / (1 - ``augmentation.speed``) times as long, and a batch may exceed
    ``batch_frames`` by the same factor.

    Args:
        prepared: training set.
        config: recipe, for its seed, front end, training and augmentation.
        silence: class of silence.
        noises: recorded noises, see :class:`Augmenter`.
    """

    def __init__(
        self,
        prepared: LabelledSet,
        config: TrainingSections,
        silence: int,
        noises: Sequence[np.ndarray] = (),
    ) -> None:
        self.config, self.silence = config, silence
        mixed = config.augmentation.babble if config.front_end.kind == "fbank" else 0
        self.noises = [*noises, *babble(prepared, mixed, config.seed)]
        self._prepared = prepared
        self._lengths = np.array([self._length(prepared, entry) for entry in prepared.entries])
        self._turns = turns_in_epoch(
            [entry.corpus for entry in prepared.entries],
            [entry.speaker for entry in prepared.entries],
            self._lengths.tolist(),
            config.training.speaker_balance,
        )
        self._plans: dict[int, list[list[int]]] = {}

    def _item(
        self, prepared: LabelledSet, entry: PreparedUtterance, coded: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the frames of an utterance, shape (frames, dim), and their labels.

        With ``coded``, the frames are as a codec leaves them.
        """
        labels = prepared.labels(entry)
        used = shortened_silences(labels, self.silence, self.config.training.max_silence_frames)
        frames = prepared.coded_frames(entry) if coded else prepared.frames(entry)
        return frames[used], labels[used]

    def _length(self, prepared: LabelledSet, entry: PreparedUtterance) -> int:
        """Return the number of frames that :meth:`_item` returns, without reading them."""
        longest = self.config.training.max_silence_frames
        return len(shortened_silences(prepared.labels(entry), self.silence, longest))

    def _read(self, number: int, coded: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return frames and labels of an utterance; frames come from the disk, in float16."""
        frames, labels = self._item(self._prepared, self._prepared.entries[number], coded)
        return frames.astype(np.float16), labels

    def _views(self, number: int, augmenter: Augmenter, count: int) -> tuple[list[Tensor], Tensor]:
        """Return an utterance as often as a batch has it, each time clean or through its codec.

        Returns:
            Frames of each time, shape (frames, dim), and labels, shape (frames,).
        """
        through = [augmenter.coded() for _ in range(count)]
        read = {coded: self._read(number, coded) for coded in dict.fromkeys(through)}
        labels = read[through[0]][1]
        return [torch.from_numpy(read[coded][0]) for coded in through], torch.from_numpy(labels)

    def _all_items(self, every: int = 1) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Read all utterances in their order, or one of so many."""
        return (self._read(number) for number in range(0, len(self._lengths), every))

    @property
    def num_frames(self) -> int:
        """Number of 10 ms frames after silences were shortened."""
        return int(self._lengths.sum())

    @cached_property
    def digest(self) -> str:
        """Digest of all frames and labels, which tells training sets of equal size apart.

        A prepared set brings its own; it was computed when the set was written.
        """
        stored = getattr(self._prepared, "digest", None)
        if stored is not None:
            return stored
        digest = hashlib.blake2b(digest_size=16)
        for frames, labels in self._all_items():
            digest.update(f"{frames.shape}".encode())
            digest.update(frames.tobytes())
            digest.update(labels.tobytes())
        return digest.hexdigest()

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Compute mean and standard deviation of the frames, each of shape (dim,).

        In sets of more than ``STATISTICS_FRAMES``, some of the utterances are enough.
        """
        every = max(1, self.num_frames // STATISTICS_FRAMES)
        count = int(self._lengths[::every].sum())
        mean = sum(frames.sum(0, dtype=np.float64) for frames, _ in self._all_items(every)) / count
        items = self._all_items(every)
        squares = sum(np.square(frames.astype(np.float32) - mean).sum(0) for frames, _ in items)
        return mean, np.sqrt(squares / count).clip(1e-3)

    def batch(self, step: int) -> Batch:
        """Return the batch of an update; it depends on the number of the update alone."""
        return self.masked(self.draft(step))

    def draft(self, step: int) -> UnmaskedBatch:
        """Make a batch without its masks; may be called in a thread beside the training."""
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
        """Mask a draft; not in another thread, because masks use torch's global generator."""
        batch = draft.batch
        frames = draft.augmenter.mask(batch.frames, batch.lengths)
        return replace(batch, frames=frames)

    def _plan(self, epoch: int) -> list[list[int]]:
        """Return the indices of the utterances in each batch of an epoch."""
        if epoch not in self._plans:
            settings = self.config.training
            max_frames = settings.batch_frames // (2 if settings.consistency_weight else 1)
            random = np.random.default_rng(_seed(self.config.seed, 2, epoch))
            lengths = self._lengths.clip(max=settings.crop_frames)
            items = np.arange(len(lengths))
            if settings.speaker_balance:  # a share of an utterance is taken in some of the epochs
                items = np.repeat(items, (self._turns + random.random(len(items))).astype(int))
            order = random.permutation(items)
            pool = max(1, POOL_BATCHES * settings.batch_frames // settings.crop_frames)
            batches: list[list[int]] = []
            for start in range(0, len(order), pool):
                some = order[start : start + pool]
                some = some[np.argsort(lengths[some], kind="stable")]
                batch: list[int] = []
                for item in some.tolist():
                    if batch and (len(batch) + 1) * lengths[item] > max_frames:
                        batches.append(batch)
                        batch = []
                    batch.append(item)
                batches.append(batch)
            self._plans[epoch] = [batches[i] for i in random.permutation(len(batches))]
        return self._plans[epoch]

    def _make(self, items: list[int], augmenter: Augmenter) -> Batch:
        views = 2 if self.config.training.consistency_weight else 1
        utterances = [self._utterance(item, augmenter, views) for item in items]
        lengths = torch.tensor([frames.shape[1] for frames, _ in utterances])
        x = torch.cat(
            [
                pad_sequence([frames[view] for frames, _ in utterances], batch_first=True)
                for view in range(views)
            ]
        )
        y = pad_sequence([y for _, y in utterances], batch_first=True, padding_value=PADDING)
        if views == 1:
            return Batch(augmenter(x, lengths), y, lengths)
        lengths = lengths.repeat(2)
        x = augmenter(x, lengths)
        delays = min(self.config.encoder.stack, int(lengths.min()))
        delay = int(torch.randint(delays, (1,), generator=augmenter.generator))
        lengths[len(utterances) :] -= delay
        x = delay_second_view(x, delay, 0.0)
        y = delay_second_view(y.repeat(2, 1), delay, PADDING)
        return Batch(x, y, lengths, second_view_delay=delay)

    def _utterance(self, item: int, augmenter: Augmenter, views: int) -> tuple[Tensor, Tensor]:
        """Return views of an utterance, cropped and at another tempo, and their labels.

        Returns:
            Frames, shape (views, frames, dim), and labels, shape (frames,).
        """
        crop = self.config.training.crop_frames
        whole, labels = self._views(item, augmenter, views)
        start = 0
        if len(labels) > crop:
            spare = len(labels) - crop + 1
            start = int(torch.randint(spare, (1,), generator=augmenter.generator))
        frames = torch.stack([view[start : start + crop] for view in whole])
        labels = labels[start : start + crop]
        if (order := augmenter.shuffled(labels)) is not None:
            frames, labels = frames[:, order], labels[order]
        frames, position = self._other_tempo(frames.float(), augmenter)
        labels = labels[position.round().long()]
        if augmenter.silenced():
            loudness = frames[0].logsumexp((0, 1)) - math.log(frames[0].numel())
            frames = (augmenter.noise(*frames.shape[1:]) + loudness).expand_as(frames)
            labels = torch.full_like(labels, self.silence)
        return frames, labels

    def _other_tempo(self, frames: Tensor, augmenter: Augmenter) -> tuple[Tensor, Tensor]:
        """Return views at another tempo, and the positions that they are read at."""
        count = frames.shape[1]
        if not self.config.augmentation.speed or count < 2:
            return frames, torch.arange(count).float()
        position = augmenter.tempo(count)
        low = position.long().clamp(max=count - 2)
        weight = (position - low)[:, None]
        return torch.lerp(frames[:, low], frames[:, low + 1], weight), position


def dev_batches(prepared: LabelledSet) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Go through whole utterances in batches, sorted by length.

    Yields:
        Frames, shape (batch, frames, dim), labels, shape (batch, frames), and lengths, shape
        (batch,). Labels of sets without alignments have the shape (batch, longest).
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


def delay_second_view(x: Tensor, delay: int, padding: float) -> Tensor:
    """Let the second half of a batch begin later; padding is added at its end.

    Args:
        x: shape (2 * utterances, frames, ...).
        delay: frames to leave out at the beginning of the second half.
        padding: value of padded frames.
    """
    first, second = x.chunk(2)
    at_end = (0, 0) * (x.ndim - 2) + (0, delay)
    return torch.cat([first, F.pad(second[:, delay:], at_end, value=padding)])


def _seed(*numbers: int) -> int:
    """Return a seed for this combination of numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
