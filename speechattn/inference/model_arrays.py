"""Weights of a model file as NumPy arrays, mapped into memory: no PyTorch, and nothing copied."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import safe_open

from speechattn import cache, deflated
from speechattn.cache import mapped_arrays
from speechattn.deflated import Deflated, stored_arrays


def read_arrays(path: Path) -> dict[str, np.ndarray | Deflated]:
    """Return what a safetensors file holds; bfloat16 as float32, what is deflated as it is.

    Args:
        path: of the file.

    Raises:
        OSError: if it cannot be read.
        SafetensorError: if it is damaged.
        ValueError: if it holds numbers of a type that NumPy lacks, or its metadata are damaged.
    """
    with safe_open(path, "np") as file:  # the header is as it should be, and the file is whole
        metadata = file.metadata()
    try:
        return stored_arrays(mapped_arrays(path), metadata)
    except KeyError as error:
        raise ValueError(f"{path}: numbers of the type {error}") from None


def inflated(stored: Mapping[str, np.ndarray | Deflated]) -> dict[str, np.ndarray]:
    """Return arrays of a file that do not depend on it: copies, or inflated ones from the cache.

    Args:
        stored: some of what :func:`read_arrays` gives.

    Raises:
        ValueError: if what is deflated is damaged.
    """
    small = {name: each for name, each in stored.items() if isinstance(each, Deflated)}
    plain = {n: np.array(v) for n, v in stored.items() if not isinstance(v, Deflated)}
    if not small:
        return plain
    packed = {f"{name} {each.dtype} {each.shape}": each.packed for name, each in small.items()}
    name = cache.digest("inflated", packed, [deflated.__file__])
    return plain | cache.arrays(name, lambda: {n: each.inflate() for n, each in small.items()})
