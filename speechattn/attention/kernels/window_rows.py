"""Attention in a window for rows of NumPy arrays, without gradients."""

from __future__ import annotations

import functools
import math

import numpy as np

from speechattn.attention.kernels.llvm import LANES
from speechattn.attention.kernels.threads import Fixed, address, parallel_for
from speechattn.attention.kernels.window import STRETCH, WindowJob, forward


class RowAttention:
    """Dot products, softmax and a bias by distance, in a window.

    Args:
        heads: number of heads.
        width: numbers of a row, those of all heads; LANES divides those of one.
        left, right: limits of the window, in rows.
        bias: numbers added to the scores, float32, shape (heads, left + 1 + right), from the first
            key to the last; None for none.
    """

    def __init__(
        self, heads: int, width: int, left: int, right: int, bias: np.ndarray | None = None
    ) -> None:
        self._heads, self._dim, self._left, self._right = heads, width // heads, left, right
        self._scale = 1 / math.sqrt(self._dim)
        self._table: Fixed | None = None
        if bias is not None:
            padded = np.pad(bias / np.float32(self._scale), ((0, 0), (LANES, LANES)))
            self._table = Fixed(padded[:, ::-1].astype(np.float32))

    def __call__(
        self, q: np.ndarray, k: np.ndarray, v: np.ndarray, offset: int, sequences: np.ndarray
    ) -> np.ndarray:
        """Compute attention.

        Args:
            q: float32, shape (queries, width), rows of any distance.
            k, v: shape (keys, width), likewise.
            offset: number of a sequence's first query among its keys.
            sequences: of each, first query row, queries, first key row and keys, int64, shape
                (sequences, 4).

        Returns:
            float32, shape (queries, width).
        """
        out = np.empty(q.shape, np.float32)
        job = WindowJob(
            q=address(q),
            q_stride=q.strides[0],
            k=address(k),
            k_stride=k.strides[0],
            v=address(v),
            v_stride=v.strides[0],
            out=address(out),
            out_stride=out.strides[0],
            heads=self._heads,
            dim=self._dim,
            is_bf16=0,
            left=self._left,
            right=self._right,
            offset=offset,
            bias=0 if self._table is None else self._table.address,
        )
        run = functools.partial(forward, job, self._scale, sequences)
        stretches = int((-(-sequences[:, 1] // STRETCH)).sum())
        work = q.size * (self._left + 1 + self._right)
        parallel_for(run, stretches, work, (q, k, v, out, self))
        return out
