"""A recipe run as a user runs it, and what it said and wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

import speechattn
import speechattn.training.decoding
import speechattn.training.report
import speechattn.training.train_stage
from speechattn.cli.recipe import main
from support.commands import make_corpus
from support.recipes import sentences, write_recipe

IMPORT_FROM = str(Path(speechattn.__file__).resolve().parent.parent)
STAGES = ("prepare", "train", "evaluate", "transcribe", "report")
SKIPPED = [f"{name}: up to date, skipped" for name in STAGES]


def process(program: Sequence[str], folder: Path) -> subprocess.CompletedProcess:
    """Run Python in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": IMPORT_FROM, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *program],
        check=False,
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
    )


def stages(capsys) -> list[str]:
    """The lines that say what was run or skipped since the last call."""
    out = capsys.readouterr().out.splitlines()
    return [line for line in out if line.split(":")[0] in STAGES]


def history(work: Path) -> list[dict]:
    return json.loads((work / "train/history.json").read_text())["history"]


def fails(capsys, status: int, *arguments: object) -> str:
    """The one line on standard error with which the command fails."""
    assert main([str(argument) for argument in arguments]) == status
    lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(lines) == 1 and lines[0].startswith("speechattn.recipe: error: ")
    return lines[0]


def make_orders(folder: Path) -> None:
    """A corpus whose phones only a machine has heard, one of them wrongly, and a folder of noise."""
    spoken = sentences(3, 2)
    orders = make_corpus(folder / "corpora/orders", spoken)
    for name in ("phones.ctm", "text"):
        (orders / name).unlink()
    strings = {u: [phone for phone, _ in alignment] for u, alignment in spoken.items()}
    strings["u01"][2] = "AA" if strings["u01"][2] != "AA" else "B"
    lines = [f"{utterance} {' '.join(phones)}\n" for utterance, phones in strings.items()]
    (orders / "phones.machine").write_text("".join(lines))
    (folder / "corpora/noise").mkdir()
    noise = 0.1 * np.random.default_rng(0).standard_normal(8000)
    soundfile.write(folder / "corpora/noise/rain.wav", noise, 16_000)


def write_passes(folder: Path, **changes) -> tuple[Path, Path]:
    """Two recipes, of which the second begins with the model of the first."""
    first = write_recipe(folder, name="first", work_dir=str(folder / "first"), corpora="elsewhere")
    first = first.rename(folder / "first.yaml")
    second = {
        "first_pass": str(first),
        "start_from": str(folder / "first/model"),
        "train": ["tones/train", "orders/all"],
        "realign": ["tones/train", "orders/all"],
        "noise": "noise",
        "augmentation": {"room_probability": 0.5, "silence_probability": 0.2},
        **changes,
    }
    return first, write_recipe(folder, **second)
