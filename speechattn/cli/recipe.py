"""``python -m speechattn.recipe``: arguments of the command, and its exit status."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Sequence

from speechattn.errors import ConfigError, SpeechattnError, UsageError
from speechattn.studies import STUDIES, StudyConfigs
from speechattn.text import one_line
from speechattn.training.config import RecipeConfig
from speechattn.training.recipe import STAGES, Recipe, first_passes
from speechattn.training.recipe_file import read_config


def say(text: str) -> None:
    """One line for the user, at once, after whatever progress bar was there."""
    print(text, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status: 0 done, 1 a stage failed, 2 wrong usage."""
    parser = argparse.ArgumentParser(
        prog="python -m speechattn.recipe",
        description="Prepare, train, evaluate, transcribe and report, as a recipe says. Recipes that "
        f"name a task ({', '.join(STUDIES)}) train and compare models of other things.",
        epilog="Everything a recipe holds can be overridden: training.steps=500, seed=1 …",
    )
    parser.add_argument(
        "config",
        nargs="?",
        help="a YAML file, or the name of a recipe that comes with the package (default: default)",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="see the recipe's keys")
    arguments = parser.parse_args(argv)
    config, overrides = arguments.config, list(arguments.overrides)
    if config and "=" in config:
        config, overrides = None, [config, *overrides]
    try:
        names, force, overrides = _stage_arguments(overrides)
        held = read_config(config, overrides, kinds=StudyConfigs())
        if isinstance(held, RecipeConfig):
            run = _phone_recipe(config, held, names or STAGES, force)
        elif names:
            raise ConfigError("stages: for recipes of phones, this one has a task; leave it out")
        else:
            run = functools.partial(sys.modules[type(held).__module__].run, held, force, say)
    except SpeechattnError as error:
        print(f"speechattn.recipe: error: {one_line(str(error))}", file=sys.stderr)
        return 2
    try:
        run()
    except UsageError as error:
        print(f"speechattn.recipe: error: {one_line(str(error))}", file=sys.stderr)
        return 2
    except (SpeechattnError, OSError) as error:
        print(f"speechattn.recipe: error: {one_line(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("speechattn.recipe: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _phone_recipe(
    source: str | None, config: RecipeConfig, names: Sequence[str], force: bool
) -> Callable[[], None]:
    """What runs the stages of a recipe for phones, all of it checked before."""
    recipe = Recipe(config, say)
    passes = [Recipe(first, say) for first in first_passes(source, config)]

    def run() -> None:
        if {"prepare", "train"} & set(names):
            for first in passes:
                say(f"first pass, {first.config.name}:")
                first.runner.run(("prepare", "train"))
        if force and "train" in names:
            recipe.training.forget()
        recipe.runner.run(names, force)

    return run


def _stage_arguments(overrides: list[str]) -> tuple[list[str], bool, list[str]]:
    """Take ``stages=`` (none: all) and ``force=`` out; they are not part of a recipe."""
    names, force, rest = [], False, []
    for override in overrides:
        key, _, value = override.partition("=")
        if key == "stages":
            names = value.split(",")
            for name in names:
                if name not in STAGES:
                    raise ConfigError(f"stages: {name!r}; the stages are {', '.join(STAGES)}")
        elif key == "force":
            if value not in ("true", "false"):
                raise ConfigError(f"force: {value!r}; true or false")
            force = value == "true"
        else:
            rest.append(override)
    return names, force, rest
