"""Layers of an encoder of attention on NumPy arrays, in 8 bits, for inference without PyTorch.

They compute what :mod:`speechattn.encoder.int8` and :mod:`speechattn.encoder.layers` do. All take
and give float32 of shape (rows, width), the vectors of one recording or of several, one after the
other. Each row gives the same numbers, to the last bit, whatever rows are beside it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from speechattn.attention.kernels import byte_attention
from speechattn.attention.kernels.byte_attention import ByteAttention
from speechattn.attention.kernels.byte_layers import GELU, HEADS, PLAIN, RELU, Product, RowLayer
from speechattn.attention.kernels.byte_matrix import ByteLayer, BytePanels
from speechattn.attention.kernels.matmul import ArrayPanels
from speechattn.attention.kernels.norms import Norm, gelu
from speechattn.attention.kernels.threads import Fixed
from speechattn.attention.kernels.window_rows import RowAttention
from speechattn.encoder.array_weights import PER_STEP, STEP, SUMS
from speechattn.encoder.whole_numbers import ZERO

Arrays = Mapping[str, np.ndarray]


def byte_layer(arrays: Arrays, name: str, zero: int = ZERO) -> ByteLayer:
    """Return a linear layer in 8 bits, of inputs whose 0 is ``zero``."""
    panels = BytePanels(arrays[f"{name}.weight"], *(arrays[name + end] for end in (SUMS, STEP)))
    return panels.layer(zero, arrays[f"{name}.bias"])


def norm_of(arrays: Arrays, name: str) -> Norm:
    """Return a normalisation by the name of its layer."""
    return Norm(arrays[f"{name}.weight"], arrays[f"{name}.bias"])


def linear_of(arrays: Arrays, name: str) -> ArrayPanels:
    """Return a linear layer in float32."""
    return ArrayPanels(arrays[f"{name}.weight"], arrays[f"{name}.bias"])


class ArrayFeedForward:
    """Normalisation, two products and an activation between them, added to the input.

    Args:
        arrays: of :func:`speechattn.encoder.array_weights.ready_arrays`.
        name: of the layer.
        activation: ``"gelu"`` or ``"relu"``.
    """

    def __init__(self, arrays: Arrays, name: str, activation: str) -> None:
        inside, relu = f"{name}.layer", activation == "relu"
        entered, inner = (
            Fixed(arrays[f"{inside}.{part}{PER_STEP}"]) for part in ("expand", "contract")
        )
        # With a ReLU, the first product gives multiples of the inner steps.
        finish, zero = (RELU, 0) if relu else (GELU, ZERO)
        self._layer = RowLayer(
            norm_of(arrays, f"{name}.norm"),
            entered,
            Product(byte_layer(arrays, f"{inside}.expand"), ZERO, finish, inner),
            Product(byte_layer(arrays, f"{inside}.contract", zero), zero),
        )

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the rows with what the layer adds to them."""
        return self._layer(x, x)


