"""Multi-head self-attention of any kind, as a layer: for whole batches and for a stream."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from speechattn.attention.functional import SCORES, WEIGHTS, attend
from speechattn.attention.kernels import autograd, rows
from speechattn.attention.masks import AttentionMask, WindowMask, ready_frames, without_padding
from speechattn.attention.positions import (
    MOST_KEPT,
    POSITIONS,
    DistanceBias,
    LearnedPositions,
    line_rotation,
    rotate,
    rotation,
    sinusoids,
)
from speechattn.attention.sparse_masks import mask_from_config
from speechattn.checks import as_int, check_choice, check_finite, check_lengths


class MultiHeadAttention(nn.Module):
    """Self-attention of any kind with many heads.

        out = [head_1 ... head_H] Wo,    head_h = attend(x Wq_h, x Wk_h, x Wv_h)

    (Vaswani et al., 2017). The encoder's attention layers are of this class.

    Args:
        width: of the vectors in.
        heads: number of heads.
        scores: of :data:`SCORES`.
        weights: of :data:`WEIGHTS`.
        positions: of :data:`speechattn.attention.positions.POSITIONS`.
        visibility: who sees whom, unless it is given with the input: a Visibility, or what
            :func:`speechattn.attention.sparse_masks.mask_from_config` makes one of; everything by default.
        head_width: of queries, keys and values; by default ``width / heads``.
        width_out: of the vectors out; by default ``width``.
        trained_length: positions that have a vector when positions are learned.
        reach: distances that have a bias of their own when positions are by distance: a number,
            or one for each axis.
        known_finite: the caller looks for NaN, infinity and wrong lengths, and lets none through,
            as the encoder does once for all its layers.

    Raises:
        ValueError: for a name that is not known, a width that the heads do not divide, and what
            cannot go together.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        scores: str = "dot",
        weights: str = "softmax",
        positions: str = "none",
        visibility: object = None,
        head_width: int | None = None,
        width_out: int | None = None,
        trained_length: int | None = None,
        reach: int | tuple[int, ...] | None = None,
        known_finite: bool = False,
    ):
        super().__init__()
        self.head_width = _head_width(width, heads, head_width)
        if width_out is not None:
            as_int("width_out", width_out, 1)
        _check_kind(scores, weights, positions, self.head_width)
        for name, value, of in (
            ("trained_length", trained_length, "learned"),
            ("reach", reach, "distance"),
        ):
            if (value is None) == (positions == of):
                raise ValueError(f"{name}: {value}; {of} positions need it, no others have it")
        self.heads, self.scores, self.weights, self.positions = heads, scores, weights, positions
        self.known_finite = known_finite
        self.visibility = mask_from_config(visibility)
        self.project = nn.Linear(width, 3 * heads * self.head_width)  # Wq, Wk and Wv in one
        self.join = nn.Linear(heads * self.head_width, width_out or width)  # Wo
        self.energy = None
        if scores == "additive":
            scale = 1 / math.sqrt(self.head_width)
            self.energy = nn.Parameter(torch.empty(heads, self.head_width).uniform_(-scale, scale))
        if positions == "learned":
            self.learned = LearnedPositions(trained_length, width)
        self.bias = None
        if positions == "distance":
            self.bias = DistanceBias(
                heads, tuple(reach) if isinstance(reach, (tuple, list)) else (reach,)
            )

    def forward(
        self, x: Tensor, lengths: Tensor | None = None, visibility: object = None
    ) -> Tensor:
        """Attention among the positions of each sequence.

        Args:
            x: shape (batch, positions, width).
            lengths: positions of each sequence, shape (batch,), when they differ.
            visibility: who sees whom, instead of the layer's own, in the same forms.

        Returns:
            Shape (batch, positions, width_out); beyond a length, the bias of the output matrix.

        Raises:
            ValueError: for shapes or lengths that do not fit, and for NaN or infinity.
        """
        visibility = self.visibility if visibility is None else mask_from_config(visibility)
        q, k, v = self._heads(x, visibility, 0, lengths)
        return self._attend(q, k, v, visibility, lengths=lengths)

    def advance(self, x: Tensor, state: dict, last: bool) -> Tensor:
        """The next positions of a stream; equals the whole sequence at once.

        Args:
            x: shape (1, new positions, width).
            state: what is remembered, empty at the beginning.
            last: no more will come.

        Returns:
            The outputs that are now complete, shape (1, complete, width_out).

        Raises:
            ValueError: if the visibility is not a window, ``x`` does not fit, or the last
                positions have come already.
        """
        window = self.visibility
        if state.get("ended"):
            raise ValueError("x: this stream has had its last positions; begin with an empty state")
        if not window.streams:
            raise ValueError(f"visibility: {window}; only a Window can be streamed")
        position = state.get("received", 0)
        q, k, v = self._heads(x, window, position)
        if "k" in state:
            q = torch.cat([state["q"], q], 1) if state["q"].shape[1] else q
            k, v = (torch.cat([state[n], new], 1) for n, new in zip("kv", (k, v)))
        ready = q.shape[1] if last else ready_frames(q.shape[1], window.right)
        done = k.shape[1] - q.shape[1] + ready  # keys up to the last query that is ready
        keep = done if window.left is None else min(done, window.left)
        state.update(
            q=q[:, ready:],
            k=k[:, done - keep :],
            v=v[:, done - keep :],
            received=position + x.shape[1],
            ended=last,
        )
        return self._attend(q[:, :ready], k, v, window, offset=done - ready)

    def together(self, x: Tensor, sizes: Sequence[int]) -> Tensor:
        """Whole sequences laid end to end, each as :meth:`advance` alone computes it.

        Args:
            x: shape (1, all positions, width).
            sizes: positions of each sequence.

        Returns:
            Shape (1, all positions, width_out).
        """
        if self.positions == "sinusoidal":
            parts = x.split(list(sizes), 1)
            heads = (self._heads(part, self.visibility, 0) for part in parts)
            outs = [self._mixed(*part, self.visibility) for part in heads]
            return self.join(torch.cat(outs, 1))
        heads = self._turned(self.project(x), self.visibility, sizes=sizes)
        if self._is_plain(self.visibility, *heads):
            return self.join(_through(self.visibility, *heads, sizes=sizes))
        parts = zip(*(vectors.split(list(sizes), 1) for vectors in heads))
        return self.join(torch.cat([self._mixed(*part, self.visibility) for part in parts], 1))

    def _is_plain(self, visibility: AttentionMask, q: Tensor, k: Tensor, v: Tensor) -> bool:
        """Whether one call of :mod:`speechattn.attention.kernels.autograd` does it, without more questions."""
        plain = self.scores == "dot" and self.weights == "softmax" and self.bias is None
        one = isinstance(visibility, WindowMask) and q.shape[0] == 1
        return plain and one and autograd.is_offered(q, k, v)

    def _heads(self, x: Tensor, visibility: AttentionMask, first: int, lengths=None):
        width = self.project.in_features
        if x.ndim != 3 or x.shape[2] != width:
            raise ValueError(f"x: shape {tuple(x.shape)}; (batch, positions, {width})")
        if not self.known_finite:
            _check_type(x, self.project.weight)
            if lengths is not None:
                check_lengths(lengths, *x.shape[:2])
                x = without_padding(x, lengths)  # it may hold anything
            check_finite("x", x)
        if first == 0:
            visibility.check(x.shape[1])
        # In a stream (first > 0) there is one axis, and coordinates go on counting.
        if self.positions == "sinusoidal":
            place = first + visibility.coordinates(x.shape[1], x.device)
            x = x + sinusoids(place, width).to(x.dtype)
        elif self.positions == "learned":
            x = x + self.learned(first, x.shape[1])
        return self._turned(self.project(x), visibility, first)

    def _turned(self, projected: Tensor, visibility: AttentionMask, first: int = 0, sizes=None):
        """Queries, keys and values, rotated where positions are rotary; from ``first`` on, or of
        sequences of these sizes laid end to end."""
        heads = self.heads
        vectors = projected.unflatten(-1, (3 * heads, self.head_width))
        turned, v = vectors[:, :, : 2 * heads], vectors[:, :, 2 * heads :]
        if self.positions == "rotary":
            sizes = [projected.shape[1]] if sizes is None else sizes
            turned = self._rotated(turned, visibility, first, sizes)
        return turned[:, :, :heads], turned[:, :, heads:], v

    def _rotated(self, x: Tensor, visibility: AttentionMask, first: int, sizes) -> Tensor:
        cos, sin = self._rotation(visibility, first, max(sizes), x)
        if visibility.axes == 1 and len(x) == 1 and rows.can_rotate(x, cos, sin):
            return rows.rotated(x, cos, sin, sizes)
        if len(sizes) > 1:
            cos, sin = (torch.cat([table[:size] for size in sizes]) for table in (cos, sin))
        return rotate(x, cos, sin, visibility.axes)

    def _rotation(
        self, visibility: AttentionMask, first: int, count: int, q: Tensor
    ) -> tuple[Tensor, Tensor]:
        if isinstance(visibility, WindowMask) and count <= MOST_KEPT:
            return line_rotation(first, count, self.head_width, q.dtype, q.device)
        place = first + visibility.coordinates(count, q.device)
        return tuple(turn.to(q.dtype) for turn in rotation(place, self.head_width))

    def _attend(self, q, k, v, visibility, *, offset=0, lengths=None) -> Tensor:
        return self.join(self._mixed(q, k, v, visibility, offset=offset, lengths=lengths))

    def _mixed(self, q, k, v, visibility, *, offset=0, lengths=None) -> Tensor:
        if lengths is None and self._is_plain(visibility, q, k, v):
            return _through(visibility, q, k, v, offset=offset)
        kind = {"scores": self.scores, "weights": self.weights, "energy": self.energy}
        place = {"bias": self.bias, "offset": offset, "lengths": lengths}
        return attend(q, k, v, visibility, **kind, **place, known_finite=True).flatten(2)


