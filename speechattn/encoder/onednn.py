"""Private operators of PyTorch that lay matrices out for oneDNN, each with a plain way beside it.

PyTorch's public operators lay a matrix out anew in every call. The private ones take it laid out
beforehand, in bfloat16 and in 8 bits, but another version of PyTorch may lack or change them. So
each is tried once, when it is first needed, against the plain way. If it fails, the plain way is
used: slower, with the same results to rounding. No other module of this package calls private
operators (:mod:`speechattn.attention.kernels.runtime` asks PyTorch's private dispatch state).
"""

from __future__ import annotations

import functools
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from speechattn.encoder.whole_numbers import MAX_INT8, MAX_UINT8

ROWS = 16  # that layouts are chosen for: a few hundred milliseconds of speech

# What a version of PyTorch may raise for a private operator that it lacks or has changed.
_UNUSABLE = (AttributeError, RuntimeError, TypeError, NotImplementedError, ValueError)


# --- bfloat16 -------------------------------------------------------------------------------------


@functools.cache
def fast_bfloat16() -> bool:
    """Return whether oneDNN multiplies bfloat16 on this processor; otherwise it is very slow."""
    try:
        return torch.backends.mkldnn.is_available() and bool(
            torch.ops.mkldnn._is_mkldnn_bf16_supported()
        )
    except _UNUSABLE:
        return False


class Bf16Matrix:
    """A matrix and a bias in bfloat16, laid out for oneDNN if possible. Sums are in float32.

    Args:
        weight: shape (outputs, inputs).
        bias: shape (outputs,), or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._bias = None if bias is None else bias.detach().to(torch.bfloat16, copy=True)
        self._lay_out(weight.detach().to(torch.bfloat16, copy=True))

    def product(self, x: Tensor, relu: bool = False) -> Tensor:
        """Return x Wᵀ + bias, with a ReLU if wanted, without gradients.

        Args:
            x: bfloat16, shape (..., rows, inputs), rows a multiple of ``ROWS``.
            relu: whether to replace negative numbers by 0.

        Returns:
            bfloat16, shape (..., rows, outputs).
        """
        if not self._is_packed:
            y = F.linear(x, self._weight, self._bias)
            return y.relu_() if relu else y
        then = "relu" if relu else "none"
        return torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, then, [], "")

    def _lay_out(self, weight: Tensor) -> None:
        self._is_packed = bf16_operator_works()
        self._weight = _packed_bf16(weight) if self._is_packed else weight

    def __getstate__(self) -> dict[str, Tensor | None]:
        """Return the plain weights, for copies and other processes: the layout cannot be copied."""
        weight = self._weight.to_dense() if self._is_packed else self._weight
        return {"_weight": weight, "_bias": self._bias}

    def __setstate__(self, state: dict[str, Tensor]) -> None:
        self._bias = state["_bias"]
        self._lay_out(state["_weight"])


def _packed_bf16(weight: Tensor) -> Tensor:
    with torch.inference_mode(False), torch.no_grad():
        return torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)


@functools.cache
def bf16_operator_works() -> bool:
    """Return whether PyTorch's private operator for bfloat16 gives what the plain way gives."""
    try:
        # Small whole numbers, which are exact in bfloat16.
        x = (torch.arange(ROWS * 32) % 5 - 2).view(ROWS, 32).bfloat16()
        weight = (torch.arange(16 * 32) % 7 - 3).view(16, 32).bfloat16()
        with torch.inference_mode():
            y = torch.ops.mkldnn._linear_pointwise(x, _packed_bf16(weight), None, "relu", [], "")
            return torch.equal(y, F.linear(x, weight).relu())
    except _UNUSABLE:
        return False


# --- 8 bits ---------------------------------------------------------------------------------------


class Int8Matrix(Protocol):
    """A matrix of whole numbers of 8 bits with a step for each row."""

    def rows_for(self, rows: int) -> int:
        """Return how many rows to multiply, of which these are the first."""
        ...

    def product(self, x: Tensor, zero: int, bias: Tensor | None, to_bytes: bool = False) -> Tensor:
        """Return the product of whole numbers with the matrix, without gradients.

            y = step * sum over inputs of (x - zero) * whole + bias

        Args:
            x: uint8, shape (..., inputs).
            zero: whole number that stands for 0 in x.
            bias: float32, shape (outputs,), or None.
            to_bytes: whether to return the ReLU of y, rounded to uint8.

        Returns:
            float32 or uint8, shape (..., outputs).
        """
        ...


