"""A model on disk: a folder with ``config.json``, ``model.safetensors`` and perhaps a model card.

``config.json`` holds the shape of the encoder, the front end, the phone set and the decoder, with
the version of the program that wrote it. ``model.safetensors`` holds the weights and, by the
beginnings of their names:

- ``grammar.*``: the phone n-grams of a model that has some;
- ``words.*``: its words and their n-grams;
- ``ranges.*``: ranges of the inputs of its linear layers, for products in 8 bits;
- ``steps.*``: steps of weights that are saved as whole numbers of 8 or 6 bits.

A model may have the weights of the model in a folder beside it (``weights_of`` in ``config.json``),
or its n-grams and words (``words_of``).

Nothing is ever unpickled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from speechattn.audio.features import FrontEndConfig
from speechattn.decoder.lm.ngrams import PhoneNgrams
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.decoder.lm.word_lm import WordNgrams
from speechattn.decoder.options import DecoderOptions
from speechattn.encoder.kinds import AnyEncoderConfig
from speechattn.errors import ConfigError, ModelError
from speechattn.inference.model_files import (
    CARD,
    CONFIG,
    FORMAT,
    damage_named,
    model_files,
    read_card,
    read_model_config,
    write_model,
)
from speechattn.inference.model_tensors import (
    give_values,
    read_tensors,
    read_weights,
    without_values,
)
from speechattn.options import parse_device
from speechattn.phones import PhoneSet
from speechattn.process import may_have_cuda
from speechattn.schema import build
from speechattn.text import one_line

if TYPE_CHECKING:
    import torch

    from speechattn.encoder.encoder import PhoneClassifier

# Beginnings of the names of tensors beside the weights.
NGRAMS, WORDS, RANGES, STEPS = "grammar.", "words.", "ranges.", "steps."
LANGUAGE = NGRAMS, WORDS


Values = TypeVar("Values")


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

    @property
    def encoder(self) -> AnyEncoderConfig:
        """Shape of the encoder, with the windows that it uses."""
        return self.classifier.config

    def set_window(self, window: tuple) -> None:
        """Let all blocks use a window; see :meth:`speechattn.encoder.encoder.Encoder.set_window`.

        Raises:
            ConfigError: if the encoder was not trained for this window.
        """
        self.classifier.set_window(window)

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
                classifier, which is written in the place of these weights; the file is then
                deflated.

        Raises:
            ModelError: if the name is taken by something that is no model folder.
        """
        import torch

        from speechattn.encoder.int8 import whole_weights

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
        small = six_bits is not None
        write_model(folder, FORMAT, config, self.classifier, dtype, beside, small)

    @classmethod
    def load(cls, folder: str | Path, device: str | torch.device = "cpu") -> Checkpoint:
        """Read a model folder.

        Raises:
            ModelError: if something is missing, damaged, or written by a newer program.
        """
        from speechattn.encoder.encoder import PhoneClassifier
        from speechattn.encoder.int8 import check_ranges, restore_weights

        folder = Path(folder)
        encoder, parts = read_parts(folder)
        front_end, phones, phone_model = (
            parts[name] for name in ("front_end", "phones", "phone_model")
        )
        with damage_named(folder, "export the model again"):
            classifier = without_values(
                lambda: PhoneClassifier(front_end.dim, len(phones), encoder)
            )
        shapes = classifier.state_dict()
        _, file, words = model_files(folder)
        others = () if words == file else LANGUAGE  # of the file, if it has any
        beside = (*LANGUAGE, RANGES, STEPS)
        weights = read_weights(file, shapes, beside, others)
        ranges, steps = pop_prefixed(weights, RANGES), pop_prefixed(weights, STEPS)
        known = read_tensors(words, LANGUAGE) if words != file else weights
        at_fault = words
        try:
            language = {name: known[name].numpy() for name in of_language(known)}
            weights = {n: v for n, v in weights.items() if not n.startswith(LANGUAGE)}
            phone_model = with_language(phone_model, language, promised=words != file)
            at_fault = file
            check_ranges(ranges, classifier)
            restore_weights(weights, steps, ranges)
        except (ModelError, TypeError) as error:  # NumPy lacks some types that a file may hold
            raise ModelError(f"{at_fault}: {one_line(str(error))}") from None
        give_values(classifier, weights)
        classifier.eval().requires_grad_(False).to(device)
        return cls(
            classifier=classifier,
            ranges=ranges,
            card=read_card(folder / CARD),
            **{**parts, "phone_model": phone_model},
        )


