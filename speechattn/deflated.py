"""Arrays of a model file that are stored smaller, by DEFLATE (RFC 1951).

A file for distribution holds them as bytes; the metadata of its header (safetensors) says under
``deflated`` what type and shape each had.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

METADATA = "deflated"  # key in the header of a file
LEAST_BYTES, MOST_SHARE = 1 << 15, 0.97  # smaller arrays, or a smaller gain, are not worth it
MOST_BYTES = 1 << 30  # that the arrays of a file may have together
_STRATEGIES = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY)  # the second for weights
_TYPES = ("uint8", "int8", "uint16", "int16", "int32", "float16", "float32")


@dataclass(frozen=True)
class Deflated:
    """An array as it lies in a file.

    Attributes:
        name: of the array, for errors.
        packed: its bytes, uint8, shape (bytes,).
        dtype: of the array.
        shape: of the array.
    """

    name: str
    packed: np.ndarray
    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize

    def inflate(self) -> np.ndarray:
        """Return the array.

        Raises:
            ValueError: if the bytes are not those of an array of this type and shape.
        """
        stream, size = zlib.decompressobj(), self.nbytes
        if size > MOST_BYTES:
            raise ValueError(f"{self.name}: {size} bytes, more than {MOST_BYTES}")
        try:
            data = stream.decompress(np.ascontiguousarray(self.packed).data, size + 1)
        except zlib.error as error:
            raise ValueError(f"{self.name}: not deflated: {error}") from None
        if len(data) != size or not stream.eof or stream.unused_data:
            raise ValueError(f"{self.name}: does not inflate to the {size} bytes of its shape")
        return np.frombuffer(bytearray(data), self.dtype).reshape(self.shape)


def deflate(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return arrays for a file, those deflated that become smaller, and the metadata of the file.

    Args:
        arrays: by name, in any order. Once those deflated have ``MOST_BYTES`` together, others stay
            as they are.
    """
    stored, facts = {}, {}
    left = MOST_BYTES
    for name, values in sorted(arrays.items()):
        stored[name] = values
        size = values.nbytes
        if not LEAST_BYTES <= size <= left or values.dtype.name not in _TYPES:
            continue
        data = min((_deflated(values, strategy) for strategy in _STRATEGIES), key=len)
        if len(data) <= MOST_SHARE * size:
            left -= size
            stored[name] = np.frombuffer(bytearray(data), np.uint8)
            facts[name] = [values.dtype.name, list(values.shape)]
    return stored, {METADATA: json.dumps(facts)} if facts else {}


def _deflated(values: np.ndarray, strategy: int) -> bytes:
    stream = zlib.compressobj(9, strategy=strategy)
    return stream.compress(np.ascontiguousarray(values).data) + stream.flush()


def stored_arrays(
    arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None
) -> dict[str, np.ndarray | Deflated]:
    """Return the arrays of a file, those that are deflated as :class:`Deflated`.

    Args:
        arrays: as they lie in the file.
        metadata: of its header.

    Raises:
        ValueError: if the metadata are not those that :func:`deflate` gives, or promise more than
            ``MOST_BYTES``.
    """
    found: dict[str, np.ndarray | Deflated] = dict(arrays)
    for name, (dtype, shape) in _facts(metadata).items():
        values = arrays.get(name)
        if values is None or values.dtype != np.uint8 or values.ndim != 1:
            raise ValueError(f"{name}: deflated, but no bytes")
        found[name] = Deflated(name, values, dtype, shape)
    size = sum(each.nbytes for each in found.values() if isinstance(each, Deflated))
    if size > MOST_BYTES:
        raise ValueError(f"deflated: {size} bytes, more than {MOST_BYTES}")
    return found


def _facts(metadata: Mapping[str, str] | None) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    text = (metadata or {}).get(METADATA)
    if text is None:
        return {}
    found = {}
    try:
        for name, (dtype, shape) in json.loads(text).items():
            sizes = tuple(shape)
            whole = all(type(size) is int and 0 <= size < 2**31 for size in sizes)
            if dtype not in _TYPES or not whole:
                raise ValueError(f"{name}: {dtype} {shape}")
            found[name] = np.dtype(dtype), sizes
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{METADATA}: {error}") from None
    return found
