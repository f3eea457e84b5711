"""A small recipe on corpora of tones, which runs in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from support.commands import make_corpus

TABLE = "SIL\t\tsilence\tSIL\nAA\tɑ\tvowel\tAA\nB\tb\tstop\tB\nSH\tʃ\tfricative\tSH\n"
STEPS = 6


def sentences(count: int, seed: int) -> dict[str, list[tuple[str, int]]]:
    """Utterances of about half a second."""
    random = np.random.default_rng(seed)
    made = {}
    for number in range(count):
        phones = random.choice(["AA", "B", "SH"], 4)
        spoken = [(str(phone), int(random.integers(6, 15))) for phone in phones]
        made[f"u{number:02d}"] = [("SIL", 8), *spoken, ("SIL", 9)]
    return made


def write_recipe(folder: Path, **changes) -> Path:
    """A recipe on the corpora ``folder/corpora/tones`` and ``more``, small in every way."""
    values = {
        "name": "tiny",
        "work_dir": str(folder / "work"),
        "corpora": str(folder / "corpora"),
        "train": ["tones/train"],
        "dev": ["tones/dev"],
        "test": ["tones/test", "more/all"],
        "phones": str(folder / "phones.tsv"),
        "transcribe": 2,
        "threads": 1,
        "device": "cpu",
        "front_end": {"num_mel_bins": 20},
        "encoder": {"width": 16, "heads": 2, "feedforward": 32, "blocks": 1, "window": [4, 4]},
        "training": {
            "steps": STEPS,
            "batch_frames": 400,
            "crop_frames": 100,
            "learning_rate": 0.01,
            "warmup_steps": 1,
            "evaluate_every": 2,
            "checkpoint_every": 2,
        },
        "decoding": {"bigram_scale": [1.0], "prior_scale": [0.0], "insertion_penalty": [0.0, 1.0]},
        **changes,
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def make_corpora(folder: Path) -> None:
    """The corpora ``tones`` (12 utterances, in three splits) and ``more`` (2), and their phones."""
    (folder / "phones.tsv").write_text(TABLE, encoding="utf-8")
    utterances = sentences(12, 0)
    tones = make_corpus(folder / "corpora" / "tones", utterances)
    names = list(utterances)
    (tones / "splits").mkdir()
    for split, part in (("train", names[:8]), ("dev", names[8:10]), ("test", names[10:])):
        (tones / "splits" / split).write_text("".join(f"{name}\n" for name in part))
    make_corpus(folder / "corpora" / "more", sentences(2, 1))
