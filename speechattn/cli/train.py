"""The command ``speechattn train``; ``python -m speechattn.recipe`` is the same.

Exit status: 0 done, 1 a stage failed or ``--check`` found problems in what the recipe names, 2
wrong usage, a recipe that cannot be used, also with ``--check``, or a work folder that cannot be
written or where another training is at work, 130 interrupted (the same command goes on from there).
"""

from __future__ import annotations

import argparse

HELP = "train a model as a recipe says"
DESCRIPTION = (
    "Prepare, train, evaluate, transcribe and report, as a recipe says. The same command goes on "
    "where it was interrupted. Recipes with a task train and compare models of other things."
)
EPILOG = (
    "Everything a recipe holds can be overridden: training.steps=500, seed=1 … Two settings stand "
    "on the command line only: stages=train,evaluate runs these alone, force=true runs them even "
    "if nothing has changed. "
    "Exit status: 0 done, or --check found nothing, 1 a stage failed, or --check found problems in "
    "the corpora or models that the recipe names, 2 wrong arguments, a recipe that cannot be used, "
    "or a work_dir where another training is at work, 130 interrupted (the same command goes on "
    "from there)."
)


def add_train(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser("train", help=HELP, description=DESCRIPTION, epilog=EPILOG)
    add_arguments(parser)
    parser.set_defaults(run=run_train)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.add_argument(
        "recipe",
        nargs="?",
        metavar="RECIPE",
        help="a YAML file, or the name of a recipe that comes with the package (default: default)",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="see --keys")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--list", action="store_true", help="list the recipes that come with the package, and leave"
    )
    instead.add_argument(
        "--keys",
        nargs="?",
        const="",
        metavar="SECTION",
        help="list every key with its type, default and meaning, or those of one section such as "
        "training, or one key such as training.steps, and leave",
    )
    instead.add_argument(
        "--check",
        action="store_true",
        help="list everything that is wrong with the recipe and its corpora, and train nothing",
    )


def run_train(arguments: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    from speechattn.cli import recipe

    return recipe.run(arguments)
