"""The configuration of a recipe: every key with its default and the values it allows.

The sections with keys of their own are in :mod:`speechattn.training.config_sections`.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import cast

from speechattn.audio.features import FrontEndConfig
from speechattn.audio.filters import check_filters
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.kinds import AnyEncoderConfig
from speechattn.errors import ConfigError
from speechattn.options import DEVICES, is_device
from speechattn.schema import at_least, between, check_fields, not_empty, rule
from speechattn.training.config_sections import (
    READING_TUNED,
    TUNED,
    AugmentationConfig,
    DecodingConfig,
    SynthConfig,
    TrainingConfig,
)

__all__ = [
    "READING_TUNED",
    "TUNED",
    "AugmentationConfig",
    "DecodingConfig",
    "RecipeConfig",
    "SynthConfig",
    "TrainingConfig",
    "check_splits",
]

SHARE = between(0, 1, below=True, text="a share from 0 to below 1")


@dataclass(frozen=True)
class RecipeConfig:
    """A whole recipe.

    Attributes:
        name: name of the trained model.
        work_dir: folder for everything the recipe writes; the model is in ``work_dir/model``.
        corpora: folder that holds the corpus folders.
        corpus: one corpus folder, in place of ``corpora``, ``train``, ``dev`` and ``test``: its
            splits of these names, or all of it. Where it has no dev or no test split, a tenth of
            the sentences is held out for it.
        train, dev, test: parts of corpora, as ``corpus/split``; ``corpus/all`` is a whole corpus.
            Nothing may be listed twice, or be in both train and test.
        noise: folder of noise recordings among the corpora, for augmentation; null for none.
        first_pass: recipe to run before this one, a file or a name; null for none.
        first_pass_changes: changes that make the recipe to run before this one out of this one,
            each ``key=value`` or ``section.key=value``; in place of ``first_pass``.
        start_from: model whose weights training begins with, a folder or a name; null for random
            weights. Their shapes must be those of the recipe's encoder.
        whisper: published Whisper model whose encoder training begins with: a folder that holds
            ``model.bin`` of CTranslate2, or an installed package that does; packages that hold its
            parts have a ``+`` between them; null for none. See
            :mod:`speechattn.training.sources.whisper`.
        teacher: model that a smaller one is made from, a folder or a name; null for none. Its
            posteriors for what is trained on are learned beside the labels, see
            ``training.teacher_weight``, and it realigns where there is no ``start_from``. It must
            have the same frames and phones.
        init: model to fine-tune, a folder or a name; null for none. Unlike ``start_from``, front
            end, phones and the shape of the encoder are its own where the recipe says nothing else,
            and its decoder stays (see ``decoding.keep``). With another phone set in ``phones`` its
            classifier begins anew but for the phones of the same name.
        align: how corpora without phone alignments get theirs from their texts: a model that aligns
            them, a name or a folder, or ``flat`` to begin with no model at all. Null for the model
            of ``init``; without one, such corpora are refused.
        lexicon: pronouncing dictionaries for ``align``, in the form of CMU or MFA; a word is taken
            from the first that lists it, and behind them is that of US English if the phones are
            ARPAbet.
        realign: parts of ``train`` whose phones the model of ``start_from``, else of ``teacher``,
            places anew, see :mod:`speechattn.training.realignment.realign`.
        grammar: JSGF grammar of what may have been said, a file or the name of one in the package.
            It is used for realigned corpora that have an ``intents.json`` and no alignments; null
            to use their ``phones.machine``.
        reductions: table of what people say for what the dictionary says, with which ``realign``
            aligns the words of the corpora's texts, see
            :mod:`speechattn.training.realignment.realign_text`; ``english`` for
            ``data/reductions.tsv``, null to keep the phones of the alignments. ``align`` uses it
            too.
        keep_times_ms: with ``reductions``, a boundary of a realigned corpus takes the time that the
            corpus has between the same two phones, if that is no further away, see
            :mod:`speechattn.training.realignment.given_times`; 0 for the model's own times.
        hold_out: share of the training sentences kept back for dev, chosen by their text.
        hold_out_test: share of the training sentences kept back for test, likewise.
        phones: phone set: a name (see :func:`speechattn.phones.phone_sets`) or a table in the form
            of ``data/phones.tsv``; null for that table.
        release: folder that the release stage writes the model to, for distribution. Weights are
            stored in 6 bits, some in 16. Null for no such stage.
        card: text of the model card for the release; null for none. A line ``{{name}}`` in it is
            replaced by the table ``work_dir/evaluate/name.md``.
        transcribe: number of test recordings that the transcribe stage writes and draws.
        seed: seed of everything random.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` … or ``"mps"``.
        threads: threads of PyTorch; 0 for its own choice.
        synth: sizes of the corpus to synthesise first, as ``corpora/espeak``; null for none.
    """

    name: str = field(default="default", metadata=not_empty())
    work_dir: str = field(default="data/runs/default", metadata=not_empty())
    corpora: str = field(default="data/corpora", metadata=not_empty())
    corpus: str | None = field(default=None, metadata=not_empty())
    train: tuple = ()
    dev: tuple = ()
    test: tuple = ()
    noise: str | None = field(default=None, metadata=not_empty())
    first_pass: str | None = field(default=None, metadata=not_empty())
    first_pass_changes: tuple = ()
    start_from: str | None = field(default=None, metadata=not_empty())
    whisper: str | None = field(default=None, metadata=not_empty())
    teacher: str | None = field(default=None, metadata=not_empty())
    init: str | None = field(default=None, metadata=not_empty())
    align: str | None = field(default=None, metadata=not_empty())
    lexicon: tuple = ()
    realign: tuple = ()
    grammar: str | None = field(default=None, metadata=not_empty())
    reductions: str | None = field(default=None, metadata=not_empty())
    keep_times_ms: float = field(default=0.0, metadata=at_least(0))
    hold_out: float = field(default=0.0, metadata=SHARE)
    hold_out_test: float = field(default=0.0, metadata=SHARE)
    phones: str | None = field(default=None, metadata=not_empty())
    release: str | None = field(default=None, metadata=not_empty())
    card: str | None = field(default=None, metadata=not_empty())
    transcribe: int = field(default=3, metadata=at_least(0))
    seed: int = field(default=0, metadata=at_least(0))
    device: str = field(default="auto", metadata=rule(is_device, DEVICES))
    threads: int = field(default=0, metadata=at_least(0))
    synth: SynthConfig | None = None
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    encoder: AnyEncoderConfig = field(default_factory=EncoderConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)

    def __post_init__(self) -> None:
        check_fields(self)
        check_filters(self.front_end)
        self._check_sets()
        self._check_start()
        self._check_windows()
        if self.keep_times_ms and not self.reductions:
            raise ConfigError(
                f"keep_times_ms: {self.keep_times_ms:g}; only with reductions, such as english"
            )
        limit, longest = self.encoder.trained_length, self.longest_crop
        if limit is not None and longest > limit:
            raise ConfigError(
                f"encoder.trained_length: {limit}; training.crop_frames "
                f"({self.training.crop_frames}) slowed down by augmentation.speed reach "
                f"{longest}: raise the one or lower the other"
            )

    def _check_sets(self) -> None:
        """Check which parts of corpora are in ``train``, ``dev`` and ``test``."""
        for name, splits in (("train", self.train), ("test", self.test), ("dev", self.dev)):
            if not splits and name == "train":
                raise ConfigError(
                    "train: empty; list at least one corpus/split, or give one corpus folder: "
                    "corpus=FOLDER"
                )
            check_splits(name, splits)
        if not self.test and not self.hold_out_test:
            raise ConfigError("test: empty and hold_out_test: 0; list at least one corpus/split")
        if self.hold_out + self.hold_out_test >= 1:
            both = self.hold_out + self.hold_out_test
            raise ConfigError(
                f"hold_out: with hold_out_test {both:g}; below 1 together, or none is left to train"
            )
        for split in self.test:
            if overlap := _overlap(split, self.train):
                raise ConfigError(f"test: {split!r}; train has {overlap!r}: nothing may be in both")
        if not self.dev and not self.hold_out:
            raise ConfigError("dev: empty and hold_out: 0; tuning needs one of them")

    def _check_start(self) -> None:
        """Check the pass before, and that what needs the model of ``start_from`` has one."""
        for change in self.first_pass_changes:
            if not isinstance(change, str) or "=" not in change:
                raise ConfigError(f"first_pass_changes: {change!r}; each is key=value, as text")
        if self.first_pass and self.first_pass_changes:
            raise ConfigError("first_pass_changes: there is a first_pass as well; leave one out")
        for split in self.realign:
            if split not in self.train:
                raise ConfigError(f"realign: {split!r} is not in train; list it there too")
        for path in self.lexicon:
            if not isinstance(path, str):
                raise ConfigError(f"lexicon: {path!r}; a list of files")
        share = self.training.start_share
        if self.whisper and self.start_from:
            raise ConfigError("whisper: there is start_from or init as well; leave one of them out")
        if self.realign and not self.aligner:
            raise ConfigError(
                "realign: needs the model that aligns; name it in start_from, init or teacher"
            )
        weight = self.training.teacher_weight
        if bool(weight) != (self.teacher is not None):
            raise ConfigError(
                f"training.teacher_weight: {weight:g}, and teacher: {self.teacher}; a teacher "
                "needs a weight, and a weight a teacher"
            )
        if share and not self.start_from:
            missing = "needs the model that training begins with; name it in start_from or init"
            raise ConfigError(f"training.start_share: {share}; {missing}")

    @property
    def longest_crop(self) -> int:
        """Most 10 ms frames that a part of an utterance may have in training."""
        return math.ceil(self.training.crop_frames / (1 - self.augmentation.speed))

    @property
    def aligner(self) -> str | None:
        """Model that places the phones of ``realign`` anew; None if there is none."""
        return self.start_from or self.teacher

    def _check_windows(self) -> None:
        """Check that the encoder may have the windows of ``training.windows``."""
        encoder, windows = self.encoder, self.training.windows
        if windows and not (isinstance(encoder, EncoderConfig) and encoder.any_window):
            raise ConfigError("training.windows: only for an encoder with encoder.any_window")
        for window in windows:
            try:
                dataclasses.replace(cast(EncoderConfig, encoder), window=window)
            except ConfigError as error:
                raise ConfigError(f"training.windows: {window!r}: {error}") from None

    def to_dict(self) -> dict:
        """As plain values."""
        return {**dataclasses.asdict(self), "encoder": self.encoder.to_dict()}


def check_splits(name: str, splits: tuple) -> None:
    """Check that each split of a set is ``corpus/split`` and listed once.

    Raises:
        ConfigError: for the first that is not.
    """
    for index, split in enumerate(splits):
        parts = split.split("/") if isinstance(split, str) else []
        if len(parts) != 2 or any(part in ("", ".", "..") for part in parts):
            raise ConfigError(f"{name}: {split!r}; each entry is corpus/split")
        if split in splits[:index]:
            raise ConfigError(f"{name}: {split!r} is listed twice; list it once")


def _overlap(split: str, others: tuple) -> str | None:
    """Return the first of the other splits that certainly has recordings of this one."""
    corpus = split.partition("/")[0]
    whole = f"{corpus}/all"
    for other in others:
        if other in (split, whole) or (split == whole and other.startswith(f"{corpus}/")):
            return other
    return None
