"""What attention asks of its arguments; every error names the argument and its value."""

from __future__ import annotations

import operator

import torch
from torch import Tensor


def whole_number(name: str, value: object, least: int = 0) -> int:
    """A number as an int.

    Raises:
        ValueError: if it is below ``least`` or not whole; the message begins with ``name``.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except (TypeError, ValueError):  # ValueError: a tensor of several numbers
        number = None
    if number is None or number < least:
        raise ValueError(f"{name}: {value!r}; a whole number, {least} or more")
    return number


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raises ValueError, naming the argument and its value, if it is none of the choices."""
    if value not in choices:
        raise ValueError(f"{name}: {value!r}; one of {', '.join(choices)}")


def check_vectors(q: Tensor, k: Tensor, v: Tensor) -> None:
    """Raises ValueError if queries, keys and values are not of one floating-point type, or have no
    heads or no numbers a head; their shapes have been compared."""
    if not q.dtype == k.dtype == v.dtype or not q.is_floating_point():
        raise ValueError(
            f"q: {q.dtype}, k: {k.dtype}, v: {v.dtype}; they must agree, and be floating-point"
        )
    if not (q.shape[2] and q.shape[3]):
        raise ValueError(f"q: shape {tuple(q.shape)}; one head and one number a head, or more")


def check_lengths(lengths: Tensor, batch: int, positions: int) -> None:
    """Raises ValueError if they are not whole numbers from 0 to ``positions``, one a sequence."""
    if not torch.is_tensor(lengths):
        raise ValueError(f"lengths: {lengths!r}; a tensor of whole numbers, shape ({batch},)")
    wrong = lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool
    if lengths.shape != (batch,) or wrong:
        raise ValueError(
            f"lengths: shape {tuple(lengths.shape)} of {lengths.dtype}; "
            f"a whole number for each of {batch} sequences"
        )
    if bool(((lengths < 0) | (lengths > positions)).any()):
        raise ValueError(f"lengths: {lengths.tolist()}; from 0 to {positions} positions")


def check_finite(name: str, x: Tensor) -> None:
    """Raises ValueError, naming the place, if there is NaN or infinity in a tensor."""
    at = first_not_finite(x)
    if at is not None:
        raise ValueError(f"{name}: {x[at].item()} at {at}; the input must be finite numbers")


def first_not_finite(x: Tensor) -> tuple[int, ...] | None:
    """Where the first NaN or infinity of a tensor is, None if it has none."""
    # One pass in the usual case: a sum is finite only if all its terms are.
    if bool(torch.isfinite(x.detach().sum(dtype=torch.float32))):
        return None
    wrong = (~torch.isfinite(x)).nonzero()
    return tuple(wrong[0].tolist()) if len(wrong) else None
