"""Truncated attention on CUDA by PyTorch's FlexAttention, with a block mask made from the window.

FlexAttention (Dong et al., 2024) compiles one kernel that skips every tile of 128 x 128 pairs in
which nothing is allowed. ``create_block_mask`` finds these tiles by looking at all pairs. Here they
follow from the window, the offset and the lengths, in time proportional to the number of tiles.
(The numbers of the tiles lie in a matrix of (frames / 128)² whole numbers, as PyTorch requires: 32
MB for an hour of frames.)

Tests on CPUs compare the lists with the tiles of the whole matrix, and FlexAttention without
compilation, with bias and lengths, with the equation. They cannot test the compiled kernel, nor
gradients, which FlexAttention has on GPUs only. CPUs do not use this module (:func:`is_offered`):
:mod:`speechattn.attention.kernels.autograd` is faster there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

TILE = 128  # positions; FlexAttention's own default
MIN_HEAD_WIDTH = 16  # of FlexAttention's kernels
MIN_CAPABILITY = (8, 0)  # compute capability that Triton's kernels need
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def is_offered(q: Tensor) -> bool:
    """Return whether FlexAttention computes attention for queries like these."""
    if q.device.type != "cuda" or q.dtype not in DTYPES or q.shape[-1] < MIN_HEAD_WIDTH:
        return False
    return _importable() and torch.cuda.get_device_capability(q.device) >= MIN_CAPABILITY


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    left: int,
    right: int,
    *,
    offset: int = 0,
    lengths: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Compute truncated attention, for arguments that are known to be right.

    Beyond the lengths, outputs are finite but arbitrary.

    Args:
        q, k, v: shape (batch, frames, heads, d).
        left, right: limits of the window, in frames.
        offset: position of query 0 among the keys.
        lengths: frames of each sequence, shape (batch,), on the device of q, or None.
        bias: numbers added to the scores, shape (heads, left + right + 1), or None.
    """
    mask = block_mask(q.shape[1], k.shape[1], left, right, offset, lengths, q.device)
    # A tensor, so that one compiled kernel serves all numbers. In float32, because gradients of a
    # bias are sums over all queries.
    first = torch.tensor(offset - left, device=q.device)
    table = None if bias is None else bias.float()

    def add_bias(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        assert table is not None
        column = (key - query - first).clamp(0, table.shape[1] - 1)
        return score + table[head, column]

    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    score_mod = None if table is None else add_bias
    return _flex_attention()(q, k, v, score_mod=score_mod, block_mask=mask).transpose(1, 2)


def block_mask(
    queries: int,
    keys: int,
    left: int,
    right: int,
    offset: int = 0,
    lengths: Tensor | None = None,
    device: torch.device | str = "cpu",
    gradients: bool = True,
) -> BlockMask:
    """Return FlexAttention's BlockMask of a window.

    Args:
        queries, keys: their numbers.
        left, right: limits of the window, in frames.
        offset: position of query 0 among the keys.
        lengths: frames of each sequence, shape (batch,), or None. A frame beyond the length sees
            itself alone, so that no query is without keys.
        device: device of the lists.
        gradients: whether to make the lists of the backward pass too.
    """
    from torch.nn.attention.flex_attention import BlockMask

    # A tensor, so that one compiled kernel serves all numbers.
    limits = torch.tensor([offset - left, offset + right, offset], device=device)

    def allowed(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        distance = key - query
        inside = (distance >= limits[0]) & (distance <= limits[1])
        if lengths is None:
            return inside
        return inside & ((key < lengths[batch]) | (distance == limits[2]))

    partial, whole = tiles(queries, keys, left, right, offset, lengths, device)
    return BlockMask.from_kv_blocks(
        *partial,
        *whole,
        BLOCK_SIZE=TILE,
        mask_mod=allowed,
        seq_lengths=(queries, keys),
        compute_q_blocks=gradients,
    )


def tiles(
    queries: int,
    keys: int,
    left: int,
    right: int,
    offset: int = 0,
    lengths: Tensor | None = None,
    device: torch.device | str = "cpu",
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return the blocks of keys for each block of queries: partly and wholly allowed ones.

    Args:
        queries, keys, left, right, offset, lengths, device: see :func:`block_mask`.

    Returns:
        (counts, numbers) of partly allowed blocks and of wholly allowed ones, shapes (batch, 1,
        blocks) and (batch, 1, blocks, blocks of keys). Of each row of numbers the first ``count``
        are valid; PyTorch infers the number of blocks from its width.
    """
    blocks, key_blocks = -(-queries // TILE), -(-keys // TILE)
    first = torch.arange(blocks, device=device)[:, None] * TILE + offset
    last = (first + TILE - 1).clamp(max=queries - 1 + offset)
    most = min(key_blocks, (left + right + TILE - 2) // TILE + 2)
    low = ((first - left).clamp(min=0) // TILE).clamp(max=key_blocks - most)
    key = low + torch.arange(most, device=device)
    start, end = key * TILE, key * TILE + TILE - 1
    some = (end >= first - left) & (start <= last + right)
    every = (start >= last - left) & (end <= first + right)
    if lengths is None:
        some, every = some[None], (every & (end < keys))[None]
    else:
        lengths = lengths.to(device)[:, None, None]
        own = (end >= first) & (start <= last)
        valid = (start < lengths) & (lengths > first - left)
        some, every = (some & valid) | own, every & (end < lengths)

    def listed(chosen: Tensor) -> tuple[Tensor, Tensor]:
        order = (~chosen).int().argsort(dim=2, stable=True)
        numbers = key.expand_as(chosen).gather(2, order).int()
        numbers = F.pad(numbers, (0, key_blocks - most))
        return chosen.sum(2).int()[:, None], numbers[:, None].contiguous()

    return listed(some & ~every), listed(every)


@functools.cache
def _importable() -> bool:
    try:
        from torch.nn.attention.flex_attention import BlockMask, flex_attention  # noqa: F401
    except ImportError:  # an older PyTorch
        return False
    return True


@functools.cache
def _flex_attention() -> Callable[..., Tensor]:
    """Return FlexAttention, compiled."""
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention)
