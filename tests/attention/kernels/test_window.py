"""The compiled loops over a window, called with addresses, against the equation in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from speechattn.attention.kernels.llvm import LANES
from speechattn.attention.kernels.window import STRETCH, WindowJob, forward
from speechattn.attention.kernels.window_backward import backward

HEADS, DIM = 2, LANES
SCALE = 1 / math.sqrt(DIM)


def softmax(q, k, left, right, offset, bias=None):
    """Weights of one head, float64; ``bias``: by distance from -left to right."""
    distance = np.arange(len(k)) - np.arange(len(q))[:, None] - offset
    allowed = (distance >= -left) & (distance <= right)
    scores = SCALE * q @ k.T
    if bias is not None:
        scores = scores + bias[np.clip(distance + left, 0, left + right)]
    weights = np.exp(scores - scores.max()) * allowed
    return weights / weights.sum(1, keepdims=True), distance, allowed


class Case:
    """Random tensors of concatenated sequences and a job for them."""

    def __init__(self, lengths, left, right, offset=0, biased=False):
        draw = np.random.default_rng(len(lengths) + left)
        self.left, self.right, self.offset = left, right, offset
        keys = np.array(lengths) + offset
        self.sequences = np.stack(
            [np.cumsum(lengths) - lengths, lengths, np.cumsum(keys) - keys, keys], 1
        ).astype(np.int64)
        shape = sum(lengths), HEADS, DIM
        self.q, self.grad_out = (draw.standard_normal(shape).astype(np.float32) for _ in range(2))
        self.k, self.v = (
            draw.standard_normal((keys.sum(), HEADS, DIM)).astype(np.float32) for _ in range(2)
        )
        self.out, self.grad_q = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.grad_k, self.grad_v = np.zeros_like(self.k), np.zeros_like(self.v)
        self.width = max(lengths) + -max(lengths) % LANES
        self.stats = np.zeros((2, len(lengths), HEADS, self.width), np.float32)
        self.bias = draw.standard_normal((HEADS, left + 1 + right)) if biased else None
        padded = np.zeros((HEADS, left + 1 + right + 2 * LANES), np.float32)
        if biased:
            padded[:, LANES:-LANES] = self.bias[:, ::-1] / SCALE
        self.table = padded
        self.grad_bias = np.zeros((len(lengths), *padded.shape), np.float32)
        row = 4 * HEADS * DIM
        self.job = WindowJob(
            q=self.q.ctypes.data, q_stride=row, k=self.k.ctypes.data, k_stride=row,
            v=self.v.ctypes.data, v_stride=row, out=self.out.ctypes.data, out_stride=row,
            heads=HEADS, dim=DIM, is_bf16=0, left=left, right=right, offset=offset,
            row_max=self.stats.ctypes.data, row_max_width=self.width,
            inverse_sum_shift=self.stats[0].nbytes, bias=padded.ctypes.data if biased else 0,
            grad_out=self.grad_out.ctypes.data, grad_out_stride=row,
            grad_q=self.grad_q.ctypes.data, grad_k=self.grad_k.ctypes.data,
            grad_v=self.grad_v.ctypes.data, grad_bias=self.grad_bias.ctypes.data if biased else 0,
        )  # fmt: skip
        self.stretches = sum(-(-length // STRETCH) for length in lengths)

    def expected(self):
        """Results and gradients of q, k, v and the bias, float64."""
        out, of_q = np.zeros(self.q.shape), np.zeros(self.q.shape)
        of_k, of_v = np.zeros(self.k.shape), np.zeros(self.v.shape)
        of_bias = np.zeros((HEADS, self.left + 1 + self.right))
        for first, count, key, keys in self.sequences:
            rows, columns = slice(first, first + count), slice(key, key + keys)
            for h in range(HEADS if count else 0):
                q, g = (x[rows, h].astype(float) for x in (self.q, self.grad_out))
                k, v = (x[columns, h].astype(float) for x in (self.k, self.v))
                bias = None if self.bias is None else self.bias[h]
                weights, distance, allowed = softmax(q, k, self.left, self.right, self.offset, bias)
                out[rows, h] = weights @ v
                of_weights = g @ v.T
                of_scores = weights * (of_weights - (weights * of_weights).sum(1, keepdims=True))
                of_q[rows, h], of_k[columns, h] = SCALE * of_scores @ k, SCALE * of_scores.T @ q
                of_v[columns, h] = weights.T @ g
                np.add.at(of_bias[h], distance[allowed] + self.left, of_scores[allowed])
        return out, of_q, of_k, of_v, of_bias


CASES = [
    ([1], 0, 0, 0, False),
    ([LANES + 1], 3, 2, 0, True),
    ([STRETCH + 5, 0, 7], 20, 40, 0, True),
    ([30], 600, 500, 560, False),  # keys are met in several parts
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_results_and_gradients(case):
    this = Case(*case)
    forward(this.job, SCALE, this.sequences, 0, this.stretches)
    out, of_q, of_k, of_v, of_bias = this.expected()
    np.testing.assert_allclose(this.out, out, rtol=0, atol=1e-5)
    backward(this.job, SCALE, this.sequences, 0, len(this.sequences) * HEADS)
    for found, expected in ((this.grad_q, of_q), (this.grad_k, of_k), (this.grad_v, of_v)):
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)
    if this.bias is not None:
        # Of scores before they were multiplied by the scale.
        found = this.grad_bias.sum(0)[:, LANES:-LANES][:, ::-1] / SCALE
        np.testing.assert_allclose(found, of_bias, rtol=0, atol=1e-4)


def test_parts_fill_what_is_theirs_alone():
    this = Case([2 * STRETCH + 3, 5], 4, 4)
    forward(this.job, SCALE, this.sequences, 1, 2)
    rows = this.out.reshape(len(this.out), -1).any(1).nonzero()[0]
    assert rows.tolist() == list(range(STRETCH, 2 * STRETCH))
    forward(this.job, SCALE, this.sequences, 0, 1)
    forward(this.job, SCALE, this.sequences, 2, 4)
    np.testing.assert_allclose(this.out, this.expected()[0], rtol=0, atol=1e-5)
