"""Positions against their equations in NumPy."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from speechattn.attention.positions import (
    CACHED_POSITIONS,
    DistanceBias,
    LearnedPositions,
    line_rotation,
    rotate,
    rotation,
    sinusoids,
)


def test_sinusoids_of_a_line():
    vectors = sinusoids(torch.tensor([[0], [3], [1000]]), 7)
    for row, position in zip(vectors.tolist(), (0, 3, 1000)):
        for i, value in enumerate(row):
            angle = position / 10_000 ** (2 * (i // 2) / 7)
            assert value == pytest.approx(np.cos(angle) if i % 2 else np.sin(angle), abs=1e-12)


def test_sinusoids_of_an_image_have_a_share_for_each_axis():
    coordinates = torch.tensor([[2, 5], [0, 9]])
    expected = torch.cat([sinusoids(coordinates[:, :1], 4), sinusoids(coordinates[:, 1:], 3)], 1)
    assert torch.equal(sinusoids(coordinates, 7), expected)


@pytest.mark.parametrize("axes", [1, 2])
def test_rotation_turns_pairs_as_complex_numbers(axes):
    draw = np.random.default_rng(0)
    d, share = 8, 8 // axes
    coordinates = torch.from_numpy(draw.integers(0, 5000, (6, axes)))
    x = torch.from_numpy(draw.standard_normal((2, 6, 3, d)))
    found = rotate(x, *rotation(coordinates, d), axes).numpy()
    for p, axis, i in np.ndindex(6, axes, share // 2):
        first = axis * share + i
        second = first + share // 2
        turn = np.exp(1j * coordinates[p, axis].item() * 10_000 ** (-2 * i / share))
        expected = (x[:, p, :, first].numpy() + 1j * x[:, p, :, second].numpy()) * turn
        pair = found[:, p, :, first] + 1j * found[:, p, :, second]
        np.testing.assert_allclose(pair, expected, atol=1e-11)


def test_rotation_needs_an_even_share_for_every_axis():
    with pytest.raises(ValueError, match="over 2 axes needs d a multiple of 4, not 6"):
        rotation(torch.zeros(1, 2, dtype=torch.long), 6)


@pytest.mark.parametrize(
    "first", [0, 5, CACHED_POSITIONS - 1, 3 * CACHED_POSITIONS + 17, 1_000_000]
)
def test_a_cached_rotation_is_the_rotation(first):
    expected = rotation(first + torch.arange(CACHED_POSITIONS)[:, None], 6)
    found = line_rotation(first, CACHED_POSITIONS, 6, torch.float64, torch.device("cpu"))
    assert all(map(torch.equal, found, expected))


def test_a_bias_of_two_axes():
    bias = DistanceBias(2, (1, 2))
    torch.nn.init.normal_(bias.table)
    table = bias.table.detach().numpy()
    for down, across in ((0, 0), (-1, 2), (1, -2), (4, 0), (-3, 7)):
        near = np.clip(down, -1, 1), np.clip(across, -2, 2)
        beyond = abs(down) - abs(near[0]) + abs(across) - abs(near[1])
        expected = table[:, near[0] + 1, near[1] + 2] - np.array([1 / 16, 1 / 256]) * beyond
        found = bias(torch.tensor([[down, across]]))[:, 0].detach().numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_biases_of_a_window_are_kept_in_inference_until_the_table_changes():
    bias = DistanceBias(2, (3,))
    torch.nn.init.normal_(bias.table)

    def expected(left: int, right: int) -> torch.Tensor:
        return bias(torch.arange(-left, right + 1)[:, None])

    with torch.inference_mode():
        first = bias.in_window(5, 2)
        assert torch.equal(first, expected(5, 2)) and bias.in_window(5, 2) is first
        assert torch.equal(bias.in_window(1, 4), expected(1, 4))
    with torch.no_grad():
        bias.table.mul_(2)
    with torch.inference_mode():
        assert torch.equal(bias.in_window(1, 4), expected(1, 4))
    bias.load_state_dict({"table": torch.ones_like(bias.table)})
    with torch.inference_mode():
        assert torch.equal(bias.in_window(1, 4), expected(1, 4))
    assert bias.in_window(1, 4).requires_grad  # in training nothing is kept
    other = copy.deepcopy(bias)
    with torch.inference_mode():
        assert torch.equal(other.in_window(1, 4), expected(1, 4))


@pytest.mark.parametrize("positions", [0, -1, 2.0, True])
def test_learned_positions_need_a_number(positions):
    with pytest.raises(ValueError, match="trained_length: "):
        LearnedPositions(positions, 4)


@pytest.mark.parametrize("reach", [-1, 1.5, True])
def test_a_reach_that_is_none(reach):
    with pytest.raises(ValueError, match="reach: "):
        DistanceBias(2, (reach,))
