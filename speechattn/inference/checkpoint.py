"""A model on disk: one folder with ``config.json`` and ``model.safetensors``, perhaps a card for people.

``config.json`` holds the shape of the encoder, the front end, the phone set and the decoder, with
the version of the program that wrote it. Weights are safetensors, and beside them lie the phone
n-grams and the words of a model that has some, as ``grammar.*`` and ``words.*``, and the ranges of
its layers' inputs, as ``ranges.*``; with these, weights may be whole numbers of 8 bits in steps that
are given as ``steps.*``. Nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

import speechattn
from speechattn.audio.features import FrontEndConfig
from speechattn.decoder.lm.ngrams import PhoneNgrams
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.decoder.lm.word_lm import WordNgrams
from speechattn.decoder.options import DecoderOptions
from speechattn.encoder.baselines import AnyEncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.int8 import STEPS, check_ranges, restore_weights, whole_weights
from speechattn.errors import ConfigError, ModelError, SpeechattnError
from speechattn.files import replace_folder
from speechattn.inference.model_files import CARD, CONFIG, WEIGHTS
from speechattn.phones import PhoneSet
from speechattn.text import one_line
from speechattn.training.recipe_file import build

FORMAT = "speechattn-model"
FORMAT_VERSION = 6  # raised when an older program could not run what a newer one writes

# How the names of what lies beside the weights begin, and what it is.
BESIDE = {"grammar.": ("ngrams", PhoneNgrams), "words.": ("words", WordNgrams)}
RANGES = "ranges."


@dataclass
class Checkpoint:
    """Everything it takes to turn audio into phones.

    Attributes:
        name: what the model is called.
        classifier: normalisation statistics, encoder and classifier.
        front_end: what its frames are.
        phones: what its classes are.
        phone_model: order and duration of phones, perhaps with n-grams.
        decoding: weights of the decoder.
        training: how it was made, for the curious; not needed to run it.
        card: its model card, a text for people; None without one. It is not saved with it.
        ranges: of the inputs of its linear layers, as :func:`speechattn.encoder.int8.input_ranges`
            gives them; empty if they are not known.
    """

    name: str
    classifier: PhoneClassifier
    front_end: FrontEndConfig
    phones: PhoneSet
    phone_model: PhoneModel
    decoding: DecoderOptions
    training: dict = field(default_factory=dict)
    card: str | None = None
    ranges: dict[str, torch.Tensor] = field(default_factory=dict)

    def save(self, folder: str | Path, *, dtype: torch.dtype | None = None) -> None:
        """Write the folder, whole or not at all; a model that is there is replaced.

        Args:
            folder: where to.
            dtype: of the weights in the file; None for their own. ``torch.int8`` for whole numbers
                where the ranges of inputs are known, as ``int8`` multiplies with, and bfloat16 for
                the others. Statistics of the frames stay in float32, and everything is loaded as
                that.

        Raises:
            ModelError: if the name is taken by something that is no model folder.
        """
        config = {
            "name": self.name,
            "front_end": self.front_end.to_dict(),
            "encoder": self.classifier.config.to_dict(),
            "phones": self.phones.to_dict(ipa=True),
            "decoding": self.decoding.to_dict(),
            "training": self.training,
            "phone_model": self.phone_model.to_dict(),
        }
        beside = {f"{RANGES}{name}": values for name, values in self.ranges.items()}
        for begin, (part, _) in BESIDE.items():
            if (found := getattr(self.phone_model, part)) is not None:
                tensors = found.tensors().items()
                beside |= {f"{begin}{name}": torch.from_numpy(v) for name, v in tensors}
        if dtype == torch.int8:
            dtype = torch.bfloat16
            beside |= whole_weights(self.classifier, self.ranges)
        write_model(folder, FORMAT, config, self.classifier, dtype, beside)

    @classmethod
    def load(cls, folder: str | Path, device: str | torch.device = "cpu") -> Checkpoint:
        """Read a model folder.

        Raises:
            ModelError: if something is missing, damaged, or written by a newer program.
        """
        folder = Path(folder)
        config = read_model_config(folder, FORMAT)
        with damage_named(folder, "export the model again"):
            front_end = build(FrontEndConfig, config["front_end"], "front_end.")
            phones = PhoneSet.from_dict(config["phones"])
            encoder = build(AnyEncoderConfig, config["encoder"], "encoder.")
            with torch.device("meta"):  # shapes only: a damaged size would take all memory there is
                shapes = PhoneClassifier(front_end.dim, len(phones), encoder).state_dict()
            phone_model = PhoneModel.from_dict(config["phone_model"])
            decoding = DecoderOptions.from_dict(config["decoding"])
        if phone_model.num_phones != len(phones):
            raise ModelError(
                f"{folder / CONFIG}: {len(phones)} phones, but a phone model of "
                f"{phone_model.num_phones}; export the model again"
            )
        weights = read_weights(folder / WEIGHTS, shapes, (*BESIDE, RANGES, STEPS))
        ranges, steps = _taken(weights, RANGES), _taken(weights, STEPS)
        classifier = PhoneClassifier(front_end.dim, len(phones), encoder)
        try:
            check_ranges(ranges, classifier)
            parts = {
                part: kind.from_tensors({name: values.numpy() for name, values in found.items()})
                for begin, (part, kind) in BESIDE.items()
                if (found := _taken(weights, begin))
            }
            phone_model = replace(phone_model, **parts)
            restore_weights(weights, steps, ranges)
        except (ModelError, TypeError) as error:  # NumPy has not all types that a file may hold
            raise ModelError(f"{folder / WEIGHTS}: {one_line(str(error))}") from None
        classifier.load_state_dict(weights)
        classifier.eval().requires_grad_(False).to(device)
        name, training = config.get("name", folder.name), config.get("training", {})
        card = _read_card(folder / CARD)
        parts = classifier, front_end, phones, phone_model, decoding, training, card
        return cls(name, *parts, ranges)


def _taken(weights: dict[str, torch.Tensor], begin: str) -> dict[str, torch.Tensor]:
    """Take out what has a name that begins so; by the rest of their names."""
    names = [name for name in weights if name.startswith(begin)]
    return {name.removeprefix(begin): weights.pop(name) for name in names}


def pick_device(device: str = "auto") -> torch.device:
    """``"auto"`` (CUDA where there is one), or any device torch knows.

    Raises:
        ConfigError: for a device that is unknown or not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        picked = torch.device(device)
        torch.zeros(1, device=picked).item()  # the "meta" device exists but cannot compute
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = one_line(str(error).split(". ")[0])
        raise ConfigError(f"device: {device!r}: {reason}; 'auto' takes what is there") from None
    return picked


