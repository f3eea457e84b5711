"""A model as it lies in its folder; PyTorch's part of it is loaded when something asks for it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speechattn.encoder import array_weights
from speechattn.encoder.config import EncoderConfig
from speechattn.errors import ModelError
from speechattn.inference.checkpoint import (
    RANGES,
    STEPS,
    Checkpoint,
    of_language,
    pop_prefixed,
    read_parts,
    with_language,
)
from speechattn.inference.model_files import CARD, read_card, weights_file

if TYPE_CHECKING:
    import torch

    from speechattn.encoder.encoder import PhoneClassifier


class StoredCheckpoint(Checkpoint):
    """A model whose encoder can be computed on arrays; see :meth:`open`.

    Attributes:
        folder: where it lies.
        attention: shape of its encoder, with the windows that it uses.
    """

    folder: Path
    attention: EncoderConfig
    _arrays: dict[str, np.ndarray]
    _loaded: Checkpoint | None = None

    @classmethod
    def open(cls, folder: Path) -> StoredCheckpoint | None:
        """Open a model folder.

        Returns:
            None if its encoder cannot be computed on arrays, or anything is wrong with the folder;
            :meth:`Checkpoint.load` says what.
        """
        try:
            encoder, parts = read_parts(folder)
            if not isinstance(encoder, EncoderConfig) or not array_weights.is_supported(encoder):
                return None
            from safetensors import SafetensorError

            from speechattn.inference.model_arrays import read_arrays

            try:
                arrays = read_arrays(weights_file(folder))
            except SafetensorError:
                return None
            language = {name: arrays.pop(name) for name in of_language(arrays)}
            parts["phone_model"] = with_language(parts["phone_model"], language)
            parts["card"] = read_card(folder / CARD)
        except (ModelError, OSError, ValueError, TypeError):
            return None
        found = cls.__new__(cls)
        found.folder, found.attention, found._arrays = folder, encoder, arrays
        for name, value in parts.items():
            setattr(found, name, value)
        return found

    def set_window(self, window: tuple) -> None:
        """Let all blocks use a window; see :meth:`speechattn.encoder.encoder.Encoder.set_window`.

        Raises:
            ConfigError: if the encoder was not trained for this window.
        """
        self.attention = dataclasses.replace(self.attention, window=window)
        if self._loaded is not None:
            self._loaded.classifier.set_window(window)

    def ready_arrays(self) -> dict[str, np.ndarray] | None:
        """Return the weights for an encoder of arrays; None if they are damaged or incomplete."""
        weights = dict(self._arrays)
        ranges, steps = pop_prefixed(weights, RANGES), pop_prefixed(weights, STEPS)
        config = self.attention
        wanted = array_weights.shapes(config, self.front_end.dim, len(self.phones))
        return array_weights.ready_arrays(weights, steps, ranges, config, wanted)

    @property
    def encoder(self) -> EncoderConfig:
        """Shape of the encoder, with the windows that it uses."""
        return self.attention

    @property
    def classifier(self) -> PhoneClassifier:  # type: ignore[override]
        """The encoder of PyTorch, loaded when it is first asked for.

        Raises:
            ModelError: if its weights are damaged.
        """
        return self._load().classifier

    @property
    def ranges(self) -> dict[str, torch.Tensor]:  # type: ignore[override]
        """Ranges of the inputs of the layers, as tensors."""
        return self._load().ranges

    def _load(self) -> Checkpoint:
        if self._loaded is None:
            self._loaded = Checkpoint.load(self.folder)
            self._loaded.classifier.set_window(self.attention.window)
        return self._loaded

    def __reduce__(self) -> Any:
        raise TypeError("a stored checkpoint is not pickled; load the model in each process")
