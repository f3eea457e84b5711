"""A model as it lies in its folder; PyTorch's part of it is loaded when something asks for it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError

from speechattn.attention.kernels import byte_layers
from speechattn.encoder import array_weights
from speechattn.encoder.config import EncoderConfig
from speechattn.errors import ModelError
from speechattn.inference.checkpoint import (
    LANGUAGE,
    RANGES,
    STEPS,
    Checkpoint,
    of_language,
    pop_prefixed,
    read_parts,
    with_language,
)
from speechattn.inference.host import plain_settings
from speechattn.inference.model_arrays import inflated, read_arrays
from speechattn.inference.model_files import CARD, model_files, read_card
from speechattn.process import import_torch

if TYPE_CHECKING:
    import torch

    from speechattn.encoder.encoder import PhoneClassifier


class StoredCheckpoint(Checkpoint):
    """A model whose encoder is computed on arrays; made by :meth:`open` alone.

    What needs PyTorch, ``classifier`` and ``ranges``, is loaded from the folder when it is asked
    for. The folder must be as it was then.

    Attributes:
        folder: where it lies.
        attention: shape of its encoder, with the windows that it uses.
        arrays: its weights, from :func:`speechattn.encoder.array_weights.ready_arrays`.
    """

    folder: Path
    attention: EncoderConfig
    arrays: dict[str, np.ndarray]
    _state: tuple
    _loaded: Checkpoint | None = None

    def __new__(cls, *arguments: Any, **fields: Any) -> Any:
        """Return a plain checkpoint: what :func:`dataclasses.replace` makes of a stored one."""
        return Checkpoint(*arguments, **fields)

    def __reduce__(self) -> Any:
        """For copies and pickles."""
        return object.__new__, (type(self),), dict(vars(self))

    @classmethod
    def open(cls, folder: Path) -> StoredCheckpoint | None:
        """Open a model folder.

        Returns:
            None if the encoder cannot be computed on arrays here, or if anything is wrong with the
            folder; :meth:`Checkpoint.load` says what.
        """
        if not byte_layers.works():
            return None
        try:
            encoder, parts = read_parts(folder)
            if not isinstance(encoder, EncoderConfig) or not array_weights.is_supported(encoder):
                return None
            _, file, words = model_files(folder)
            stored = read_arrays(file)
            weights = {n: v for n, v in stored.items() if not n.startswith(LANGUAGE)}
            known = stored if words == file else read_arrays(words)
            language = inflated({name: known[name] for name in of_language(known)})
            model = with_language(parts["phone_model"], language, promised=words != file)
            parts["phone_model"] = model
            ranges, steps = (inflated(pop_prefixed(weights, part)) for part in (RANGES, STEPS))
            parts["card"] = read_card(folder / CARD)
        except (ModelError, SafetensorError, OSError, ValueError, TypeError, MemoryError):
            return None
        wanted = array_weights.shapes(encoder, parts["front_end"].dim, len(parts["phones"]))
        arrays = array_weights.ready_arrays(weights, steps, ranges, encoder, wanted)
        if arrays is None:
            return None
        found = object.__new__(cls)
        found.folder, found.attention, found.arrays = folder.resolve(), encoder, arrays
        found._state = _state_of(found.folder)
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

    @property
    def encoder(self) -> EncoderConfig:
        """Shape of the encoder, with the windows that it uses."""
        return self.attention

    @property
    def classifier(self) -> PhoneClassifier:  # type: ignore[override]
        """The encoder of PyTorch, loaded when it is first asked for.

        Raises:
            ModelError: if its weights are damaged, or the folder has changed.
        """
        return self._load().classifier

    @property
    def ranges(self) -> dict[str, torch.Tensor]:  # type: ignore[override]
        """Ranges of the inputs of the layers, as tensors."""
        return self._load().ranges

    def free(self) -> None:
        """Free what has been loaded for PyTorch."""
        self._loaded = None

    def _load(self) -> Checkpoint:
        if self._loaded is None:
            if _state_of(self.folder) != self._state:
                raise ModelError(f"{self.folder}: has changed since it was loaded; load it again")
            import_torch()
            with plain_settings():
                loaded = Checkpoint.load(self.folder)
                loaded.classifier.set_window(self.attention.window)
            self._loaded = loaded
        return self._loaded


def _state_of(folder: Path) -> tuple:
    """Return what changes when a model does: sizes and times of its files."""
    try:
        facts = [path.stat() for path in model_files(folder).all]
    except OSError as error:
        raise ModelError(f"{folder}: cannot be read ({error.strerror}); load it again") from None
    return tuple((fact.st_size, fact.st_mtime_ns) for fact in facts)
