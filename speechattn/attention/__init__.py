"""Self-attention with a mask: truncated to a window, full, on a graph or on an image.

Read ``functional.py`` first: :func:`attend` checks its arguments and chooses the implementation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechattn.lazy import lazy_names

if TYPE_CHECKING:
    from speechattn.attention.convolution import AttentionConvolution as AttentionConvolution
    from speechattn.attention.functional import attend as attend
    from speechattn.attention.functional import truncated_attention as truncated_attention
    from speechattn.attention.masks import AttentionMask as AttentionMask
    from speechattn.attention.masks import FullMask as FullMask
    from speechattn.attention.masks import WindowMask as WindowMask
    from speechattn.attention.multihead import MultiHeadAttention as MultiHeadAttention
    from speechattn.attention.sparse_masks import GraphMask as GraphMask
    from speechattn.attention.sparse_masks import ImageMask as ImageMask

__all__ = [
    "AttentionConvolution",
    "AttentionMask",
    "FullMask",
    "GraphMask",
    "ImageMask",
    "MultiHeadAttention",
    "WindowMask",
    "attend",
    "truncated_attention",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "attend": "functional",
        "truncated_attention": "functional",
        "MultiHeadAttention": "multihead",
        "AttentionConvolution": "convolution",
        "AttentionMask": "masks",
        "WindowMask": "masks",
        "FullMask": "masks",
        "GraphMask": "sparse_masks",
        "ImageMask": "sparse_masks",
    },
)
