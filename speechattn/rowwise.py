"""Steps between products, row by row, for inference in float32 on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

from speechattn.products import FLOAT
from speechattn.rowtiles import convolve_rows, rotate_rows
from speechattn.sharing import share
from speechattn.simd import LANES


def is_offered(x: Tensor, *others: Tensor) -> bool:
    """Whether rows like these, shape (..., numbers), are computed here, with other tensors."""
    if torch.is_grad_enabled() or x.shape[-1] < LANES or torch.compiler.is_compiling():
        return False
    return all(
        y.device.type == "cpu" and y.dtype == torch.float32 and type(y) in (Tensor, Parameter)
        for y in (x, *others)
    )


def rotate_in_place(x: Tensor, cos: Tensor, sin: Tensor, sizes: Sequence[int]) -> bool:
    """What :func:`speechattn.positions.rotate` gives, in the place of x, if that can be done here.

    Args:
        x: shape (1, rows, heads, d), of sequences laid end to end.
        cos, sin: shape (rows of the longest or more, 1, d).
        sizes: rows of each sequence.

    Returns:
        Whether it was done.
    """
    _, _, heads, d = x.shape
    if not is_offered(x, cos, sin) or d % (2 * LANES) or x.stride()[2:] != (d, 1):
        return False
    place = x.data_ptr(), FLOAT * x.stride(1), heads, d, cos.data_ptr(), sin.data_ptr()
    share(
        lambda *part: rotate_rows(*place, np.array(sizes, np.int64), *part), len(sizes), x.numel()
    )
    return True


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
    out = torch.empty(rows, channels)
    place = x.data_ptr(), FLOAT * channels, out.data_ptr(), weight.data_ptr(), bias.data_ptr()
    place += taps, channels, before, sequences
    share(lambda *part: convolve_rows(*place, *part), len(sequences), rows * channels * taps)
    return out
