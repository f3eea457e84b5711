"""Masks over time and frequency."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.augmented import augmenter, full, masked, speechlike


def runs_of(mask: np.ndarray) -> list[int]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


@pytest.mark.parametrize(
    ("parts", "axis"),
    [
        ({"time_masks": 1, "time_mask_frames": 9}, 1),
        ({"frequency_masks": 1, "frequency_mask_bins": 9}, 2),
    ],
    ids=["time", "frequency"],
)
def test_a_mask_is_one_stretch_of_the_mean(parts, axis):
    x = speechlike(300, 40)
    out = masked(augmenter(**parts), x, full(x))
    widths = []
    for row in range(len(x)):
        lines = ((out[row] - x[row].mean()).abs() < 1e-4).all(2 - axis).numpy()
        assert len(runs_of(lines)) <= 1
        widths += runs_of(lines)
        changed = ((out[row] - x[row]).abs() > 1e-3).any(2 - axis).numpy()
        assert (lines >= changed).all()
    assert 7 <= max(widths) <= 9 and min(widths) == 1 and len(widths) > 200


def test_several_masks_are_drawn_apart():
    x = speechlike(200, 60)
    out = masked(augmenter(time_masks=3, time_mask_frames=6), x, full(x))
    hit = (out == out[:, :, :1]).all(2).numpy()
    assert max(len(runs_of(row)) for row in hit) == 3
    assert hit.sum(1).max() <= 18


def test_masks_wider_than_the_batch_do_no_harm():
    x = speechlike(4, 2)
    out = masked(augmenter(time_masks=2, time_mask_frames=50), x, full(x))
    assert out.isfinite().all() and out.shape == x.shape
    zero_wide = masked(augmenter(time_masks=2, time_mask_frames=0), x, full(x))
    torch.testing.assert_close(zero_wide, x, rtol=0, atol=1e-5)


def test_masks_are_drawn_over_the_padding_as_well():
    """As the docstring says: of a quarter as long an utterance about a quarter is hit."""
    x = speechlike(400, 100)
    lengths = torch.tensor([100, 25] * 200)
    out = masked(augmenter(time_masks=1, time_mask_frames=12), x, lengths)
    hit = ((out - x).abs() > 1e-3).any(2) & (torch.arange(100) < lengths[:, None])
    share = hit.any(1).float().view(-1, 2).mean(0)
    assert share[0] > 0.85  # not all: a mask may be empty
    assert 0.2 < share[1] / share[0] < 0.4


def test_the_longest_mask_has_one_frame_less_than_the_setting():
    x = speechlike(2000, 40)
    for parts, axis in (
        ({"time_masks": 1, "time_mask_frames": 4}, 1),
        ({"frequency_masks": 1, "frequency_mask_bins": 4}, 2),
    ):
        out = masked(augmenter(**parts), x, full(x))
        widths = ((out - x).abs() > 1e-3).any(3 - axis).sum(1)
        counts = torch.bincount(widths, minlength=5) / len(x)
        assert counts[4] == 0 and (counts[:4] - 0.25).abs().max() < 0.05
