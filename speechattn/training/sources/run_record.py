"""What it takes to repeat a training: the whole recipe, versions, and checksums of its data.

``recipe.yaml`` holds every key with its value; ``speechattn train recipe.yaml`` repeats the run.
``run.json`` holds the rest.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
import platform
import re
import subprocess
import sys
from pathlib import Path

import torch
import yaml

import speechattn
from speechattn.errors import ModelError
from speechattn.files import atomic_write_text
from speechattn.inference.model_files import find_model, model_digest
from speechattn.training.config import RecipeConfig
from speechattn.training.recipe_data import RecipeData

TABLES = ("wav.scp", "segments", "text", "utt2spk", "utt2dur", "phones.ctm", "phones.ctm.gz")
SPELLED_OUT = ("corpus",)  # keys that others stand for in a recipe that was read


def write_run_record(config: RecipeConfig, work: Path, data: RecipeData, processes: int) -> None:
    """Write ``recipe.yaml`` and ``run.json`` to the work folder.

    Args:
        config: recipe.
        work: its work folder.
        data: its data, prepared.
        processes: number of processes that train.
    """
    plain = json.loads(json.dumps(config.to_dict()))  # no tuples
    recipe = {key: value for key, value in plain.items() if key not in SPELLED_OUT}
    text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)
    atomic_write_text(
        work / "recipe.yaml", f"# Written by speechattn {speechattn.__version__}.\n{text}"
    )
    record = {
        "speechattn": speechattn.__version__,
        "command": sys.argv,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seed": config.seed,
        "processes": processes,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": _packages(),
        "git": _commit(Path(speechattn.__file__).parent),
        "start_from": _model(config.start_from),
        "teacher": _model(config.teacher),
        "corpora": _corpora(config, data),
        "prepared": {
            name: {"digest": prepared.digest, "frames": prepared.num_frames}
            for name in ("train", "dev", "test")
            for prepared in [data.prepared(name)]
        },
    }
    atomic_write_text(work / "run.json", json.dumps(record, indent=1) + "\n")


def _packages() -> dict[str, str]:
    """Versions of what the package needs, as far as it is installed."""
    try:
        needed = importlib.metadata.requires("speechattn") or []
    except importlib.metadata.PackageNotFoundError:
        needed = []
    versions = {}
    for line in needed:
        name = re.split(r"[^\w.-]", line, maxsplit=1)[0]
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return dict(sorted(versions.items()))


def _commit(folder: Path) -> str | None:
    """The commit of the repository of a folder, with ``+`` after changes; None without one."""
    try:
        said = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty=+"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip() or None


def _model(name: str | None) -> dict[str, str] | None:
    """A model that training begins with or learns from, and its checksum."""
    if name is None:
        return None
    try:
        return {"name": name, "sha256": model_digest(find_model(name))}
    except ModelError:
        return {"name": name}


def _corpora(config: RecipeConfig, data: RecipeData) -> dict[str, dict[str, str]]:
    """SHA-256 of the tables and splits of every corpus; the audio is in the prepared digests."""
    found: dict[str, dict[str, str]] = {}
    for entry in dict.fromkeys((*config.train, *config.dev, *config.test)):
        name, split = entry.split("/")
        folder = data.corpora / name
        for file in (*TABLES, f"splits/{split}"):
            if (folder / file).is_file():
                content = hashlib.sha256((folder / file).read_bytes()).hexdigest()
                found.setdefault(name, {})[file] = content
    return found
