"""Utterances whose labels have no times: sets, training batches, and phone strings from text.

Frames are prepared as those of any set, by :func:`speechattn.corpora.prepared.prepare_set`, with an
empty alignment. :class:`TextData` is the data of a recipe without its alignments: frames, and phone
strings from the transcripts and a lexicon.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import speechattn
from speechattn.corpora.corpus import Corpus
from speechattn.corpora.prepared import PreparedSet, PreparedUtterance
from speechattn.decoder.lm.lexicon import POCKETSPHINX, Lexicon
from speechattn.errors import ConfigError, CorpusError
from speechattn.studies.ctc import vectors_needed
from speechattn.training.augmentation import Augmenter
from speechattn.training.batches import TrainingBatches
from speechattn.training.config import RecipeConfig
from speechattn.training.recipe_data import PREPARED_FROM, RecipeData
from speechattn.training.stages import Stage

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

    def frames(self, entry: PreparedUtterance) -> np.ndarray:
        """Frames of an utterance, float32, shape (frames, dim)."""
        return self._prepared.frames(entry)

    def labels(self, entry: PreparedUtterance) -> np.ndarray:
        """Classes of an utterance, int64, shape (labels,)."""
        return np.array(self._labels[entry.corpus, entry.id], dtype=np.int64)

    def where(self, keep: Callable[[PreparedUtterance], bool]) -> SequenceSet:
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

    def _item(
        self, prepared: SequenceSet, entry: PreparedUtterance
    ) -> tuple[np.ndarray, np.ndarray]:
        return prepared.frames(entry), prepared.labels(entry)

    def _utterance(self, item: int, augmenter: Augmenter) -> tuple[Tensor, Tensor]:
        frames, labels = (torch.from_numpy(a) for a in self._items[item])
        return self._other_tempo(frames.float(), augmenter)[0], labels


class TextData(RecipeData):
    """The sets of a recipe without its alignments: frames, and what was said.

    Args:
        config: of the recipe.
        work: where the sets are kept.
        lexicon: files, looked for among the corpora first, or ``pocketsphinx``.
        say: takes one line for the user.

    Raises:
        CorpusError: if the corpora's folder is missing.
        ConfigError: if the lexicon is no good.
        UsageError: if pocketsphinx is not installed.
    """

    def __init__(
        self, config: RecipeConfig, work: Path, lexicon: tuple, say: Callable[[str], None]
    ):
        super().__init__(config, work, say)
        if not config.synth and not Path(config.corpora).is_dir():
            raise CorpusError(
                f"corpora: {config.corpora}: no such folder; give one that holds them"
            )
        self.lexicon_files = [self._lexicon_file(str(name)) for name in lexicon]
        self.lexicon = Lexicon(self.lexicon_files, self.phones)

    def _lexicon_file(self, name: str) -> str | Path:
        among = Path(self.config.corpora) / name
        return among if name != POCKETSPHINX and among.is_file() else name

    def stage(self) -> Stage:
        """What prepares the sets."""
        parts = self.config.to_dict()

        def inputs() -> list:
            used = [parts[name] for name in PREPARED_FROM]
            return [speechattn.__version__, *used, self.fingerprint]

        return Stage("prepare", self.prepare, inputs, self.outputs)

    def strings(self, name: str) -> SequenceSet:
        """The set ``train`` or ``dev``; utterances without a string are named and left out.

        Raises:
            CorpusError: if nothing remains.
        """
        prepared, texts = self.prepared(name), self.texts()
        labels = {}
        for entry in prepared.entries:
            try:
                string = self.lexicon.pronounce(texts.get((entry.corpus, entry.id)))
                self._check_room(entry, string)
                labels[entry.corpus, entry.id] = string
            except CorpusError as error:
                self.report(f"  left out of {name}: {entry.corpus}: {entry.id}: {error}")
        names = tuple(phone for phone in self.phones.names if phone != self.phones.silence)
        return SequenceSet(prepared, {k: self.without_silence(v) for k, v in labels.items()}, names)

    def without_silence(self, phones: tuple[int, ...]) -> tuple[int, ...]:
        """Classes of phones as those of strings, which have none for silence."""
        silence = self.phones.silence_index
        return tuple(phone - (phone > silence) for phone in phones if phone != silence)

    def with_silence(self, labels: tuple[int, ...]) -> tuple[int, ...]:
        """Classes of strings as those of phones."""
        silence = self.phones.silence_index
        return tuple(label + (label >= silence) for label in labels)

    def texts(self) -> dict[tuple[str, str], str | None]:
        """What was said in every utterance of the recipe, by corpus and id."""
        config = self.config
        corpora = map(self._corpus, dict.fromkeys((*config.train, *config.dev, *config.test)))
        return {(corpus.name, u.id): u.text for corpus in corpora for u in corpus}

    def _check_room(self, entry: PreparedUtterance, string: tuple[int, ...]) -> None:
        """Raise a CorpusError if a string is too long for its utterance at the fastest tempo."""
        frames = round(entry.frames / (1 + self.config.augmentation.speed))
        vectors = -(-frames // self.config.encoder.stack)
        if (needed := vectors_needed(string)) > vectors:
            raise CorpusError(
                f"its {len(string)} phones need {needed} vectors, and at the fastest tempo it has "
                f"{vectors}; correct its text, or lower encoder.stack or augmentation.speed"
            )

    def _corpus(self, entry: str, alignments: bool = False) -> Corpus:
        return unaligned(super()._corpus(entry, alignments=False))

    def _training_corpus(self, entry: str) -> Corpus:
        return self._corpus(entry)
