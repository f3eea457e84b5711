"""The command ``transcribe`` on a whole archive: workers, interruptions, resuming, shards."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support.models import save_sure_model
from support.recordings import needs_posix, tone

from speechattn.cli.main import main
from speechattn.cli.transcribe_options import FORMAT, parse_formats
from speechattn.errors import UsageError

RATE = 16_000
OWN = ("run.json", "journal.jsonl")


@pytest.fixture(scope="module")
def model(tiny_model_dir, tmp_path_factory) -> Path:
    """A small model that is sure of what it hears."""
    return save_sure_model(tiny_model_dir, tmp_path_factory.mktemp("models") / "sure")


def make_recordings(folder: Path) -> Path:
    """Twelve recordings of noise, one of them longer than a block, and one that is no good."""
    (folder / "b").mkdir(parents=True)
    for number in range(12):
        seconds = 45 if number == 3 else 0.5 + number / 7
        noise = np.random.default_rng(number).normal(0, 0.1, round(seconds * RATE))
        soundfile.write(folder / ("b" if number % 2 else "") / f"{number}.flac", noise, RATE)
    (folder / "junk.wav").write_bytes(b"RIFF")
    return folder


@pytest.fixture(scope="module")
def rec(tmp_path_factory) -> Path:
    """Recordings to be read only."""
    return make_recordings(tmp_path_factory.mktemp("rec") / "rec")


@pytest.fixture(scope="module")
def undisturbed(rec, model, tmp_path_factory) -> Path:
    """What a run in one process leaves of them."""
    out = tmp_path_factory.mktemp("undisturbed")
    assert main([*command(rec, out, model, "--workers", "1"), "--quiet"]) == 1
    return out


def command(rec: Path, out: Path, model: Path, *options: str) -> list[str]:
    formats = ["--format", "textgrid,json", "--posteriors", "npz", "--device", "cpu"]
    return [
        "transcribe",
        str(rec),
        "--output-dir",
        str(out),
        "--model",
        str(model),
        *formats,
        *options,
    ]


def start(*arguments: str) -> subprocess.Popen:
    program = "import sys; sys.path[:] = eval(sys.argv.pop(1)); from speechattn.cli.main import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", program, repr(sys.path), *arguments],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def content(out: Path) -> dict[str, bytes]:
    """Everything a run left but what tells of the run."""
    files = {p.relative_to(out).as_posix(): p for p in out.rglob("*") if p.is_file()}
    assert not [name for name in files if ".lock" in name]  # nobody is at work
    return {name: path.read_bytes() for name, path in files.items() if name not in OWN}


def test_the_same_bytes_for_any_number_of_workers(rec, model, undisturbed, tmp_path, capsys):
    assert main(command(rec, tmp_path / "out", model, "--workers", "3")) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("speechattn: failed: ") and "junk.wav" in said[0]
    assert said[1].startswith("speechattn: 12 files ok, 1 failed; 59.5 s of audio in ")
    assert "; failures: 1 unreadable" in said[1]
    assert content(tmp_path / "out") == content(undisturbed)
    assert len(content(undisturbed)) == 12 * 3 + 1


@needs_posix
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_is_gone_on_with(rec, model, undisturbed, tmp_path, how):
    out = tmp_path / "out"
    process = start(*command(rec, out, model, "--workers", "2"))
    until = time.monotonic() + 60
    while not lines(out / "journal.jsonl") and time.monotonic() < until:
        time.sleep(0.002)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    done = lines(out / "journal.jsonl")
    if how == signal.SIGINT and process.returncode == 130:
        assert "go on with --resume" in said
        assert not [path for path in out.rglob("*.tmp*")]
    assert process.returncode in (130, -how, 1), said
    assert 1 <= done <= 13
    assert main(command(rec, out, model, "--workers", "2", "--resume")) == 1
    assert lines(out / "journal.jsonl") == 13  # nothing was done twice
    assert content(out) == content(undisturbed)


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@needs_posix
def test_a_run_with_the_same_outputs_or_other_settings_is_refused(rec, model, tmp_path, capsys):
    out = tmp_path / "out"
    process = start(*command(rec, out, model, "--workers", "1"))
    until = time.monotonic() + 60
    while not lines(out / "journal.jsonl") and time.monotonic() < until:
        time.sleep(0.002)
    process.send_signal(signal.SIGSTOP)  # so that it does not end meanwhile
    same = main(command(rec, out, model, "--workers", "1"))
    said = capsys.readouterr().err
    others = main(command(rec, out, model, "--workers", "1", "--channel", "0"))
    said_of_others = capsys.readouterr().err
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=60)
    assert same == 2 and "another run is at work on this output (process" in said
    assert others == 2 and "with other settings: its settings.channel is null" in said_of_others


@needs_posix
@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True])
def test_four_runs_at_once_leave_what_one_after_the_other_leaves(
    rec, model, tmp_path, capsys, killed
):
    names = sorted(path for path in rec.rglob("*") if path.is_file())
    parts = [names[i::4] for i in range(4)]
    one_by_one, out = tmp_path / "one_by_one", tmp_path / "out"
    statuses = []
    for part in parts:
        statuses.append(main([*command(part[0], one_by_one, model), *map(str, part[1:])]))
    processes = [start(*command(part[0], out, model), *map(str, part[1:])) for part in parts]
    if killed:
        until = time.monotonic() + 60
        while not lines(out / "journal.jsonl") and time.monotonic() < until:
            time.sleep(0.002)
        processes[0].kill()
    for process in processes:
        process.communicate(timeout=120)
    if killed:
        unfinished = json.loads((out / "run.json").read_text()).get("unfinished", {})
        assert list(unfinished.values()) in ([], [list(map(str, parts[0]))])
        again = [*command(parts[0][0], out, model), *map(str, parts[0][1:]), "--resume"]
        assert main(again) == statuses[0]
    else:
        assert [process.returncode for process in processes] == statuses
    assert lines(out / "transcripts.jsonl") == len(names)
    assert content(out) == content(one_by_one)
    assert "unfinished" not in json.loads((out / "run.json").read_text())


def test_resuming_says_what_there_is_to_do(rec, model, undisturbed, tmp_path, capsys):
    out = shutil.copytree(undisturbed, tmp_path / "out")
    run = command(rec, out, model, "--quiet")
    assert main([*command(rec, out, model), "--resume"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert "speechattn: nothing to do: all 13 recordings were done before" in said
    assert main([*run, "--resume", "--channel", "0"]) == 2
    said = capsys.readouterr().err
    assert "its settings.channel was null and is now 0; run without --resume" in said
    assert main([*run, "--resume", "--format", "ctm"]) == 2
    assert "settings.formats" in capsys.readouterr().err


def test_shards_are_put_together_by_resuming(rec, model, undisturbed, tmp_path, capsys):
    out = tmp_path / "out"
    for shard in ("2/2", "1/2"):
        main(command(rec, out, model, "--workers", "1", "--shard", shard))
    assert not (out / "transcripts.jsonl").exists()
    capsys.readouterr()
    assert main(command(rec, out, model, "--resume")) == 1
    assert "nothing to do: all 13" in capsys.readouterr().err
    assert {k: v for k, v in content(out).items() if "-of-2" not in k} == content(undisturbed)
    assert main(command(rec, out, model, "--shard", "3/2")) == 2
    assert "--shard '3/2'" in capsys.readouterr().err


def test_errors_and_the_first_failure(model, tmp_path, capsys):
    out, errors = tmp_path / "out", tmp_path / "errors.jsonl"
    rec = tmp_path / "rec"
    rec.mkdir()
    soundfile.write(rec / "0.wav", tone(RATE, RATE), RATE)
    (rec / "b.wav").write_bytes(b"")
    (rec / "c.wav").write_bytes((rec / "0.wav").read_bytes()[:-2])
    options = ("--workers", "1", "--errors", str(errors))
    assert main(command(rec, out, model, *options)) == 1
    kinds = [(e["file"], e["kind"]) for e in map(json.loads, errors.read_text().splitlines())]
    assert kinds == [("b.wav", "empty"), ("c.wav", "truncated")]
    capsys.readouterr()
    assert main(command(rec, out, model, *options, "--fail-fast")) == 1
    said = capsys.readouterr().err
    assert "stopped at the first failure" in said and "go on with --resume" in said
    assert [json.loads(e)["file"] for e in errors.read_text().splitlines()] == ["b.wav"]


def test_warnings_are_in_the_record_and_counted(model, tmp_path, capsys):
    (tmp_path / "rec").mkdir()
    soundfile.write(tmp_path / "rec" / "a.wav", np.clip(tone(RATE, RATE, level=3.0), -1, 1), RATE)
    soundfile.write(tmp_path / "rec" / "b.wav", tone(8000, 8000), 8000)
    main(command(tmp_path / "rec", tmp_path / "out", model, "--workers", "1"))
    records = [
        json.loads(r) for r in (tmp_path / "out" / "transcripts.jsonl").read_text().split("\n")[:2]
    ]
    keys = [{w.partition(":")[0] for w in r["warnings"]} for r in records]
    assert "clipped" in keys[0] and "narrow band" in keys[1] and "clipped" not in keys[1]
    said = capsys.readouterr().err
    assert "; warnings for 2 files: " in said
    assert said.endswith(f" (see {tmp_path / 'out' / 'transcripts.jsonl'})\n")


def test_a_damaged_model_is_an_error_before_anything_is_removed(
    rec, model, undisturbed, tmp_path, capsys
):
    out = shutil.copytree(undisturbed, tmp_path / "out")
    before = content(out)
    (tmp_path / "bad").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "bad" / name).write_bytes((model / name).read_bytes()[:-5])
    capsys.readouterr()
    for workers in "12":
        assert main(command(rec, out, tmp_path / "bad", "--workers", workers)) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "export the model again" in said
    assert content(out) == before


def test_formats():
    assert parse_formats("textgrid, CSV,csv,") == ["textgrid", "csv"]
    assert FORMAT == "textgrid"  # into a folder; test_print_transcripts.py has what is printed
    for text in ("", " , ", "textgrid,TextGrid,wav"):
        with pytest.raises(UsageError):
            parse_formats(text)


def test_the_same_bytes_with_the_model_that_comes_with_the_package(corpora, tmp_path):
    audio = sorted((corpora / "kathleen" / "audio" / "kathleen").iterdir())[:200:40]
    for workers in "12":
        options = ["--output-dir", str(tmp_path / workers), "--workers", workers]
        main(["transcribe", *map(str, audio), *options, "--format", "json", "--posteriors", "npz"])
    assert content(tmp_path / "1") == content(tmp_path / "2")
    assert len(content(tmp_path / "1")) == 11
