"""Recipe files: YAML, overridden by ``key=value``, every key and type checked.

What the sections are, and which values are possible, is in :mod:`speechattn.training.recipe_config`.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import typing
from pathlib import Path

import yaml

from speechattn.errors import ConfigError
from speechattn.resources import resource
from speechattn.studies import PHONES, task_module
from speechattn.text import one_line
from speechattn.training.recipe_config import RecipeConfig

LARGEST = 2**63 - 1  # of whole numbers: what seeds and sizes are counted in
# PyYAML turns scalars that look like a date or carry a tag into values without looking at them
# first: "2020-13-45" is a ValueError, "!!bool x" a KeyError, "!!timestamp x" an AttributeError.
_YAML_ERRORS = (
    yaml.YAMLError, ValueError, OverflowError, LookupError, AttributeError, TypeError,
    RecursionError,
)  # fmt: skip


def read_config(
    source: str | Path | None, overrides: typing.Sequence[str] = (), *, any_task: bool = False
):
    """Read a recipe.

    Args:
        source: a YAML file, or the name of one that comes with the package; None for ``default``.
        overrides: ``key=value`` or ``section.key=value``, the value as YAML.
        any_task: read also what a recipe of another task than phones holds.

    Returns:
        A RecipeConfig, or the ``Config`` of the task that the key ``task`` names (see
        :mod:`speechattn.studies`).

    Raises:
        ConfigError: for a file that is missing or no YAML, an unknown key, a key that is there
            twice, an impossible value, or a task that is not asked for.
    """
    path = find_config(source)
    shown = one_line(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or one_line(str(error))
        raise ConfigError(f"{shown}: cannot be read ({reason}); give another file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown}: not readable as YAML: {error}; write it in UTF-8") from None
    try:
        values = _load(text)
    except ConfigError as error:
        raise ConfigError(f"{shown}: {error}") from None
    except _YAML_ERRORS as error:
        raise ConfigError(f"{shown}: not readable as YAML: {_reason(error)}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{shown}: holds no keys; a recipe is a list of key: value lines")
    for override in overrides:
        _override(values, override)
    try:
        return build(_config_kind(values, any_task), values)
    except ConfigError as error:
        raise ConfigError(f"{shown}: {one_line(str(error))}") from None
    except RecursionError:  # by an alias to the list it stands in
        raise ConfigError(f"{shown}: a value holds itself; write it without aliases") from None
    except ValueError as error:  # Python does not print numbers of thousands of digits
        raise ConfigError(f"{shown}: {one_line(str(error))}; give a smaller number") from None


def _config_kind(values: dict, any_task: bool) -> type:
    """The dataclass for a recipe's values, after taking its task out of them."""
    task = values.pop("task", PHONES)
    if task == PHONES:
        return RecipeConfig
    module = task_module(task)
    if not any_task:
        raise ConfigError(f"task: {task!r}; phones is asked for here: give a recipe without a task")
    return module.Config


def find_config(source: str | Path | None) -> Path:
    """The file a recipe's name or path stands for.

    Raises:
        ConfigError: if there is none.
    """
    path = Path(source or "default")
    if os.path.isfile(path):  # False, where Path.is_file would raise, for what cannot be looked at
        return path
    packaged = resource("recipes", f"{path}.yaml")
    if path.name == str(path) and os.path.isfile(packaged):
        return packaged
    folder = resource("recipes", "")
    known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
    raise ConfigError(
        f"{one_line(path)}: no such recipe file; those that come with the package: {known}"
    )


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


def _override(values: dict, override: str) -> None:
    """Put the value of ``section.key=value`` into the values of a recipe."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"{override!r}: write key=value, for example training.steps=500")
    try:
        value = _load(text)
    except ConfigError as error:
        raise ConfigError(f"{override!r}: {error}") from None
    except _YAML_ERRORS:
        raise ConfigError(f"{override!r}: {text!r} is not readable as a YAML value") from None
    *sections, last = key.split(".")
    for section in sections:
        inner = values.get(section)
        if inner is not None and not isinstance(inner, dict):
            raise ConfigError(f"{override!r}: {one_line(section)} has no keys of its own")
        values[section] = dict(inner or {})  # a copy: two keys may be aliases of one mapping
        values = values[section]
    values[last] = value


def _load(text: str):
    """YAML as plain values; unlike ``yaml.safe_load``, no key replaces one before it."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _refuse_keys_twice(node, set())
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _refuse_keys_twice(node: yaml.Node, seen: set[int]) -> None:
    if id(node) in seen:  # an alias
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_keys_twice(item, seen)
    elif isinstance(node, yaml.MappingNode):
        keys = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in keys:
                    line = key.start_mark.line + 1
                    raise ConfigError(
                        f"line {line}: {one_line(key.value)} is there for the second time; "
                        "leave one of them out"
                    )
                keys.add((key.tag, key.value))
            _refuse_keys_twice(value, seen)


def _reason(error: BaseException) -> str:
    """What a YAML error says, in one line."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return one_line(" ".join(str(error).split())) or type(error).__name__