@contextlib.contextmanager
def damage_named(folder: Path, way_out: str) -> Iterator[None]:
    """Turn what goes wrong with the configuration of a model folder into a ModelError of one line."""
    try:
        yield
    except KeyError as error:
        raise ModelError(f"{folder / CONFIG}: no key {error}; {way_out}") from None
    except (SpeechattnError, TypeError, ValueError, AttributeError, RuntimeError,
            ArithmeticError, MemoryError) as error:  # fmt: skip
        raise ModelError(f"{folder / CONFIG}: {one_line(str(error))}; {way_out}") from None


def write_model(
    folder: str | Path,
    kind: str,
    config: dict,
    model: torch.nn.Module,
    dtype: torch.dtype | None = None,
    beside: dict[str, torch.Tensor] | None = None,
) -> None:
    """Write a model folder, whole or not at all; a model that is there is replaced.

    Args:
        folder: where to.
        kind: what is said to be in it, such as :data:`FORMAT`.
        config: all else it takes to make the model, JSON values.
        model: whose weights are written.
        dtype: of its parameters in the file; None for their own.
        beside: more to write into the same file, as it is; of the same name, instead.

    Raises:
        ModelError: if the name is taken by something that is no model folder.
    """
    folder = Path(folder).resolve()  # a link to a model stays one
    if folder.exists() and not _may_replace(folder):
        raise ModelError(f"{folder}: is there and no model; remove it or give another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    partial.mkdir()
    try:
        head = {"format": kind, "format_version": FORMAT_VERSION}
        head["speechattn"] = speechattn.__version__
        (partial / CONFIG).write_text(_readable_json({**head, **config}), encoding="utf-8")
        trained = {name for name, _ in model.named_parameters()}
        plain = {
            k: (v.to(dtype) if dtype and k in trained else v).cpu().contiguous()
            for k, v in model.state_dict().items()
        }
        # Not save_file, whose file nobody else may read.
        (partial / WEIGHTS).write_bytes(save({**plain, **(beside or {})}))
        replace_folder(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_model_config(folder: Path, kind: str) -> dict:
    """What :func:`write_model` wrote beside the weights.

    Raises:
        ModelError: if it is not there, is damaged, of another kind, or of a newer program.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file; {folder} is not a model folder") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); export the model again") from None
    if not isinstance(config, dict) or config.get("format") != kind:
        raise ModelError(f"{path}: not the configuration of a {kind}; give another folder")
    version = config.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ModelError(
            f"{path}: format version {version!r}, written by speechattn "
            f"{config.get('speechattn')}; this is {speechattn.__version__} and reads up to "
            f"version {FORMAT_VERSION}: upgrade speechattn"
        )
    return config


def _read_card(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); export the model again") from None


def read_weights(
    path: Path, shapes: dict[str, torch.Tensor], beside: tuple[str, ...] = ()
) -> dict[str, torch.Tensor]:
    """The weights, which must have the shapes of these tensors (whose values do not matter).

    Args:
        path: of the file.
        shapes: name → tensor.
        beside: what else may be there, of any shape, if its name begins with one of these.

    Raises:
        ModelError: if they have not, or cannot be read.
    """
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); export the model again") from None
    wanted = {k: tuple(v.shape) for k, v in shapes.items()}
    found = {k: tuple(v.shape) for k, v in weights.items() if not k.startswith(beside)}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise ModelError(
                f"{path}: {name} has shape {found.get(name)}, where {CONFIG} says "
                f"{wanted.get(name)}; the two files do not belong together"
            )
    for name, value in weights.items():
        if not torch.isfinite(value).all():
            raise ModelError(f"{path}: {name} holds NaN or Inf; export the model again")
    return weights


def _may_replace(folder: Path) -> bool:
    """Whether a save may take the place of what is there: a model, or an empty folder."""
    return folder.is_dir() and ((folder / CONFIG).is_file() or not any(folder.iterdir()))


def _readable_json(config: dict) -> str:
    """JSON with a line for every key but none for every number of a matrix."""
    lines = []
    for key, value in config.items():
        if isinstance(value, dict):
            inner = [f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()]
            text = "{\n" + ",\n".join(inner) + "\n  }" if inner else "{}"
        else:
            text = json.dumps(value)
        lines.append(f"  {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
