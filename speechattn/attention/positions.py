"""Positions in attention: five kinds, for one axis (time) or several (an image).

| kind | acts on | beyond the lengths of training |
|---|---|---|
| none | nothing | meaningful: attention to a set |
| sinusoidal | the input | defined, but the network has not seen the values |
| learned | the input | an error: such a position has no vector |
| rotary | queries and keys | meaningful: scores depend on distance only |
| distance | scores | meaningful: a table nearby, a falling line beyond it |

Coordinates are whole numbers of shape (positions, axes), see
:meth:`speechattn.attention.masks.AttentionMask.coordinates`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechattn.attention.kernels.runtime import cached_tensors
from speechattn.attention.names import POSITIONS as POSITIONS

SINUSOID_BASE = 10_000.0  # Vaswani et al., 2017
ROTARY_BASE = 10_000.0  # of the slowest rotation; Su et al., 2021
CACHED_POSITIONS = 1024  # positions of a table of rotations


def sinusoids(coordinates: Tensor, width: int) -> Tensor:
    """Return sinusoidal position vectors.

        e[p, 2i] = sin(p / 10000^(2i / w)),    e[p, 2i + 1] = cos(p / 10000^(2i / w))

    (Vaswani et al., 2017). With several axes, each has an equal share of the width for a vector of
    its own (Parmar et al., 2018).

    Args:
        coordinates: shape (positions, axes).
        width: width w of the vectors.

    Returns:
        Shape (positions, width), float64, which is exact for hours of frames.
    """
    axes = coordinates.shape[1]
    parts = []
    for axis in range(axes):
        share = width // axes + (axis < width % axes)
        rates = SINUSOID_BASE ** (
            -torch.arange(0, share, 2, dtype=torch.float64, device=coordinates.device) / share
        )
        angles = coordinates[:, axis, None] * rates
        parts.append(torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :share])
    return torch.cat(parts, 1)


def rotation(coordinates: Tensor, d: int) -> tuple[Tensor, Tensor]:
    """Return the cosines and sines with which :func:`rotate` turns vectors of d numbers.

    The angles are -pθ_i for the first and pθ_i for the second numbers of the pairs, with
    θ_i = 10000^(-2i / d). With several axes, each turns an equal share of the vector.

    Args:
        coordinates: shape (positions, axes).
        d: width of queries and keys.

    Returns:
        Shape (positions, 1, d) each, float64: a model in half precision must still count hours of
        frames exactly.

    Raises:
        ValueError: if d has no even share for every axis.
    """
    axes = coordinates.shape[1]
    if d % (2 * axes):
        raise ValueError(
            f"positions: rotary over {axes} axes needs d a multiple of {2 * axes}, not {d}"
        )
    angles = coordinates[:, :, None] * _signed_rates(d // axes, coordinates.device)
    return angles.cos().view(-1, 1, d), angles.sin().view(-1, 1, d)


def line_rotation(
    first: int, count: int, d: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return :func:`rotation` of positions ``first`` to ``first + count`` on a line, from a cache.

    Args:
        first: number of the first position.
        count: number of positions, ``CACHED_POSITIONS`` at most.
        d: width of queries and keys.
        dtype: type of the numbers.
        device: device of the tensors.
    """
    table = first // CACHED_POSITIONS
    begin = first - table * CACHED_POSITIONS
    cos, sin = _rotation_table(table, d, dtype, device)
    return cos[begin : begin + count], sin[begin : begin + count]


