"""Which way matrices of 8 bits are multiplied on this processor; all give the same numbers.

With AVX2 alone, :mod:`speechattn.attention.kernels.byte_matrix` is as fast as oneDNN with thousands
of rows, and several times as fast with a tenth of a second of speech. With VNNI it serves the few
rows, and oneDNN the many. Where neither works, PyTorch's public operators do.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from speechattn.attention import kernels
from speechattn.attention.kernels.runtime import is_plain_cpu_tensor
from speechattn.encoder.onednn import (
    ROWS,
    Int8Matrix,
    PackedInt8Matrix,
    PlainInt8Matrix,
    fitting,
    has_avx2,
    has_vnni,
    int8_operator_works,
    largest_weight,
)
from speechattn.encoder.whole_numbers import MAX_UINT8

FEW_ROWS = 16  # that oneDNN takes longer for, also with VNNI


class OwnInt8Matrix:
    """An :class:`~speechattn.encoder.onednn.Int8Matrix` multiplied by this package's own code.

    Args:
        whole: int8, shape (outputs, inputs), inputs a multiple of four.
        step: what 1 stands for in each row, float32, shape (outputs,).
        many: the same matrix for more than ``FEW_ROWS`` rows; None if there is nothing faster.
    """

    def __init__(self, whole: Tensor, step: Tensor, many: PackedInt8Matrix | None = None) -> None:
        self._whole, self._step = fitting(whole, step)
        self._many = many

    @functools.cached_property
    def _panels(self) -> kernels.byte_matrix.BytePanels:
        """Laid out when it is first needed: batches seldom have few rows."""
        return kernels.byte_matrix.BytePanels.of(self._whole.numpy(), self._step.numpy())

    def rows_for(self, rows: int) -> int:
        """See :class:`~speechattn.encoder.onednn.Int8Matrix`."""
        if self._many is None or rows <= FEW_ROWS:
            return rows
        return self._many.rows_for(rows)

    def product(self, x: Tensor, zero: int, bias: Tensor | None, to_bytes: bool = False) -> Tensor:
        """See :class:`~speechattn.encoder.onednn.Int8Matrix`."""
        rows = x.flatten(0, -2)
        if self._many is not None and len(rows) > FEW_ROWS:
            return self._many.product(x, zero, bias, to_bytes)
        if not is_plain_cpu_tensor(x, bias):
            return PlainInt8Matrix(self._whole, self._step).product(x, zero, bias, to_bytes)
        added = None if bias is None else bias.detach().numpy()
        y = torch.from_numpy(self._panels.product(rows.contiguous().numpy(), zero, added))
        if to_bytes:
            y = y.round_().clamp_(0, MAX_UINT8).to(torch.uint8)
        return y.view(*x.shape[:-1], len(self._step))

    def __getstate__(self) -> dict[str, Tensor | PackedInt8Matrix | None]:
        """Return the plain matrix, for copies and other processes."""
        return {"_whole": self._whole, "_step": self._step, "_many": self._many}

    def __setstate__(self, state: dict) -> None:
        self._whole, self._step = fitting(state["_whole"], state["_step"])
        self._many = state["_many"]


def int8_matrix(whole: Tensor, step: Tensor) -> Int8Matrix:
    """Return a matrix of 8 bits, laid out for the fastest way that works.

    Args:
        whole: int8, shape (outputs, inputs).
        step: what 1 stands for in each row, float32, shape (outputs,).
    """
    own = own_products_work() and whole.shape[1] % kernels.byte_matrix.FOUR == 0
    if own and not has_vnni():
        return OwnInt8Matrix(whole, step)
    if not int8_operator_works():
        return PlainInt8Matrix(whole, step)
    many = PackedInt8Matrix(whole, step)
    return OwnInt8Matrix(whole, step, many) if own and has_bits_of_onednn() else many


def fast_int8() -> bool:
    """Return whether this processor multiplies 8-bit numbers fast: with VNNI, or with AVX2."""
    return (has_vnni() and int8_operator_works()) or (has_avx2() and own_products_work())


@functools.cache
def own_products_work() -> bool:
    """Return whether the package's own products give what the plain way gives."""
    code = kernels.byte_matrix
    return code.OFFERED and largest_weight() <= code.MOST_WEIGHT and code.works()


@functools.cache
def has_bits_of_onednn() -> bool:
    """Return whether the package's own products round as oneDNN's, which may fuse two operations.

    Otherwise a recording would not give the same in a stream and as a whole.
    """
    x, whole = _numbers()
    step, bias = torch.linspace(0.001, 0.0017, len(whole)), torch.linspace(-3, 2.9, len(whole))
    many = PackedInt8Matrix(whole, step)
    own = OwnInt8Matrix(whole, step)
    return all(
        torch.equal(own.product(x, 128, add, to_bytes), many.product(x, 128, add, to_bytes))
        for add in (None, bias)
        for to_bytes in (False, True)
    )


def _numbers() -> tuple[Tensor, Tensor]:
    """Rows and a matrix of all sizes, the largest included."""
    columns, largest = torch.arange(64), largest_weight()
    x = (columns * 37 + torch.arange(ROWS)[:, None] * 91) % (MAX_UINT8 + 1)
    whole = ((columns * 29 + torch.arange(48)[:, None] * 53) % 255 - 127).clamp(-largest, largest)
    x[0], whole[0] = MAX_UINT8, largest
    return x.to(torch.uint8), whole.to(torch.int8)
