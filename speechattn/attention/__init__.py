"""Self-attention whose reach a mask decides: truncated to a window, full, over a graph or an image.

Read ``functional.py`` first: :func:`attend` checks its arguments once and chooses the way to compute.
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
    "attend",
    "truncated_attention",
    "MultiHeadAttention",
    "AttentionConvolution",
    "AttentionMask",
    "WindowMask",
    "FullMask",
    "GraphMask",
    "ImageMask",
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
