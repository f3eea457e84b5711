"""The release stage of a recipe: the trained model as it comes with the package.

Weights are stored in 8 bits where the model knows the ranges of what they are multiplied with, and in
16 elsewhere. The model card is a text with a line ``{{name}}`` where the table ``name.md`` of the run belongs.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import torch

from speechattn.errors import ConfigError
from speechattn.files import atomic_write_text
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.model_files import CARD

TABLE = re.compile(r"^\{\{(\w+)\}\}$", re.MULTILINE)
HISTORY = "history.json"


def release(work: Path, folder: Path, card: Path | None) -> None:
    """Write a run's model, its figures and its card to ``folder``.

    Args:
        work: work folder of the recipe.
        folder: is replaced if it holds a model.
        card: the text of the card; None for none.

    Raises:
        ConfigError: if the card is missing, or names a table that the run has not.
        ModelError: if the folder holds something else.
    """
    text = None if card is None else _filled(card, work / "evaluate")
    Checkpoint.load(work / "model").save(folder, dtype=torch.int8)
    shutil.copyfile(work / "train" / HISTORY, folder / HISTORY)
    if text is not None:
        atomic_write_text(folder / CARD, text)


def _filled(card: Path, tables: Path) -> str:
    """The text of a card with its tables."""

    def table(match: re.Match) -> str:
        path = tables / f"{match[1]}.md"
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(f"card: {card}: {match[0]}: {path}: {error.strerror}") from None

    try:
        text = card.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"card: {card}: cannot be read ({error})") from None
    return TABLE.sub(table, text)
