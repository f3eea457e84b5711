"""Steps between products, row by row, for inference in float32 on a CPU."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from speechattn.attention.kernels.addresses import addressable
from speechattn.attention.kernels.llvm import LANES
from speechattn.attention.kernels.products import FLOAT
from speechattn.attention.kernels.rows import convolve_rows, rotate_rows
from speechattn.attention.kernels.runtime import share


def end_to_end(sizes: Sequence[int]) -> np.ndarray:
    """First row and rows of each sequence, and the same of what comes out, int64, shape (n, 4)."""
    size = np.array(sizes, np.int64)
    first = size.cumsum() - size
    return np.stack([first, size, first, size], 1)


def is_offered(x: Tensor, *others: Tensor) -> bool:
    """Whether rows like these, shape (..., numbers), are computed here, with other tensors."""
    if torch.is_grad_enabled() or x.shape[-1] < LANES:
        return False
    return all(y.dtype == torch.float32 for y in (x, *others)) and addressable(x, *others)


def can_rotate(x: Tensor, cos: Tensor, sin: Tensor) -> bool:
    """Whether :func:`rotated` can do it."""
    return is_offered(x, cos, sin) and x.shape[-1] % (2 * LANES) == 0


def rotated(x: Tensor, cos: Tensor, sin: Tensor, sizes: Sequence[int]) -> Tensor:
    """What :func:`speechattn.attention.positions.rotate` gives for every sequence.

    Args:
        x: shape (1, rows, heads, d), of sequences laid end to end.
        cos, sin: shape (rows of the longest or more, 1, d).
        sizes: rows of each sequence.
    """
    heads, d = x.shape[2:]
    if x.stride()[2:] != (d, 1):
        x = x.clone(memory_format=torch.contiguous_format)
    cos, sin = cos.contiguous(), sin.contiguous()
    out = torch.empty(x.shape, dtype=torch.float32, device="cpu")
    table = np.array(sizes, np.int64)
    place = x.data_ptr(), FLOAT * x.stride(1), out.data_ptr(), heads, d
    code = functools.partial(rotate_rows, *place, cos.data_ptr(), sin.data_ptr(), table)
    share(code, len(sizes), x.numel(), (x, out, cos, sin))
    return out


def convolved(
    x: Tensor, weight: Tensor, bias: Tensor, before: int, sequences: np.ndarray
) -> Tensor:
    """silu(bias + sum over t of x[i - before + t] * weight[t]) for rows i of sequences.

    Args:
        x: shape (rows, channels).
        weight: shape (taps, channels).
        bias: shape (channels,).
        before: rows before its own that an output sees.
        sequences: first row and rows of x, first row and rows of what comes out, int64, shape
            (sequences, 4); all rows that come out lie in one of them. Beyond its rows of x a
            sequence has zeros.

    Returns:
        Shape (rows, channels).

    Raises:
        ValueError: if the rows have another width than the weights.
    """
    taps, channels = weight.shape
    if x.shape[-1] != channels:
        raise ValueError(f"x: shape {tuple(x.shape)}; {channels} channels have weights")
    x, weight, bias = x.contiguous(), weight.contiguous(), bias.contiguous()
    rows = int(sequences[:, 3].sum())
    out = torch.empty(rows, channels, dtype=torch.float32, device="cpu")
    place = x.data_ptr(), FLOAT * channels, out.data_ptr(), weight.data_ptr(), bias.data_ptr()
    code = functools.partial(convolve_rows, *place, taps, channels, before, sequences)
    share(code, len(sequences), rows * channels * taps, (x, out, weight, bias))
    return out
