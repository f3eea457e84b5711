"""The keys of a recipe, from the dataclasses that hold them.

Names, types, ranges and defaults are those of the fields of the dataclasses. Descriptions are the
``Attributes:`` sections of their docstrings. ``speechattn train --keys`` prints them, and
``docs/generate_recipes.py`` makes a page of them.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import inspect
import re
import textwrap
import types
import typing

from speechattn.errors import UsageError
from speechattn.studies import STUDIES
from speechattn.training.config import RecipeConfig

LINE_WIDTH = 96
TYPE_NAMES = {int: "integer", float: "number", str: "text", bool: "true or false", tuple: "list"}


def attribute_descriptions(cls: type) -> dict[str, str]:
    """Return the descriptions in the ``Attributes:`` sections of a class and its bases, by name.

    One description may stand for several names, separated by commas. A line that holds names and
    nothing else shares the description of the next one.
    """
    descriptions: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        if dataclasses.is_dataclass(base) and base.__doc__:
            descriptions |= _attributes_section(inspect.cleandoc(base.__doc__))
    return descriptions


def _attributes_section(docstring: str) -> dict[str, str]:
    _, _, section = docstring.partition("\nAttributes:\n")
    descriptions: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        if line and not line.startswith("    "):
            break  # the next section
        entry = re.match(r"^ {4}(\w+(?:, \w+)*)(?:: ?(.*)|,)$", line)
        if entry:
            shared = [name for name in names if not descriptions[name]]
            names = [*shared, *entry[1].split(", ")]
            descriptions |= dict.fromkeys(names, entry[2] or "")
        elif line.strip():
            for name in names:
                descriptions[name] = f"{descriptions[name]} {line.strip()}".strip()
    return descriptions


def type_name(hint: object) -> str:
    """Return the type of a key in words."""
    options = typing.get_args(hint)
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        names = [type_name(option) for option in options if option is not type(None)]
        return " or ".join([*names, *(["null"] if type(None) in options else [])])
    return TYPE_NAMES[typing.cast(type, typing.get_origin(hint) or hint)]


def allowed(field: dataclasses.Field, hint: object) -> str:
    """Return the type of a key, and the range of its values if the field has one."""
    ranges = [rule.text for rule in field.metadata.values() if "empty" not in rule.text]
    return ", ".join([type_name(hint), *ranges])


def yaml_value(value: object) -> str:
    """Return a default as it would be written in YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(yaml_value, value))}]"
    return str(value)


def section_classes(hint: object) -> list[type]:
    """Return the dataclasses that the value of a key may be; none if it is a plain value."""
    options = typing.get_args(hint) or (hint,)
    return [o for o in options if isinstance(o, type) and dataclasses.is_dataclass(o)]


def fields_of(cls: type, *, sections: bool) -> list[tuple[dataclasses.Field, object]]:
    """Return the keys of a dataclass with their type hints: plain values, or sections."""
    hints = typing.get_type_hints(cls)
    return [
        (field, hints[field.name])
        for field in dataclasses.fields(cls)
        if field.init and bool(section_classes(hints[field.name])) == sections
    ]


class Table(typing.NamedTuple):
    """A table of the page: its title, the dataclass, and an instance that holds the defaults."""

    title: str
    cls: type
    defaults: object

    @property
    def is_study(self) -> bool:
        """Whether it is the recipe of a study, whose module says what it is about."""
        return self.cls.__name__ == "Config"


def all_tables() -> list[Table]:
    """Return the tables of the page, in order."""
    tables = [Table("Top level", RecipeConfig, RecipeConfig)]
    for field, hint in fields_of(RecipeConfig, sections=True):
        classes = section_classes(hint)
        for cls in classes:
            kind = f", kind `{getattr(cls, 'kind', '')}`" if len(classes) > 1 else ""
            tables.append(Table(f"`{field.name}`{kind}", cls, cls()))
    documented = {table.cls for table in tables}
    for task, module in STUDIES.items():
        config = importlib.import_module(module).Config
        tables.append(Table(f"Task `{task}`", config, config()))
        for field, hint in fields_of(config, sections=True):
            for cls in section_classes(hint):
                if cls not in documented:
                    title = f"Task `{task}`, section `{field.name}`"
                    tables.append(Table(title, cls, getattr(config(), field.name)))
    return tables


def keys_text(section: str | None = None) -> str:
    """Return the keys as text for a terminal.

    Args:
        section: a section such as ``training``, ``top`` for the keys of none, the name of a task,
            or one key such as ``training.steps``; None for all of a recipe for phones.

    Raises:
        UsageError: if there is no such section, and no such key.
    """
    tables = {_short_name(table): table for table in all_tables()}
    chosen = [name for name in tables if name == section or name.startswith(f"{section}, ")]
    if section is None:
        chosen = [name for name, table in tables.items() if not table.title.startswith("Task")]
    if chosen:
        return "\n\n".join(_table_text(name, tables[name]) for name in chosen)
    assert section is not None
    own = {name: keys for name, table in tables.items() if (keys := _keys(name, table))}
    found = [f"{name}:\n{keys[section]}" for name, keys in own.items() if section in keys]
    if not found:
        near = difflib.get_close_matches(section, [key for keys in own.values() for key in keys], 1)
        hint = f"did you mean {near[0]}? The sections are" if near else "one of"
        raise UsageError(
            f"--keys {section}: no such section and no such key; {hint} {'; '.join(tables)}"
        )
    return "\n\n".join(found)


def _short_name(table: Table) -> str:
    return (
        "top" if table.title == "Top level" else table.title.replace("`", "").removeprefix("Task ")
    )


def _table_text(name: str, table: Table) -> str:
    """Return the keys of one table."""
    return "\n".join([f"{name}:", *_keys(name, table).values()])


def _keys(name: str, table: Table) -> dict[str, str]:
    """Return the keys of a table: each with its type and default, and below it its meaning."""
    descriptions = attribute_descriptions(table.cls)
    section = name.split(",")[0]
    prefix = "" if section == "top" or table.is_study else f"{section}."
    texts = {}
    for field, hint in fields_of(table.cls, sections=False):
        default = yaml_value(getattr(table.defaults, field.name))
        meaning = textwrap.wrap(
            plain_text(descriptions.get(field.name, "")),
            LINE_WIDTH,
            initial_indent="      ",
            subsequent_indent="      ",
        )
        key = f"{prefix}{field.name}"
        texts[key] = "\n".join([f"  {key} ({allowed(field, hint)}; default {default})", *meaning])
    return texts


def plain_text(text: str) -> str:
    """Turn the reStructuredText of a docstring into plain text."""
    text = re.sub(r":(?:mod|class|func|meth|data|attr):`~?([^`]*)`", r"\1", text)
    return text.replace("``", "")
