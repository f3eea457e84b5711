"""The command ``align``: files, exit statuses, and what is said of recordings that fail."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from speechattn.alignment import pronunciations
from speechattn.cli.main import main
from speechattn.corpora.readers.textgrid import read_textgrid

RATE = 16_000


@pytest.fixture
def rec(tmp_path) -> Path:
    """Two recordings of noise, and a lexicon beside their folder."""
    for number, name in enumerate(("a.wav", "b/c.flac")):
        path = tmp_path / "rec" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).normal(0, 0.1, RATE + number * 999)
        soundfile.write(path, noise, RATE)
    (tmp_path / "words.dict").write_text("see S IY1\nhim\t0.9\t0.5\t1.0\t1.0\tHH IH1 M\n")
    return tmp_path / "rec"


@pytest.fixture
def align(rec, tiny_model_dir, monkeypatch):
    """Call the command with these texts of the two recordings."""
    # The dictionary of English takes two seconds to read.
    monkeypatch.setattr(pronunciations, "ENGLISH", str(rec.parent / "words.dict"))

    def call(
        *texts: str,
        options: tuple[str, ...] = (),
        audio: str | Path = rec,
        to: tuple[str, ...] = ("--output-dir", str(rec.parent / "out")),
    ) -> int:
        for name, text in zip(("a.txt", "b/c.lab"), texts):
            (rec / name).write_text(text)
        lexicon = str(rec.parent / "words.dict")
        fixed = ["--model", str(tiny_model_dir), "--device", "cpu", "--lexicon", lexicon]
        fixed += ["--every-word"]  # the model knows nothing
        return main(["align", str(audio), "--text", str(rec), *to, *fixed, *options])

    return call


def test_every_format_has_the_same_words_and_phones(rec, align, capsys):
    assert align("See him.", "him", options=("--format", "textgrid,json,ctm,csv")) == 0
    assert "2 files ok, 0 failed" in capsys.readouterr().err
    out = rec.parent / "out"
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    ends = (".TextGrid", ".json", ".ctm", ".words.ctm", ".csv")
    own = {"run.json", "journal.jsonl", "transcripts.jsonl", ".lock"}
    assert files - own == {stem + end for stem in ("a", "b/c") for end in ends}
    found = json.loads((out / "a.json").read_text())
    words = [(w["label"], w["start"], w["end"]) for w in found["words"]]
    phones = [(p["label"], p["start"], p["end"]) for p in found["phones"]]
    assert [label for label, _, _ in words] == ["See", "him"]
    assert 0 <= found["confidence"] <= 1 and all(0 <= w["confidence"] <= 1 for w in found["words"])
    grid = read_textgrid(out / "a.TextGrid")
    assert [tier.name for tier in grid.tiers] == ["words", "phones"] and not grid.gaps
    assert [(i.label, i.start, i.end) for i in grid.tiers[0].intervals if i.label] == words
    assert [(i.label or "SIL", i.start, i.end) for i in grid.tiers[1].intervals] == phones
    assert all(tier.intervals[-1].end == grid.end == 1.0 for tier in grid.tiers)
    lines = [line.split() for line in (out / "a.words.ctm").read_text().splitlines()]
    assert [(line[0], line[4], float(line[2])) for line in lines] == [
        ("a", label, start) for label, start, _ in words
    ]
    rows = list(csv.DictReader((out / "a.csv").open()))
    for tier, expected in (("words", words), ("phones", phones)):
        same = [(r["label"], float(r["start"]), float(r["end"])) for r in rows if r["tier"] == tier]
        assert same == expected


def test_failures_are_named_and_the_others_go_on(rec, align, capsys):
    errors = rec.parent / "errors.jsonl"
    options = ("--errors", str(errors), "--format", "ctm", "--unknown", "fail")
    assert align("see him", "him", options=options) == 0
    (rec / "d.wav").write_bytes((rec / "a.wav").read_bytes())
    (rec / "none.txt").write_text("see")
    assert align("see Borogove", "him", options=options) == 1
    out = capsys.readouterr().err.splitlines()[1:]
    assert any(
        "note: " in line and "none.txt: a transcript of no recording" in line for line in out
    )
    failed = [line for line in out if line.startswith("speechattn: failed: ")]
    assert "a.wav: no pronunciation of BOROGOVE" in failed[0]
    assert "d.wav: no transcript; write its words into " in failed[1]
    kinds = [json.loads(line)["kind"] for line in errors.read_text().splitlines()]
    assert kinds == ["unknown word", "missing"]
    written = sorted(path.name for path in (rec.parent / "out").rglob("*.ctm"))
    assert written == ["c.ctm", "c.words.ctm"]  # what was written for a.wav before is gone
    records = (rec.parent / "out" / "transcripts.jsonl").read_text().splitlines()
    assert [json.loads(line)["status"] for line in records] == ["error", "ok", "error"]


def test_resume_does_what_is_new_and_texts_that_changed(rec, align, capsys):
    out = rec.parent / "out"

    def journal() -> list[str]:
        lines = (out / "journal.jsonl").read_text().splitlines()
        return [json.loads(line)["file"] for line in lines]

    assert align("see him", "him") == 0
    assert align("see him", "him", options=("--resume",)) == 0
    assert "nothing to do" in capsys.readouterr().err
    assert journal() == ["a.wav", "b/c.flac"]
    assert align("see", "him", options=("--resume",)) == 0
    assert journal() == ["a.wav", "b/c.flac", "a.wav"]
    words = [word["label"] for word in json.loads(_lines(out)[0])["words"]]
    assert words == ["see"]
    assert align("see", "him", options=("--resume", "--reductions", "none")) == 2
    assert "its settings.reductions was" in capsys.readouterr().err


def _lines(out: Path) -> list[str]:
    return (out / "transcripts.jsonl").read_text().splitlines()


def test_processes_and_shards_give_the_same_bytes(rec, align):
    options = ("--format", "textgrid,json,ctm", "--quiet")
    assert align("see him", "him", options=options) == 0
    out = rec.parent / "out"

    def contents() -> dict[str, bytes]:
        own = ("run", "journal", ".lock")
        return {
            str(path.relative_to(out)): path.read_bytes()
            for path in sorted(out.rglob("*"))
            if path.is_file() and not path.name.startswith(own)
        }

    alone = contents()
    assert len(alone) == 9
    shutil.rmtree(out)
    assert align("see him", "him", options=(*options, "--workers", "2")) == 0
    assert contents() == alone
    shutil.rmtree(out)
    for shard in ("1/2", "2/2"):
        assert align("see him", "him", options=(*options, "--shard", shard)) == 0
    assert align("see him", "him", options=(*options, "--resume")) == 0
    assert {name: data for name, data in contents().items() if "-of-" not in name} == alone


def test_assumed_words_are_listed(align, capsys):
    assert align("see X", "him's", options=("--unknown", "spell")) == 0
    said = capsys.readouterr().err
    assert "assumed: X is said EH K S" in said or "assumed: X" not in said  # the dictionary has it
    assert "assumed: HIM'S is said HH IH M Z" in said


def test_the_report_at_the_end_is_of_its_own_run(rec, align, capsys):
    options = ("--unknown", "spell")
    assert align("see X", "him", options=options) == 0
    assert "assumed: X is said" in capsys.readouterr().err
    (rec / "c.lab").write_text("him")
    assert align(options=options, audio=rec / "b" / "c.flac") == 0
    said = capsys.readouterr().err
    assert "1 file ok" in said and "2 files of other runs in this folder stay listed" in said
    assert "assumed" not in said


def test_a_list_of_other_recordings_is_another_input(rec, align):
    (rec / "a.txt").write_text("see")
    (rec / "c.lab").write_text("him")
    listing = rec.parent / "list"
    for path in ("a.wav", "b/c.flac"):
        listing.write_text(str(rec / path))
        assert align(audio=f"@{listing}") == 0
    out = rec.parent / "out"
    assert [json.loads(line)["file"] for line in _lines(out)] == ["a.wav", "c.flac"]
    assert "@" in json.loads((out / "run.json").read_text())["inputs"][0]


def test_without_reductions(align):
    assert align("see", "him", options=("--reductions", "none", "--quiet")) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--format", "doc"), "unknown format 'doc'"),
        (("--format", "audacity,txt"), "would both be written to .txt files"),
        (("--channel", "all"), "a text is of one channel"),
        (("--text", "nowhere"), "nowhere: no such file or folder"),
        (("--lexicon", "nowhere.dict"), "nowhere.dict: cannot be read"),
        (("--reductions", "nowhere.tsv"), "nowhere.tsv"),
        (("--model", "nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_done_at_all(align, capsys, options, message):
    assert align("see", "him", options=options) == 2
    assert message in capsys.readouterr().err


def test_two_recordings_may_not_share_a_file(rec, align, capsys):
    (rec / "a.words.wav").write_bytes((rec / "a.wav").read_bytes())
    assert align("see", "him", options=("--format", "ctm")) == 2
    assert "a.words.ctm" in capsys.readouterr().err


def test_texts_in_another_encoding(rec, align, capsys):
    (rec / "a.txt").write_bytes("See him\xbb".encode("latin-1"))
    (rec / "b" / "c.lab").write_bytes("\xabhim\xbb".encode("latin-1"))
    assert align() == 1
    assert "a.txt:1: byte 0xbb is not UTF-8, so the file is perhaps in Latin-1; save it as UTF-8, " \
        "or give --encoding latin-1" in capsys.readouterr().err  # fmt: skip
    assert align(options=("--encoding", "latin-1")) == 0
    assert align(options=("--encoding", "klingon")) == 2
    assert "--encoding klingon: no such encoding" in capsys.readouterr().err


def test_a_text_from_standard_input(rec, align, capsys, monkeypatch):
    source = SimpleNamespace(buffer=io.BytesIO(b"See him.\n"), isatty=lambda: False)
    monkeypatch.setattr("sys.stdin", source)
    assert align(options=("--text", "-"), audio=rec / "a.wav") == 0
    out = rec.parent / "out"
    assert [word["label"] for word in json.loads(_lines(out)[0])["words"]] == ["See", "him"]
    assert json.loads((out / "run.json").read_text())["text"] == "-"
    assert align(options=("--text", "-"), audio="-") == 2
    assert "--text -: recordings come from standard input too" in capsys.readouterr().err


def test_without_an_output_folder_it_prints_what_it_would_write(rec, align, capsys):
    formats = ("textgrid", "csv", "json")
    assert align("See him.", "him", options=("--format", ",".join(formats))) == 0
    capsys.readouterr()
    out = rec.parent / "out"
    for format, suffix in zip(formats, ("TextGrid", "csv", "json")):
        assert align(options=("--format", format), audio=rec / "a.wav", to=()) == 0
        printed = capsys.readouterr()
        assert printed.out == (out / f"a.{suffix}").read_text() and " ok" not in printed.err
    assert align(audio=rec / "a.wav", to=()) == 0
    assert capsys.readouterr().out == (out / "a.csv").read_text()
    assert align(options=("-f", "json", "-w", "2"), to=()) == 0
    printed = capsys.readouterr()
    assert printed.out == (out / "a.json").read_text() + (out / "b" / "c.json").read_text()
    assert "2 files ok, 0 failed" in printed.err


def test_what_is_printed_has_the_same_report(rec, align, capsys, monkeypatch):
    errors = rec.parent / "errors.csv"
    options = ("--unknown", "spell", "--errors", str(errors), "--format", "json")
    (rec / "d.wav").write_bytes((rec / "a.wav").read_bytes())
    assert align("see him", "him's", options=options, to=()) == 1
    printed = capsys.readouterr()
    assert printed.out.count('"file"') == 2
    assert "assumed: HIM'S is said HH IH M Z" in printed.err
    assert "failed: " in printed.err and "d.wav: no transcript; write its words" in printed.err
    rows = list(csv.DictReader(errors.open()))
    assert [(row["file"], row["kind"]) for row in rows] == [("d.wav", "missing")]
    source = SimpleNamespace(buffer=io.BytesIO(b"See him."), isatty=lambda: False)
    monkeypatch.setattr("sys.stdin", source)
    assert align(options=("--text", "-", "--quiet"), audio=rec / "a.wav", to=()) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == "tier,start,end,label,confidence"
    assert "failed" not in printed.err and "differs" not in printed.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--resume",), "--resume: is about files; give --output-dir"),
        (("--shard", "1/2"), "--shard: is about files; give --output-dir"),
        (("--format", "ctm"), "its words are a file of their own; give --output-dir, or choose"),
        (("--format", "json,csv"), "one is printed; give --output-dir to write several"),
        ((), "--format csv: does not name the recording, and there are 2; give --output-dir, or "
         "choose json\n"),
        (("--channel", "all"), "a text is of one channel"),
    ],
)  # fmt: skip
def test_what_cannot_be_printed(align, capsys, options, message):
    assert align("see", "him", options=options, to=()) == 2
    assert message in capsys.readouterr().err
