"""``transcribe`` without an output folder, inputs from standard input and lists, runs in parts."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from support.models import save_sure_model

from speechattn.cli.main import main

RATE = 16_000


@pytest.fixture(scope="module")
def model(tiny_model_dir, tmp_path_factory) -> str:
    """A small model that is sure of what it hears."""
    return str(save_sure_model(tiny_model_dir, tmp_path_factory.mktemp("models") / "sure"))


@pytest.fixture
def rec(tmp_path, monkeypatch) -> Path:
    """Two recordings and one that is no good, in the current folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "rec"
    folder.mkdir()
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * RATE)  # nothing to be warned of
    soundfile.write(folder / "a.wav", noise[:RATE], RATE)
    soundfile.write(folder / "b.flac", noise[-RATE // 2 :], RATE)
    (folder / "junk.wav").write_bytes(b"RIFF")
    return folder


def run(model: str, *arguments: str) -> int:
    return main(["transcribe", *arguments, "--model", model, "--device", "cpu"])


def pipe(monkeypatch, data: bytes) -> None:
    source = SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: False)
    monkeypatch.setattr("sys.stdin", source)


def listed(out: str = "out") -> list[str]:
    lines = Path(out, "transcripts.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["file"] for line in lines]


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 0])
def test_a_piped_wav_is_not_warned_of_for_its_unknown_length(rec, model, capsys, monkeypatch, size):
    data = bytearray(Path("rec/a.wav").read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = data[4:8] = size.to_bytes(4, "little")
    pipe(monkeypatch, bytes(data))
    assert run(model, "-") == 0
    assert "header" not in capsys.readouterr().err
    pipe(monkeypatch, bytes(data))
    assert run(model, "-", "--output-dir", "out", "--format", "ctm") == 0
    (line,) = Path("out/transcripts.jsonl").read_text("utf-8").splitlines()
    assert "header" not in line
    Path("b.wav").write_bytes(data)
    assert run(model, "b.wav") == 0
    assert "header and data disagree" in capsys.readouterr().err


def test_raw_samples_through_the_pipe_have_a_way_out(rec, model, capsys, monkeypatch):
    pipe(monkeypatch, bytes(range(256)) * 100)
    assert run(model, "-") == 1
    assert "raw samples go to `speechattn stream --encoding s16le`" in capsys.readouterr().err


def test_missing_files_of_a_list_do_not_stop_the_others(rec, model, capsys):
    Path("list").write_text("rec/a.wav\nno/one.wav\nrec/b.flac\ntwo.wav\n")
    assert run(model, "@list", "--output-dir", "out", "--format", "ctm") == 1
    said = capsys.readouterr().err
    assert "failed: no/one.wav: No such file" in said and "failed: two.wav: No such file" in said
    assert "2 files ok, 2 failed" in said and "failures: 2 missing" in said
    assert listed() == ["a.wav", "one.wav", "b.flac", "two.wav"]
    assert run(model, "rec/a.wav", "two.wav") == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("a 1 ") and "failed: two.wav: No such file" in printed.err
    assert run(model, "no/one.wav", "two.wav") == 2
    assert "none of the 2 inputs exists: 'no/one.wav', 'two.wav'" in capsys.readouterr().err


def test_it_prints_what_it_would_write(rec, model, capsys, monkeypatch):
    assert run(model, "rec", "--output-dir", "out", "--format", "ctm,json,eaf") == 1
    capsys.readouterr()
    written = {name: Path("out", name).read_text("utf-8") for name in ("a.ctm", "b.ctm", "a.json")}
    media = re.search('RELATIVE_MEDIA_URL="(.*?)"', Path("out/a.eaf").read_text())
    assert media and (Path("out") / media[1]).samefile("rec/a.wav")
    assert not list(Path("out").glob(".*"))  # no lock is left

    assert run(model, "rec") == 1
    out, err = capsys.readouterr()
    assert out == written["a.ctm"] + written["b.ctm"]
    failed, summary = (line for line in err.splitlines() if ": warning: " not in line)
    assert failed.startswith("speechattn: failed: rec/junk.wav: ")
    assert summary.startswith("speechattn: 2 files ok, 1 failed; 1.5 s of audio in ")

    assert run(model, "rec/a.wav", "--format", "json") == 0
    out, err = capsys.readouterr()
    assert out == written["a.json"] and "ok" not in err  # one recording needs no summary

    pipe(monkeypatch, Path("rec/a.wav").read_bytes())
    assert run(model, "-", "--format", "json") == 0
    assert capsys.readouterr().out == written["a.json"].replace("a.wav", "stdin")
    pipe(monkeypatch, b"")
    assert run(model, "-") == 1
    assert capsys.readouterr().err.startswith("speechattn: failed: standard input: ")

    pipe(monkeypatch, b"rec/a.wav\0rec/b.flac\0")  # as find -print0
    assert run(model, "@-") == 0
    assert capsys.readouterr().out == written["a.ctm"] + written["b.ctm"]
    Path("list").write_text("rec/b.flac\r\n\nrec/a.wav\n")
    assert run(model, "@list", "--quiet") == 0
    assert capsys.readouterr() == (written["b.ctm"] + written["a.ctm"], "")


def test_names_that_differ_in_their_suffix(rec, model, capsys):
    soundfile.write(rec / "a.flac", np.random.default_rng(1).normal(0, 0.1, RATE), RATE)
    assert run(model, "rec", "--output-dir", "out") == 2
    said = capsys.readouterr().err
    assert "rec/a.flac and rec/a.wav would both be written" in said and "--keep-suffix" in said
    command = ("rec", "--output-dir", "out", "--keep-suffix", "--format", "ctm,textgrid")
    assert run(model, *command) == 1
    assert {path.name for path in Path("out").glob("a.*")} == {
        "a.flac.ctm",
        "a.flac.TextGrid",
        "a.wav.ctm",
        "a.wav.TextGrid",
    }
    assert Path("out/a.flac.ctm").read_text().startswith("a.flac 1 0 ")


def test_runs_in_parts_share_a_list(rec, model, capsys):
    part = ("--output-dir", "out", "--format", "ctm")
    assert run(model, "rec/b.flac", *part) == 0
    assert run(model, "rec/a.wav", "rec/junk.wav", *part) == 1
    assert "; 1 file of other runs in this folder stay listed" in capsys.readouterr().err
    assert listed() == ["a.wav", "b.flac", "junk.wav"]
    facts = json.loads(Path("out/run.json").read_text())
    assert facts["inputs_before"] == ["rec/b.flac"] and facts["summary"]["files"] == 2
    whole = Path("out/transcripts.jsonl").read_bytes()

    # The order of the parts, and doing one again, changes nothing.
    for again in (["rec/a.wav", "rec/junk.wav"], ["rec/b.flac"]):
        assert run(model, *again, *part) in (0, 1)
        assert Path("out/transcripts.jsonl").read_bytes() == whole
    assert run(model, "rec/b.flac", *part, "--resume") == 0
    assert Path("out/transcripts.jsonl").read_bytes() == whole
    assert json.loads(Path("out/run.json").read_text())["summary"]["done_before"] == 1

    # A part that is interrupted before its end leaves the list of the others.
    journal = Path("out/journal.jsonl").read_bytes()
    assert all(name in journal for name in (b"a.wav", b"b.flac", b"junk.wav"))

    capsys.readouterr()
    assert run(model, "rec/b.flac", "--output-dir", "out", "--phones", "arpabet") == 0
    assert "2 files of earlier runs with other settings no longer listed" in capsys.readouterr().err
    assert listed() == ["b.flac"]


def test_the_same_inputs_replace_a_run_as_a_whole(rec, model, capsys):
    assert run(model, "rec", "--output-dir", "out") == 1
    (rec / "junk.wav").unlink()
    assert run(model, "rec", "--output-dir", "out") == 0
    assert listed() == ["a.wav", "b.flac"]
    assert "earlier runs" not in capsys.readouterr().err


@pytest.mark.parametrize("to", [(), ("--output-dir", "out")])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--reading", "none", "--format", "txt"), "--format txt: holds nothing but words, and "
         "--reading none reads none; leave out --reading none, or choose a format of phones, such "
         "as textgrid or ctm"),
        (("--reading", "phones", "--format", "srt"), "--format srt: holds nothing but words, and "
         "--reading phones reads none"),
        (("--lm-scale", "0", "--words", "--format", "json"), "--words: needs words, and --lm-scale "
         "0 reads none; leave one of them out"),
        (("--reading", "none", "--forms", "dictionary"), "--forms: needs words, and --reading"),
    ],
)  # fmt: skip
def test_words_are_not_asked_of_a_reading_without(rec, capsys, options, said, to):
    assert run("no-model-is-needed", "rec", *options, *to) == 2
    assert f"error: {said}" in capsys.readouterr().err


@pytest.mark.slow
def test_what_is_printed_does_not_depend_on_workers(rec, model, capsys):
    assert run(model, "rec", "--workers", "1") == 1
    expected = capsys.readouterr().out
    assert run(model, "rec", "--workers", "2") == 1
    assert capsys.readouterr().out == expected
