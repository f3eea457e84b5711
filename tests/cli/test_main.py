"""The command: exit statuses and messages in this process, whole runs in processes of their own."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import soundfile
from praatio import textgrid as praat
from support.messages import without_compiling

import speechattn.cli.main
from speechattn.cli.main import LETTERS, build_parser, main
from speechattn.errors import AudioError, ModelError
from speechattn.inference.transcription import TranscribeOptions, Transcription
from speechattn.phones import PhoneSet
from speechattn.segments import Segment

# The processes find the package where these tests found it.
IMPORT_FROM = str(Path(speechattn.cli.main.__file__).resolve().parents[2])


class FakeRecognizer:
    """Calls every recording a vowel of two seconds; refuses those whose name begins with bad."""

    phones = PhoneSet(("SIL", "AA"))
    device, precision, gains_by_threads = "cpu", "fp32", False

    def free_loaded_weights(self) -> None:
        """It has none."""

    def prepare(self, audio: Path, options: TranscribeOptions, **_) -> SimpleNamespace:
        """As ``Recognizer.prepare`` of a long recording."""
        result = self.transcribe(audio, channel=options.channel)
        return SimpleNamespace(frames=None, result=result)

    def check(self, options: TranscribeOptions, *, posteriors: bool = False) -> None:
        """It can do everything."""

    def encode(self, recordings: list) -> list:
        """There are no short ones."""
        return recordings

    def finish(self, prepared: SimpleNamespace, *_) -> Transcription:
        """As ``Recognizer.finish``."""
        return prepared.result

    def transcribe(self, audio: Path, *, channel: int | None = None, **_) -> Transcription:
        """What ``Recognizer.transcribe`` gives, without the posteriors."""
        if audio.name.startswith("bad"):
            raise AudioError(f"{audio}: {channel} is no good; take another")
        if audio.name.startswith("stop"):
            raise KeyboardInterrupt
        phones = [Segment("AA", 0.0, 2.0, 0.5)]
        return Transcription(phones, 2.0, 16_000, ("SIL", "AA"), channel=channel)

    def describe(self) -> dict:
        """What ``Recognizer.describe`` might give."""
        return {"name": "ʃ", "phones": ["SIL", "AA"], "frames": np.int64(3)}


@pytest.fixture
def fake_model(monkeypatch) -> list[tuple[str, str]]:
    """Put the fake in the place of the real recognizer; gives the calls of ``load_model``."""
    calls = []

    def load_model(name: str, device: str = "auto", **settings) -> FakeRecognizer:
        calls.append((name, device))
        if name == "gone":
            raise ModelError(f"{name}: no such model; see the list")
        if name == "slow":
            raise KeyboardInterrupt
        return FakeRecognizer()

    module = ModuleType("speechattn.inference.recognizer")
    module.load_model = load_model
    monkeypatch.setitem(sys.modules, "speechattn.inference.recognizer", module)
    return calls


@pytest.fixture
def rec(tmp_path, monkeypatch) -> Path:
    """A folder with two recordings; above it the current folder, with a model ``m``."""
    monkeypatch.chdir(tmp_path)
    for name in ("rec/a.wav", "rec/b/c.wav", "m/config.json", "m/model.safetensors"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path / "rec"


TRANSCRIBE = ["transcribe", "rec", "--output-dir", "out", "--model", "m", "--workers", "1"]
BENCH = ["bench", "transcribe", "--model", "m", "rec", "--peer", "none"]


def test_all_went_well(rec, fake_model, capsys):
    assert main([*TRANSCRIBE, "--device", "cpu"]) == 0
    assert fake_model == [("m", "cpu")]
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("speechattn: 2 files ok, 0 failed; 4.0 s of audio in ")
    assert Path("out/b/c.TextGrid").exists()
    assert len(Path("out/transcripts.jsonl").read_text().splitlines()) == 2


def test_quiet_is_silent_about_compiling_too(tiny_model_dir, tmp_path):
    rec = tmp_path / "noise.wav"
    soundfile.write(rec, np.random.default_rng(0).normal(0, 0.1, 8000), 16_000)
    # Nothing is kept anywhere, so the process compiles and would say so.
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "numba"), "SPEECHATTN_CACHE": ""}
    line = [sys.executable, "-m", "speechattn", "transcribe", str(rec), "--model", tiny_model_dir]
    line += ["--output-dir", tmp_path / "out", "--device", "cpu", "--quiet"]
    done = subprocess.run(line, capture_output=True, check=False, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")


def test_quiet_says_nothing_but_failures(rec, fake_model, capsys):
    assert main([*TRANSCRIBE, "--quiet", "--format", "CTM, json,ctm"]) == 0
    assert capsys.readouterr() == ("", "")
    assert sorted(p.name for p in Path("out").rglob("?.*")) == [
        "a.ctm",
        "a.json",
        "c.ctm",
        "c.json",
    ]
    (rec / "bad\n.wav").touch()
    assert main([*TRANSCRIBE, "--quiet", "--channel", "1"]) == 1
    assert capsys.readouterr().err == (
        "speechattn: failed: rec/bad\\n.wav: 1 is no good; take another\n"
    )


def test_some_failed(rec, fake_model, capsys):
    (rec / "bad.wav").touch()
    assert main(TRANSCRIBE) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == "speechattn: failed: rec/bad.wav: None is no good; take another"
    assert second.startswith("speechattn: 2 files ok, 1 failed; ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "COMMAND"),
        (["dance"], "dance"),
        (["transcribe"], "INPUT"),
        (["transcribe", "rec", "--resume"], "--resume: is about files; give --output-dir"),
        (["transcribe", "rec", "--format", "ctm,json"], "one is printed"),
        (["transcribe", "rec", "--format", "lab"], "there are 2; give --output-dir, or choose ctm"),
        (["transcribe", "@gone"], "@gone: a list of inputs that cannot be read (No such file"),
        (["transcribe", "-", "@-"], "standard input: given twice"),
        ([*TRANSCRIBE, "--format", "doc"], "unknown format 'doc'"),
        ([*TRANSCRIBE, "--format", ","], "no format"),
        ([*TRANSCRIBE, "--channel", "-1"], "'-1' is no channel"),
        ([*TRANSCRIBE, "--channel", "left"], "'left' is no channel"),
        ([*TRANSCRIBE, "--device", "abacus"], "device: 'abacus': no name of a device; auto, cpu,"),
        (["transcribe", "gone.wav", *TRANSCRIBE[2:]], "'gone.wav': No such file"),
        ([*TRANSCRIBE, "rec/b/../../rec/a.txt"], "would both be written to out/a.TextGrid"),
        ([*TRANSCRIBE, "--model", "gone"], "gone: no model folder"),
        ([*TRANSCRIBE, "--output-dir", "rec/a.wav"], "rec/a.wav"),
        (
            [*TRANSCRIBE, "--formats", "ctm"],
            "--formats ctm, did you mean --format?; see `speechattn transcribe --help`",
        ),
        (
            ["bench", "attention", "--quik"],
            "--quik, did you mean --quick?; see `speechattn bench attention --help`",
        ),
        ([*TRANSCRIBE, "--form", "ctm"], "--form"),
        ([*TRANSCRIBE, "--threads", "-1"], "'-1' is no number from 0 to 1024"),
        ([*TRANSCRIBE, "--threads", "two"], "'two' is no number"),
        (["bench"], "BENCHMARK"),
        (["bench", "nothing"], "nothing"),
        ([*BENCH, "--cores", "0"], "'0' is no number of cores"),
        ([*BENCH, "--repeats", "0"], "--repeats 0: give a number from 1"),
        ([*BENCH, "--peer", "abacus"], "abacus"),
        ([*BENCH, "--long-minutes", "6,x"], "'x' is no length"),
        ([*BENCH, "--list", "gone"], "gone: No such file"),
        ([*BENCH, "--repeat", "2"], "--repeat"),
        (["info", "m", "n"], "unrecognized arguments: n"),
        (["info", "gone"], "gone: no such model"),
    ],
)
def test_wrong_usage_is_one_line_and_writes_nothing(rec, fake_model, capsys, arguments, said):
    (rec / "a.txt").touch()
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("speechattn: error: ") and err.count("\n") == 1
    assert said in err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["transcribe", "-dash.wav"],
        ["transcribe", "a.wav", "-dash.wav"],
        ["transcribe", "-hash.wav"],
        ["transcribe", "a.wav", "-format.wav"],
        ["align", "-dash.wav", "--text", "t", "--output-dir", "o"],
        ["align", "a.wav", "--text", "-dash.txt", "--output-dir", "o"],
        ["show", "-dash.wav"],
        ["report", "-dash.d"],
        ["train", "-dash.yaml"],
        ["info", "-folder"],
    ],
)
def test_a_file_whose_name_begins_with_a_dash_has_a_way_out(
    arguments, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("-folder").mkdir()
    assert main(arguments) == 2
    (name,) = (word for word in arguments if re.match("-[dhf]", word))
    said = capsys.readouterr().err
    assert f"'{name}' looks like an option; if it is a file, write ./{name}, or -- before" in said
    assert f"see `speechattn {arguments[0]} --help`" in said


def test_a_file_is_not_taken_for_a_letter_and_its_value(rec, fake_model, capsys):
    Path("-out.wav").touch()
    Path("-quiet").touch()
    for name, apart in (("-out.wav", "-o ut.wav"), ("-quiet", "-q uiet"), ("-m.wav", "-m .wav")):
        assert main([*TRANSCRIBE, name]) == 2
        said = capsys.readouterr().err
        assert f"write ./{name}, or -- before it; if it is an option, write {apart};" in said
    assert not Path("ut.wav").exists() and not Path("out").exists()
    Path("-q").touch()
    assert main([*TRANSCRIBE, "-q", "-fctm"]) == 0  # no file, for all that there is one


def every_parser(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from every_parser(each)


def test_letters_mean_the_same_in_every_command():
    found = set()
    for parser in every_parser(build_parser()):
        for action in parser._actions:
            names = set(action.option_strings) - {"-h", "--help"}
            letters = {name for name in names if not name.startswith("--")}
            assert letters == {LETTERS[name] for name in names if name in LETTERS}
            found |= names & LETTERS.keys()
    assert found == LETTERS.keys()


def test_letters_stand_for_their_options(rec, fake_model, capsys):
    command = ["transcribe", "rec", "-o", "out", "-f", "ctm,json", "-m", "m", "-w", "1", "-q"]
    assert main(command) == 0
    assert capsys.readouterr() == ("", "") and fake_model == [("m", "auto")]
    assert Path("out/a.ctm").exists() and Path("out/b/c.json").exists()


def test_what_follows_two_dashes_is_a_file(rec, fake_model):
    Path("-dash.wav").touch()
    assert main([*TRANSCRIBE, "--format", "ctm", "--", "-dash.wav"]) == 0
    assert main([*TRANSCRIBE, "--format", "ctm", "rec/a.wav", "./-dash.wav"]) == 0
    assert Path("out/-dash.ctm").exists()


def test_inputs_may_stand_on_both_sides_of_options(rec, fake_model):
    Path("more.wav").touch()
    assert main([*TRANSCRIBE, "more.wav", "--format", "ctm", "rec/a.wav"]) == 0
    assert Path("out/more.ctm").exists()


def test_inputs_are_checked_before_the_model_is_loaded(rec, fake_model):
    assert main(["transcribe", "gone.wav", *TRANSCRIBE[2:]]) == 2
    assert fake_model == []


@pytest.mark.parametrize(("arguments", "threads"), [([], [1]), (["0"], []), (["3"], [3])])
def test_threads(rec, fake_model, monkeypatch, arguments, threads):
    calls = []
    torch = ModuleType("torch")
    torch.set_num_threads = lambda number: calls.append((number, len(fake_model)))
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert main([*TRANSCRIBE, *(["--threads", *arguments] if arguments else [])]) == 0
    assert calls == [(number, 0) for number in threads]  # before the model is loaded


def test_bench_transcribe(rec, monkeypatch, capsys):
    calls = []

    def bench_transcribe(inputs: list[str], *, publish, report, **options: object) -> None:
        calls.append((inputs, options))
        report("one\ndone")
        publish("# Report\n")

    monkeypatch.setattr(
        "speechattn.bench.transcription.benchmark.bench_transcribe", bench_transcribe
    )
    Path("list").write_text("rec/b/c.wav\n")
    options = ["--list", "list", "--cores", "1", "--long-minutes", "20,6"]
    assert main([*BENCH, *options, "rec/a.wav"]) == 0
    assert capsys.readouterr() == ("# Report\n", "speechattn: one\\ndone\n")
    assert calls == [
        (
            ["rec", "rec/a.wav", "rec/b/c.wav"],
            {
                "model": "m",
                "peers": [],
                "repeats": 3,
                "cores": [1],
                "long_minutes": [6.0, 20.0],
                "output_dir": None,
            },
        )
    ]


def test_interrupts(rec, fake_model, capsys):
    assert main(["info", "slow"]) == 130
    assert capsys.readouterr().err == "speechattn: interrupted\n"
    (rec / "stop.wav").touch()
    assert main(TRANSCRIBE) == 130
    journal = os.path.join("out", "journal.jsonl")
    assert journal in capsys.readouterr().err
    assert len(Path(journal).read_text().splitlines()) == 2


def test_info(rec, fake_model, capsys):
    assert main(["info", "m"]) == 0
    assert fake_model == [("m", "cpu")]
    assert capsys.readouterr().out == 'name: ʃ\nphones: ["SIL", "AA"]\nframes: "3"\n'


def test_info_as_json(rec, fake_model, capsys):
    assert main(["info", "m", "--json"]) == 0
    expected = {"name": "ʃ", "phones": ["SIL", "AA"], "frames": "3"}
    assert json.loads(capsys.readouterr().out) == expected


def test_the_models_of_the_package_are_listed(fake_model, capsys):
    assert main(["info", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines]
    assert names == ["english", "english_fast", "english_streaming"] and fake_model == []
    assert re.fullmatch("english +phones of read English, with times", lines[0])
    assert main(["info", "--list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [f"{name:17}  {what}" for name, what in listed.items()] == lines
    assert main(["info", "english", "--list"]) == 2
    assert "leave out english, or --list" in capsys.readouterr().err


def test_version(capsys):
    from speechattn import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"speechattn {__version__}\n"


HELP = [
    [],
    ["transcribe"],
    ["stream"],
    ["info"],
    ["bench"],
    ["bench", "transcribe"],
    ["bench", "streaming"],
]


@pytest.mark.parametrize("command", HELP)
def test_help(capsys, command):
    assert main([*command, "--help"]) == 0
    assert "usage: speechattn" in capsys.readouterr().out


# --- the real command -----------------------------------------------------------------------


def python(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A Python process of its own."""
    path = os.pathsep.join(filter(None, [IMPORT_FROM, os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_help_does_not_wait_for_torch():
    code = (
        "import sys, speechattn.cli.main; print({'torch', 'numpy', 'soundfile'} & set(sys.modules))"
    )
    done = python("-c", code)
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_a_run_with_a_broken_file(tmp_path, tiny_model_dir):
    rec = tmp_path / "rec"
    (rec / "b").mkdir(parents=True)
    noise = np.random.default_rng(0).normal(0, 0.1, 12_345)
    soundfile.write(rec / "a.wav", noise, 16_000)
    soundfile.write(rec / "b" / "c d.flac", noise[:11_025], 22_050)
    (rec / "junk.wav").write_bytes(b"not audio at all")
    formats = "textgrid,ctm,json,csv"
    out = tmp_path / "out"
    done = python(
        *("-m", "speechattn", "transcribe", rec, "--output-dir", out, "--model", tiny_model_dir),
        *("--format", formats, "--device", "cpu"),
    )
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    failure, count = without_compiling(done.stderr).splitlines()
    assert failure.startswith("speechattn: failed: ") and str(rec / "junk.wav") in failure
    assert count.startswith("speechattn: 2 files ok, 1 failed; ")

    records = [json.loads(line) for line in (out / "transcripts.jsonl").read_text().splitlines()]
    assert [(r["file"], r["status"]) for r in records] == [
        ("a.wav", "ok"),
        ("b/c d.flac", "ok"),
        ("junk.wav", "error"),
    ]
    assert [r["duration"] for r in records] == [0.771563, 0.5, None]
    assert [r["sample_rate"] for r in records] == [16_000, 22_050, None]
    assert {p.name for p in out.rglob("*") if p.is_file()} == {
        f"{stem}.{suffix}" for stem in ("a", "c d") for suffix in ("TextGrid", "ctm", "json", "csv")
    } | {"transcripts.jsonl", "journal.jsonl", "run.json"}
    for record in records[:2]:
        stem = (out / record["file"]).with_suffix("")
        grid = praat.openTextgrid(f"{stem}.TextGrid", includeEmptyIntervals=True)
        tier = [(e.start, e.end) for e in grid.getTier("phones").entries]
        assert tier == [(p["start"], p["end"]) for p in record["phones"]]
        assert tier[-1][1] == grid.maxTimestamp == record["duration"]
        assert json.loads(Path(f"{stem}.json").read_text())["phones"] == record["phones"]


def test_info_on_a_saved_model_and_a_missing_one(tmp_path, tiny_model_dir):
    done = python("-m", "speechattn", "info", tiny_model_dir)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(": " in line for line in done.stdout.splitlines()) and done.stdout
    done = python("-m", "speechattn", "info", tmp_path / "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("speechattn: error: ") and done.stderr.count("\n") == 1
