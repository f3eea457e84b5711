"""Small corpora and prepared sets, made on the spot from tones and from numbers that say what they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from speechattn.corpora.prepared import PreparedSet
from speechattn.phones import PhoneSet
from support.labels import segments_from_labels

RATE = 16_000  # Hz
SMALL_RECIPE = "train: [c/train]\ndev: [c/dev]\ntest: [c/test]\n"
PHONES = PhoneSet(("SIL", "AA", "B", "SH"))
HERTZ = {"AA": 700.0, "B": 1500.0, "SH": 4000.0}  # what the phones of made recordings sound like


def tones(alignment: Sequence[tuple[str, int]], seed: int = 0) -> np.ndarray:
    """Samples of (phone, 10 ms frames) pairs: a tone each over faint noise; silence is the noise."""
    count = 160 * sum(frames for _, frames in alignment)
    samples = 1e-3 * np.random.default_rng(seed).standard_normal(count)
    start = 0
    for phone, frames in alignment:
        time = np.arange(160 * frames) / RATE
        if phone in HERTZ:
            samples[start : start + len(time)] += 0.3 * np.sin(2 * np.pi * HERTZ[phone] * time)
        start += len(time)
    return samples.astype(np.float32)


def make_corpus(folder: Path, utterances: dict[str, Sequence[tuple[str, int]]]) -> Path:
    """A corpus folder: utterance id → its (phone, 10 ms frames) pairs; no ``utt2dur``."""
    (folder / "audio").mkdir(parents=True)
    scp, text, speakers, ctm = [], [], [], []
    for number, (name, alignment) in enumerate(utterances.items()):
        soundfile.write(folder / "audio" / f"{name}.wav", tones(alignment, number), RATE)
        scp.append(f"{name} audio/{name}.wav")
        text.append(f"{name} SENTENCE {number}")
        speakers.append(f"{name} s{number % 2}")
        start = 0
        for phone, frames in alignment:
            ctm.append(f"{name} 1 {start / 100:.2f} {frames / 100:.2f} {phone}")
            start += frames
    files = {"wav.scp": scp, "text": text, "utt2spk": speakers, "phones.ctm": ctm}
    for name, lines in files.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    return folder


def make_prepared(
    folder: Path,
    utterances: Sequence[tuple[np.ndarray, Sequence[int]]],
    phones: Sequence[str] | None = None,
) -> PreparedSet:
    """A prepared set written by hand: frames, shape (frames, dim), and labels of each utterance.

    Without phones it is of an early version, which did not name them.
    """
    folder.mkdir(parents=True)
    entries, runs, first = [], [], 0
    for number, (frames, labels) in enumerate(utterances):
        assert len(frames) == len(labels) > 0
        rows = [(s.phone, s.start, s.end) for s in segments_from_labels(labels)]
        entries.append(
            {
                "id": f"u{number}",
                "speaker": "s",
                "corpus": "c",
                "path": f"u{number}.wav",
                "first": first,
                "frames": len(labels),
                "first_run": len(runs),
                "runs": len(rows),
            }
        )
        runs += rows
        first += len(labels)
    frames = np.concatenate([frames for frames, _ in utterances])
    np.save(folder / "frames.npy", frames.astype(np.float16))
    np.save(folder / "runs.npy", np.array(runs, dtype=np.int32))
    index = {"problems": [], "utterances": entries}
    if phones is not None:
        index["phones"] = list(phones)
    (folder / "index.json").write_text(json.dumps(index))
    return PreparedSet(folder)


def small_recipe(folder: Path, text: str = "", base: str = SMALL_RECIPE) -> Path:
    """A recipe file of nothing but its corpora, and some text."""
    path = folder / "small.yaml"
    path.write_text(base + text)
    return path


def message_of(caught) -> str:
    """What a caught error says; it must be one line."""
    message = str(caught.value)
    assert "\n" not in message
    return message


def cells(report: str, first: str) -> list[str]:
    """The cells of the row of a Markdown table that begins with this one."""
    (line,) = [line for line in report.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]
