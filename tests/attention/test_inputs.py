"""What is no tensor is refused by name, wherever a layer or a function takes one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from speechattn.attention import (
    AttentionConvolution,
    FullMask,
    MultiHeadAttention,
    attend,
    truncated_attention,
)

ARRAY = np.ones((1, 4, 8), np.float32)
QUERIES = torch.ones(1, 4, 2, 4)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: truncated_attention(QUERIES.numpy(), QUERIES, QUERIES, 1, 1), "q: ndarray"),
        (lambda: truncated_attention(QUERIES, QUERIES.numpy(), QUERIES, 1, 1), "k: ndarray"),
        (lambda: attend(QUERIES, QUERIES, QUERIES.tolist(), FullMask()), "v: list"),
        (
            lambda: attend(
                QUERIES, QUERIES, QUERIES, FullMask(), scores="additive", score_vector=ARRAY[0]
            ),
            "score_vector: ndarray",
        ),
        (lambda: MultiHeadAttention(8, 2)(ARRAY), "x: ndarray"),
        (lambda: MultiHeadAttention(8, 2, mask=(2, 1)).forward_chunk(ARRAY, {}, True), "x: nd"),
        (lambda: AttentionConvolution(ARRAY), "weight: ndarray"),
        (lambda: AttentionConvolution(torch.ones(2, 8, 3), [1.0, 2.0]), "bias: list"),
        (lambda: AttentionConvolution(torch.ones(2, 8, 3))(ARRAY), "x: ndarray"),
    ],
)
def test_what_is_no_tensor_is_named(make, named):
    with pytest.raises(TypeError, match=f"^{named}.*; a torch tensor is needed"):
        make()
