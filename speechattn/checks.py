"""Checks of arguments, of arrays out of model files, and of values of a configuration.

Every error names the argument, array or key and its value. A model file may hold anything, so its
arrays are checked before they are used.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, SupportsIndex, cast

import numpy as np

from speechattn.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from torch import Tensor

WAY_OUT = "train or export the model again"


def as_int(name: str, value: object, least: int = 0) -> int:
    """Return a number as an int.

    Raises:
        ValueError: if it is below ``least`` or not whole; the message begins with ``name``.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(cast(SupportsIndex, value))
    except (TypeError, ValueError):  # ValueError: a tensor of several numbers
        number = None
    if number is None or number < least:
        raise ValueError(f"{name}: {value!r}; a whole number, {least} or more")
    return number


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise a ValueError that names the argument and its value if it is none of the choices."""
    if value not in choices:
        raise ValueError(f"{name}: {value!r}; one of {', '.join(choices)}")


def check_vectors(q: Tensor, k: Tensor, v: Tensor) -> None:
    """Check queries, keys and values of the same shapes.

    Raises:
        ValueError: if they are not of one floating-point type, or have no heads or no numbers a
            head.
    """
    if not q.dtype == k.dtype == v.dtype or not q.is_floating_point():
        raise ValueError(
            f"q: {q.dtype}, k: {k.dtype}, v: {v.dtype}; they must agree, and be floating-point"
        )
    if not (q.shape[2] and q.shape[3]):
        raise ValueError(f"q: shape {tuple(q.shape)}; one head and one number a head, or more")


def check_lengths(lengths: Tensor, batch: int, positions: int) -> None:
    """Raise a ValueError unless there is a whole number from 0 to ``positions`` a sequence."""
    import torch

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
    """Raise a ValueError that names the index if there is NaN or infinity in a tensor."""
    index = first_nonfinite(x)
    if index is not None:
        raise ValueError(f"{name}: {x[index].item()} at {index}; the input must be finite numbers")


def first_nonfinite(x: Tensor) -> tuple[int, ...] | None:
    """Return the index of the first NaN or infinity of a tensor, None if it has none."""
    import torch

    # One pass in the usual case: a sum is finite only if all its terms are.
    if bool(torch.isfinite(x.detach().sum(dtype=torch.float32))):
        return None
    wrong = (~torch.isfinite(x)).nonzero()
    return tuple(wrong[0].tolist()) if len(wrong) else None


def checked_array(owner: str, name: str, values: object, highest: float | None) -> np.ndarray:
    """Return one axis of numbers as an array of its type, after checks of its values.

    Args:
        owner, name: for messages.
        values: the array, which may be anything.
        highest: of log weights, which become float32; None for whole numbers from -1 on, which
            become int32.

    Raises:
        ModelError: if they are something else.
    """
    try:
        numbers = np.asarray(values).astype(np.float64)
    except (TypeError, ValueError):
        raise ModelError(f"{owner}: {name} is not an array of numbers; {WAY_OUT}") from None
    require(owner, numbers.ndim == 1, f"{name} has shape {numbers.shape}, not one axis")
    if highest is not None:
        within(owner, name, numbers, -1e4, highest)
        return numbers.astype(np.float32)
    whole = bool((numbers == numbers.round()).all())
    require(owner, whole, f"{name} holds a number that is not whole")
    within(owner, name, numbers, -1, 2**31 - 1)
    return numbers.astype(np.int32)


def within(owner: str, name: str, values: np.ndarray, low: float, high: float) -> None:
    """Raise a ModelError that names a value out of range, if there is one."""
    wrong = ~((values >= low) & (values <= high))  # NaN is neither
    if wrong.any():
        value = values[wrong][0]
        require(owner, False, f"{name} has the value {value}; allowed are {low} to {high}")


def require(owner: str, right: bool, what: str) -> None:
    """Raise a ModelError that says ``what`` is wrong unless ``right``."""
    if not right:
        raise ModelError(f"{owner}: {what}; {WAY_OUT}")


def check_names(owner: str, found: set[str], right: set[str]) -> None:
    """Raise a ModelError that names what is missing or unknown, if anything is."""
    odd = ", ".join(sorted(found ^ right))
    require(owner, not odd, f"missing or unknown {odd}")


def is_int(value: object, least: int) -> bool:
    """Whether a value is a whole number, no bool, of at least ``least``."""
    return type(value) is int and value >= least


def tuples(value: Any) -> Any:
    """Return lists, and lists within them, as tuples; anything else as it is."""
    return tuple(map(tuples, value)) if isinstance(value, (list, tuple)) else value


def check(
    section: str, config: object, names: tuple[str, ...], holds: Callable[..., bool], rule: str
) -> None:
    """Raise a ConfigError that says the rule for the first of the named values that breaks it."""
    for name in names:
        value = getattr(config, name)
        if not holds(value):
            raise ConfigError(f"{section}{name}: {value!r}; {rule}")


def is_finite_number(value: object) -> bool:
    """Whether a value of a list is a finite number that a float can hold."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