class ArrayAttention:
    """Normalisation and multi-head attention in a window, added to the input.

    Args:
        arrays: of :func:`speechattn.encoder.array_weights.ready_arrays`.
        name: of the layer.
        heads: number of heads.
        window: left and right, in rows; None for no limit.
    """

    def __init__(
        self, arrays: Arrays, name: str, heads: int, window: tuple[int | None, int | None]
    ) -> None:
        inside = f"{name}.layer"
        self._heads, self.window = heads, window
        width = len(arrays[f"{name}.norm.weight"])
        self._in_bytes = byte_attention.suits(width // heads, window)
        finish = (HEADS, heads) if self._in_bytes else (PLAIN, 0)
        self._project, self._join = (
            RowLayer(
                norm,
                Fixed(arrays[f"{inside}.{part}{PER_STEP}"]),
                Product(byte_layer(arrays, f"{inside}.{part}"), ZERO, ends, None, parts),
            )
            for part, norm, (ends, parts) in (
                ("project", norm_of(arrays, f"{name}.norm"), finish),
                ("join", None, (PLAIN, 0)),
            )
        )
        self._table = arrays.get(f"{inside}.bias.table")
        self._ready: tuple[tuple[int, int], RowAttention | ByteAttention] | None = None

    def __call__(self, x: np.ndarray, sequences: np.ndarray) -> np.ndarray:
        """Return the rows of whole recordings with what the layer adds to them.

        Args:
            x: rows of all recordings.
            sequences: of each, first row and rows, twice; int64, shape (recordings, 4).
        """
        projected, most = self.projected(x), int(sequences[:, 1].max())
        return self._join(self._attended(projected, projected, 0, sequences, most), x)

    def projected(self, x: np.ndarray) -> np.ndarray:
        """Return queries, keys and values of rows: side by side, float32, or byte rows."""
        return self._project(x)

    def of_rows(self, x: np.ndarray, projected: np.ndarray, first: int) -> np.ndarray:
        """Return rows with what the layer adds to them.

        Args:
            x: consecutive rows.
            projected: from :meth:`projected`, of these rows and of those that they see.
            first: number of the first of these rows among them.
        """
        count, keys = len(x), len(projected)
        sequences = np.array([[0, count, 0, keys]], np.int64)
        queries = projected[first : first + count]
        return self._join(self._attended(queries, projected, first, sequences, keys), x)

    def _attended(
        self,
        queries: np.ndarray,
        keys: np.ndarray,
        offset: int,
        sequences: np.ndarray,
        most: int,
    ) -> np.ndarray:
        """Return what attention gives for projected rows; ``most`` keys belong to a sequence."""
        attention = self._attention(most)
        if isinstance(attention, ByteAttention):
            return attention(queries, keys, offset, sequences)
        width = keys.shape[1] // 3
        k, v = keys[:, width : 2 * width], keys[:, 2 * width :]
        return attention(queries[:, :width], k, v, offset, sequences)

    def _attention(self, keys: int) -> RowAttention | ByteAttention:
        """Return the attention for so many keys, which limit a window without limits."""
        left, right = (keys if side is None else side for side in self.window)
        ready = self._ready
        if ready is None or ready[0] != (left, right):
            bias = None
            if self._table is not None:
                bias = distance_biases(self._table, left, right)
            kind = ByteAttention if self._in_bytes else RowAttention
            ready = (left, right), kind(self._heads, self._join.inputs, left, right, bias)
            self._ready = ready  # other threads may replace it
        return ready[1]


def distance_biases(table: np.ndarray, left: int, right: int) -> np.ndarray:
    """Return the biases of a window, as :class:`speechattn.attention.positions.DistanceBias` does.

    Args:
        table: trained numbers, shape (heads, 2 * reach + 1).
        left, right: keys before and after the query.

    Returns:
        float32, shape (heads, left + 1 + right).
    """
    heads, reach = len(table), table.shape[1] // 2
    distance = np.arange(-left, right + 1)
    near = distance.clip(-reach, reach)
    slopes = (2.0 ** (-8.0 * np.arange(1, heads + 1) / heads)).astype(np.float32)
    beyond = np.abs(distance - near).astype(np.float32)
    return table[:, near + reach] - slopes[:, None] * beyond


class ArraySubsampling:
    """Two convolutions that turn stacked frames into vectors; see ``Subsampling`` of the layers.

    Args:
        arrays: of :func:`speechattn.encoder.array_weights.ready_arrays`.
        name: of the layer.
        stack: frames of a vector.
        activation: after each convolution.
    """

    around = 1  # stacked frames before and after those of a vector that it sees

    def __init__(self, arrays: Arrays, name: str, stack: int, activation: str) -> None:
        self._first, self._second = (
            RowLayer(
                None,
                Fixed(arrays[f"{name}.{part}{PER_STEP}"]),
                Product(byte_layer(arrays, f"{name}.{part}"), ZERO),
            )
            for part in ("first", "second")
        )
        self._offset = arrays[f"{name}.offset"]
        self._stack, self._taps = stack, 2 * stack - 1
        self._activate = gelu if activation == "gelu" else _relu

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return vectors, two fewer than rows: the first and the last are only seen.

        Args:
            x: stacked frames, float32, shape (rows, stack * numbers of a frame), three rows or
                more.
        """
        count, stack = len(x) - 2, self._stack
        frames = np.ascontiguousarray(x).reshape(len(x) * stack, -1)
        rows = count * stack + stack - 1  # of the first convolution
        h = self._activate(self._first(_neighbours(frames, rows, 3)))
        y = self._activate(self._second(_neighbours(h, count, self._taps, stack)))
        return np.add(y, self._offset, out=y)


def _neighbours(x: np.ndarray, count: int, taps: int, apart: int = 1) -> np.ndarray:
    """Return ``taps`` consecutive rows in one, for every row or every ``apart``-th, uncopied.

    Args:
        x: shape (rows, numbers), in one piece.
        count: rows of the result, which lie within x.
        taps: rows in one.
        apart: rows from one that is the first to the next.
    """
    row, number = x.strides
    shape = count, taps * x.shape[1]
    return np.lib.stride_tricks.as_strided(x, shape, (apart * row, number), writeable=False)


def _relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0, out=x)
