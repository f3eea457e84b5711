"""Arrays out of a model file, which may hold anything: checked before anybody relies on them."""

from __future__ import annotations

import numpy as np

from speechattn.errors import ModelError

WAY_OUT = "train or export the model again"


def checked_array(owner: str, name: str, values: object, highest: float | None) -> np.ndarray:
    """One axis of numbers as an array of its type, with what can be checked of it alone.

    Args:
        owner, name: for messages.
        values: what is there.
        highest: of log weights, which become float32; None for whole numbers from -1 on, which
            become int32.

    Raises:
        ModelError: if they are something else.
    """
    try:
        numbers = np.asarray(values).astype(np.float64)
    except (TypeError, ValueError):
        raise ModelError(f"{owner}: {name} is not an array of numbers; {WAY_OUT}") from None
    hold(owner, numbers.ndim == 1, f"{name} has shape {numbers.shape}, not one axis")
    if highest is not None:
        within(owner, name, numbers, -1e4, highest)
        return numbers.astype(np.float32)
    whole = bool((numbers == numbers.round()).all())
    hold(owner, whole, f"{name} holds a number that is not whole")
    within(owner, name, numbers, -1, 2**31 - 1)
    return numbers.astype(np.int32)


def within(owner: str, name: str, values: np.ndarray, low: float, high: float) -> None:
    """Raise a ModelError that names a value out of range, if there is one."""
    wrong = ~((values >= low) & (values <= high))  # NaN is neither
    if wrong.any():
        value = values[wrong][0]
        hold(owner, False, f"{name} has the value {value}; allowed are {low} to {high}")


def hold(owner: str, right: bool, what: str) -> None:
    """Raise a ModelError with what is wrong, unless all is right."""
    if not right:
        raise ModelError(f"{owner}: {what}; {WAY_OUT}")


def check_names(owner: str, found: set[str], right: set[str]) -> None:
    """Raise a ModelError that names what is missing or unknown, if anything is."""
    odd = ", ".join(sorted(found ^ right))
    hold(owner, not odd, f"missing or unknown {odd}")
