"""Small corpora in the forms in which they are published, made of tones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000  # Hz
Tier = Sequence[tuple[str, float, float]]  # label, start and end in seconds


def write_tone(path: Path, seconds: float = 1.0, *, format: str | None = None, **options) -> Path:
    """A sound file of one tone; its format is that of its name unless it is said."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * RATE)) / RATE
    samples = (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    soundfile.write(path, samples, RATE, format=format, **options)
    return path


def write_text(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def textgrid(tiers: dict[str, Tier], end: float = 1.0, *, short: bool = False) -> str:
    """A TextGrid as Praat writes it, long or short."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    lines += [f"{'' if short else 'xmin = '}0", f"{'' if short else 'xmax = '}{end}"]
    lines += ["<exists>" if short else "tiers? <exists>"]
    lines += [f"{'' if short else 'size = '}{len(tiers)}"] + ([] if short else ["item []:"])
    for number, (name, intervals) in enumerate(tiers.items(), 1):
        if short:
            lines += ['"IntervalTier"', f'"{name}"', "0", f"{end}", f"{len(intervals)}"]
        else:
            lines += [f"    item [{number}]:", '        class = "IntervalTier"']
            lines += [f'        name = "{name}"', "        xmin = 0", f"        xmax = {end}"]
            lines += [f"        intervals: size = {len(intervals)}"]
        for i, (label, start, stop) in enumerate(intervals, 1):
            label = label.replace('"', '""')
            if short:
                lines += [f"{start}", f"{stop}", f'"{label}"']
            else:
                lines += [f"        intervals [{i}]:", f"            xmin = {start}"]
                lines += [f"            xmax = {stop}", f'            text = "{label}"']
    return "\n".join(lines) + "\n"


# "the cat" in the labels of MFA's English (ARPA) models.
CAT_WORDS = [("", 0, 0.2), ("the", 0.2, 0.4), ("cat", 0.4, 0.8), ("", 0.8, 1.0)]
CAT_PHONES = [
    ("", 0, 0.2), ("DH", 0.2, 0.3), ("AH0", 0.3, 0.4), ("K", 0.4, 0.5), ("AE1", 0.5, 0.7),
    ("T", 0.7, 0.8), ("", 0.8, 1.0),
]  # fmt: skip
CAT_LABELS = ["SIL", "DH", "AH", "K", "AE", "T", "SIL"]


def labels(utterance) -> list[str]:
    return [segment.label for segment in utterance.alignment]
