from __future__ import annotations

import dataclasses
import difflib
import math
import typing

from speechattn.errors import ConfigError
from speechattn.text import one_line

LARGEST = 2**63 - 1  # of whole numbers: what seeds and sizes are counted in


def build(kind: type, values: dict, prefix: str = ""):
    """A configuration dataclass from plain values, with every key and type checked.

    Args:
        kind: the dataclass, or a union of some, of which the key ``kind`` chooses one; by default
            the first.
        values: key → value; what is left out has its default.
        prefix: of the keys in messages, with a dot at its end.

    Raises:
        ConfigError: naming the key, its value and what it should be.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{prefix.rstrip('.')}: {values!r}; it has keys of its own")
    kinds = typing.get_args(kind)
    if kinds:
        kind, values = _chosen(kinds, values, prefix)
    hints = typing.get_type_hints(kind)
    for key in values:
        if key not in hints:
            _refuse_key_of_another(key, kind, kinds, prefix)
            close = difflib.get_close_matches(str(key), hints, n=1)
            hint = f"did you mean {prefix}{close[0]}?" if close else f"known: {', '.join(hints)}"
            raise ConfigError(f"{prefix}{one_line(str(key))}: no such key; {hint}")
    return kind(**{key: _convert(hints[key], v, f"{prefix}{key}") for key, v in values.items()})


def _chosen(kinds: tuple, values: dict, prefix: str) -> tuple[type, dict]:
    """The dataclass that the key ``kind`` names, and the other values."""
    name = values.get("kind", kinds[0].kind)
    for kind in kinds:
        if name == kind.kind:
            return kind, {key: value for key, value in values.items() if key != "kind"}
    known = ", ".join(kind.kind for kind in kinds)
    raise ConfigError(f"{prefix}kind: {name!r}; one of {known}")


def _refuse_key_of_another(key, kind: type, kinds: tuple, prefix: str) -> None:
    """Raise a ConfigError for a key that another kind of these has."""
    others = [other.kind for other in kinds if key in typing.get_type_hints(other)]
    if others:
        raise ConfigError(
            f"{prefix}{key}: a key of kind {' or '.join(others)}, and {prefix}kind is "
            f"{kind.kind}; leave it out"
        )


def _convert(hint, value, name: str):
    """A value as the type its key has."""
    options = typing.get_args(hint) or (hint,)
    if all(map(dataclasses.is_dataclass, options)):
        return build(hint, {} if value is None else value, f"{name}.")
    if value is None and type(None) in options:
        return None
    wanted = next(option for option in options if option is not type(None))
    if dataclasses.is_dataclass(wanted):
        return build(wanted, {} if value is None else value, f"{name}.")
    if isinstance(value, int) and not -LARGEST <= value <= LARGEST:
        raise ConfigError(f"{name}: a number too large to count with; give a smaller one")
    if wanted is tuple and isinstance(value, (list, tuple)):
        return tuple(value)
    if wanted is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if math.isfinite(value):
            return float(value)
    elif isinstance(value, wanted) and not (wanted is int and isinstance(value, bool)):
        return value
    kinds = {tuple: "a list", float: "a number", int: "a whole number", str: "text", bool: "a bool"}
    hint = " (YAML reads 1e-3 as text; write 1.0e-3)" if _is_exponent(wanted, value) else ""
    raise ConfigError(f"{name}: {value!r}; it takes {kinds.get(wanted, wanted)}{hint}")


def _is_exponent(wanted: type, value: object) -> bool:
    """Whether a value is text that was meant as a number."""
    if wanted is not float or not isinstance(value, str):
        return False
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False
