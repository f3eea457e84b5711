"""Weights and inputs of layers as whole numbers of 8 or 6 bits: their steps, and how they lie."""

from __future__ import annotations

import numpy as np

ZERO = 128  # what stands for 0 in an input with negative numbers (others use 0 to MAX_UINT8)
MAX_INT8, MAX_UINT8 = 127, 255  # largest whole numbers
MIN_RANGE = 0.01  # least range relative to the mean one: an input may not stay as quiet as it was
OFFSET = 32  # what stands for 0 in numbers of 6 bits
NUMBERS, BYTES = 4, 3  # of them that lie together


def by_rows(weight: np.ndarray, largest: int = MAX_INT8) -> tuple[np.ndarray, np.ndarray]:
    """Return whole numbers from -largest to largest, int8, and the step of each row, float32.

    Args:
        weight: float32, shape (outputs, inputs).
        largest: of the whole numbers.
    """
    step = np.abs(weight).max(1) / np.float32(largest)
    step = np.maximum(step, np.finfo(np.float32).tiny)
    return np.rint(weight / step[:, None]).astype(np.int8), step


def input_steps(ranges: np.ndarray, largest: int) -> np.ndarray:
    """Return the step of each input, float32, for whole numbers up to ``largest``.

    Args:
        ranges: largest magnitude of each input, shape (inputs,).
        largest: of the whole numbers.
    """
    ranges = ranges.astype(np.float32)
    least = max(np.float32(MIN_RANGE) * ranges.mean(), np.finfo(np.float16).tiny)
    return np.maximum(ranges, np.float32(least)) / np.float32(largest)


def whole_of(values: np.ndarray, columns: int) -> np.ndarray:
    """Return the whole numbers of 6 bits that a file holds.

    Args:
        values: uint8: each number plus ``OFFSET`` in a byte, shape (rows, columns), or, up to
            format 10, four numbers in three bytes, shape (rows, columns * 3/4).
        columns: of the numbers.

    Returns:
        int8, shape (rows, columns).

    Raises:
        ValueError: if a byte holds no number of 6 bits.
    """
    if values.shape[1] != columns:
        return unpack(values)
    if values.max(initial=0) > 2 * OFFSET - 1:
        raise ValueError("numbers of more than 6 bits")
    return (values - np.uint8(OFFSET)).view(np.int8)


def columns_of(stored: int, wanted: int) -> int:
    """Return how many numbers of 6 bits a row of a file holds.

    Args:
        stored: bytes of the row.
        wanted: numbers that the layer has in a row; up to format 10, four lie in three bytes.
    """
    return wanted if stored * NUMBERS == wanted * BYTES else stored


def unpack(packed: np.ndarray) -> np.ndarray:
    """Return whole numbers of 6 bits of which four lie in three bytes, from the lowest bit on.

    Args:
        packed: uint8, shape (rows, columns * 3/4).

    Returns:
        int8, shape (rows, columns).
    """
    rows, columns = packed.shape
    x, y, z = (packed[:, part::BYTES] for part in range(BYTES))
    whole = np.empty((rows, columns // BYTES, NUMBERS), np.uint8)
    whole[..., 0] = x & 63
    whole[..., 1] = x >> 6 | (y & 15) << 2
    whole[..., 2] = y >> 4 | (z & 3) << 4
    whole[..., 3] = z >> 2
    return whole.reshape(rows, columns // BYTES * NUMBERS).view(np.int8) - np.int8(OFFSET)
