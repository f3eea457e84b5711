"""The sections of a recipe that are about training and what comes with it.

Every section checks itself when it is made, so that nothing impossible gets as far as training.

What a recipe holds: its sections, their defaults, and which values are possible.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

from speechattn.audio.features import FrontEndConfig
from speechattn.checks import check, is_finite_number
from speechattn.decoder.lm.ngrams import LONGEST_ORDER
from speechattn.encoder.baselines import AnyEncoderConfig
from speechattn.encoder.config import EncoderConfig
from speechattn.errors import ConfigError
from speechattn.segments import SHIFT_MS

# What is tuned on dev.
TUNED = ("bigram_scale", "prior_scale", "insertion_penalty", "duration_scale", "word_scale",
         "unknown_word")  # fmt: skip
MOST_DB = 100.0  # dB; more is no recording any more, and its energy overflows


@dataclass(frozen=True)
class SynthConfig:
    """The corpus the recipe synthesises when it is not given one.

    Attributes:
        train, dev, test: utterances, at least one each.
    """

    train: int = 1200
    dev: int = 60
    test: int = 120

    def __post_init__(self) -> None:
        check("synth.", self, ("train", "dev", "test"), lambda v: v >= 1, "from 1 on")


@dataclass(frozen=True)
class TrainingConfig:
    """How the model is trained.

    Attributes:
        steps: updates.
        batch_frames: most 10 ms frames a batch, padding included, before
            ``augmentation.speed`` changes tempi: a batch may then have more, up to 1 / (1 - speed)
            times as many.
        crop_frames: longest stretch of an utterance in a batch, in 10 ms frames, likewise before
            the tempo is changed.
        max_silence_frames: longer silences are shortened to this before training; 0 keeps them.
        learning_rate: at its peak.
        warmup_steps: updates until the peak; a half cosine to zero follows. A run of fewer steps
            ends on the way up.
        optimizer: ``"adamw"``, or ``"muon"`` for the matrices within the layers; see
            :mod:`speechattn.training.optim`.
        weight_decay: of the optimizer.
        label_smoothing: of the cross-entropy.
        sequence_weight: of the loss over whole paths (:mod:`speechattn.training.losses`) beside the
            cross-entropy; 0 leaves it out. For a model that has learnt from the cross-entropy
            before.
        consistency_weight: of how far two hearings of an utterance disagree
            (:mod:`speechattn.training.losses`), each utterance then taking up twice the room in a
            batch; 0 for one hearing.
        average_decay: of the running mean of the weights that is evaluated and kept; at the
            beginning of a run it forgets faster.
        start_share: of the weights of ``start_from`` in those that are kept; the rest is what
            training made of them (:func:`speechattn.training.warm_start.interpolate_weights`).
        clip_norm: gradients are scaled down to this norm.
        replicas: threads that each take a part of every batch, on one core; 1 divides every
            product among all cores instead, which is slower.
        precision: ``"fp32"``, or ``"bf16"`` for products of matrices in 16 bits (weights and sums
            stay in 32), which is faster where the processor has instructions for it.
        evaluate_every: updates between two measurements on dev.
        checkpoint_every: updates between two checkpoints.
    """

    steps: int = 1000
    batch_frames: int = 8000
    crop_frames: int = 400
    max_silence_frames: int = 40
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    weight_decay: float = 0.01
    label_smoothing: float = 0.05
    sequence_weight: float = 0.0
    consistency_weight: float = 0.0
    average_decay: float = 0.995
    start_share: float = 0.0
    clip_norm: float = 1.0
    replicas: int = 1
    precision: str = "fp32"
    evaluate_every: int = 250
    checkpoint_every: int = 250

    def __post_init__(self) -> None:
        counts = ("steps", "batch_frames", "crop_frames", "evaluate_every", "checkpoint_every")
        check("training.", self, (*counts, "replicas"), lambda v: v >= 1, "from 1 on")
        weights = ("weight_decay", "sequence_weight", "consistency_weight")
        least0 = ("max_silence_frames", "warmup_steps", *weights)
        check("training.", self, least0, lambda v: v >= 0, "from 0 on")
        check("training.", self, ("learning_rate", "clip_norm"), lambda v: v > 0, "above 0")
        shares = ("label_smoothing", "average_decay", "start_share")
        check("training.", self, shares, lambda v: 0 <= v < 1, "from 0 to below 1")
        for name, choices in (("optimizer", ("adamw", "muon")), ("precision", ("fp32", "bf16"))):
            offered = " or ".join(map(repr, choices))
            check("training.", self, (name,), lambda v, choices=choices: v in choices, offered)
        if self.batch_frames < self.crop_frames:
            raise ConfigError(
                f"training.batch_frames: {self.batch_frames}; "
                f"not below training.crop_frames ({self.crop_frames})"
            )


@dataclass(frozen=True)
class AugmentationConfig:
    """What happens to log-mel frames in training; every value 0 switches its part off.

    Attributes:
        speed: largest change of tempo, as a fraction.
        vocal_tract: largest warp of the frequency axis, as a fraction.
        gain_db: standard deviation of the level.
        channel_db: standard deviation of a smooth random filter's ripples.
        noise_probability: share of utterances that get noise: of a random colour or, with
            ``noise``, one of two times a recorded one.
        noise_snr_db: least and greatest ratio of the utterance's mean energy to the noise's.
        room_probability: share of utterances that are heard in a room.
        room_seconds: its least and greatest reverberation time, in which the echo falls by 60 dB;
            what comes later than 0.8 s is left out.
        band_limit_probability: share of utterances that lose everything above 3.2 to 7 kHz, half
            of them below 100 to 350 Hz as well.
        silence_probability: share of utterances that give way to noise alone, labelled silence.
        shuffle_probability: share of utterances whose pieces come in another order.
        shuffle_frames: shortest such piece, in 10 ms frames; the last one may be shorter.
        time_masks, time_mask_frames: how many stretches are masked, and below how many frames each
            of them stays: a stretch has at most one frame less, and may have none.
        frequency_masks, frequency_mask_bins: likewise across mel bins.
    """

    speed: float = 0.1
    vocal_tract: float = 0.1
    gain_db: float = 6.0
    channel_db: float = 3.0
    noise_probability: float = 0.4
    noise_snr_db: tuple = (0.0, 30.0)
    room_probability: float = 0.0
    room_seconds: tuple = (0.2, 0.8)
    band_limit_probability: float = 0.1
    silence_probability: float = 0.0
    shuffle_probability: float = 0.0
    shuffle_frames: int = 50
    time_masks: int = 2
    time_mask_frames: int = 12
    frequency_masks: int = 2
    frequency_mask_bins: int = 10

    def __post_init__(self) -> None:
        warps = ("speed", "vocal_tract")
        check("augmentation.", self, warps, lambda v: 0 <= v < 0.5, "from 0 to 0.5")
        shares = ("noise", "room", "band_limit", "silence", "shuffle")
        shares = tuple(f"{name}_probability" for name in shares)
        check("augmentation.", self, shares, lambda v: 0 <= v <= 1, "a share from 0 to 1")
        levels = ("gain_db", "channel_db")
        check(
            "augmentation.", self, levels, lambda v: 0 <= v <= MOST_DB, f"from 0 to {MOST_DB:g} dB"
        )
        masks = ("time_masks", "time_mask_frames", "frequency_masks", "frequency_mask_bins")
        check("augmentation.", self, masks, lambda v: v >= 0, "from 0 on")
        check("augmentation.", self, ("shuffle_frames",), lambda v: v >= 1, "from 1 on")
        for name, least, most, unit in (
            ("noise_snr_db", -MOST_DB, MOST_DB, "dB"),
            ("room_seconds", SHIFT_MS / 1000, 10.0, "s"),
        ):
            value = getattr(self, name)
            if len(value) != 2 or not all(map(is_finite_number, value)) or not value[0] <= value[1]:
                raise ConfigError(f"augmentation.{name}: {list(value)}; [least, greatest]")
            if not least <= value[0] <= value[1] <= most:
                raise ConfigError(
                    f"augmentation.{name}: {list(value)}; from {least:g} to {most:g} {unit}"
                )


@dataclass(frozen=True)
class DecodingConfig:
    """The decoder: what is learned for it, and the values that are tried on dev.

    Attributes:
        bigram_scale, prior_scale, insertion_penalty, duration_scale, word_scale, unknown_word:
            lists of candidates; of all combinations the best by PER goes into the model. The last
            two are of no effect without words.
        ngram_order: of the phone n-grams that are learned from the training labels; at 2 the
            phone model's bigram does without.
        ngram_least: n-grams of four phones and more that were counted less often are left out.
        english_words: that are drawn from a word trigram of US English and counted into the
            n-grams as well; 0 for none. They need pocketsphinx and ARPAbet.
        english_weight: what one of them counts as.
        word_pairs: of that trigram that the decoder knows, the best ones; 0 for no words.
        word_triples: of it that the decoder knows beside them.
        beam: of the decoder, in nats; null for none.
    """

    bigram_scale: tuple = (0.5, 1.0, 1.5, 2.0)
    prior_scale: tuple = (0.0, 0.3, 0.6)
    insertion_penalty: tuple = (0.0, 1.0, 2.0)
    duration_scale: tuple = (1.0,)
    word_scale: tuple = (1.0,)
    unknown_word: tuple = (2.5,)
    ngram_order: int = 2
    ngram_least: float = 2.0
    english_words: int = 0
    english_weight: float = 0.2
    word_pairs: int = 0
    word_triples: int = 0
    beam: float | None = None

    def __post_init__(self) -> None:
        order = f"from 2 to {LONGEST_ORDER}"
        check("decoding.", self, ("ngram_order",), lambda v: 2 <= v <= LONGEST_ORDER, order)
        check("decoding.", self, ("ngram_least", "english_weight"), lambda v: v > 0, "above 0")
        counts = "english_words", "word_pairs", "word_triples"
        check("decoding.", self, counts, lambda v: v >= 0, "from 0 on")
        if self.word_triples and not self.word_pairs:
            raise ConfigError(
                f"decoding.word_triples: {self.word_triples}, but no pairs, which they build on; "
                "set decoding.word_pairs to 100000 or more"
            )
        for name in ("english_words", "word_pairs"):
            if getattr(self, name) and self.ngram_order == 2:
                raise ConfigError(
                    f"decoding.{name}: {getattr(self, name)}, which bigrams take no account of; "
                    "set decoding.ngram_order to 3 or more"
                )
        check(
            "decoding.",
            self,
            ("beam",),
            lambda v: v is None or (is_finite_number(v) and v > 0),
            "above 0, or null",
        )
        for name in TUNED:
            values = getattr(self, name)
            if not values:
                raise ConfigError(f"decoding.{name}: empty; list at least one value to try")
            for value in values:
                if not is_finite_number(value):
                    raise ConfigError(f"decoding.{name}: {value!r}; each value is a number")


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
            :mod:`speechattn.training.realign`); null to take their ``phones.machine``.
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
