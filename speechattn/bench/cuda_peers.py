"""Other ways to compute attention in a window on CUDA, as their makers document them.

Inputs have the shape (1, heads, frames, d).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from speechattn.bench.attention.peers import Case, Compute, NotOfferedError

MOST_PAIRS = 1 << 31  # of queries and keys that attention to everything may meet in a time


def everything(case: Case) -> Compute:
    """Fused attention to everything."""
    if case.length**2 > MOST_PAIRS:
        raise NotOfferedError("too long")
    return F.scaled_dot_product_attention


def flex(case: Case) -> Compute:
    """FlexAttention with the block mask that ``create_block_mask`` finds."""
    from torch.nn.attention.flex_attention import create_block_mask

    def seen(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key - query >= -case.left) & (key - query <= case.right)

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if case.backward and device == "cpu":
        raise NotOfferedError("no backward on CPU")
    make: Any = create_block_mask
    if device == "cuda":  # or it would write down all pairs
        make = torch.compile(create_block_mask)
    mask = make(seen, None, None, case.length, case.length, device=device)
    return functools.partial(_flex(device), block_mask=mask)


@functools.cache
def _flex(device: str) -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    # On a CPU this is a trial of the script: compiling would take most of its time.
    compute: Any = torch.compile(flex_attention) if device == "cuda" else flex_attention
    return compute


def flash(case: Case) -> Compute:
    """FlashAttention's sliding window (package flash-attn)."""
    try:
        from flash_attn import flash_attn_func
    except ImportError:
        raise NotOfferedError("not installed") from None

    def compute(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return flash_attn_func(q, k, v, window_size=(case.left, case.right))

    return compute


PEERS: tuple[tuple[str, Callable[[Case], Compute]], ...] = (
    ("SDPA, everything", everything),
    ("FlexAttention", flex),
    ("FlashAttention", flash),
)
