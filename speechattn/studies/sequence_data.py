"""Utterances whose labels have no times: sets, training batches, and phone strings from text.

:func:`speechattn.corpora.prepared.prepare_set` prepares the frames, with empty alignments.
:class:`TextData` is the data of a recipe without alignments: frames, and phone strings that a
lexicon gives for the transcripts.
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
from speechattn.heads.ctc import vectors_needed
from speechattn.training.augmentation import Augmenter
from speechattn.training.batches import TrainingBatches
from speechattn.training.config import RecipeConfig
from speechattn.training.recipe_data import PREPARED_FROM, RecipeData
from speechattn.training.stages import Stage
from speechattn.training.updates.inputs import LabelledSet, TrainingSections

NO_CLASS = -1  # given as the class of silence, which strings do not have


def unaligned(corpus: Corpus) -> Corpus:
    """Return a corpus with empty alignments, as ``prepare_set`` takes it."""
    utterances = tuple(replace(utterance, alignment=()) for utterance in corpus)
    return replace(corpus, utterances=utterances)


class SequenceSet:
    """The utterances of a prepared set with other labels: strings without times.

    It is a :class:`speechattn.training.updates.inputs.LabelledSet`.

    Args:
        prepared: set with the frames; its own labels are not used.
        labels: (corpus, id) → classes of the utterance, in order. Utterances without labels are
            left out.
        names: names of the classes.

    Attributes:
        entries: the utterances.
        phones: names of the classes.

    Raises:
        CorpusError: if no utterance has labels.
    """

    def __init__(
        self,
        prepared: PreparedSet,
        labels: Mapping[tuple[str, str], Sequence[int]],
        names: Sequence[str],
    ) -> None:
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
        """Return the frames of an utterance, float32, shape (frames, dim)."""
        return self._prepared.frames(entry)

    def coded_frames(self, entry: PreparedUtterance) -> np.ndarray:
        """Return them as a codec leaves them."""
        return self._prepared.coded_frames(entry)

    def labels(self, entry: PreparedUtterance) -> np.ndarray:
        """Return the classes of an utterance, int64, shape (labels,)."""
        return np.array(self._labels[entry.corpus, entry.id], dtype=np.int64)

    def where(self, keep: Callable[[PreparedUtterance], bool]) -> SequenceSet:
        """Return the set of the utterances for which ``keep`` is true.

        Raises:
            CorpusError: if there is none.
        """
        labels = {(e.corpus, e.id): self._labels[e.corpus, e.id] for e in self.entries if keep(e)}
        return SequenceSet(self._prepared, labels, self.phones)


class SequenceBatches(TrainingBatches):
    """Training batches of whole utterances, with labels of shape (batch, longest string).

    Args:
        train: the utterances.
        config: seed, front end, encoder, training and augmentation.
        noises: see :class:`speechattn.training.augmentation.Augmenter`.

    Raises:
        ConfigError: if an utterance is longer than ``training.crop_frames``: the labels are those
            of the whole utterance, so it cannot be cropped. Also for settings that need a label for
            every frame, or that begin with trained weights.
    """

    def __init__(
        self, train: LabelledSet, config: TrainingSections, noises: Sequence[np.ndarray] = ()
    ) -> None:
        for section, name, reason in (
            ("augmentation", "silence_probability", "there is none for silence"),
            ("augmentation", "shuffle_probability", "nothing says where an utterance may be cut"),
            ("training", "consistency_weight", "two hearings are compared frame by frame"),
            ("training", "start_share", "the head begins anew"),
            ("training", "teacher_weight", "a teacher's posteriors are of frames"),
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
        """Digest of all frames and labels, and of where each utterance's labels end."""
        ends = [len(labels) for _, labels in self._all_items()]
        return hashlib.sha256(f"{super().digest} {ends}".encode()).hexdigest()

    def _item(
        self, prepared: LabelledSet, entry: PreparedUtterance, coded: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        frames = prepared.coded_frames(entry) if coded else prepared.frames(entry)
        return frames, prepared.labels(entry)

    def _length(self, prepared: LabelledSet, entry: PreparedUtterance) -> int:
        return entry.frames

    def _utterance(self, item: int, augmenter: Augmenter, views: int) -> tuple[Tensor, Tensor]:
        whole, labels = self._views(item, augmenter, views)
        return self._other_tempo(torch.stack(whole).float(), augmenter)[0], labels


class TextData(RecipeData):
    """The sets of a recipe without its alignments: frames and transcripts.

    Args:
        config: recipe.
        work: folder of the prepared sets.
        lexicon: dictionary files, searched in the folder of the corpora first, or ``pocketsphinx``.
        report: takes one line for the user.

    Raises:
        CorpusError: if the folder of the corpora is missing.
        ConfigError: if a dictionary cannot be used.
        UsageError: if pocketsphinx is not installed.
    """

    def __init__(
        self, config: RecipeConfig, work: Path, lexicon: tuple, report: Callable[[str], None]
    ) -> None:
        super().__init__(config, work, report)
        if not config.synth and not Path(config.corpora).is_dir():
            raise CorpusError(
                f"corpora: {config.corpora}: no such folder; give one that holds them"
            )
        self.lexicon_files = [self._lexicon_file(str(name)) for name in lexicon]
        self.lexicon = Lexicon(self.lexicon_files, self.phones)

    def _lexicon_file(self, name: str) -> str | Path:
        in_corpora = Path(self.config.corpora) / name
        return in_corpora if name != POCKETSPHINX and in_corpora.is_file() else name

    def stage(self) -> Stage:
        """Return the stage that prepares the sets."""
        parts = self.config.to_dict()

        def inputs() -> list:
            used = [parts[name] for name in PREPARED_FROM]
            return [speechattn.__version__, *used, self.fingerprint]

        return Stage("prepare", self.prepare, inputs, self.outputs)

    def strings(self, name: str) -> SequenceSet:
        """Return the set ``train`` or ``dev``; report the utterances that have no phone string.

        Raises:
            CorpusError: if no utterance has one.
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
        """Turn phone classes into string classes, which have none for silence."""
        silence = self.phones.silence_index
        return tuple(phone - (phone > silence) for phone in phones if phone != silence)

    def with_silence(self, labels: tuple[int, ...]) -> tuple[int, ...]:
        """Turn string classes into phone classes."""
        silence = self.phones.silence_index
        return tuple(label + (label >= silence) for label in labels)

    def texts(self) -> dict[tuple[str, str], str | None]:
        """Return the transcript of every utterance of the recipe, by (corpus, id)."""
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

    def _corpus(self, entry: str, alignments: bool | None = False) -> Corpus:
        return unaligned(super()._corpus(entry, alignments=False))

    def _align(self, sets: dict[str, list[Corpus]]) -> None:
        """Leave them without times, which strings do not need."""

    def _training_corpus(self, entry: str) -> Corpus:
        return self._corpus(entry)
