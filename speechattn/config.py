"""What a recipe holds: its sections, their defaults, and which values are possible.

Every section checks itself when it is made, so that nothing impossible gets as far as training.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from speechattn.encoder import EncoderConfig
from speechattn.errors import ConfigError
from speechattn.frontend import FrontEndConfig

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
        _check("synth.", self, ("train", "dev", "test"), lambda v: v >= 1, "from 1 on")


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
        weight_decay: of AdamW.
        label_smoothing: of the cross-entropy.
        average_decay: of the running mean of the weights that is evaluated and kept; at the
            beginning of a run it forgets faster.
        clip_norm: gradients are scaled down to this norm.
        evaluate_every: updates between two measurements on dev.
        checkpoint_every: updates between two checkpoints.
    """

    steps: int = 1000
    batch_frames: int = 8000
    crop_frames: int = 400
    max_silence_frames: int = 40
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    weight_decay: float = 0.01
    label_smoothing: float = 0.05
    average_decay: float = 0.995
    clip_norm: float = 1.0
    evaluate_every: int = 250
    checkpoint_every: int = 250

    def __post_init__(self) -> None:
        counts = ("steps", "batch_frames", "crop_frames", "evaluate_every", "checkpoint_every")
        _check("training.", self, counts, lambda v: v >= 1, "from 1 on")
        least0 = ("max_silence_frames", "warmup_steps", "weight_decay")
        _check("training.", self, least0, lambda v: v >= 0, "from 0 on")
        _check("training.", self, ("learning_rate", "clip_norm"), lambda v: v > 0, "above 0")
        shares = ("label_smoothing", "average_decay")
        _check("training.", self, shares, lambda v: 0 <= v < 1, "from 0 to below 1")
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
        noise_probability: share of utterances that get noise of a random colour.
        noise_snr_db: least and greatest ratio of the utterance's level to that of the noise. The
            level is the mean log energy over all frames and bins, pauses included. In read speech
            it lies some 15 dB below the level of the speech itself, so the noise is that much
            fainter than a signal-to-noise ratio measured in speech would have it.
        band_limit_probability: share of utterances that lose everything above 3.2 to 7 kHz.
        time_masks, time_mask_frames: how many stretches are masked, and below how many frames each
            of them stays: a stretch has at most one frame less, and may have none.
        frequency_masks, frequency_mask_bins: likewise across mel bins.
    """

    speed: float = 0.1
    vocal_tract: float = 0.1
    gain_db: float = 6.0
    channel_db: float = 3.0
    noise_probability: float = 0.4
    noise_snr_db: tuple = (5.0, 30.0)
    band_limit_probability: float = 0.1
    time_masks: int = 2
    time_mask_frames: int = 12
    frequency_masks: int = 2
    frequency_mask_bins: int = 10

    def __post_init__(self) -> None:
        warps = ("speed", "vocal_tract")
        _check("augmentation.", self, warps, lambda v: 0 <= v < 0.5, "from 0 to 0.5")
        shares = ("noise_probability", "band_limit_probability")
        _check("augmentation.", self, shares, lambda v: 0 <= v <= 1, "a share from 0 to 1")
        levels = ("gain_db", "channel_db")
        _check(
            "augmentation.", self, levels, lambda v: 0 <= v <= MOST_DB, f"from 0 to {MOST_DB:g} dB"
        )
        masks = ("time_masks", "time_mask_frames", "frequency_masks", "frequency_mask_bins")
        _check("augmentation.", self, masks, lambda v: v >= 0, "from 0 on")
        snr = self.noise_snr_db
        if len(snr) != 2 or not all(map(_is_number, snr)) or not -MOST_DB <= snr[0] <= snr[1]:
            raise ConfigError(f"augmentation.noise_snr_db: {list(snr)}; [least, greatest]")
        if snr[1] > MOST_DB:
            raise ConfigError(f"augmentation.noise_snr_db: {list(snr)}; up to {MOST_DB:g} dB")


@dataclass(frozen=True)
class DecodingConfig:
    """The values that are tried on dev; the best by PER goes into the model.

    Attributes:
        bigram_scale, prior_scale, insertion_penalty, duration_scale: lists of candidates.
    """

    bigram_scale: tuple = (0.5, 1.0, 1.5, 2.0)
    prior_scale: tuple = (0.0, 0.3, 0.6)
    insertion_penalty: tuple = (0.0, 1.0, 2.0)
    duration_scale: tuple = (1.0,)

    def __post_init__(self) -> None:
        for name, values in dataclasses.asdict(self).items():
            if not values:
                raise ConfigError(f"decoding.{name}: empty; list at least one value to try")
            for value in values:
                if not _is_number(value):
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
        hold_out: share of the training sentences kept back for dev, chosen by their text.
        phones: phone table (see ``data/phones.tsv``); null for that one.
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
    hold_out: float = 0.0
    phones: str | None = None
    transcribe: int = 3
    seed: int = 0
    device: str = "auto"
    threads: int = 0
    synth: SynthConfig | None = None
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)

    def __post_init__(self) -> None:
        texts = ("name", "work_dir", "corpora", "phones")
        _check("", self, texts, lambda v: v != "", "it cannot be empty")
        _check("", self, ("seed", "threads", "transcribe"), lambda v: v >= 0, "from 0 on")
        for name in ("train", "test"):
            if not getattr(self, name):
                raise ConfigError(f"{name}: empty; list at least one corpus/split")
        for name in ("train", "dev", "test"):
            _check_entries(name, getattr(self, name))
        for entry in self.test:
            if overlap := _overlap(entry, self.train):
                raise ConfigError(f"test: {entry!r}; train has {overlap!r}: nothing may be in both")
        if not self.dev and not self.hold_out:
            raise ConfigError("dev: empty and hold_out: 0; tuning needs one of them")
        _check("", self, ("hold_out",), lambda v: 0 <= v < 1, "a share from 0 to below 1")
        devices = ("auto", "cpu", "cuda")
        _check("", self, ("device",), lambda v: v in devices, "'auto', 'cpu' or 'cuda'")

    def to_dict(self) -> dict:
        """As plain values."""
        return dataclasses.asdict(self)


def _check(
    section: str, config: object, names: tuple[str, ...], holds: Callable[..., bool], rule: str
) -> None:
    """Raise a ConfigError that says the rule for the first of the named values that breaks it."""
    for name in names:
        value = getattr(config, name)
        if not holds(value):
            raise ConfigError(f"{section}{name}: {value!r}; {rule}")


def _is_number(value: object) -> bool:
    """Whether a value of a list is a finite number that a float can hold."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _check_entries(name: str, entries: tuple) -> None:
    """Refuse what is no ``corpus/split``, and what is listed twice."""
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
