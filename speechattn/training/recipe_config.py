"""What a recipe holds: its sections, their defaults, and which values are possible."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

from speechattn.audio.features import FrontEndConfig
from speechattn.encoder.baselines import AnyEncoderConfig, EncoderConfig
from speechattn.errors import ConfigError
from speechattn.training.config import (
    AugmentationConfig,
    DecodingConfig,
    SynthConfig,
    TrainingConfig,
    check,
)


@dataclass(frozen=True)
class RecipeConfig:
    """A whole recipe.

    Attributes:
        name: what the trained model is called.
        work_dir: everything the recipe writes lies here, the model in ``work_dir/model``.
        corpora: folder that holds the corpus folders.
        train, dev, test: ``corpus/split`` each, ``corpus/all`` for a whole corpus. Nothing may be
            listed twice, nor be in train and test.
        noise: folder of recorded noises among the corpora, for augmentation; null for none.
        first_pass: recipe to run before this one, a file or a name; null for none.
        start_from: model to begin training with, a folder or a name; null to begin at random. Its
            weights must have the shapes of the recipe's.
        realign: entries of ``train`` whose phones that model places anew; see
            :mod:`speechattn.training.realign`.
        grammar: of what may have been said in realigned corpora that have an ``intents.json`` and
            no alignments, a JSGF file or the name of one that comes with the package (see
            :mod:`speechattn.training.said`); null to take their ``phones.machine``.
        hold_out: share of the training sentences kept back for dev, chosen by their text.
        phones: phone table (see ``data/phones.tsv``); null for that one.
        release: folder the release stage writes the model to as it is to be handed on, weights in
            16 bits; null for no such stage.
        card: text of the model card that goes with it, with a line ``{{name}}`` where
            ``work_dir/evaluate/name.md`` belongs; null for none.
        transcribe: test recordings the transcribe stage writes out and draws.
        seed: of everything random.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        threads: of torch; 0 for its own choice.
        synth: set to synthesise ``corpora/espeak`` first.
    """

    name: str = "default"
    work_dir: str = "data/runs/default"
    corpora: str = "data/corpora"
    train: tuple = ()
    dev: tuple = ()
    test: tuple = ()
    noise: str | None = None
    first_pass: str | None = None
    start_from: str | None = None
    realign: tuple = ()
    grammar: str | None = None
    hold_out: float = 0.0
    phones: str | None = None
    release: str | None = None
    card: str | None = None
    transcribe: int = 3
    seed: int = 0
    device: str = "auto"
    threads: int = 0
    synth: SynthConfig | None = None
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    encoder: AnyEncoderConfig = field(default_factory=EncoderConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)

    def __post_init__(self) -> None:
        texts = ("name", "work_dir", "corpora", "phones", "noise", "first_pass", "start_from")
        texts += ("release", "card", "grammar")
        check("", self, texts, lambda v: v != "", "it cannot be empty")
        check("", self, ("seed", "threads", "transcribe"), lambda v: v >= 0, "from 0 on")
        for name in ("train", "test"):
            if not getattr(self, name):
                raise ConfigError(f"{name}: empty; list at least one corpus/split")
        for name in ("train", "dev", "test"):
            check_entries(name, getattr(self, name))
        for entry in self.realign:
            if entry not in self.train:
                raise ConfigError(f"realign: {entry!r} is not in train; list it there too")
        if self.realign and not self.start_from:
            raise ConfigError("realign: needs the model that aligns; name it in start_from")
        if self.training.start_share and not self.start_from:
            raise ConfigError(
                f"training.start_share: {self.training.start_share}; needs the model that training "
                "begins with; name it in start_from"
            )
        for entry in self.test:
            if overlap := _overlap(entry, self.train):
                raise ConfigError(f"test: {entry!r}; train has {overlap!r}: nothing may be in both")
        if not self.dev and not self.hold_out:
            raise ConfigError("dev: empty and hold_out: 0; tuning needs one of them")
        check("", self, ("hold_out",), lambda v: 0 <= v < 1, "a share from 0 to below 1")
        devices = ("auto", "cpu", "cuda")
        check("", self, ("device",), lambda v: v in devices, "'auto', 'cpu' or 'cuda'")

        limit = self.encoder.trained_length
        longest = self.training.crop_frames / (1 - self.augmentation.speed)
        if limit is not None and longest > limit:
            raise ConfigError(
                f"encoder.trained_length: {limit}; training.crop_frames "
                f"({self.training.crop_frames}) slowed down by augmentation.speed reach "
                f"{math.ceil(longest)}: raise the one or lower the other"
            )

    def to_dict(self) -> dict:
        """As plain values."""
        return {**dataclasses.asdict(self), "encoder": self.encoder.to_dict()}


def check_entries(name: str, entries: tuple) -> None:
    """Raise a ConfigError for an entry that is no ``corpus/split``, or is listed twice."""
    for index, entry in enumerate(entries):
        parts = entry.split("/") if isinstance(entry, str) else []
        if len(parts) != 2 or any(part in ("", ".", "..") for part in parts):
            raise ConfigError(f"{name}: {entry!r}; each entry is corpus/split")
        if entry in entries[:index]:
            raise ConfigError(f"{name}: {entry!r} is listed twice; list it once")


def _overlap(entry: str, others: tuple) -> str | None:
    """The first of the others that holds recordings of an entry for certain."""
    corpus = entry.partition("/")[0]
    whole = f"{corpus}/all"
    for other in others:
        if other in (entry, whole) or (entry == whole and other.startswith(f"{corpus}/")):
            return other
    return None
