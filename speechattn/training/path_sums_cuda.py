"""Sums over paths for :func:`speechattn.training.losses.path_loss`, on CUDA with Triton.

PyTorch's operations would start thousands of kernels, one for every frame. Here one program goes
through an utterance, with the weights of all steps between labels in its registers. A sum over the
reference's paths is one of the same kind, whose labels are the runs of the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

FEWEST = 32  # states of a program; a power of two
STATES_PER_WARP = 16


def differences(
    emission: Tensor,
    runs: Sequence[Tensor],
    lengths: Tensor,
    step: Tensor,
    slack: int,
    least: float,
) -> tuple[Tensor, Tensor]:
    """Compute sums over all paths less those over the reference's paths.

    Arguments and results are those of :func:`speechattn.training.path_sums.differences`, on CUDA.
    """
    batch, frames, labels = emission.shape
    label, first, last = runs
    emission, step = emission.float(), step.float()
    ones = emission.new_ones(batch, labels)
    total, share = _sums(emission, step.expand(batch, -1, -1), ones, ones, lengths, least)

    time = torch.arange(frames, device=emission.device)[:, None]
    near = (time >= first[:, None] - slack) & (time <= last[:, None] + slack)
    chosen = label[:, None].expand(-1, frames, -1)
    stay = step.diagonal()[label].diag_embed()
    enter = F.pad(step[label[:, :-1], label[:, 1:]].diag_embed(), (1, 0, 0, 1))
    begin, end = torch.zeros_like(label, dtype=torch.float), torch.zeros_like(first).float()
    begin[:, 0] = 1
    end.scatter_(1, (last >= 0).sum(1, keepdim=True) - 1, 1.0)
    by_run = emission.gather(2, chosen) * near
    own, bound = _sums(by_run, stay + enter, begin, end, lengths, least)
    return total - own, share.scatter_add(2, chosen, -bound)


def _sums(
    emission: Tensor, steps: Tensor, begin: Tensor, end: Tensor, lengths: Tensor, least: float
) -> tuple[Tensor, Tensor]:
    """Sum over paths through states.

    Args:
        emission: weights of the states by frame, shape (batch, frames, states).
        steps: weights of states following each other, shape (batch, states, states), rows first.
        begin: weights of first states, shape (batch, states).
        end: weights of last states, likewise.
        lengths: frames of each utterance, shape (batch,).
        least: sums of weights are raised to this before something is divided by them.

    Returns:
        Log sums, shape (batch,), and posteriors of the states, shape (batch, frames, states), zero
        beyond the lengths.
    """
    batch, frames, states = emission.shape
    size = max(FEWEST, triton.next_power_of_2(states))
    more = size - states
    emission, begin, end = (F.pad(x, (0, more)).contiguous() for x in (emission, begin, end))
    steps = F.pad(steps, (0, more, 0, more)).contiguous()
    ahead, share = torch.empty_like(emission), torch.zeros_like(emission)
    total = emission.new_empty(batch)
    _forward_backward[(batch,)](
        *(emission, steps, begin, end, lengths.int(), ahead, total, share, frames, least),
        size=size,
        num_warps=min(16, size // STATES_PER_WARP),
    )
    return total, share[..., :states]


@triton.jit
def _forward_backward(
    emission: Any,
    steps: Any,
    begin: Any,
    end: Any,
    lengths: Any,
    ahead: Any,
    total: Any,
    share: Any,
    frames: Any,
    least: Any,
    size: tl.constexpr,
) -> None:
    """One utterance: scaled sums forward, then backward (Rabiner 1989, section V.A)."""
    number = tl.program_id(0)
    length = tl.load(lengths + number)
    state = tl.arange(0, size)
    base = number.to(tl.int64) * frames * size
    row = number.to(tl.int64) * size
    matrix = tl.load(steps + row * size + state[:, None] * size + state[None, :])
    x = tl.load(begin + row + state) * tl.load(emission + base + state)
    scale = tl.maximum(tl.sum(x, 0), least)
    x = x / scale
    log_sum = tl.log(scale)
    tl.store(ahead + base + state, x)
    for t in range(1, length):
        x = tl.sum(x[:, None] * matrix, 0) * tl.load(emission + base + t * size + state)
        scale = tl.maximum(tl.sum(x, 0), least)
        x = x / scale
        log_sum += tl.log(scale)
        tl.store(ahead + base + t * size + state, x)
    y = tl.load(end + row + state)
    product = x * y
    whole = tl.maximum(tl.sum(product, 0), least)
    tl.store(total + number, log_sum + tl.log(whole))
    tl.store(share + base + (length - 1) * size + state, product / whole)
    for back in range(1, length):
        t = length - 1 - back
        y = tl.sum(matrix * (y * tl.load(emission + base + (t + 1) * size + state))[None, :], 1)
        y = y / tl.maximum(tl.sum(y, 0), least)
        product = tl.load(ahead + base + t * size + state) * y
        product = product / tl.maximum(tl.sum(product, 0), least)
        tl.store(share + base + t * size + state, product)
