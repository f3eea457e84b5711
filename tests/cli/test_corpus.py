"""``speechattn corpus``: exit statuses, what is printed, and the real command once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.published import CAT_PHONES, CAT_WORDS, textgrid, write_text, write_tone

import speechattn
from speechattn.cli.main import main

IMPORT_FROM = str(Path(speechattn.__file__).resolve().parents[1])


def make(root: Path) -> Path:
    for name in ("one", "two"):
        write_tone(root / "ann" / f"{name}.wav")
        tiers = {"words": CAT_WORDS, "phones": CAT_PHONES}
        write_text(root / "ann" / f"{name}.TextGrid", textgrid(tiers))
    return root


def test_a_clean_corpus(tmp_path, capsys):
    assert main(["corpus", "check", str(make(tmp_path))]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "speechattn: 2 utterances, 2.0 s, 1 speaker, 2 with phones; 0 problems\n"


def test_problems_are_printed_and_the_rest_is_converted(tmp_path, capsys):
    root = make(tmp_path / "c")
    write_tone(root / "ann" / "three\n.wav")
    assert main(["corpus", "check", str(root)]) == 1
    checked, _ = capsys.readouterr()
    assert (
        checked == f"{root}/ann/three\\n.wav: no TextGrid of its name; align it or leave it out\n"
    )
    assert main(["corpus", "convert", str(root), str(tmp_path / "out")]) == 1
    assert capsys.readouterr()[0] == checked
    assert (tmp_path / "out" / "text").read_text() == "ann-one the cat\nann-two the cat\n"
    assert main(["corpus", "check", str(tmp_path / "out"), "--format", "kaldi"]) == 0


def test_other_phones_and_cuts(tmp_path, capsys):
    root, out = make(tmp_path / "c"), tmp_path / "cuts.jsonl"
    options = ["--format", "mfa", "--phones", "arpabet_stress"]
    assert main(["corpus", "convert", str(root), str(out), *options]) == 0
    assert '["AH0", 0.3, 0.1, null]' in out.read_text().splitlines()[0]
    assert main(["corpus", "check", str(out)]) == 0


def test_recordings_with_texts_beside_them(tmp_path, capsys):
    root = tmp_path / "c"
    write_tone(root / "ann" / "one.wav")
    write_text(root / "ann" / "one.txt", "The cat.")
    assert main(["corpus", "check", str(root)]) == 0
    summary = "speechattn: 1 utterance, 1.0 s, 1 speaker, 0 with phones; 0 problems\n"
    assert capsys.readouterr() == ("", summary)
    write_tone(root / "ann" / "two.wav")
    assert main(["corpus", "check", str(root), "-f", "texts"]) == 1
    missing = "no transcript; write its words into two.txt or two.lab beside it\n"
    assert capsys.readouterr().out == f"{root}/ann/two.wav: {missing}"
    assert main(["corpus", "convert", str(root), str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    assert printed.out == f"{root}/ann/two.wav: {missing}"
    assert "no phones are written, since there are none" in printed.err
    files = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert files == {
        "wav.scp": "ann-one ../c/ann/one.wav\n",
        "text": "ann-one The cat.\n",
        "utt2spk": "ann-one ann\n",
        "utt2dur": "ann-one 1.0000\n",
    }
    assert main(["corpus", "check", str(tmp_path / "out")]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "no"], "no: no such folder"),
        (["check", "a" * 300], "a: no such folder"),
        (["check", "c", "--phones", "a" * 300], "a' is neither a file nor one of arpabet"),
        (["check", "c", "--format", "mfa", "--alignments", "a" * 300], "a: no such folder"),
        (["check", "."], "of no format that is certain"),
        (["check", "c", "--format", "timid"], "format 'timid' is unknown; choose from"),
        (["check", "c", "--format", "timit"], "no folder TRAIN or TEST in it"),
        (["check", "c", "--phones", "timit16"], "'timit16' is neither a file nor one of arpabet"),
        (["check"], "the following arguments are required: FOLDER"),
        (["convert", "c"], "the following arguments are required: OUT"),
        (["convert", "c", "c"], "exists and is not empty"),
        ([], "the following arguments are required: check|convert"),
    ],
)
def test_what_cannot_be_read_or_written(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    if "." not in arguments:
        make(tmp_path / "c")
    assert main(["corpus", *arguments]) == 2
    out, err = capsys.readouterr()
    assert said in err and err.startswith("speechattn: error: ") and err.count("\n") == 1


def test_where_nothing_is_usable_all_problems_are_printed(tmp_path, capsys):
    for name in ("a", "b"):
        write_tone(tmp_path / f"{name}.wav")
        write_text(tmp_path / f"{name}.TextGrid", textgrid({"phones": [("XX", 0, 1)]}))
    assert main(["corpus", "check", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert [line.split(":")[1] for line in out.splitlines()] == ["16", "16"]
    assert "no usable utterance; first of 2 problems" in err


def test_the_real_command(tmp_path):
    command = [sys.executable, "-m", "speechattn", "corpus", "convert", "c", "out"]
    make(tmp_path / "c")
    environment = {**os.environ, "PYTHONPATH": IMPORT_FROM}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "speechattn: 2 utterances, 2.0 s, 1 speaker, 2 with phones; 0 problems\n"
    listed = (tmp_path / "out" / "wav.scp").read_text()
    assert listed == "ann-one ../c/ann/one.wav\nann-two ../c/ann/two.wav\n"
