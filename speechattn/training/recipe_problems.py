"""Everything that is wrong with a recipe file, not only what is found first.

A config checks itself when it is made, and says the first thing that is wrong. Here this key is
replaced or taken out, and the config is made again, until nothing is found.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from speechattn.errors import ConfigError
from speechattn.text import one_line
from speechattn.training.recipe_file import (
    build_recipe,
    find_config,
    is_overridden,
    key_of,
    override_value,
    recipe_values,
)

COMMAND_LINE = "command line"  # where overrides stand
MOST_PROBLEMS = 50  # that are listed of one recipe
# Key → keys of which one that is at fault makes it so too, so that it is no problem of its own.
CONSEQUENCES = {
    "train": ("corpus",),
    "dev": ("corpus",),
    "test": ("corpus",),
    "realign": ("train", "init", "start_from", "teacher"),
    "keep_times_ms": ("reductions",),
    "training.start_share": ("init", "start_from"),
    "training.teacher_weight": ("teacher",),
    "training.batch_frames": ("training.crop_frames",),
    "training.windows": ("encoder", "encoder.kind", "encoder.any_window", "encoder.window"),
    "encoder.heads": ("encoder.width",),
    "encoder.window": ("encoder.blocks",),
    "encoder.conv_right": ("encoder.conv_kernel",),
    "encoder.trained_length": ("encoder.positions", "training.crop_frames", "augmentation.speed"),
    "encoder.reach": ("encoder.positions",),
    "encoder.dilations": ("encoder.kernels",),
    "encoder.right": ("encoder.kernels",),
    "encoder.delay": ("encoder.bidirectional",),
    "decoding.word_triples": ("decoding.word_pairs",),
    "decoding.texts": ("decoding.word_pairs",),
    "decoding.text_weight": ("decoding.transcripts_weight",),
    "decoding.word_pairs": ("decoding.ngram_order",),
    "decoding.english_words": ("decoding.ngram_order",),
}
# Key → a value in place of one that is at fault, with which the other keys can be looked at; others
# are taken out.
STAND_INS: dict[str, Any] = {
    "train": ["-/train"],
    "dev": ["-/dev"],
    "test": ["-/test"],
    "hold_out": 0.1,
    "hold_out_test": 0.1,
    "start_from": "-",
    "encoder.heads": 1,
    "encoder.window": [0, 0],
}


def recipe_problems(
    source: str | Path | None,
    overrides: Sequence[str] = (),
    kinds: Mapping[str, type] | None = None,
) -> list[str]:
    """Return everything that is wrong with a recipe, one line each, with file and line.

    Args:
        source, overrides, kinds: as for :func:`read_config`.

    Raises:
        ConfigError: if it cannot be read at all.
    """
    path = find_config(source)
    values = recipe_values(path)
    problems: list[str] = []
    for override in overrides:
        try:
            override_value(values, override)
        except ConfigError as error:
            problems.append(f"{COMMAND_LINE}: {one_line(str(error))}")
    seen: set[str] = set()
    problem = _problem(values, kinds, overrides)
    while problem is not None and len(problems) < MOST_PROBLEMS:
        key = key_of(problem)
        if seen.isdisjoint(CONSEQUENCES.get(key, ())):
            where = f"{one_line(path)}"
            if is_overridden(key, overrides):
                where = COMMAND_LINE
            elif line := _line_of(path, key.split(".")):
                where = f"{where}:{line}"
            problems.append(f"{where}: {problem}")
        seen.add(key)
        for repaired in _repairs(values, key):
            problem = _problem(repaired, kinds, overrides)
            if problem is None or key_of(problem) not in seen:
                values = repaired
                break
        else:
            break  # what is left depends on this key
    return problems


def _problem(
    values: dict, kinds: Mapping[str, type] | None, overrides: Sequence[str]
) -> str | None:
    """Return the first thing that is wrong with the values of a recipe, in one line."""
    try:
        build_recipe(values, kinds, overrides)
    except ConfigError as error:
        return one_line(str(error))
    return None


def _repairs(values: dict, key: str) -> Iterator[dict]:
    """Yield copies of the values of a recipe in which a key is no longer at fault, as they may be.

    First the key alone is replaced or taken out. Where its fault is that it does not go with
    another one, which may be a default, others of its section are taken out as well, and then all
    of it.
    """
    section, _, last = key.rpartition(".")
    repaired = []
    if key in STAND_INS:
        repaired.append(copy.deepcopy(values))
        inner = repaired[0].setdefault(section, {}) if section else repaired[0]
        if isinstance(inner, dict):
            inner[last] = STAND_INS[key]
    repaired.append(copy.deepcopy(values))
    _remove(repaired[-1], key.split("."))
    yield from repaired
    others = values.get(section) if section else values
    for one in repaired:
        for other in others if isinstance(others, dict) else ():
            if other != last:
                fewer = copy.deepcopy(one)
                _remove(fewer, [*([section] if section else []), other])
                yield fewer
    if section in values:
        yield {name: value for name, value in values.items() if name != section}


def _remove(values: dict, keys: Sequence[str]) -> None:
    """Take a key out of the values of a recipe, if it is there."""
    *sections, last = keys
    for section in sections:
        inner = values.get(section)
        if not isinstance(inner, dict):
            return
        values[section] = values = dict(inner)  # a copy: two keys may be aliases of one mapping
    values.pop(last, None)


def _line_of(path: Path, keys: Sequence[str]) -> int | None:
    """Return the line of a recipe file on which a key stands; None if it has none."""
    node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    line = None
    for key in keys:
        found = [pair for pair in getattr(node, "value", ()) if _names(pair, key)]
        if not found:
            return None
        line, node = found[0][0].start_mark.line + 1, found[0][1]
    return line


def _names(pair: object, key: str) -> bool:
    """Whether a pair of YAML nodes is of this key."""
    return isinstance(pair, tuple) and getattr(pair[0], "value", None) == key