def _through(window: WindowMask, q: Tensor, k: Tensor, v: Tensor, **place) -> Tensor:
    """Plain attention in a window; sees what :func:`speechattn.attention.kernels.autograd.attend` is told."""
    most = k.shape[1]
    sides = (most if side is None else min(side, most) for side in (window.left, window.right))
    return autograd.attend(q, k, v, *sides, **place).flatten(2)


def _head_width(width: int, heads: int, head_width: int | None) -> int:
    """What a head has of the width, unless it is given; raises ValueError if they do not fit."""
    as_int("width", width, 1)
    as_int("heads", heads, 1)
    if head_width is not None:
        return as_int("head_width", head_width, 1)
    if width % heads:
        raise ValueError(f"heads: {heads}; they must divide the width, {width}")
    return width // heads


def _check_kind(scores: str, weights: str, positions: str, head_width: int) -> None:
    check_choice("scores", scores, SCORES)
    check_choice("weights", weights, WEIGHTS)
    check_choice("positions", positions, POSITIONS)
    if positions == "rotary" and head_width % 2:
        raise ValueError(
            f"head_width: {head_width}, by default width / heads; rotary positions need it even"
        )
    if positions == "rotary" and scores != "dot":
        raise ValueError(
            f"positions: rotary with {scores} scores; only dot products of rotated vectors "
            "depend on distance alone"
        )


def _check_type(x: Tensor, weight: Tensor) -> None:
    mixed = torch.is_autocast_enabled(x.device.type) and x.is_floating_point()
    if x.dtype != weight.dtype and not mixed:
        raise ValueError(f"x: {x.dtype}, and the layer's weights {weight.dtype}; they must agree")
