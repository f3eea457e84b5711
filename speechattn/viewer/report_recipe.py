"""The report of a run of the recipe, from the files in its work folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from speechattn.errors import UsageError
from speechattn.text import length_of_time
from speechattn.viewer.report_data import ReportData, read_json

HISTORY, SCORES, DETAILS = "train/history.json", "evaluate/scores.json", "evaluate/details.json"
EVALUATE = "run the recipe again with stages=evaluate force=true"
# Pictures of the window benchmark, in a folder of its own or in one named after it.
WINDOW_PICTURES = {
    "accuracy-window.png": "accuracy by window",
    "accuracy-cost.png": "accuracy by cost",
    "memory-length.png": "memory by length",
}


def is_recipe_folder(folder: Path) -> bool:
    """Return whether a folder is the work folder of a recipe, perhaps without results."""
    return any((folder / name).exists() for name in (HISTORY, SCORES, "stamps.json", "prepared"))


def window_pictures(folder: Path) -> list[tuple[Path, str]]:
    """Return the pictures of the window benchmark in a folder, or in its folder ``windows``."""
    places = [folder, folder / "windows"]
    return [
        (place / name, title)
        for place in places
        for name, title in WINDOW_PICTURES.items()
        if (place / name).is_file()
    ]


def recipe_data(folder: Path) -> ReportData:
    """Read the results of a recipe.

    Args:
        folder: its work folder.

    Raises:
        UsageError: if it has no results yet, or they cannot be read.
    """
    history, scores = read_json(folder / HISTORY), read_json(folder / SCORES)
    details, model = read_json(folder / DETAILS), read_json(folder / "model/config.json")
    if history is None and scores is None:
        raise UsageError(
            f"{folder}: this run has no results yet (no {HISTORY}, no {SCORES}); let the recipe "
            "come to its end: run it again, it goes on where it stopped"
        )
    try:
        data = ReportData((model or {}).get("name") or folder.resolve().name)
        if history is not None:
            data.history = [_checked(row) for row in history["history"]]
            data.facts += _training_facts(history)
        if scores is None:
            data.notes.append(f"The model has not been evaluated yet; {EVALUATE}.")
        else:
            overall = scores["overall"]
            data.scores = scores
            minutes = length_of_time(overall["frames"] / scores["frames_per_second"])
            data.facts.append(("test sets", f"{overall['utterances']} utterances, {minutes}"))
            if details is None:
                data.notes.append(
                    "This run was evaluated by an earlier version: confusions, durations and "
                    f"utterances are missing; {EVALUATE}."
                )
        if details is not None and scores is not None:
            data.details, data.confusions = details, details.get("confusions")
        if model is not None:
            data.facts += _model_facts(model)
        data.pictures = window_pictures(folder)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(
            f"{folder}: its results cannot be understood ({error!r}); {EVALUATE}"
        ) from None
    return data


def _checked(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the history.

    Raises:
        TypeError: if it is none, or a value of it is no number.
    """
    for name, value in row.items():
        if not (value is None or isinstance(value, (int, float))):
            raise TypeError(f"{name} is {value!r} in its history")
    return row


def _training_facts(history: dict[str, Any]) -> list[tuple[str, str]]:
    facts = [
        ("training", f"{history['steps']:,} steps in {length_of_time(history['seconds'])}"),
        ("training data", length_of_time(history["frames"] / 100)),
    ]
    if "best_step" in history:
        facts.append(("best step", f"{history['best_step']:,}"))
    return facts


def _model_facts(model: dict[str, Any]) -> list[tuple[str, str]]:
    encoder, facts = model.get("encoder") or {}, []
    parts = [
        f"{name} {value}"
        for name, value in encoder.items()
        if name in ("kind", "width", "heads", "blocks", "window", "feedforward") and value
    ]
    if parts:
        facts.append(("encoder", ", ".join(parts)))
    names = (model.get("phones") or {}).get("names")
    if names:
        facts.append(("phones", f"{len(names)}, silence included"))
    return facts
