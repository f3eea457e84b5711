"""Output folders of ``transcribe`` and work folders of recipes, made without a model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from speechattn.evaluation.details import Details
from speechattn.evaluation.scores import Scores
from speechattn.phones import PhoneSet, arpabet
from speechattn.segments import FrameSegment

Phones = list[tuple[str, float, float, float]]  # label, start, end, confidence


def record(file: str, phones: Phones, **changes) -> dict:
    """A line of ``transcripts.jsonl``."""
    keys = ("label", "start", "end", "confidence")
    return {
        "file": file,
        "duration": max(phone[2] for phone in phones),
        "sample_rate": 16000,
        "status": "ok",
        "error": None,
        "kind": None,
        "warnings": [],
        "phones": [dict(zip(keys, phone)) for phone in phones],
        **changes,
    }


def write_batch(folder: Path, records: list[dict], inputs: list[str] = []) -> Path:  # noqa: B006
    """An output folder of ``transcribe``."""
    folder.mkdir(parents=True, exist_ok=True)
    run = {"speechattn": "1", "model": {"name": "m"}, "settings": {}, "inputs": inputs}
    (folder / "run.json").write_text(json.dumps(run))
    lines = "".join(json.dumps(one) + "\n" for one in records)
    (folder / "transcripts.jsonl").write_text(lines, encoding="utf-8")
    return folder


def random_runs(random: np.random.Generator, phones: PhoneSet, count: int) -> list[FrameSegment]:
    """Some phones of random length."""
    runs, end = [], 0
    for _ in range(count):
        start, end = end, end + int(random.integers(2, 20))
        phone = int(random.integers(len(phones)))
        runs.append(FrameSegment(phone, start, end, float(random.random())))
    return runs


def write_recipe_run(folder: Path, audio: Path, utterances: int = 12) -> Path:
    """A work folder of a recipe, as far as a report reads it."""
    phones, random = arpabet(), np.random.default_rng(0)
    scores, details = Scores(phones), Details(phones)
    for number in range(utterances):
        reference = random_runs(random, phones, 20)
        found = [
            FrameSegment(run.phone if number % 4 else (run.phone + 1) % 40, run.start, run.end, 0.5)
            for run in reference
        ]
        where = {"speaker": f"s{number % 3}", "corpus": "<b>c</b>"}
        counts = scores.add(reference, found, speaker=where["speaker"], corpus=where["corpus"])
        span = {"path": str(audio), "start": 0.2, "end": 0.8}
        details.add(reference, found, counts, utterance=f"u{number}", **where, **span)
    rows = [
        {"step": 10, "loss": 3.0, "dev_frame_accuracy": None},
        {"step": 20, "loss": 2.0, "dev_frame_accuracy": 0.5},
    ]
    files = {
        "train/history.json": {"steps": 20, "seconds": 3.0, "frames": 5000, "history": rows},
        "evaluate/scores.json": scores.to_dict(),
        "evaluate/details.json": {
            "confusions": scores.confusions().tolist(), **details.to_dict()
        },
        "model/config.json": {"name": "tiny", "encoder": {"width": 16}},
    }  # fmt: skip
    for name, values in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(values))
    return folder