@cached_tensors(8)
def _rotation_table(
    number: int, d: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the rotation of ``2 * CACHED_POSITIONS`` positions; the next table repeats half."""
    first = number * CACHED_POSITIONS
    positions = torch.arange(first, first + 2 * CACHED_POSITIONS, device=device)[:, None]
    cos, sin = rotation(positions, d)
    return cos.to(dtype), sin.to(dtype)


@cached_tensors(64)
def _signed_rates(share: int, device: torch.device) -> Tensor:
    numbers = torch.arange(0, share, 2, dtype=torch.float64, device=device)
    rates = ROTARY_BASE ** (-numbers / share)
    return torch.cat([-rates, rates])


def rotate(x: Tensor, cos: Tensor, sin: Tensor, axes: int = 1) -> Tensor:
    """Turn pairs of numbers by angles that grow with the position: rotary positions.

        (a, b) -> (a cos pθ - b sin pθ, b cos pθ + a sin pθ)

    The product of a query at i and a key at j then depends on i - j only (Su et al., 2021). A pair
    consists of the numbers i and i + s/2 of an axis's share of s numbers.

    Args:
        x: queries or keys, shape (batch, positions, heads, d).
        cos, sin: from :func:`rotation`, in the type of x.
        axes: number of coordinates of a position.
    """
    halves = x.chunk(2 * axes, -1)
    swapped = torch.cat([halves[half ^ 1] for half in range(2 * axes)], -1)
    return x * cos + swapped * sin


class LearnedPositions(nn.Module):
    """A trained vector for each position (Gehring et al., 2017): ``x_p + e_p``.

    Args:
        positions: number of vectors.
        width: width of the vectors.

    Raises:
        ValueError: if ``positions`` is not a whole number from 1 on.
    """

    def __init__(self, positions: int, width: int) -> None:
        super().__init__()
        if not isinstance(positions, int) or isinstance(positions, bool) or positions < 1:
            raise ValueError(
                f"trained_length: {positions!r}; learned positions need a whole number, 1 or more"
            )
        self.table = nn.Parameter(torch.empty(positions, width).normal_(std=0.02))

    def forward(self, first: int, count: int) -> Tensor:
        """Return the vectors of positions ``first`` to ``first + count``, shape (count, width).

        Raises:
            ValueError: for positions without a vector.
        """
        if first + count > len(self.table):
            raise ValueError(
                f"x: {first + count} positions, but vectors were learned for {len(self.table)}; "
                "raise trained_length, or choose positions that reach further (rotary, distance)"
            )
        return self.table[first : first + count]


def _real_device() -> contextlib.AbstractContextManager:
    """Where to compute what no file holds: also in a model whose weights have no values yet."""
    on_meta = torch.get_default_device().type == "meta"
    return torch.device("cpu") if on_meta else contextlib.nullcontext()


class DistanceBias(nn.Module):
    """Trained numbers for every head and distance that are added to the scores.

        b_h(δ) = table_h[clip(δ, -reach, reach)] - m_h max(0, |δ| - reach),    m_h = 2^(-8 h / H)

    with δ = j - i. Within reach, every distance has a trained number (Shaw et al., 2018; Raffel et
    al., 2020). Beyond it, where training saw little or nothing, the bias continues from the number
    at the edge and falls in proportion to the distance, with a fixed slope m_h for head h = 1 … H
    (ALiBi: Press et al., 2022). It is continuous and defined at any length. With several axes the
    table has as many dimensions, and the slope multiplies the sum of what is beyond.

    Args:
        heads: number of heads H.
        reach: largest distance with a number of its own, for each axis.

    Raises:
        ValueError: for a negative reach.
    """

    slopes: Tensor
    strides: Tensor
    limits: Tensor

    def __init__(self, heads: int, reach: Sequence[int]) -> None:
        super().__init__()
        for limit in reach:
            if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
                raise ValueError(f"reach: {limit!r}; whole numbers, 0 or more")
        self.reach = tuple(reach)
        sizes = [2 * limit + 1 for limit in self.reach]
        self.table = nn.Parameter(torch.zeros(heads, *sizes))
        strides = [math.prod(sizes[axis + 1 :]) for axis in range(len(sizes))]
        with _real_device():
            slopes = 2.0 ** (-8.0 * torch.arange(1, heads + 1) / heads)
            self.register_buffer("slopes", slopes, persistent=False)
            self.register_buffer("strides", torch.tensor(strides), persistent=False)
            self.register_buffer("limits", torch.tensor(self.reach), persistent=False)
        self._kept: tuple[tuple, Tensor] | None = None  # see in_window

    def forward(self, offsets: Tensor) -> Tensor:
        """Return the biases of distances.

        Args:
            offsets: key minus query on every axis, shape (..., axes).

        Returns:
            Shape (heads, ...).

        Raises:
            ValueError: for another number of axes than ``reach`` has.
        """
        if offsets.shape[-1] != len(self.reach):
            raise ValueError(
                f"reach: {self.reach} is for {len(self.reach)} axes, "
                f"the positions have {offsets.shape[-1]}"
            )
        near = offsets.clamp(-self.limits, self.limits)
        index = ((near + self.limits) * self.strides).sum(-1)
        # An embedding, because its gradient is summed faster than that of indexing.
        bias = F.embedding(index, self.table.flatten(1).T).movedim(-1, 0)
        beyond = (offsets - near).abs().sum(-1)
        slopes = self.slopes.view(-1, *[1] * beyond.ndim)
        return bias - slopes * beyond

    def in_window(self, left: int, right: int) -> Tensor:
        """Return the biases of a window along one axis; in inference mode they are kept.

        Args:
            left: keys before the query.
            right: keys after it.

        Returns:
            Shape (heads, left + 1 + right), from the first key to the last.
        """
        table, kept = self.table, self._kept
        may_keep = torch.is_inference_mode_enabled() and not (
            torch.compiler.is_compiling() or table.is_inference()
        )
        key = (left, right, table.data_ptr(), table._version) if may_keep else ()
        if may_keep and kept is not None and kept[0] == key:
            return kept[1]
        found = self(torch.arange(-left, right + 1, device=table.device)[:, None])
        if may_keep:
            self._kept = key, found
        return found