def read_parts(folder: Path) -> tuple[AnyEncoderConfig, dict[str, Any]]:
    """Read the configuration of a model.

    Returns:
        The shape of its encoder, and fields of :class:`Checkpoint`.

    Raises:
        ModelError: if it is missing, damaged, or written by a newer program.
    """
    config = read_model_config(folder, FORMAT)
    with damage_named(folder, "export the model again"):
        parts = {
            "name": config.get("name", folder.name),
            "front_end": build(FrontEndConfig, config["front_end"], "front_end."),
            "phones": PhoneSet.from_dict(config["phones"]),
            "phone_model": PhoneModel.from_dict(config["phone_model"]),
            "decoding": DecoderOptions.from_dict(config["decoding"]),
            "training": config.get("training", {}),
        }
        encoder = build(AnyEncoderConfig, config["encoder"], "encoder.")
    phones, of_model = len(parts["phones"]), parts["phone_model"].num_phones
    if of_model != phones:
        raise ModelError(
            f"{folder / CONFIG}: {phones} phones, but a phone model of {of_model}; "
            "export the model again"
        )
    files = model_files(folder)
    if files.words != files.weights:
        _check_words_of(folder, files.words.parent, parts["phones"])
    return encoder, parts


def _check_words_of(folder: Path, other: Path, phones: PhoneSet) -> None:
    """Check that the words of another model are words of a model's phones."""
    config = read_model_config(other, FORMAT)
    with damage_named(other, "export the model again"):
        its = PhoneSet.from_dict(config["phones"])
    if not its.has_classes_of(phones):
        raise ModelError(
            f"{folder / CONFIG}: words_of names {other}, whose phones are others; name another "
            "model, or write this one anew: speechattn decoder"
        )


def of_language(names: Iterable[str]) -> list[str]:
    """Return the names that belong to n-grams of phones or to words."""
    return [name for name in names if name.startswith(LANGUAGE)]


def with_language(
    phone_model: PhoneModel, arrays: Mapping[str, np.ndarray], promised: bool = False
) -> PhoneModel:
    """Return a phone model with its n-grams and words, if there are any.

    Args:
        phone_model: as the configuration has it.
        arrays: of the file, those of :func:`of_language`.
        promised: whether there should be some.

    Raises:
        ModelError: if they are damaged, or none are there that should be.
    """
    if promised and not arrays:
        raise ModelError("no n-grams and words, which words_of of another model names")
    if ngrams := pop_prefixed(dict(arrays), NGRAMS):
        phone_model = replace(phone_model, ngrams=PhoneNgrams.from_tensors(ngrams))
    if words := pop_prefixed(dict(arrays), WORDS):
        phone_model = replace(phone_model, words=WordNgrams.from_tensors(words))
    return phone_model


def pop_prefixed(weights: dict[str, Values], prefix: str) -> dict[str, Values]:
    """Take out what has a name that begins with a prefix; by the rest of their names."""
    names = [name for name in weights if name.startswith(prefix)]
    return {name.removeprefix(prefix): weights.pop(name) for name in names}


def device_name(device: str | torch.device = "auto") -> str:
    """Return the name of a device: ``"auto"`` is CUDA where there is one, else the CPU.

    PyTorch is asked only where there may be another device than the CPU.

    Raises:
        ConfigError: for a name of no device, and for a device that is not there.
    """
    name = parse_device(str(device))
    if name == "cpu" or (name == "auto" and not may_have_cuda()):
        return "cpu"
    return str(pick_device(device))


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """Return the device of a name: ``"auto"`` is CUDA where there is one, else the CPU.

    Raises:
        ConfigError: for a name of no device, and for a device that is not there.
    """
    import torch

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
    import torch

    found = ["cpu"]
    if torch.cuda.is_available():
        found += [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    if torch.xpu.is_available():
        found += [f"xpu:{number}" for number in range(torch.xpu.device_count())]
    return found
