"""The command ``align``: texts, lexicons and names that cannot be used, many in one run."""

from __future__ import annotations

import codecs
import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from praatio import textgrid as praat

from speechattn.alignment import pronunciations
from speechattn.cli.main import main
from speechattn.corpora.readers.textgrid import read_textgrid

RATE = 16_000
LEXICON = """\
see\tS IY1
him\t0.9\t0.5\t1.0\t1.0\tHH IH1 M
him\t0.1\t0.5\t1.0\t1.0\tIH1 M
bob B XX
lone
odd\t1.5\tAA
"""


def grid(path: Path, tiers, form: str = "long_textgrid", end: float = 1.0) -> None:
    made = praat.Textgrid()
    for name, rows in tiers.items():
        made.addTier(praat.IntervalTier(name, rows, 0, end))
    made.save(str(path), format=form, includeBlankSpaces=True)


def binary_grid(path: Path, label: str) -> None:
    data = b"ooBinaryFile\x08TextGrid" + struct.pack(">dd?i", 0, 1, True, 1)
    data += b"\x0cIntervalTier" + struct.pack(">h", 4) + b"anna" + struct.pack(">ddi", 0, 1, 1)
    path.write_bytes(data + struct.pack(">ddh", 0, 1, len(label)) + label.encode())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Recordings of a second with texts of every kind beside them."""
    root = tmp_path_factory.mktemp("texts")
    rec = root / "rec"
    rec.mkdir()
    noise = np.random.default_rng(1).normal(0, 0.1, RATE)
    texts: dict[str, bytes | None] = {
        "crlf": b"\xef\xbb\xbfSee\r\nhim.\r\n",
        "utf16": codecs.BOM_UTF16_LE + "see him".encode("utf-16-le"),
        "guessed": b"see Borogove's 5 dogs in the BBC",
        "none": None,
        "empty": b" \r\n",
        "latin": b"see\ncaf\xe9",
        "utf16_unmarked": "see him".encode("utf-16-le"),
        "cyrillic": "see \u043a\u043e\u0442".encode(),
        "long_text": b"see him " * 200,
        "two": b"see",
    }
    for name, text in texts.items():
        soundfile.write(rec / f"{name}.wav", noise, RATE)
        if text is not None:
            (rec / f"{name}.txt").write_bytes(text)
    (rec / "two.lab").write_text("him")
    (rec / "nobody.txt").write_text("see")
    for name in ("speakers", "short", "binary", "overlap", "late"):
        soundfile.write(rec / f"{name}.wav", noise, RATE)
    turns = {"anna": [(0.0, 0.4, "see")], "Bo & Co": [(0.3, 1.0, "him")]}
    grid(rec / "speakers.TextGrid", turns)
    grid(rec / "short.TextGrid", {"anna": [(0.2, 0.9, "see him")]}, "short_textgrid")
    binary_grid(rec / "binary.TextGrid", "see")
    grid(rec / "overlap.TextGrid", {"anna": [(0.0, 0.5, "see"), (0.5, 1.0, "him")]})
    text = (rec / "overlap.TextGrid").read_text()
    (rec / "overlap.TextGrid").write_text(text.replace("xmin = 0.5", "xmin = 0.3"))
    grid(rec / "late.TextGrid", {"anna": [(0.5, 4.0, "see")]}, end=4.0)
    (root / "mfa.dict").write_text(LEXICON)
    return root


@pytest.fixture(scope="module")
def run(folder, tiny_model_dir):
    """The real command on all of them: exit status, what it said, failures by name."""
    command = [
        sys.executable, "-m", "speechattn", "align", str(folder / "rec"),
        "--text", str(folder / "rec"), "--output-dir", str(folder / "out"),
        "--format", "textgrid,json", "--lexicon", str(folder / "mfa.dict"),
        "--model", str(tiny_model_dir), "--device", "cpu", "--every-word", "--workers", "1",
        "--errors", str(folder / "errors.jsonl"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (folder / "errors.jsonl").read_text().splitlines()
    failed = {Path(each["file"]).stem: each for each in map(json.loads, lines) if "error" in each}
    return done.returncode, done.stderr, failed


def test_every_bad_text_is_named_and_the_others_go_on(folder, run):
    status, said, failed = run
    assert status == 1, said
    rec = folder / "rec"
    expected = {
        "none": ("missing", f"no transcript; write its words into {rec / 'none'}.txt or "),
        "empty": ("empty", f"{rec / 'empty.txt'}: the text of empty.wav is empty; write"),
        "latin": ("unreadable", f"{rec / 'latin.txt'}:2: byte 0xe9 is not UTF-8"),
        "utf16_unmarked": ("unreadable", "utf16_unmarked.txt:1: no text in UTF-8 but perhaps"),
        "cyrillic": ("unknown word", "\u041a\u041e\u0422: other letters than the Latin ones"),
        "long_text": ("too short", "1.00 s are too short for its 400 words"),
        "two": ("unreadable", "two.lab"),
        "overlap": ("unreadable", "overlap.TextGrid:"),
        "late": ("unsuitable", "0.5 to 4 s, and the recording has only 1.00 s; correct"),
    }
    assert failed.keys() == expected.keys()
    for name, (kind, message) in expected.items():
        assert failed[name]["kind"] == kind and message in failed[name]["error"], failed[name]
    aligned = {path.stem for path in (folder / "out").glob("*.TextGrid")}
    assert aligned == {"crlf", "utf16", "guessed", "speakers", "short", "binary"}
    assert "nobody.txt: a transcript of no recording; left out" in said


def test_every_bad_line_of_the_lexicon_is_named(folder, run):
    _, said, _ = run
    where = folder / "mfa.dict"
    assert f"{where}:4: XX is no phone" in said
    assert f"{where}:5: lone has no phones" in said
    assert f"{where}:6: odd: 1.5 is no probability" in said
    assert "probabilities of pronunciations are used, those of silence" in said


def test_what_was_made_of_a_text_is_in_the_json(folder, run):
    _, said, _ = run
    found = json.loads((folder / "out" / "guessed.json").read_text())
    words = {word["label"]: word.get("spoken") for word in found["words"]}
    assert words == {
        "see": None, "Borogove's": None, "5": "five", "dogs": None, "in": None, "the": None,
        "BBC": None,
    }  # fmt: skip
    assert found["assumed"]["BOROGOVE'S"].endswith("(guessed)")
    assert "assumed: BOROGOVE'S is said B " in said


def test_speakers_have_tiers_of_their_own(folder, run):
    tiers = {tier.name: tier for tier in read_textgrid(folder / "out" / "speakers.TextGrid").tiers}
    assert list(tiers) == ["anna - words", "anna - phones", "Bo & Co - words", "Bo & Co - phones"]
    (see,) = [each for each in tiers["anna - words"].intervals if each.label]
    (him,) = [each for each in tiers["Bo & Co - words"].intervals if each.label]
    assert (see.label, him.label) == ("see", "him")
    assert see.end <= 0.41 and him.start >= 0.29
    assert all(
        tier.intervals[0].start == 0 and tier.intervals[-1].end == 1 for tier in tiers.values()
    )
    names = [tier.name for tier in read_textgrid(folder / "out" / "short.TextGrid").tiers]
    assert names == ["words", "phones"]


def test_a_bad_line_alone_makes_the_status_1(folder, tiny_model_dir, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pronunciations, "ENGLISH", str(tmp_path / "t.dict"))
    (tmp_path / "t.dict").write_text("see S IY\nbob B XX\n")
    fixed = ["--model", str(tiny_model_dir), "--device", "cpu", "--every-word", "--workers", "1"]
    rec = folder / "rec"
    options = ["--text", str(rec / "crlf.txt"), "--lexicon", str(tmp_path / "t.dict")]
    out = ["--output-dir", str(tmp_path / "out")]
    assert main(["align", str(rec / "crlf.wav"), *options, *out, *fixed]) == 1
    assert "t.dict:2: XX is no phone" in capsys.readouterr().err
    (tmp_path / "t.dict").write_text("bob B XX\n")
    assert main(["align", str(rec / "crlf.wav"), *options, *out, *fixed]) == 2
    assert "no words in it; give another file; the first problem: " in capsys.readouterr().err
