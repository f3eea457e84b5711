"""Truncated attention on CUDA: PyTorch's FlexAttention, its mask made from lists of blocks.

FlexAttention (Dong et al., 2024) compiles one kernel that skips every tile of 128 x 128 pairs in
which nothing is seen. ``create_block_mask`` finds these tiles by looking at all pairs; here they
follow from the window, the offset and the lengths, in a time that grows with the number of tiles.
(Their numbers lie in a matrix of (frames / 128) squared whole numbers, as PyTorch wants it: 32 MB
for an hour of frames.)

What is tested, on CPUs: the lists against the tiles of the whole matrix, and what FlexAttention
gives without compilation, bias and lengths included, against the equation. What is not: the
compiled kernel on a GPU, and gradients, which FlexAttention has on GPUs only. CPUs never come here
(:func:`is_offered`): :mod:`speechattn.attention.kernels.autograd` is faster there.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

TILE = 128  # positions; FlexAttention's own default
SMALLEST_DIM = 16  # of a head, for FlexAttention's kernels
OLDEST_DEVICE = (8, 0)  # compute capability; Triton's kernels are made for it and later ones
TYPES = (torch.float32, torch.bfloat16, torch.float16)


def is_offered(q: Tensor) -> bool:
    """Whether FlexAttention is the way to compute attention of queries like these."""
    if q.device.type != "cuda" or q.dtype not in TYPES or q.shape[-1] < SMALLEST_DIM:
        return False
    return _importable() and torch.cuda.get_device_capability(q.device) >= OLDEST_DEVICE


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
    """As :func:`speechattn.attention.functional.truncated_attention`, which checks the arguments.

    With lengths, what lies beyond them comes out as anything finite.

    Args:
        q, k, v: shape (batch, frames, heads, d).
        left, right: frames that are seen.
        offset: position of query 0 among the keys.
        lengths: shape (batch,), on the device of q, or None.
        bias: shape (heads, left + right + 1), or None.
    """
    mask = block_mask(q.shape[1], k.shape[1], left, right, offset, lengths, q.device)
    add_bias = None
    if bias is not None:

        def add_bias(score, batch, head, query, key):
            column = (key - query - offset + left).clamp(0, left + right)
            return score + bias[head, column]

    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    out = _compiled(q, k, v, score_mod=add_bias, block_mask=mask)
    return out.transpose(1, 2)


def block_mask(
    queries: int,
    keys: int,
    left: int,
    right: int,
    offset: int = 0,
    lengths: Tensor | None = None,
    device: torch.device | str = "cpu",
    gradients: bool = True,
):
    """FlexAttention's BlockMask of a window.

    Args:
        queries, keys: how many there are.
        left, right: frames that are seen.
        offset: position of query 0 among the keys.
        lengths: frames of each sequence, shape (batch,), or None; what lies beyond one is seen by
            itself alone, so that no query is without keys.
        device: of the lists.
        gradients: the lists of the backward pass too.
    """
    from torch.nn.attention.flex_attention import BlockMask

    # As a tensor, so that other numbers need no other kernel.
    limits = torch.tensor([offset - left, offset + right, offset], device=device)

    def seen(batch, head, query, key):
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
        mask_mod=seen,
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
    """Blocks of keys for each block of queries: those that a mask cuts, and those seen whole.

    Args:
        queries, keys, left, right, offset, lengths, device: as for :func:`block_mask`.

    Returns:
        (counts, numbers) of both, shapes (batch, 1, blocks) and (batch, 1, blocks, blocks of
        keys): PyTorch tells from the width how many there are, though only the first few count.
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
        there = (start < lengths) & (lengths > first - left)
        some, every = (some & there) | own, every & (end < lengths)

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


def _eager(*args, **options):
    from torch.nn.attention.flex_attention import flex_attention

    return flex_attention(*args, **options)


@functools.cache
def _compiler():
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention)


def _compiled(*args, **options):
    return _compiler()(*args, **options)
