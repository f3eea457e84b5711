"""A model on disk: a folder with ``config.json``, ``model.safetensors`` and perhaps a model card.

``config.json`` holds the shape of the encoder, the front end, the phone set and the decoder, with
the version of the program that wrote it. ``model.safetensors`` holds the weights and, by the
beginnings of their names:

- ``grammar.*``: the phone n-grams of a model that has some;
- ``words.*``: its words and their n-grams;
- ``ranges.*``: ranges of the inputs of its linear layers, for products in 8 bits;
- ``steps.*``: steps of weights that are saved as whole numbers of 8 or 6 bits.

Nothing is ever unpickled.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speechattn.audio.features import FrontEndConfig
from speechattn.decoder.lm.ngrams import PhoneNgrams
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.decoder.lm.word_lm import WordNgrams
from speechattn.decoder.options import DecoderOptions
from speechattn.encoder.baselines import AnyEncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.int8 import STEPS, check_ranges, restore_weights, whole_weights
from speechattn.errors import ConfigError, ModelError
from speechattn.inference.model_files import (
    CARD,
    CONFIG,
    FORMAT,
    damage_named,
    give_values,
    read_card,
    read_model_config,
    read_weights,
    weights_file,
    without_values,
    write_model,
)
from speechattn.options import parse_device
from speechattn.phones import PhoneSet
from speechattn.schema import build
from speechattn.text import one_line

# Beginnings of the names of tensors beside the weights.
NGRAMS, WORDS, RANGES = "grammar.", "words.", "ranges."


@dataclass
class Checkpoint:
    """Everything that is needed to turn audio into phones.

    Attributes:
        name: name of the model.
        classifier: normalisation statistics, encoder and classifier.
        front_end: how its frames are computed.
        phones: its classes.
        phone_model: order and duration of phones, perhaps with n-grams.
        decoding: weights of the decoder.
        training: how it was trained, for people; not needed to run it.
        card: its model card, a text for people; None without one. ``save`` does not write it.
        ranges: of the inputs of its linear layers, as :func:`speechattn.encoder.int8.input_ranges`
            gives them; empty if they are not known.
    """

    name: str
    classifier: PhoneClassifier
    front_end: FrontEndConfig
    phones: PhoneSet
    phone_model: PhoneModel
    decoding: DecoderOptions
    training: dict[str, Any] = field(default_factory=dict)
    card: str | None = None
    ranges: dict[str, torch.Tensor] = field(default_factory=dict)

    def save(
        self,
        folder: str | Path,
        *,
        dtype: torch.dtype | None = None,
        six_bits: dict[str, torch.Tensor] | None = None,
    ) -> None:
        """Write the folder, whole or not at all; a model that is there is replaced.

        Args:
            folder: the model folder.
            dtype: of the weights in the file; None for their own. With ``torch.int8`` the weights
                of layers whose input ranges are known are whole numbers of 8 bits, as the
                precision ``int8`` multiplies with, and the others are bfloat16. Statistics of the
                frames stay in float32. All weights are loaded as float32.
            six_bits: what :func:`speechattn.encoder.six_bits.six_bit_weights` made of the
                classifier, which is written in the place of these weights.

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
        model = self.phone_model
        for begin, part in ((NGRAMS, model.ngrams), (WORDS, model.words)):
            if part is not None:
                tensors = part.tensors().items()
                beside |= {f"{begin}{name}": torch.from_numpy(v) for name, v in tensors}
        if dtype == torch.int8:
            dtype = torch.bfloat16
            beside |= whole_weights(self.classifier, self.ranges)
        beside |= six_bits or {}
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
            classifier = without_values(
                lambda: PhoneClassifier(front_end.dim, len(phones), encoder)
            )
            phone_model = PhoneModel.from_dict(config["phone_model"])
            decoding = DecoderOptions.from_dict(config["decoding"])
        if phone_model.num_phones != len(phones):
            raise ModelError(
                f"{folder / CONFIG}: {len(phones)} phones, but a phone model of "
                f"{phone_model.num_phones}; export the model again"
            )
        shapes = classifier.state_dict()
        file = weights_file(folder)
        weights = read_weights(file, shapes, (NGRAMS, WORDS, RANGES, STEPS))
        ranges, steps = _pop_prefixed(weights, RANGES), _pop_prefixed(weights, STEPS)
        try:
            check_ranges(ranges, classifier)
            if arrays := _pop_arrays(weights, NGRAMS):
                phone_model = replace(phone_model, ngrams=PhoneNgrams.from_tensors(arrays))
            if arrays := _pop_arrays(weights, WORDS):
                phone_model = replace(phone_model, words=WordNgrams.from_tensors(arrays))
            restore_weights(weights, steps, ranges)
        except (ModelError, TypeError) as error:  # NumPy lacks some types that a file may hold
            raise ModelError(f"{file}: {one_line(str(error))}") from None
        give_values(classifier, weights)
        classifier.eval().requires_grad_(False).to(device)
        return cls(
            name=config.get("name", folder.name),
            classifier=classifier,
            front_end=front_end,
            phones=phones,
            phone_model=phone_model,
            decoding=decoding,
            training=config.get("training", {}),
            card=read_card(folder / CARD),
            ranges=ranges,
        )


def _pop_prefixed(weights: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Take out the tensors whose names begin with a prefix; by the rest of their names."""
    names = [name for name in weights if name.startswith(prefix)]
    return {name.removeprefix(prefix): weights.pop(name) for name in names}


def _pop_arrays(weights: dict[str, torch.Tensor], prefix: str) -> dict[str, np.ndarray]:
    return {name: values.numpy() for name, values in _pop_prefixed(weights, prefix).items()}


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """Return the device of a name: ``"auto"`` is CUDA where there is one, else the CPU.

    Raises:
        ConfigError: for a name of no device, and for a device that is not there.
    """
    name = parse_device(str(device))
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        picked = torch.device(name)
        torch.zeros(1, device=picked).item()
    except (RuntimeError, AssertionError, ImportError, NotImplementedError) as error:
        reason = one_line(str(error).split(". ")[0].split("\n")[0])
        raise ConfigError(f"device: {name!r}: {reason}; there is {', '.join(_devices())}") from None
    return picked


def _devices() -> list[str]:
    """Return the names of the devices of this machine."""
    found = ["cpu"]
    if torch.cuda.is_available():
        found += [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    if torch.xpu.is_available():
        found += [f"xpu:{number}" for number in range(torch.xpu.device_count())]
    return found
