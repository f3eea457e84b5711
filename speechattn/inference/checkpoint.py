"""A model on disk: one folder with ``config.json`` and ``model.safetensors``, perhaps a card for people.

``config.json`` holds the shape of the encoder, the front end, the phone set and the decoder, with
the version of the program that wrote it. Weights are safetensors, and beside them lie the phone
n-grams and the words of a model that has some, as ``grammar.*`` and ``words.*``, and the ranges of
its layers' inputs, as ``ranges.*``; with these, weights may be whole numbers of 8 bits in steps that
are given as ``steps.*``. Nothing is ever unpickled.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from speechattn.audio.features import FrontEndConfig
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.decoder.options import DecoderOptions
from speechattn.encoder.baselines import AnyEncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.int8 import STEPS, check_ranges, restore_weights, whole_weights
from speechattn.errors import ConfigError, ModelError
from speechattn.inference.model_files import (
    BESIDE,
    CARD,
    CONFIG,
    FORMAT,
    WEIGHTS,
    _read_card,
    damage_named,
    read_model_config,
    read_weights,
    write_model,
)
from speechattn.phones import PhoneSet
from speechattn.schema import build
from speechattn.text import one_line

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
