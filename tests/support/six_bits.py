"""Whole numbers of 6 bits as files up to format 10 hold them: four in three bytes."""

from __future__ import annotations

import numpy as np


def pack(whole: np.ndarray) -> np.ndarray:
    """Put numbers from -32 to 31 into 6 bits each, from the lowest bit on.

    Args:
        whole: int8, shape (rows, columns), columns a multiple of 4.

    Returns:
        uint8, shape (rows, columns * 3/4).
    """
    rows, columns = whole.shape
    each = (whole + 32).astype(np.uint8).reshape(rows, columns, 1)
    bits = np.unpackbits(each, axis=2, bitorder="little")[:, :, :6]
    return np.packbits(bits.reshape(rows, 6 * columns), axis=1, bitorder="little")
