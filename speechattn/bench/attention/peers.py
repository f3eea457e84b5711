"""Ways to compute the same truncated attention: ours, those of packages, and published designs.

A method prepares a function of q, k and v for what is to be computed (:class:`Case`). What can be
made beforehand (masks, compiled code) is not timed. Each method receives contiguous inputs in the
layout that is fastest for it: (1, frames, heads, d) or (1, heads, frames, d).
"""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from speechattn.attention.flex import TILE, tiles
from speechattn.attention.functional import truncated_attention

Compute = Callable[[Tensor, Tensor, Tensor], Tensor]
FULL_LIMIT = 16_384  # frames; above, what is quadratic in time takes minutes
MASK_LIMIT = 8_192  # frames; a mask of all pairs and its scores would fill the memory
BMM_ROWS = 64  # queries in a block of the bmm design


class NotOfferedError(Exception):
    """A method cannot or should not compute a case; the message is the note in the report."""


@dataclass(frozen=True)
class Case:
    """What is computed: one sequence.

    Attributes:
        length: frames.
        left, right: frames of past and future that a frame attends to.
        heads: number of heads.
        dim: numbers in a query, key or value of one head.
        dtype: of the tensors.
        backward: the gradients too.
    """

    length: int
    left: int
    right: int
    heads: int
    dim: int
    dtype: torch.dtype
    backward: bool

    @property
    def flops(self) -> int:
        """Operations that are needed: two products of 2 D each for all pairs that see each other
        (the edges counted like the rest); the backward pass has five, as in FlashAttention.
        """
        forward = 4 * self.length * (self.left + 1 + self.right) * self.dim * self.heads
        return forward * 7 // 2 if self.backward else forward


@dataclass(frozen=True)
class Method:
    """A way to compute it.

    Attributes:
        name: in the report.
        prepare: gives the function for a case, or raises NotOfferedError.
        heads_first: its layout is (1, heads, frames, d).
        same: it computes this attention; false if it attends to everything.
        power: its time grows with this power of the length.
    """

    name: str
    prepare: Callable[[Case], Compute]
    heads_first: bool = True
    same: bool = True
    power: int = 1


def ours(case: Case) -> Compute:
    """The package's own."""
    return lambda q, k, v: truncated_attention(q, k, v, case.left, case.right)


def full(case: Case) -> Compute:
    """Attention to everything, fused."""
    if case.length > FULL_LIMIT:
        raise NotOfferedError("skipped (quadratic)")
    return F.scaled_dot_product_attention


def band_mask(case: Case) -> Compute:
    """Attention to everything, with a mask that hides everything outside the window."""
    if case.length > MASK_LIMIT:
        raise NotOfferedError("skipped (quadratic)")
    position = torch.arange(case.length)
    distance = position[None] - position[:, None]
    seen = (distance >= -case.left) & (distance <= case.right)
    mask = torch.zeros(seen.shape, dtype=case.dtype).masked_fill_(~seen, -math.inf)
    return lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def flex(case: Case) -> Compute:
    """PyTorch's FlexAttention, compiled, its block mask made from lists of blocks."""
    if case.backward:
        raise NotOfferedError("no backward on CPU")
    from torch.nn.attention.flex_attention import BlockMask, flex_attention

    left, right = case.left, case.right

    def window(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key >= query - left) & (key <= query + right)

    partial, whole = tiles(case.length, case.length, left, right)
    mask = BlockMask.from_kv_blocks(
        *partial,
        *whole,
        BLOCK_SIZE=TILE,
        mask_mod=window,
        seq_lengths=(case.length, case.length),
        compute_q_blocks=False,  # for gradients on a GPU only, and quadratic
    )
    torch._dynamo.reset()  # or the compiler gives up after a few cases
    compiled = torch.compile(flex_attention, dynamic=False)
    return lambda q, k, v: compiled(q, k, v, block_mask=mask)


def lucidrains(case: Case) -> Compute:
    """The package local-attention with its exact window, which is the size of its blocks."""
    if importlib.util.find_spec("local_attention") is None:
        raise NotOfferedError("not installed: pip install local-attention")
    _check_memory(case, 3 * case.left)
    size = case.left
    causal = case.right == 0
    if size == 0 or case.right not in (0, size):
        raise NotOfferedError("not offered: windows are symmetric or causal")
    from local_attention import LocalAttention

    layer = LocalAttention(
        window_size=size,
        causal=causal,
        look_backward=1,
        look_forward=0 if causal else 1,
        dropout=0.0,
        autopad=True,
        exact_windowsize=True,
        use_rotary_pos_emb=False,
    )
    # It attends to the frames that it pads with unless a mask says which are real.
    mask = None if case.length % size == 0 else torch.ones(1, case.length, dtype=torch.bool)
    return lambda q, k, v: layer(q, k, v, mask=mask)


