"""``speechattn show --text``: what is said, where it is said, and what does not fit."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support.spoken import write_speech

from speechattn.alignment import pronunciations
from speechattn.alignment.loading import make_aligner
from speechattn.cli.main import main
from speechattn.viewer import ShowOptions, show_page, texts

RATE = 16_000


@pytest.fixture(autouse=True)
def recordings(tmp_path, monkeypatch) -> None:
    """Two recordings of noise, and a dictionary of two words."""
    for name in ("a", "b"):
        noise = np.random.default_rng(0).normal(0, 0.1, RATE)
        soundfile.write(tmp_path / f"{name}.wav", noise, RATE)
    (tmp_path / "words.dict").write_text("see S IY1\nhim HH IH1 M\n")
    # The dictionary of English takes two seconds to read.
    monkeypatch.setattr(pronunciations, "ENGLISH", str(tmp_path / "words.dict"))


@pytest.fixture
def every_word(monkeypatch):
    """Force texts upon recordings: the model of these tests knows nothing."""
    monkeypatch.setattr(texts, "make_aligner", lambda *given: make_aligner(*given, every_word=True))


def tiers(page: Path, number: int = 0) -> dict[str, list[str]]:
    text = page.read_text("utf-8")
    facts = json.loads(re.search(rf'id="r{number}">(.*?)</script>', text, re.S)[1])
    return {tier["name"]: [label for label in tier["labels"] if label] for tier in facts["tiers"]}


def test_words_and_phones_of_the_text_are_shown(run, every_word, tmp_path):
    (tmp_path / "a.txt").write_text("See him.")
    status, said = run("a.wav", "--text", "a.txt", "--attention", "none")
    assert status == 0 and "aligning a.wav" in said
    found = tiers(tmp_path / "a.html")
    assert found["words"] == ["See", "him"] and found["phones"] == ["S", "IY", "HH", "IH", "M"]


def test_names_may_be_texts_in_python(every_word, tmp_path, tiny_model_dir):
    (tmp_path / "a.txt").write_text("see garlic")
    (tmp_path / "own.dict").write_text("garlic G AA R L IH K\n")
    options = ShowOptions(
        str(tiny_model_dir),
        "cpu",
        attention="none",
        sound="none",
        text=str(tmp_path / "a.txt"),
        lexicons=str(tmp_path / "own.dict"),
    )
    show_page(str(tmp_path / "a.wav"), str(tmp_path / "a.html"), options)
    assert tiers(tmp_path / "a.html")["words"] == ["see", "garlic"]


def test_a_folder_has_a_text_for_each_recording(run, every_word, tmp_path):
    (tmp_path / "a.txt").write_text("see him")
    (tmp_path / "b.lab").write_text("him see him")
    assert run(".", "--text", ".", "--attention", "none", "--output", "all.html")[0] == 0
    assert tiers(tmp_path / "all.html")["words"] == ["see", "him"]
    assert tiers(tmp_path / "all.html", 1)["words"] == ["him", "see", "him"]


def test_speakers_have_tiers_of_their_own(run, every_word, tmp_path):
    rows = "file,start,end,speaker,text\na.wav,0,0.5,A,see\na.wav,0.5,1,B,him\n"
    (tmp_path / "said.csv").write_text(rows)
    assert run("a.wav", "--text", "said.csv", "--attention", "none")[0] == 0
    found = tiers(tmp_path / "a.html")
    assert found["A - words"] == ["see"] and found["B - phones"] == ["HH", "IH", "M"]


def test_a_lexicon_says_how_words_are_said(run, every_word, tmp_path):
    (tmp_path / "a.txt").write_text("Garlic")
    (tmp_path / "own.dict").write_text("garlic G AA R L IH K\n")
    assert run("a.wav", "--text", "a.txt", "--lexicon", "own.dict")[0] == 0
    assert tiers(tmp_path / "a.html")["phones"] == ["G", "AA", "R", "L", "IH", "K"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.wav", "--text", "gone"], "error: gone: no such file or folder; give the transcript"),
        (["a.wav", "--text", "empty.txt"], "the text of a.wav is empty"),
        ([".", "--text", "."], "error: no transcript; write its words into b.txt"),
        (["a.wav", "--text", "a.txt", "--span", "0-0.5"], "the whole recording; align it with"),
        (["a.wav", "--text", "a.txt", "--results", "a.ctm"], "have words already; give one"),
        (["a.wav", "--text", "other.txt"], "a.wav: no pronunciation of 漢字"),
        (["a.wav", "--text", "wrong.txt"], "a.wav: none of its 4 words were found"),
        (["a.wav", "--lexicon", "own.dict"], "--lexicon own.dict: only with --text"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(run, tmp_path, arguments, message):
    (tmp_path / "a.txt").write_text("see him")
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "other.txt").write_text("see 漢字")
    (tmp_path / "wrong.txt").write_text("see him see him")
    (tmp_path / "a.ctm").write_text("a 1 0 1 SIL\n")
    status, said = run(*arguments)
    assert status == 2 and message in said
    assert "Traceback" not in said and not list(tmp_path.glob("*.html"))


@pytest.mark.slow
def test_places_at_which_text_and_sound_differ_are_told(tmp_path, monkeypatch, capsys):
    monkeypatch.undo()  # the dictionary of English
    monkeypatch.chdir(tmp_path)
    write_speech(tmp_path / "a.wav")
    (tmp_path / "a.txt").write_text("Nine green Wednesdays, please.")
    assert main(["show", "a.wav", "--text", "a.txt", "--attention", "none"]) == 0
    assert re.search(r"warning: a\.wav: text: .* \(Wednesdays\)", capsys.readouterr().err)
    (tmp_path / "a.txt").write_text("Nine green apples, please.")
    assert main(["show", "a.wav", "--text", "a.txt", "--attention", "none"]) == 0
    assert "text:" not in capsys.readouterr().err
