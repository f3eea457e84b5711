"""Recipe files: YAML, overridden by ``key=value``, every key and type checked.

The sections and the values they allow are in :mod:`speechattn.training.config`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from speechattn.errors import ConfigError
from speechattn.files import is_file, resource
from speechattn.schema import build
from speechattn.text import one_line
from speechattn.training.config import RecipeConfig
from speechattn.training.sources.shorthand import spelled_out

PHONES = "phones"  # task of recipes that name none

# PyYAML converts scalars that look like a date or carry a tag without checking them first:
# "2020-13-45" is a ValueError, "!!bool x" a KeyError, "!!timestamp x" an AttributeError.
_YAML_ERRORS = (
    yaml.YAMLError, ValueError, OverflowError, LookupError, AttributeError, TypeError,
    RecursionError,
)  # fmt: skip


def read_config(
    source: str | Path | None,
    overrides: Sequence[str] = (),
    kinds: Mapping[str, type] | None = None,
    said: str = "overrides",
) -> Any:
    """Read a recipe.

    Args:
        source: YAML file, or the name of one in the package; None for ``default``.
        overrides: ``key=value`` or ``section.key=value``, the value as YAML.
        kinds: config class by task, for tasks other than phones; None to allow phones only.
        said: where the overrides stand, for messages.

    Returns:
        A RecipeConfig, or the config of the task that the key ``task`` names.

    Raises:
        ConfigError: for a file that is missing or no YAML, an unknown or repeated key, an
            impossible value, or a task that is not allowed.
    """
    path = find_config(source)
    values = recipe_values(path)
    alone = dict(values)  # overrides go into copies of sections
    for override in overrides:
        override_value(values, override)
    try:
        return build_recipe(values, kinds, overrides)
    except ConfigError as error:
        problem = one_line(str(error))
    by_override = is_overridden(key_of(problem), overrides)
    if overrides and not by_override:  # it may not go with what the file says
        with contextlib.suppress(ConfigError):
            build_recipe(alone, kinds)
            by_override = True
    raise ConfigError(f"{said if by_override else one_line(path)}: {problem}")


def key_of(problem: str) -> str:
    """Return the key that a problem of a recipe is about."""
    return problem.partition(": ")[0]


def is_overridden(key: str, overrides: Sequence[str]) -> bool:
    """Whether some ``key=value`` sets a key, or one in the section of this name."""
    names = [override.partition("=")[0] for override in overrides]
    return any(f"{name}.".startswith(f"{key}.") for name in names)


def packaged_recipes() -> dict[str, str]:
    """Return the names of the recipes that come with the package, and the first line of each."""
    recipes = {}
    for path in sorted(resource("recipes", "").glob("*.yaml")):
        words: list[str] = []
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.startswith("#") or any(word.endswith((".", ":")) for word in words):
                break
            words += line.lstrip("# ").split()
        sentence = " ".join(words)
        recipes[path.stem] = re.split(r"(?<=[.])\s|:\s", sentence)[0].rstrip(".:")
    return recipes


def recipe_values(path: Path) -> dict:
    """Read the values of a recipe file, which nothing has checked.

    Raises:
        ConfigError: if it cannot be read, is no YAML, or has a key twice.
    """
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
    return values


def build_recipe(
    values: dict, kinds: Mapping[str, type] | None, overrides: Sequence[str] = ()
) -> Any:
    """Make the config of a recipe's values, which stay as they are.

    Args:
        values: of the file, with the overrides.
        kinds: as for :func:`read_config`.
        overrides: which have been made.

    Raises:
        ConfigError: for the first thing that is wrong with them.
    """
    values = dict(values)
    try:
        kind = _config_class(values, kinds)
        config = build(kind, spelled_out(values) if kind is RecipeConfig else values)
        _refuse_emptied(config, values, overrides)
        return config
    except RecursionError:  # by an alias to the list it stands in
        raise ConfigError("a value holds itself; write it without aliases") from None
    except ConfigError:
        raise
    except ValueError as error:  # Python does not print numbers of thousands of digits
        raise ConfigError(f"{one_line(str(error))}; give a smaller number") from None


def _refuse_emptied(config: Any, values: dict, overrides: Sequence[str]) -> None:
    """Raise a ConfigError for ``training=``, which would give all keys of a section up.

    In a file, a section without keys takes nothing away.
    """
    for key in (override.partition("=")[0] for override in overrides):
        if key in values and values[key] is None and dataclasses.is_dataclass(getattr(config, key)):
            raise ConfigError(f"{key}: None; it has keys of its own: give some, or leave it out")


def find_config(source: str | Path | None) -> Path:
    """Return the file of a recipe.

    Args:
        source: file or name, as for :func:`read_config`.

    Raises:
        ConfigError: if there is none.
    """
    path = Path(source or "default")
    if is_file(path):
        return path
    packaged = resource("recipes", f"{path}.yaml")
    if path.name == str(path) and is_file(packaged):
        return packaged
    folder = resource("recipes", "")
    known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
    raise ConfigError(
        f"{one_line(path)}: no such recipe file; those that come with the package: {known}"
    )


def _config_class(values: dict, kinds: Mapping[str, type] | None) -> type:
    """Take the task out of a recipe's values and return the config class for it."""
    task = values.pop("task", PHONES)
    if task == PHONES:
        return RecipeConfig
    if kinds is None:
        raise ConfigError(f"task: {task!r}; phones is asked for here: give a recipe without a task")
    if not isinstance(task, str) or task not in kinds:
        raise ConfigError(f"task: {task!r}; one of {', '.join((PHONES, *kinds))}")
    return kinds[task]


def override_value(values: dict, override: str) -> None:
    """Set the value of ``section.key=value`` in the values of a recipe.

    Raises:
        ConfigError: if it is none, or the section has no keys.
    """
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


def _load(text: str) -> Any:
    """Read YAML as plain values; unlike ``yaml.safe_load``, refuse repeated keys."""
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
    """Raise a ConfigError for a key that a mapping has twice; ``seen`` are ids of nodes."""
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
    """Return the message of a YAML error in one line."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return one_line(" ".join(str(error).split())) or type(error).__name__
