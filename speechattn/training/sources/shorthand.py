"""Keys that stand for others: ``corpus`` and ``init``.

They are spelled out when a recipe is read, so that everything behind it sees ``train``, ``dev``,
``test``, ``start_from``, ``front_end`` and ``encoder`` as if they had been written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from speechattn.errors import ConfigError, ModelError
from speechattn.inference.model_files import FORMAT, find_model, read_model_config
from speechattn.text import one_line

HELD_OUT = 0.1  # share of the sentences, for a set that a corpus has no split for
SETS = {"dev": "hold_out", "test": "hold_out_test"}  # set → share that is held out in its place


def spelled_out(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a recipe with what ``corpus`` and ``init`` stand for.

    Args:
        values: of a recipe for phones, of any types; they stay as they are.

    Raises:
        ConfigError: if there is no such corpus or model, or another key says something else.
    """
    values = dict(values)
    if isinstance(values.get("corpus"), str):
        values |= _sets_of_corpus(values)
    if isinstance(values.get("init"), str):
        values |= _shape_of_model(values)
    return values


def _sets_of_corpus(values: dict[str, Any]) -> dict[str, Any]:
    """Return ``corpora`` and the sets of the folder that ``corpus`` names."""
    for key in ("corpora", "train", *SETS):
        if values.get(key):
            raise ConfigError(f"corpus: there is {key} as well; leave one of them out")
    folder = Path(values["corpus"])
    try:
        folder = folder.resolve()
        exists = folder.is_dir()
    except (OSError, ValueError, RuntimeError):
        exists = False
    if not exists:
        raise ConfigError(f"corpus: {one_line(values['corpus'])}: no such folder")
    name = folder.name
    splits = {key for key in ("train", *SETS) if (folder / "splits" / key).is_file()}
    found: dict[str, Any] = {"corpora": str(folder.parent)}
    if "train" not in splits:
        splits = set()  # all of it is for training, so nothing of it can be for another set
    found["train"] = [f"{name}/{'train' if splits else 'all'}"]
    for key, share in SETS.items():
        found[key] = [f"{name}/{key}"] if key in splits else []
        if not found[key] and not values.get(share):
            found[share] = HELD_OUT
    return found


def _shape_of_model(values: dict[str, Any]) -> dict[str, Any]:
    """Return front end, encoder and ``start_from`` of the model that ``init`` names."""
    if values.get("start_from") not in (None, values["init"]):
        raise ConfigError("init: there is start_from as well; leave one of them out")
    config = model_config(values["init"])
    found: dict[str, Any] = {"start_from": values["init"]}
    for key in ("front_end", "encoder"):
        own = values.get(key) or {}
        if not isinstance(own, dict):
            raise ConfigError(f"{key}: {own!r}; it has keys of its own")
        found[key] = {**config.get(key, {}), **own}
    return found


def model_config(name: str) -> dict[str, Any]:
    """Return the configuration of the model that ``init`` names.

    Raises:
        ConfigError: if there is none, or it cannot be read.
    """
    try:
        return read_model_config(find_model(name), FORMAT)
    except ModelError as error:
        raise ConfigError(f"init: {error}") from None
