"""Language models out of files: what is checked and computed once stays in the cache.

See :mod:`speechattn.cache`. A large model is checked when its file is first read. Later processes
take its arrays, and what is computed from them, as they lie in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np

from speechattn import cache

LEAST_BYTES = 1 << 19  # of a model in a file; smaller ones are not worth an entry
_ENTRY = "_entry"  # attribute of a model: name of its entry in the cache

Model = TypeVar("Model")


def restored(
    kind: type[Model],
    tensors: Mapping[str, np.ndarray],
    read: Callable[[], Model],
    sources: Sequence[str],
    parts: Mapping[str, type] | None = None,
) -> Model:
    """Return a model of a file: read, or as it was when it was read before.

    Args:
        kind: class of the model, a frozen dataclass of arrays and whole numbers.
        tensors: arrays of the file.
        read: makes the model of them, with all checks.
        sources: files of the code that reads the model and computes with it.
        parts: fields that are dataclasses of arrays themselves, or None, and their classes.
    """
    if sum(values.nbytes for values in tensors.values()) < LEAST_BYTES:
        return read()
    entry = cache.digest(kind.__name__, tensors, sources)
    found = cache.arrays(entry, lambda: _plain(read()))
    model = _assembled(kind, found, parts or {})
    vars(model)[_ENTRY] = entry
    return model


def computed(
    model: object, what: str, make: Callable[[], Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Return arrays that are computed from a model, from the cache if the model is from there.

    Args:
        model: from :func:`restored`, or any other.
        what: name of what is computed.
        make: computes it.
    """
    entry = vars(model).get(_ENTRY)
    return dict(make()) if entry is None else cache.arrays(f"{what}-{entry}", make)


def _plain(model: Any) -> dict[str, np.ndarray]:
    """Return the fields of a model as arrays; those of a part have its name before theirs."""
    arrays: dict[str, np.ndarray] = {}
    for field in fields(model):
        value = getattr(model, field.name)
        if is_dataclass(value):
            arrays |= {f"{field.name}.{name}": values for name, values in _plain(value).items()}
        elif value is not None:
            arrays[field.name] = np.asarray(value)
    return arrays


def _assembled(
    kind: type[Model], arrays: Mapping[str, np.ndarray], parts: Mapping[str, type]
) -> Model:
    """Return the model of these arrays, without checks: the inverse of :func:`_plain`."""
    model = object.__new__(kind)
    for field in fields(kind):  # type: ignore[arg-type]  # a dataclass
        name = field.name
        if name in parts:
            begin = f"{name}."
            of_part = {k.removeprefix(begin): v for k, v in arrays.items() if k.startswith(begin)}
            value = _assembled(parts[name], of_part, {}) if of_part else None
        else:
            value = arrays[name] if arrays[name].ndim else int(arrays[name])
        vars(model)[name] = value
    return model
