"""Recipe configurations: YAML files, overridden by ``key=value``, checked before anything runs."""

from __future__ import annotations

import dataclasses
import difflib
import math
import typing
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from speechattn.encoder import EncoderConfig
from speechattn.errors import ConfigError
from speechattn.frontend import FrontEndConfig
from speechattn.resources import resource


@dataclass(frozen=True)
class SynthConfig:
    """The corpus the recipe synthesises when it is not given one.

    Attributes:
        train, dev, test: utterances.
    """

    train: int = 1200
    dev: int = 60
    test: int = 120


@dataclass(frozen=True)
class TrainingConfig:
    """How the model is trained.

    Attributes:
        steps: updates.
        batch_frames: 10 ms frames a batch, padding included.
        crop_frames: longest stretch of an utterance in a batch, in 10 ms frames.
        max_silence_frames: longer silences are shortened to this before training; 0 keeps them.
        learning_rate: at its peak.
        warmup_steps: updates until the peak; a half cosine to zero follows.
        weight_decay: of AdamW.
        label_smoothing: of the cross-entropy.
        average_decay: of the running mean of the weights that is evaluated and kept.
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


@dataclass(frozen=True)
class AugmentationConfig:
    """What happens to log-mel frames in training; every value 0 switches its part off.

    Attributes:
        speed: largest change of tempo, as a fraction.
        vocal_tract: largest warp of the frequency axis, as a fraction.
        gain_db: standard deviation of the level.
        channel_db: standard deviation of a smooth random filter's ripples.
        noise_probability: share of utterances that get noise of a random colour.
        noise_snr_db: least and greatest signal-to-noise ratio.
        band_limit_probability: share of utterances that lose everything above 3.2 to 7 kHz.
        time_masks, time_mask_frames: how many stretches are masked, and the longest of them.
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


@dataclass(frozen=True)
class RecipeConfig:
    """A whole recipe.

    Attributes:
        name: what the trained model is called.
        work_dir: everything the recipe writes lies here, the model in ``work_dir/model``.
        corpora: folder that holds the corpus folders.
        train, dev, test: ``corpus/split`` each, ``corpus/all`` for a whole corpus.
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
        for name in ("train", "test"):
            if not getattr(self, name):
                raise ConfigError(f"{name}: empty; list at least one corpus/split")
        for name in ("train", "dev", "test"):
            for entry in getattr(self, name):
                if not isinstance(entry, str) or entry.count("/") != 1:
                    raise ConfigError(f"{name}: {entry!r}; each entry is corpus/split")
        if not self.dev and not self.hold_out:
            raise ConfigError("dev: empty and hold_out: 0; tuning needs one of them")
        if not 0 <= self.hold_out < 1:
            raise ConfigError(f"hold_out: {self.hold_out}; a share from 0 to below 1")
        if self.device not in ("auto", "cpu", "cuda"):
            raise ConfigError(f"device: {self.device!r}; 'auto', 'cpu' or 'cuda'")
        for name in ("steps", "batch_frames", "crop_frames", "evaluate_every", "checkpoint_every"):
            if getattr(self.training, name) < 1:
                raise ConfigError(f"training.{name}: {getattr(self.training, name)}; from 1 on")
        if self.training.batch_frames < self.training.crop_frames:
            raise ConfigError(
                f"training.batch_frames: {self.training.batch_frames}; "
                f"not below training.crop_frames ({self.training.crop_frames})"
            )
        warp = self.augmentation
        for name in ("speed", "vocal_tract"):
            if not 0 <= getattr(warp, name) < 0.5:
                raise ConfigError(f"augmentation.{name}: {getattr(warp, name)}; from 0 to 0.5")
        snr = warp.noise_snr_db
        if len(snr) != 2 or not all(isinstance(v, (int, float)) for v in snr) or snr[0] > snr[1]:
            raise ConfigError(f"augmentation.noise_snr_db: {list(snr)}; [least, greatest]")

    def to_dict(self) -> dict:
        """As plain values."""
        return dataclasses.asdict(self)


def read_config(source: str | Path | None, overrides: typing.Sequence[str] = ()) -> RecipeConfig:
    """Read a recipe.

    Args:
        source: a YAML file, or the name of one that comes with the package; None for ``default``.
        overrides: ``key=value`` or ``section.key=value``, the value as YAML.

    Raises:
        ConfigError: for a file that is missing or no YAML, an unknown key or an impossible value.
    """
    path = find_config(source)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: holds no keys; a recipe is a list of key: value lines")
    for override in overrides:
        _override(values, override)
    try:
        return build(RecipeConfig, values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def find_config(source: str | Path | None) -> Path:
    """The file a recipe's name or path stands for."""
    path = Path(source or "default")
    if path.is_file():
        return path
    packaged = resource("recipes", f"{path}.yaml")
    if path.name == str(path) and packaged.is_file():
        return packaged
    folder = resource("recipes", "")
    known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
    raise ConfigError(f"{path}: no such recipe file; those that come with the package: {known}")


def _override(values: dict, override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"{override!r}: write key=value, for example training.steps=500")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"{override!r}: {text!r} is not readable as a YAML value") from None
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{override!r}: {section} has no keys of its own")
    values[last] = value


def build(kind: type, values: dict, prefix: str = ""):
    """A configuration dataclass from plain values, with every key and type checked.

    Raises:
        ConfigError: naming the key, its value and what it should be.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{prefix.rstrip('.')}: {values!r}; it has keys of its own")
    hints = typing.get_type_hints(kind)
    for key in values:
        if key not in hints:
            close = difflib.get_close_matches(str(key), hints, n=1)
            hint = f"did you mean {prefix}{close[0]}?" if close else f"known: {', '.join(hints)}"
            raise ConfigError(f"{prefix}{key}: no such key; {hint}")
    return kind(**{key: _convert(hints[key], v, f"{prefix}{key}") for key, v in values.items()})


def _convert(hint, value, name: str):
    options = typing.get_args(hint) or (hint,)
    if value is None and type(None) in options:
        return None
    wanted = next(option for option in options if option is not type(None))
    if dataclasses.is_dataclass(wanted):
        return build(wanted, value or {}, f"{name}.")
    if wanted is tuple and isinstance(value, (list, tuple)):
        return tuple(value)
    if wanted is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if math.isfinite(value):
            return float(value)
    elif isinstance(value, wanted) and not (wanted is int and isinstance(value, bool)):
        return value
    kinds = {tuple: "a list", float: "a number", int: "a whole number", str: "text", bool: "a bool"}
    hint = " (YAML reads 1e-3 as text; write 1.0e-3)" if wanted is float else ""
    raise ConfigError(f"{name}: {value!r}; it takes {kinds.get(wanted, wanted)}{hint}")
