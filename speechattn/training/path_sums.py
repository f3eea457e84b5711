"""Sums over paths for :func:`speechattn.training.losses.path_loss`, compiled for CPUs.

The results are those of PyTorch's operations there, which take longer to start than to run at this
size. Here each utterance goes through its own frames only, and each frame of a reference through
the few runs that lie near it. Weights of paths have 64 bits: products of many small ones do not
vanish, and the processor does not slow down as it does with very small 32-bit numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from speechattn.jit import F64_ARRAY, F64_MATRIX, I64_ARRAY, I64_MATRIX, jit, jit_inline

EMISSIONS = "float32[:,:,::1]"  # (batch, frames, labels), and posteriors of the same shape
BLOCK = 4  # rows of a matrix that are added up at once


def differences(
    emission: Tensor,
    runs: Sequence[Tensor],
    lengths: Tensor,
    step: Tensor,
    slack: int,
    least: float,
) -> tuple[Tensor, Tensor]:
    """Compute sums over all paths less those over the reference's paths.

    Args:
        emission: weights of labels by frame, float32, shape (batch, frames, labels).
        runs: label, first and last frame of the reference's runs of equal labels, int64, shape
            (batch, runs) each; a run that an utterance lacks ends before frame 0.
        lengths: frames of each utterance, int64, shape (batch,).
        step: weights of labels following each other, shape (labels, labels), rows come first.
        slack: frames that a boundary may be off.
        least: sums of weights are raised to this before something is divided by them.

    Returns:
        Differences of log sums, float64, shape (batch,), and of the labels' posteriors, float32,
        shape (batch, frames, labels), zero beyond the lengths.

    Raises:
        IndexError: if shapes, labels or lengths do not fit each other.
    """
    batch, frames, labels = emission.shape
    label, first, last = (run.contiguous().numpy() for run in runs)
    count = lengths.long().contiguous().numpy()
    fits = step.shape == (labels, labels) and len(label) == len(count) == batch
    if not fits or label.max(initial=0) >= labels or count.max(initial=0) > frames:
        raise IndexError("labels, lengths or transitions do not fit the log probabilities")
    weights = step.double().contiguous().numpy()
    seen = emission.float().contiguous().numpy()
    total, share = np.zeros(batch), np.zeros(emission.shape, np.float32)
    _add_all_paths(seen, count, weights, np.ascontiguousarray(weights.T), least, total, share)
    _take_reference(seen, label, first, last, count, weights, slack, least, total, share)
    return torch.from_numpy(total), torch.from_numpy(share)


@jit_inline
def _multiply(x: np.ndarray, matrix: np.ndarray, out: np.ndarray) -> None:
    """Write the product of x and matrix to ``out``: shapes (m,), (m, n) and (n,)."""
    out[:] = 0
    rows, columns = matrix.shape
    whole = rows // BLOCK * BLOCK
    for i in range(0, whole, BLOCK):
        a, b, c, d = x[i], x[i + 1], x[i + 2], x[i + 3]
        for j in range(columns):
            more = (a * matrix[i, j] + b * matrix[i + 1, j]) + (
                c * matrix[i + 2, j] + d * matrix[i + 3, j]
            )
            out[j] += more
    for i in range(whole, rows):
        for j in range(columns):
            out[j] += x[i] * matrix[i, j]


@jit_inline
def _normalise(x: np.ndarray, begin: int, end: int, least: float) -> float:
    """Divide x[begin:end] by its sum, or by ``least`` if that is more; return the divisor."""
    total = 0.0
    for i in range(begin, end):
        total += x[i]
    if total < least:  # max() might hide NaN
        total = least
    for i in range(begin, end):
        x[i] /= total
    return total


@jit("void", EMISSIONS, I64_ARRAY, F64_MATRIX, F64_MATRIX, "float64", F64_ARRAY, EMISSIONS)
def _add_all_paths(
    emission: np.ndarray,
    lengths: np.ndarray,
    step: np.ndarray,
    back: np.ndarray,
    least: float,
    total: np.ndarray,
    share: np.ndarray,
) -> None:
    """Add the log sums over all paths to ``total``, and the labels' posteriors to ``share``.

    Args:
        emission: shape (batch, frames, labels).
        lengths: shape (batch,).
        step: shape (labels, labels), rows come first.
        back: its transpose.
        least: see :func:`differences`.
        total: shape (batch,).
        share: shape (batch, frames, labels).
    """
    batch, frames, labels = emission.shape
    ahead = np.empty((frames, labels))
    behind, product = np.empty(labels), np.empty(labels)
    for u in range(batch):
        length = lengths[u]
        for t in range(length):
            x = ahead[t]
            if t:
                _multiply(ahead[t - 1], step, x)
            else:
                x[:] = 1
            for i in range(labels):
                x[i] *= emission[u, t, i]
            total[u] += np.log(_normalise(x, 0, labels, least))
        behind[:] = 1
        for t in range(length - 1, -1, -1):
            if t < length - 1:
                for i in range(labels):
                    product[i] = behind[i] * emission[u, t + 1, i]
                _multiply(product, back, behind)
                _normalise(behind, 0, labels, least)
            for i in range(labels):
                product[i] = ahead[t, i] * behind[i]
            whole = _normalise(product, 0, labels, least)
            if t == length - 1:
                total[u] += np.log(whole)
            for i in range(labels):
                share[u, t, i] += product[i]


@jit(
    "void",
    *(EMISSIONS, I64_MATRIX, I64_MATRIX, I64_MATRIX, I64_ARRAY, F64_MATRIX),
    *("int64", "float64", F64_ARRAY, EMISSIONS),
)
def _take_reference(
    emission: np.ndarray,
    label: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    lengths: np.ndarray,
    step: np.ndarray,
    slack: int,
    least: float,
    total: np.ndarray,
    share: np.ndarray,
) -> None:
    """Subtract the reference's log sums from ``total``, and its posteriors from ``share``.

    At frame t a path is in one of the runs ``low[t]`` to ``high[t] - 1``, which lie near enough.

    Args:
        emission: shape (batch, frames, labels).
        label: shape (batch, runs).
        first: frame, shape (batch, runs).
        last: frame, shape (batch, runs), less than 0 where there is no such run.
        lengths: shape (batch,).
        step: shape (labels, labels), rows come first.
        slack: see :func:`differences`.
        least: see :func:`differences`.
        total: shape (batch,).
        share: shape (batch, frames, labels).
    """
    batch, frames, _ = emission.shape
    most = label.shape[1]
    ahead = np.zeros((frames, most))
    behind, product, following = np.zeros(most), np.zeros(most), np.zeros(most)
    low, high = np.zeros(frames, np.int64), np.zeros(frames, np.int64)
    for u in range(batch):
        length, runs = lengths[u], 0
        while runs < most and last[u, runs] >= 0:
            runs += 1
        if not runs:
            continue
        a, z = 0, 0
        for t in range(length):
            before, end = a, z  # runs of the frame before
            while a < runs and last[u, a] + slack < t:
                a += 1
            while z < runs and first[u, z] - slack <= t:
                z += 1
            low[t], high[t] = a, z
            for k in range(a, z):
                x = 1.0 if not t and not k else 0.0  # all begin in the first run
                if k < end:
                    x += ahead[t - 1, k] * step[label[u, k], label[u, k]]
                if before < k <= end:
                    x += ahead[t - 1, k - 1] * step[label[u, k - 1], label[u, k]]
                ahead[t, k] = x * emission[u, t, label[u, k]]
            total[u] -= np.log(_normalise(ahead[t], a, z, least))
        for t in range(length - 1, -1, -1):
            after, end = a, z  # runs of the next frame
            a, z = low[t], high[t]
            if t == length - 1:
                behind[a:z] = 0
                behind[runs - 1] = 1  # all end in the last run
            else:
                for k in range(after, end):
                    following[k] = behind[k] * emission[u, t + 1, label[u, k]]
                for k in range(a, z):
                    y = 0.0
                    if after <= k:
                        y += following[k] * step[label[u, k], label[u, k]]
                    if after <= k + 1 < end:
                        y += following[k + 1] * step[label[u, k], label[u, k + 1]]
                    behind[k] = y
                _normalise(behind, a, z, least)
            for k in range(a, z):
                product[k] = ahead[t, k] * behind[k]
            whole = _normalise(product, a, z, least)
            if t == length - 1:
                total[u] -= np.log(whole)
            for k in range(a, z):
                share[u, t, label[u, k]] -= product[k]
