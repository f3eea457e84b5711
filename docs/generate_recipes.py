"""Write ``docs/recipes.md``, the list of all recipe keys, from the dataclasses that hold them.

    python docs/generate_recipes.py           # write the page
    python docs/generate_recipes.py --check   # exit 1 if the page is out of date

Keys, types, ranges and defaults are those of the fields of the dataclasses. Descriptions are the
``Attributes:`` sections of their docstrings. A test fails if the page is out of date or a key has
no description.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import inspect
import re
import sys
import types
import typing
from pathlib import Path

from speechattn.studies import STUDIES
from speechattn.training.config import RecipeConfig

PAGE = Path(__file__).parent / "recipes.md"
TYPE_NAMES = {int: "integer", float: "number", str: "text", bool: "true or false", tuple: "list"}

HEAD = """\
# Recipe keys

<!-- Written by docs/generate_recipes.py from the dataclasses. Do not edit this page by hand. -->

A recipe is a YAML file. This page lists every key: what it allows, its default and its meaning.
[Train](train.md) says what the stages do with them. Any key can be overridden on the command line,
as `key=value` or `section.key=value`:

    python -m speechattn.recipe kathleen training.steps=400 encoder.window=[24,24]

An unknown key, a wrong type or an impossible value stops the recipe before anything runs. The
message names the key. Two settings are not part of a recipe and are given on the command line only:
`stages` (which stages to run, separated by commas) and `force` (`true` runs them even if nothing
has changed).

Numbers of frames are frames of 10 ms, whatever `encoder.stack` is.
"""

STUDIES_HEAD = """\
## Recipes with a task

A recipe with the key `task` is one of the [studies](studies.md) and has keys of its own. The
sections `front_end`, `encoder`, `augmentation` and, where noted, `training` are the same as above.
"""


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


def as_markdown(text: str) -> str:
    """Turn the reStructuredText of a docstring into Markdown for a table cell."""
    text = re.sub(r":(?:mod|class|func|meth|data|attr):`~?([^`]*)`", r"`\1`", text)
    text = text.replace("``", "`").replace("|", "\\|")
    return text[:1].upper() + text[1:]


def type_name(hint: object) -> str:
    """Return the type of a key in words."""
    options = typing.get_args(hint)
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        names = [type_name(option) for option in options if option is not type(None)]
        return " or ".join([*names, *(["null"] if type(None) in options else [])])
    return TYPE_NAMES[typing.get_origin(hint) or hint]


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
    return [option for option in options if dataclasses.is_dataclass(option)]


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
            kind = f", kind `{cls.kind}`" if len(classes) > 1 else ""
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


def missing_descriptions() -> list[str]:
    """Return the keys, as ``Class.key``, that have no description."""
    return [
        f"{table.cls.__module__}.{table.cls.__name__}.{field.name}"
        for table in all_tables()
        for field, _ in fields_of(table.cls, sections=False)
        if not attribute_descriptions(table.cls).get(field.name)
    ]


def keys_text(table: Table) -> str:
    """Return the table of the keys of a section, and the list of its own sections."""
    descriptions = attribute_descriptions(table.cls)
    lines = ["| key | allowed | default | meaning |", "|---|---|---|---|"]
    for field, hint in fields_of(table.cls, sections=False):
        meaning = as_markdown(descriptions.get(field.name, ""))
        default = yaml_value(getattr(table.defaults, field.name))
        lines.append(f"| `{field.name}` | {allowed(field, hint)} | `{default}` | {meaning} |")
    if sections := fields_of(table.cls, sections=True):
        lines += ["", "Sections with keys of their own:", ""]
    for field, _ in sections:
        meaning = descriptions.get(field.name, "")
        lines.append(f"- `{field.name}`{': ' if meaning else ''}{as_markdown(meaning)}")
    return "\n".join(lines)


def page() -> str:
    """Return the whole page."""
    parts = [HEAD]
    for table in all_tables():
        if table.title.startswith("Task") and STUDIES_HEAD not in parts:
            parts.append(STUDIES_HEAD)
        level = "###" if table.title.startswith("Task") else "##"
        described = sys.modules[table.cls.__module__] if table.is_study else table.cls
        intro = as_markdown(inspect.getdoc(described).split("\n\n")[0].replace("\n", " "))
        parts.append(f"{level} {table.title}\n\n{intro}\n\n{keys_text(table)}\n")
    return "\n".join(parts)


def main() -> int:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description="Write the list of all recipe keys.")
    parser.add_argument("--check", action="store_true", help="only say whether it is out of date")
    arguments = parser.parse_args()
    if missing := missing_descriptions():
        print(f"no description in the docstring: {', '.join(missing)}", file=sys.stderr)
        return 1
    if not arguments.check:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page():
        print(f"{PAGE.name} is out of date; run python docs/generate_recipes.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
