"""Multi-head self-attention as a layer, for batches, streams and concatenated sequences."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from speechattn.attention import kernels
from speechattn.attention.functional import SCORES, WEIGHTS, attend_unchecked
from speechattn.attention.inputs import check_tensor, check_type
from speechattn.attention.masks import (
    AttentionMask,
    StreamState,
    WindowMask,
    ready_frames,
    without_padding,
)
from speechattn.attention.positions import (
    CACHED_POSITIONS,
    POSITIONS,
    DistanceBias,
    LearnedPositions,
    line_rotation,
    rotate,
    rotation,
    sinusoids,
)
from speechattn.attention.sparse_masks import mask_from_config
from speechattn.attention.stream_rows import StreamRows
from speechattn.attention.weights import window_weights
from speechattn.checks import as_int, check_choice, check_finite, check_lengths


class MultiHeadAttention(nn.Module):
    """Multi-head self-attention of any kind.

        out = [head_1 ... head_H] Wo,    head_h = attend(x Wq_h, x Wk_h, x Wv_h)

    (Vaswani et al., 2017). The encoder's attention layers are of this class.

    Args:
        width: width of the input vectors.
        heads: number of heads.
        scores: one of :data:`speechattn.attention.functional.SCORES`.
        weights: one of :data:`speechattn.attention.functional.WEIGHTS`.
        positions: one of :data:`speechattn.attention.positions.POSITIONS`; rotary ones need scores
            by dot products.
        mask: which positions see which, unless it is given with the input: an
            :class:`speechattn.attention.masks.AttentionMask` or its plain form, see
            :func:`speechattn.attention.sparse_masks.mask_from_config`. By default, all see all.
        head_width: width of queries, keys and values; by default ``width / heads``.
        width_out: width of the output vectors; by default ``width``.
        trained_length: number of learned position vectors, for learned positions.
        reach: largest distance with a bias of its own, for positions by distance: one number, or
            one for each axis.
        known_finite: whether the caller checks the input for NaN, infinity and wrong lengths, as
            the encoder does once for all its layers.
        visibility: deprecated name of ``mask``.

    Raises:
        ValueError: for an unknown name, a width that the heads do not divide, and options that
            exclude each other.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        scores: str = "dot",
        weights: str = "softmax",
        positions: str = "none",
        mask: object = None,
        head_width: int | None = None,
        width_out: int | None = None,
        trained_length: int | None = None,
        reach: int | tuple[int, ...] | None = None,
        known_finite: bool = False,
        visibility: object = None,
    ) -> None:
        super().__init__()
        self.head_width = _head_width(width, heads, head_width)
        if width_out is not None:
            as_int("width_out", width_out, 1)
        _check_kind(scores, weights, positions, self.head_width)
        self.heads, self.scores, self.weights, self.positions = heads, scores, weights, positions
        self.known_finite = known_finite
        self.mask = mask_from_config(_renamed(mask, visibility))
        self.project = nn.Linear(width, 3 * heads * self.head_width)  # Wq, Wk and Wv in one
        self.join = nn.Linear(heads * self.head_width, width_out or width)  # Wo
        self.energy: nn.Parameter | None = None  # the score vectors of the heads
        if scores == "additive":
            scale = 1 / math.sqrt(self.head_width)
            self.energy = nn.Parameter(torch.empty(heads, self.head_width).uniform_(-scale, scale))
        if (trained_length is None) == (positions == "learned"):
            raise ValueError(
                f"trained_length: {trained_length}; learned positions need it, no others have it"
            )
        if trained_length is not None:
            self.learned = LearnedPositions(trained_length, width)
        if (reach is None) == (positions == "distance"):
            raise ValueError(f"reach: {reach}; distance positions need it, no others have it")
        self.bias: DistanceBias | None = None
        if reach is not None:
            reaches = tuple(reach) if isinstance(reach, (tuple, list)) else (reach,)
            self.bias = DistanceBias(heads, reaches)

    def forward(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        mask: object = None,
        *,
        visibility: object = None,
    ) -> Tensor:
        """Compute attention among the positions of each sequence.

        Args:
            x: shape (batch, positions, width).
            lengths: positions of each sequence, shape (batch,), when they differ.
            mask: used instead of the layer's own, in the same forms.
            visibility: deprecated name of ``mask``.

        Returns:
            Shape (batch, positions, width_out); beyond a length, the bias of the output matrix.

        Raises:
            ValueError: for shapes or lengths that do not fit, and for NaN or infinity.
            TypeError: if x is no tensor.
        """
        mask = _renamed(mask, visibility)
        used = self.mask if mask is None else mask_from_config(mask)
        x = self._checked(x, lengths)
        used.check(x.shape[1])
        q, k, v = self._project(x, used)
        return self._attend(q, k, v, used, lengths=lengths)

    def forward_chunk(self, x: Tensor, state: StreamState, last: bool) -> Tensor:
        """Process the next positions of a stream; the numbers are those of the whole sequence.

        Args:
            x: shape (1, new positions, width).
            state: state of the stream between two calls, empty at the beginning.
            last: whether these positions are the last.

        Returns:
            The outputs that are now complete, shape (1, complete, width_out).

        Raises:
            ValueError: if the mask is not a window, ``x`` does not fit, or the last positions have
                come already.
            TypeError: if x is no tensor.
        """
        window = self.mask
        if state.get("ended"):
            raise ValueError("x: this stream has had its last positions; begin with an empty state")
        if not isinstance(window, WindowMask):
            raise ValueError(f"mask: {window}; only a WindowMask can be streamed")
        position = state.get("received", 0)
        x = self._checked(x)
        q, k, v = self._project(x, window, position)
        if "q" in state and state["q"].shape[1]:
            q = torch.cat([state["q"], q], 1)
        keys, values = (state.setdefault(name, StreamRows()) for name in ("keys", "values"))
        k, v = keys.append(k), values.append(v)
        ready = q.shape[1] if last else ready_frames(q.shape[1], window.right)
        done = k.shape[1] - q.shape[1] + ready  # keys up to the last query that is ready
        keep = done if window.left is None else min(done, window.left)
        state.update(q=q[:, ready:], received=position + x.shape[1], ended=last)
        complete = self._attend(q[:, :ready], k, v, window, offset=done - ready)
        for rows in (keys, values):
            rows.drop(done - keep)
        return complete

    def forward_varlen(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        """Process whole concatenated sequences, each as :meth:`forward_chunk` does alone.

        Args:
            x: shape (1, all positions, width); it is not checked.
            lengths: positions of each sequence.

        Returns:
            Shape (1, all positions, width_out).
        """
        q, k, v = self._project(x, self.mask, lengths=lengths)
        return self._attend(q, k, v, self.mask, concatenated=lengths)

    def window_weights(self, x: Tensor, first: int = 0) -> tuple[Tensor, int]:
        """Compute the weights of one sequence, for pictures; the mask must be a window.

        Args:
            x: shape (1, positions, width).
            first: number of the first position.

        Returns:
            As :func:`speechattn.attention.weights.window_weights`.

        Raises:
            ValueError: if the mask is no window, or a window is too wide to be shown.
        """
        if not isinstance(self.mask, WindowMask):
            raise ValueError(f"mask: {self.mask}; only the weights in a WindowMask can be shown")
        q, k, _ = self._project(x, self.mask, first)
        return window_weights(
            q[0], k[0], self.mask, weights=self.weights, score_vector=self.energy, bias=self.bias
        )

    def _checked(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the input without padding after checking it, if that is left to this layer."""
        width = self.project.in_features
        check_tensor("x", x)
        if x.ndim != 3 or x.shape[2] != width:
            raise ValueError(f"x: shape {tuple(x.shape)}; (batch, positions, {width})")
        return x if self.known_finite else _clean(x, lengths, self.project.weight)

    def _project(
        self,
        x: Tensor,
        mask: AttentionMask,
        first: int = 0,
        lengths: Sequence[int] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, with what their positions do to them.

        Args:
            x: shape (batch, positions, width).
            mask: it has the coordinates of the positions.
            first: number of the first position, in a stream.
            lengths: of concatenated sequences, each with positions from ``first`` on; None for one.
        """
        sizes = [x.shape[1]] if lengths is None else lengths
        if self.positions == "sinusoidal":
            coordinates = first + mask.coordinates(max(sizes), x.device)
            x = x + _repeated(sinusoids(coordinates, x.shape[2]).to(x.dtype), sizes)
        elif self.positions == "learned":
            x = x + _repeated(self.learned(first, max(sizes)), sizes)
        heads = self.heads
        vectors = self.project(x).unflatten(-1, (3 * heads, self.head_width))
        q_and_k, v = vectors[:, :, : 2 * heads], vectors[:, :, 2 * heads :]
        if self.positions == "rotary":
            q_and_k = self._rotate(q_and_k, mask, first, sizes)
        return q_and_k[:, :, :heads], q_and_k[:, :, heads:], v

    def _rotate(self, x: Tensor, mask: AttentionMask, first: int, sizes: Sequence[int]) -> Tensor:
        """Apply rotary positions to vectors of shape (batch, positions, heads, head_width)."""
        count, d = max(sizes), self.head_width
        if isinstance(mask, WindowMask) and count <= CACHED_POSITIONS:
            cos, sin = line_rotation(first, count, d, x.dtype, x.device)
        else:
            coordinates = first + mask.coordinates(count, x.device)
            cos, sin = (table.to(x.dtype) for table in rotation(coordinates, d))
        if mask.axes == 1 and len(x) == 1 and kernels.rows.can_rotate(x, cos, sin):
            return kernels.rows.rotate(x, cos, sin, sizes)
        return rotate(x, _repeated(cos, sizes), _repeated(sin, sizes), mask.axes)

    def _attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: AttentionMask,
        *,
        offset: int = 0,
        lengths: Tensor | None = None,
        concatenated: Sequence[int] | None = None,
    ) -> Tensor:
        """Return the output of the layer for queries, keys and values."""
        out = attend_unchecked(
            q,
            k,
            v,
            mask,
            scores=self.scores,
            weights=self.weights,
            score_vector=self.energy,
            bias=self.bias,
            offset=offset,
            lengths=lengths,
            concatenated=concatenated,
        )
        return self.join(out.flatten(2))


def _repeated(table: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return the first rows of a table for each of the concatenated sequences."""
    return table if len(sizes) == 1 else torch.cat([table[:size] for size in sizes])


def _renamed(mask: object, visibility: object) -> object:
    """Return the mask, given under its name or its deprecated name."""
    if visibility is None:
        return mask
    warnings.warn("visibility= is now mask=; it goes in 0.3", DeprecationWarning, stacklevel=3)
    return visibility


def _head_width(width: int, heads: int, head_width: int | None) -> int:
    """Return the width of a head, which by default is its share of the width."""
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


@kernels.runtime.apart
def _clean(x: Tensor, lengths: Tensor | None, weight: Tensor) -> Tensor:
    """Return the input without padding after checking its numbers and lengths."""
    check_type("x", x, weight.dtype)
    if lengths is not None:
        check_lengths(lengths, *x.shape[:2])
        x = without_padding(x, lengths)  # it may hold anything
    check_finite("x", x)
    return x
