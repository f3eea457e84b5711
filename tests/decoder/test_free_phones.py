"""The best string of phones without a text, against all strings."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.decoder.free_phones import free_phones


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 11), st.integers(1, 3), st.floats(0, 2), st.integers(0, 1000))
def test_no_string_is_better(frames, least, change, seed):
    scores = np.random.default_rng(seed).normal(size=(frames, 3)).astype(np.float32)

    @functools.cache
    def best(start: int) -> float:
        if start == frames:
            return 0.0
        return max(
            float(scores[start:end, c].sum()) + (best(end) - change if end < frames else 0.0)
            for c in range(3)
            for end in range(start + 1, frames + 1)
            if end - start >= least or end == frames
        )

    labels = free_phones(scores, change, least)
    total = float(scores[np.arange(frames), labels].sum()) - change * (np.diff(labels) != 0).sum()
    # A phone may follow itself at the same cost, which the labels do not show.
    assert total >= best(0) - 1e-4
    if change == 0 and least == 1:
        assert total == pytest.approx(float(scores.max(1).sum()), abs=1e-4)
