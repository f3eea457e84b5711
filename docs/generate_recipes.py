"""Write ``docs/recipes.md``, the list of all recipe keys, from the dataclasses that hold them.

    python docs/generate_recipes.py           # write the page
    python docs/generate_recipes.py --check   # exit 1 if the page is out of date

The keys are those of :mod:`speechattn.cli.recipe_keys`. A test fails if the page is out of date or
a key has no description.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from pathlib import Path

from speechattn.cli.recipe_keys import (
    Table,
    all_tables,
    allowed,
    attribute_descriptions,
    fields_of,
    yaml_value,
)

PAGE = Path(__file__).parent / "recipes.md"

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


def as_markdown(text: str) -> str:
    """Turn the reStructuredText of a docstring into Markdown for a table cell."""
    text = re.sub(r":(?:mod|class|func|meth|data|attr):`~?([^`]*)`", r"`\1`", text)
    text = text.replace("``", "`").replace("|", "\\|")
    return text[:1].upper() + text[1:]


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
