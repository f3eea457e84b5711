"""Utterances whose labels say what they hold but not where: sets and training batches of them.

Frames are prepared as those of any set, by :func:`speechattn.corpora.prepared.prepare_set`, with an alignment
that says nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from speechattn.corpora.corpus import Corpus
from speechattn.corpora.prepared import Entry, PreparedSet
from speechattn.errors import ConfigError, CorpusError
from speechattn.training.augmentation import Augmenter
from speechattn.training.batches import TrainingBatches
from speechattn.training.recipe_config import RecipeConfig

NO_CLASS = -1  # stands where the class of silence is asked for: there is none


def unaligned(corpus: Corpus) -> Corpus:
    """A corpus read without alignments as :func:`speechattn.corpora.prepared.prepare_set` takes it."""
    utterances = tuple(replace(utterance, alignment=()) for utterance in corpus)
    return replace(corpus, utterances=utterances)


class SequenceSet:
    """The utterances of a prepared set with labels of their own.

    It has what training asks of a :class:`speechattn.corpora.prepared.PreparedSet`.

    Args:
        prepared: where the frames are; its labels do not count.
        labels: classes of each utterance by corpus and id, in order; an utterance without any is left
            out.
        names: of the classes.

    Raises:
        CorpusError: if nothing remains.
    """

    def __init__(
        self,
        prepared: PreparedSet,
        labels: Mapping[tuple[str, str], Sequence[int]],
        names: Sequence[str],
    ):
        self._prepared, self._labels, self.phones = prepared, labels, tuple(names)
        self.entries = [e for e in prepared.entries if labels.get((e.corpus, e.id))]
        if not self.entries:
            raise CorpusError(
                f"none of {len(prepared)} utterances has labels; give the corpora a text file that "
                "says what is in them"
            )

    def __len__(self) -> int:
        return len(self.entries)

    def frames(self, entry: Entry) -> np.ndarray:
        """Frames of an utterance, float32, shape (frames, dim)."""
        return self._prepared.frames(entry)

    def labels(self, entry: Entry) -> np.ndarray:
        """Classes of an utterance, int64, shape (labels,)."""
        return np.array(self._labels[entry.corpus, entry.id], dtype=np.int64)

    def where(self, keep: Callable[[Entry], bool]) -> SequenceSet:
        """The utterances that are kept.

        Raises:
            CorpusError: if there is none.
        """
        kept = {(e.corpus, e.id): self._labels[e.corpus, e.id] for e in self.entries if keep(e)}
        return SequenceSet(self._prepared, kept, self.phones)


class SequenceBatches(TrainingBatches):
    """Training batches of a :class:`SequenceSet`: whole utterances, labels (batch, longest).

    Args:
        train: the utterances.
        config: its seed, front end, training and augmentation.
        noises: see :class:`speechattn.training.augmentation.Augmenter`.

    Raises:
        ConfigError: if an utterance is longer than ``training.crop_frames``, since a part of it has
            not the labels of the whole, or utterances would be silenced, shuffled or heard
            twice, or weights kept that are not of this head.
    """

    def __init__(self, train: SequenceSet, config: RecipeConfig, noises: Sequence[np.ndarray] = ()):
        for section, name, reason in (
            ("augmentation", "silence_probability", "there is none for silence"),
            ("augmentation", "shuffle_probability", "nothing says where an utterance may be cut"),
            ("training", "consistency_weight", "two hearings are compared frame by frame"),
            ("training", "start_share", "the head begins anew"),
        ):
            if value := getattr(getattr(config, section), name):
                raise ConfigError(
                    f"{section}.{name}: {value}; 0 where frames have no labels: {reason}"
                )
        longest = max(train.entries, key=lambda entry: entry.frames)
        if longest.frames > config.training.crop_frames:
            raise ConfigError(
                f"training.crop_frames: {config.training.crop_frames}, but {longest.corpus} "
                f"{longest.id} has {longest.frames} frames, and a part of it has not the labels "
                "of the whole: raise it (and training.batch_frames), or leave the utterance out"
            )
        super().__init__(train, config, NO_CLASS, noises)

    @cached_property
    def digest(self) -> str:
        """Of every frame and label, and of what belongs to which."""
        ends = [len(labels) for _, labels in self._items]
        return hashlib.sha256(f"{super().digest} {ends}".encode()).hexdigest()

    def _item(self, prepared: SequenceSet, entry: Entry) -> tuple[np.ndarray, np.ndarray]:
        return prepared.frames(entry), prepared.labels(entry)

    def _utterance(self, item: int, augmenter: Augmenter) -> tuple[Tensor, Tensor]:
        frames, labels = (torch.from_numpy(a) for a in self._items[item])
        return self._other_tempo(frames.float(), augmenter)[0], labels
