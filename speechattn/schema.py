"""Configuration dataclasses: made from plain values, with every key, type and range checked.

:func:`build` makes one from the values of a YAML or JSON file. What a field allows beyond its type
stands in its metadata, from :func:`at_least`, :func:`between` and the like; the dataclass checks it
with :func:`check_fields` in ``__post_init__``.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from speechattn.errors import ConfigError
from speechattn.text import one_line

LARGEST = 2**63 - 1  # of whole numbers: what seeds and sizes are counted in
_RULE = "speechattn.rule"  # key of a rule in the metadata of a field


@dataclass(frozen=True)
class Rule:
    """What the values of a field must fulfil.

    Attributes:
        holds: whether a value does.
        text: the rule, as the message of a ConfigError says it: ``from 1 on``.
    """

    holds: Callable[[Any], bool]
    text: str


def rule(holds: Callable[[Any], bool], text: str) -> dict[str, Rule]:
    """Return the metadata of a dataclass field with a rule of its own.

    Args:
        holds: whether a value is allowed.
        text: the rule, for messages.
    """
    return {_RULE: Rule(holds, text)}


def at_least(low: float) -> dict[str, Rule]:
    """Return the metadata of a field of finite numbers from ``low`` on."""
    return rule(lambda v: _is_finite(v) and v >= low, f"from {low:g} on")


def above(low: float, *, or_null: bool = False) -> dict[str, Rule]:
    """Return the metadata of a field of finite numbers above ``low``.

    Args:
        low: the bound, which is not allowed itself.
        or_null: allow None.
    """
    text = f"above {low:g}, or null" if or_null else f"above {low:g}"
    return rule(lambda v: (or_null and v is None) or (_is_finite(v) and v > low), text)


def between(
    low: float, high: float, *, below: bool = False, text: str | None = None
) -> dict[str, Rule]:
    """Return the metadata of a field of numbers from ``low`` to ``high``.

    Args:
        low: the least value allowed.
        high: the greatest value allowed.
        below: whether ``high`` itself is not allowed.
        text: the rule, for messages; by default made of the bounds.
    """
    if text is None:
        text = f"from {low:g} to below {high:g}" if below else f"from {low:g} to {high:g}"
    return rule(lambda v: _is_finite(v) and (low <= v < high if below else low <= v <= high), text)


def one_of(*choices: object) -> dict[str, Rule]:
    """Return the metadata of a field that has one of a few values."""
    *others, last = map(repr, choices)
    text = f"{', '.join(others)} or {last}" if others else last
    return rule(lambda v: v in choices, text)


def not_empty() -> dict[str, Rule]:
    """Return the metadata of a field of text that is not empty; it may be None."""
    return rule(lambda v: v != "", "it cannot be empty")


def check_fields(instance: object, prefix: str = "") -> None:
    """Check the values of a dataclass by the rules in the metadata of its fields.

    Args:
        instance: the dataclass, such as ``self`` in ``__post_init__``.
        prefix: of the keys in messages, with a dot at its end.

    Raises:
        ConfigError: for the first value that breaks its rule, with its key and the rule.
    """
    for entry in dataclasses.fields(instance):  # type: ignore[arg-type]
        of_field = entry.metadata.get(_RULE)
        value = getattr(instance, entry.name)
        if of_field is not None and not of_field.holds(value):
            raise ConfigError(f"{prefix}{entry.name}: {value!r}; {of_field.text}")


def _is_finite(value: Any) -> bool:
    """Whether a value is a finite number that a float can hold."""
    try:
        return math.isfinite(value)
    except (TypeError, OverflowError):
        return False


def build(kind: Any, values: dict, prefix: str = "") -> Any:
    """Make a configuration dataclass from plain values; check every key and type.

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


def _chosen(kinds: tuple, values: dict, prefix: str) -> tuple[Any, dict]:
    """Return the dataclass that the key ``kind`` names, and the other values."""
    name = values.get("kind", kinds[0].kind)
    for kind in kinds:
        if name == kind.kind:
            return kind, {key: value for key, value in values.items() if key != "kind"}
    known = ", ".join(kind.kind for kind in kinds)
    raise ConfigError(f"{prefix}kind: {name!r}; one of {known}")


def _refuse_key_of_another(key: str, kind: Any, kinds: tuple, prefix: str) -> None:
    """Raise a ConfigError for a key that another kind of these has."""
    others = [other.kind for other in kinds if key in typing.get_type_hints(other)]
    if others:
        raise ConfigError(
            f"{prefix}{key}: a key of kind {' or '.join(others)}, and {prefix}kind is "
            f"{kind.kind}; leave it out"
        )


def _convert(hint: Any, value: Any, name: str) -> Any:
    """Return a value as the type its key has."""
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