class PackedInt8Matrix:
    """An :class:`Int8Matrix` laid out for oneDNN.

    Args:
        whole: int8, shape (outputs, inputs); see :func:`fitting`.
        step: what 1 stands for in each row, float32, shape (outputs,).
    """

    def __init__(self, whole: Tensor, step: Tensor) -> None:
        self._whole, self._step = fitting(whole, step)
        self._lay_out()

    def _lay_out(self) -> None:
        shape = [1, ROWS, self._whole.shape[1]]
        self._packed = torch.ops.onednn.qlinear_prepack(self._whole, shape)
        self._zeros = torch.zeros(len(self._whole), dtype=torch.int32)

    def rows_for(self, rows: int) -> int:
        """See :class:`Int8Matrix`; with other numbers, oneDNN takes longer."""
        return rows + -rows % ROWS

    def product(self, x: Tensor, zero: int, bias: Tensor | None, to_bytes: bool = False) -> Tensor:
        """See :class:`Int8Matrix`."""
        shape = *x.shape[:-1], len(self._whole)
        dtype, then = (torch.uint8, "relu") if to_bytes else (torch.float32, "none")
        if not x.numel():
            return torch.zeros(shape, dtype=dtype)
        weight = self._packed, self._step, self._zeros, bias
        y = torch.ops.onednn.qlinear_pointwise(
            x.flatten(0, -2), 1.0, zero, *weight, 1.0, 0, dtype, then, [], ""
        )
        return y.view(shape)

    def __getstate__(self) -> dict[str, Tensor]:
        """Return the plain matrix, for copies and other processes: the layout cannot be copied."""
        return {"_step": self._step, "_whole": self._whole}

    def __setstate__(self, state: dict[str, Tensor]) -> None:
        self._whole, self._step = fitting(state["_whole"], state["_step"])
        self._lay_out()


class PlainInt8Matrix:
    """An :class:`Int8Matrix` multiplied by PyTorch's public operators, with exact sums.

    Args:
        whole: int8, shape (outputs, inputs).
        step: what 1 stands for in each row, float32, shape (outputs,).
    """

    def __init__(self, whole: Tensor, step: Tensor) -> None:
        self._whole, self._step = whole, step

    def rows_for(self, rows: int) -> int:
        """See :class:`Int8Matrix`."""
        return rows

    def product(self, x: Tensor, zero: int, bias: Tensor | None, to_bytes: bool = False) -> Tensor:
        """See :class:`Int8Matrix`."""
        # Whole numbers of this size are exact in float64.
        sums = F.linear(x.double() - zero, self._whole.double())
        y = sums.float() * self._step
        if bias is not None:
            y = y + bias
        return y.round().clamp(0, MAX_UINT8).to(torch.uint8) if to_bytes else y


@functools.cache
def int8_operator_works() -> bool:
    """Return whether PyTorch's private operator for 8 bits gives what the plain way gives.

    It is tried with the largest numbers, because some processors saturate their sums.
    """
    if not torch.backends.mkldnn.is_available():
        return False
    try:
        largest = largest_weight()
        x = torch.full((1, ROWS, 64), MAX_UINT8, dtype=torch.uint8)
        whole = torch.full((16, 64), largest, dtype=torch.int8)
        step = torch.full((16,), 1 / largest)
        y = PackedInt8Matrix(whole, step).product(x, 0, None)
        plain = PlainInt8Matrix(whole, step).product(x, 0, None)
        return y.shape == plain.shape and bool((y - plain).abs().max() < 1)
    except _UNUSABLE:
        return False


@functools.cache
def largest_weight() -> int:
    """Return the largest whole number that a matrix of 8 bits may hold on this processor.

    Without VNNI, x86 processors add two products in 16 bits, which saturate: 255 * 127 * 2 is too
    much for them, and 255 * 63 * 2 is not.
    """
    return MAX_INT8 if has_vnni() or not has_avx2() else MAX_INT8 // 2


def fitting(whole: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Return whole numbers that suit this processor, and their steps.

    They are halved and rounded anew if there are larger ones than :func:`largest_weight`, as in a
    matrix that comes from another processor.
    """
    if not whole.numel() or int(whole.abs().max()) <= largest_weight():
        return whole, step
    half = MAX_INT8 // 2
    return (whole.float() / 2).round().clamp(-half, half).to(torch.int8), 2 * step


def has_vnni() -> bool:
    """Whether the processor has instructions that sum products of bytes in 32 bits."""
    return _has("avx512_vnni", "avx_vnni")


def has_avx2() -> bool:
    """Whether the processor has those that sum two products of bytes in 16 bits."""
    return _has("avx2")


def _has(*names: str) -> bool:
    """Whether the processor has one of these sets of instructions."""
    try:
        capabilities = torch.cpu.get_capabilities()
    except _UNUSABLE:
        return False
    return any(capabilities.get(name) for name in names)