def longformer(case: Case) -> Compute:
    """Longformer's chunked sliding window (Beltagy et al., 2020), written from its description.

    Chunks of 2 w queries that overlap by w meet chunks of keys in one product; of its scores the
    diagonals that lie in the window are kept, half of each chunk for the future and half for the
    past; their softmax is spread over the 3 w keys of each w queries for the second product.
    """
    w = case.left
    if w == 0 or case.right != w:
        raise NotOfferedError("not offered: windows are symmetric")
    _check_memory(case, 4 * w)
    length, count = case.length, -(-case.length // w)
    position = torch.arange(count * w)[:, None]
    key = position + torch.arange(-w, w + 1)
    outside = (key < 0) | (key >= length)
    outside[length:] = False  # rows that are only padding; they are cut off at the end

    def diagonals(scores: Tensor) -> Tensor:
        """The diagonals of (..., w rows, 2 w) that begin at (row, row), w + 1 long."""
        flat = F.pad(scores.flatten(-2), (0, w))
        return flat.unflatten(-1, (w, 2 * w + 1))[..., : w + 1]

    def compute(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        after = count * w - length
        q, k, v = (F.pad(x[0], (0, 0, w, w + after)) for x in (q, k, v))
        pairs = [x.unfold(1, 2 * w, w) for x in (q, k)]  # (heads, count + 1, d, 2 w)
        scores = torch.matmul(pairs[0].mT, pairs[1]) / math.sqrt(case.dim)
        past = diagonals(scores[:, :-1, w:])  # of the chunk that ends where the queries do
        future = diagonals(scores[:, 1:, :w])  # of the one that begins with them
        band = torch.cat([past, future[..., 1:]], -1)
        band = band.masked_fill(outside.view(count, w, -1), -math.inf).softmax(-1)
        spread = F.pad(band, (0, w)).flatten(-2)[..., :-w].unflatten(-1, (w, 3 * w))
        out = torch.matmul(spread, v.unfold(1, 3 * w, w).mT)
        return out.flatten(1, 2)[None, :, :length]

    return compute


def _check_memory(case: Case, keys: int) -> None:
    """Raise NotOfferedError if scores for so many keys a query, and copies of them, do not fit."""
    copies = 8 if case.backward else 4
    needed = copies * case.length * case.heads * keys * case.dtype.itemsize
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # unknown on this system
        return
    if needed > free:
        raise NotOfferedError(f"skipped (about {needed / 2**30:.0f} GiB of memory)")


def bmm_blocks(case: Case) -> Compute:
    """Blocks of 64 queries as views, with explicit baddbmm, softmax and bmm, head by head."""
    rows, length = BMM_ROWS, case.length
    count, span = -(-length // rows), rows + case.left + case.right
    _check_memory(case, span)
    query = torch.arange(count * rows).view(count, rows, 1)
    key = torch.arange(count)[:, None, None] * rows - case.left + torch.arange(span)
    seen = (key >= query - case.left) & (key <= query + case.right)
    seen = (seen & (key >= 0) & (key < length)) | (query >= length)
    mask = torch.zeros(count, rows, span, dtype=case.dtype).masked_fill_(~seen, -math.inf)
    after = count * rows - length

    def compute(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q = F.pad(q[0], (0, 0, 0, after)).unflatten(1, (count, rows))
        k, v = (F.pad(x[0], (0, 0, case.left, after + case.right)) for x in (k, v))
        outs = []
        for head in range(case.heads):
            keys, values = (x[head].unfold(0, span, rows) for x in (k, v))  # (count, d, span)
            scores = torch.baddbmm(mask, q[head], keys, alpha=1 / math.sqrt(case.dim))
            outs.append(torch.bmm(scores.softmax(-1), values.mT).flatten(0, 1))
        return torch.stack(outs)[None, :, :length]

    return compute


OURS = "speechattn"
METHODS = (
    Method(OURS, ours, heads_first=False),
    Method("bmm blocks of 64", bmm_blocks),
    Method("local-attention (exact)", lucidrains),
    Method("Longformer chunks", longformer),
    Method("FlexAttention, compiled", flex),
    Method("SDPA, band mask", band_mask, power=2),
    Method("SDPA, full", full, same=False, power=2),
)
