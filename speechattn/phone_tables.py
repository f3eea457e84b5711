"""What the phones of one set become in another.

The tables ``data/phones_NAME.tsv`` say it: a column named after another phone set holds what each
phone becomes in that set. Three things can stand there:

- a label of the other set;
- ``A+B+C``: a closure; it is A by itself, and part of an A, B or C that follows at once;
- ``<``: part of the phone before it.
"""

from __future__ import annotations

from pathlib import Path

from speechattn.errors import ConfigError
from speechattn.phones import PhoneSet, phone_set

PART_OF_PREVIOUS = "<"
Rule = tuple[str, ...]  # label, and those that it is part of where they follow


def read_rules(table: Path, target: str, phones: PhoneSet) -> dict[str, Rule]:
    """What each phone of a table becomes in another set; nothing if no column says so.

    Args:
        table: of the corpus's own labels.
        target: name of the other set.
        phones: the other set.

    Raises:
        ConfigError: if the table cannot be read, or a line names no label of the other set.
    """
    own = phone_set(table)
    rules: dict[str, Rule] = {}
    column: int | None = None
    lines = table.read_text(encoding="utf-8-sig").splitlines()
    for number, line in enumerate(lines, 1):
        columns = line.split("\t")
        if line.startswith("#"):
            names = [name.strip() for name in columns]
            column = names.index(target) if names[0] == "# phone" and target in names else column
            continue
        if column is None or not line.strip():
            continue
        written = columns[column].strip() if column < len(columns) else ""
        rule = tuple(part for part in written.split("+") if part)
        if written.endswith("+"):
            rule = (*rule, rule[0]) if rule else rule
        elif len(rule) > 1:
            rule = (*rule, rule[0])
        unknown = [part for part in rule if part not in phones.index and part != PART_OF_PREVIOUS]
        if not rule or unknown:
            raise ConfigError(
                f"{table}:{number}: {columns[0]}: {written!r} under {target} is no label of that "
                "phone set; every phone needs one"
            )
        rules[columns[0]] = rule
    if rules and set(rules) != set(own.names):
        raise ConfigError(f"{table}: some phones stand above the line that names the columns")
    return rules
