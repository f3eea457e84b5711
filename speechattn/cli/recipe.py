"""What ``speechattn train`` and ``python -m speechattn.recipe`` do."""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from speechattn.cli.messages import FAILED, INTERRUPTED, NOT_DONE, OK, print_line, report
from speechattn.cli.train import DESCRIPTION, EPILOG, add_arguments
from speechattn.errors import ConfigError, SpeechattnError, UsageError
from speechattn.studies import StudyConfigs
from speechattn.text import counted
from speechattn.training.config import RecipeConfig
from speechattn.training.recipe import STAGES, Recipe, first_passes
from speechattn.training.recipe_file import packaged_recipes, read_config
from speechattn.training.recipe_problems import COMMAND_LINE, recipe_problems
from speechattn.training.sources.recipe_check import check_recipe
from speechattn.training.updates.process_group import join_processes, leave_processes
from speechattn.training.work_folder import at_work

if TYPE_CHECKING:
    from speechattn.studies.trials import StudyConfig

PROGRAM = "speechattn.recipe"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command under the name ``python -m speechattn.recipe``.

    Args:
        argv: arguments without the program's name; those of the process if None.

    Returns:
        Exit status, as :mod:`speechattn.cli.train` lists them.
    """
    parser = argparse.ArgumentParser(
        prog="python -m speechattn.recipe", description=DESCRIPTION, epilog=EPILOG
    )
    add_arguments(parser)
    return run(parser.parse_intermixed_args(argv), PROGRAM)


def run(arguments: argparse.Namespace, program: str = "speechattn") -> int:
    """Run the command.

    Args:
        arguments: as :func:`speechattn.cli.train.add_arguments` has them.
        program: name that messages begin with.

    Returns:
        Exit status.
    """
    try:
        work = _chosen_work(arguments)
    except SpeechattnError as error:
        report(f"error: {error}", program)
        return NOT_DONE
    try:
        return work() or OK
    except UsageError as error:
        report(f"error: {error}", program)
        return NOT_DONE
    except (SpeechattnError, OSError) as error:
        report(f"error: {error}", program)
        return FAILED
    except KeyboardInterrupt:
        report("interrupted; the same command goes on from here", program)
        return INTERRUPTED


def _chosen_work(arguments: argparse.Namespace) -> Callable[[], int | None]:
    """Return the function that does what is asked for and returns the exit status.

    Raises:
        SpeechattnError: if the arguments or the recipe cannot be used.
    """
    config, overrides = arguments.recipe, list(arguments.overrides)
    if config and "=" in config:
        config, overrides = None, [config, *overrides]
    if arguments.list:
        return _list_recipes
    if arguments.keys is not None:
        return functools.partial(_list_keys, arguments.keys or None)
    names, force, overrides = _stage_arguments(overrides)
    if arguments.check:
        return functools.partial(_check, config, overrides)
    recipe = read_config(config, overrides, StudyConfigs(), COMMAND_LINE)
    if isinstance(recipe, RecipeConfig):
        return _phone_recipe(config, recipe, names or STAGES, force)
    if names:
        raise ConfigError("stages: for recipes of phones, this one has a task; leave it out")
    study = sys.modules[type(recipe).__module__]
    return functools.partial(study.run, recipe, force, print_line)


def _list_recipes() -> None:
    """Print the recipes that come with the package, one a line."""
    recipes = packaged_recipes()
    width = max(map(len, recipes))
    for name, summary in recipes.items():
        print_line(f"{name:{width}}  {summary}")


def _list_keys(section: str | None) -> None:
    """Print the keys of all sections, or of one."""
    from speechattn.cli.recipe_keys import keys_text

    print_line(keys_text(section))


def _check(source: str | None, overrides: Sequence[str]) -> int:
    """Print everything that is wrong with a recipe and its corpora, one line each.

    Raises:
        UsageError: if the recipe cannot be read at all.
    """
    try:
        problems = recipe_problems(source, overrides, StudyConfigs())
    except ConfigError as error:
        raise UsageError(str(error)) from None
    for problem in problems:
        print_line(problem)
    if problems:
        report(f"{counted(len(problems), 'problem')} in the recipe; its corpora were not looked at")
        return NOT_DONE
    recipe = read_config(source, overrides, StudyConfigs(), COMMAND_LINE)
    if not isinstance(recipe, RecipeConfig):
        return _check_study(recipe)
    try:
        first_passes(source, recipe)
    except ConfigError as error:  # of the recipe that is run before
        print_line(str(error))
        report("1 problem in the first pass; its corpora were not looked at")
        return NOT_DONE
    found = check_recipe(recipe)
    for problem in found.problems:
        print_line(problem)
    for line in found.summary:
        report(line)
    report(counted(len(found.problems), "problem"))
    return FAILED if found.problems else OK


def _check_study(config: StudyConfig) -> int:
    """Print what a study would refuse at once.

    Raises:
        UsageError: if a package that it needs is not installed.
    """
    try:
        sys.modules[type(config).__module__].check_data(config)
    except UsageError:
        raise
    except SpeechattnError as error:
        print_line(str(error))
        report("1 problem")
        return FAILED
    report(f"0 problems in the recipe of a study ({type(config).__module__.rpartition('.')[2]})")
    return OK


def _phone_recipe(
    source: str | None, config: RecipeConfig, names: Sequence[str], force: bool
) -> Callable[[], None]:
    """Check a recipe for phones and return the function that runs its stages."""
    group = join_processes()
    say = print_line if group.is_first else _nothing
    recipe = Recipe(config, say, group)
    passes = [Recipe(first, say, group) for first in first_passes(source, config)]

    def run() -> None:
        if {"prepare", "train"} & set(names):
            for first in passes:
                say(f"first pass, {first.config.name}:")
                first.runner.run(("prepare", "train"))
        with at_work(recipe.work) if force else contextlib.nullcontext():
            if force and "train" in names:
                recipe.training.forget()
            recipe.runner.run(names, force)
        group.from_first(lambda: None)  # nothing more to train
        leave_processes()

    def help_out() -> None:
        by_folder = {str(each.work): each for each in (*passes, recipe)}
        while (folder := group.from_first(lambda: None)) is not None:
            by_folder[folder].training.help_out()
        leave_processes()

    return run if group.is_first else help_out


def _nothing(_line: str) -> None:
    """Say nothing: process 0 says it."""


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
