"""Weights of a model file as NumPy arrays, mapped into memory: no PyTorch, and nothing copied."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import safe_open

from speechattn.cache import mapped_arrays


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return what a safetensors file holds; bfloat16 as float32.

    Args:
        path: of the file.

    Raises:
        OSError: if it cannot be read.
        SafetensorError: if it is damaged.
        ValueError: if it holds numbers of a type that NumPy lacks.
    """
    with safe_open(path, "np"):  # the header is as it should be, and the file is whole
        pass
    try:
        return mapped_arrays(path)
    except KeyError as error:
        raise ValueError(f"{path}: numbers of the type {error}") from None
