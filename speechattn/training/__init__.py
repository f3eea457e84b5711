"""Recipes: prepare, train, evaluate, transcribe and report, each stage once.

Read ``recipe.py`` first, then ``trainer.py``; every key of a recipe is in ``config.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechattn.lazy import lazy_names

if TYPE_CHECKING:
    from speechattn.training.config import RecipeConfig as RecipeConfig
    from speechattn.training.recipe import Recipe as Recipe
    from speechattn.training.recipe_file import read_config as read_config

__all__ = ["Recipe", "RecipeConfig", "read_config"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "RecipeConfig": "config",
        "read_config": "recipe_file",
        "Recipe": "recipe",
    },
)
