"""``python -m speechattn.recipe``: its arguments, messages and exit status."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Sequence

from speechattn.cli.messages import print_line, report
from speechattn.errors import ConfigError, SpeechattnError, UsageError
from speechattn.studies import STUDIES, StudyConfigs
from speechattn.training.config import RecipeConfig
from speechattn.training.recipe import STAGES, Recipe, first_passes
from speechattn.training.recipe_file import read_config

PROGRAM = "speechattn.recipe"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; those of the process if None.

    Returns:
        Exit status: 0 done, 1 a stage failed, 2 wrong usage, 130 interrupted.
    """
    parser = argparse.ArgumentParser(
        prog="python -m speechattn.recipe",
        description="Prepare, train, evaluate, transcribe and report, as a recipe says. Recipes "
        f"that name a task ({', '.join(STUDIES)}) train and compare models of other things.",
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
        recipe = read_config(config, overrides, kinds=StudyConfigs())
        if isinstance(recipe, RecipeConfig):
            run = _phone_recipe(config, recipe, names or STAGES, force)
        elif names:
            raise ConfigError("stages: for recipes of phones, this one has a task; leave it out")
        else:
            study = sys.modules[type(recipe).__module__]
            run = functools.partial(study.run, recipe, force, print_line)
    except SpeechattnError as error:
        report(f"error: {error}", PROGRAM)
        return 2
    try:
        run()
    except UsageError as error:
        report(f"error: {error}", PROGRAM)
        return 2
    except (SpeechattnError, OSError) as error:
        report(f"error: {error}", PROGRAM)
        return 1
    except KeyboardInterrupt:
        report("interrupted; the same command goes on from here", PROGRAM)
        return 130
    return 0


def _phone_recipe(
    source: str | None, config: RecipeConfig, names: Sequence[str], force: bool
) -> Callable[[], None]:
    """Check a recipe for phones and return the function that runs its stages."""
    recipe = Recipe(config, print_line)
    passes = [Recipe(first, print_line) for first in first_passes(source, config)]

    def run() -> None:
        if {"prepare", "train"} & set(names):
            for first in passes:
                print_line(f"first pass, {first.config.name}:")
                first.runner.run(("prepare", "train"))
        if force and "train" in names:
            recipe.training.forget()
        recipe.runner.run(names, force)

    return run


def _stage_arguments(overrides: list[str]) -> tuple[list[str], bool, list[str]]:
    """Split overrides into names of stages (none: all), ``force``, and those of the recipe."""
    names: list[str] = []
    rest: list[str] = []
    force = False
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
