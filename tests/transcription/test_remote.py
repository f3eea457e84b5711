"""Recordings behind URLs: the real command gives what it gives for the same files on the disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.recordings import make, two_recordings

from speechattn.cli.main import main
from speechattn.errors import UsageError
from speechattn.inference.recognizer import load_model
from speechattn.transcription.batch import transcribe_files
from speechattn.transcription.inputs import collect, input_state
from speechattn.transcription.remote import Remote, is_url

fsspec = pytest.importorskip("fsspec", reason="extra [fsspec]")


@pytest.fixture
def rec(tmp_path) -> Path:
    """Two recordings in folders, a hidden one and no recording."""
    folder = two_recordings(tmp_path / "rec")
    make(folder, "notes.txt", ".hidden.wav")
    return folder


@pytest.fixture
def archive(rec, tmp_path) -> str:
    """The same in a zip archive, as a URL."""
    with zipfile.ZipFile(tmp_path / "rec.zip", "w") as file:
        for path in sorted(rec.rglob("*")):
            file.write(path, path.relative_to(rec.parent))
    return f"zip://rec::{tmp_path}/rec.zip"


def transcribe(where: str, out: Path, model: Path, *options: str) -> int:
    command = ["transcribe", where, "--output-dir", str(out), f"--model={model}", "--quiet"]
    return main([*command, "--format=textgrid,json", *options])


def tree(out: Path) -> dict[str, bytes]:
    """What does not tell of the run."""
    own = (".lock", "journal.jsonl", "run.json")
    files = [path for path in out.rglob("*") if path.is_file() and path.name not in own]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", ["file", "zip"])
def test_outputs_are_those_of_files_on_the_disk(
    rec, archive, tmp_path, tiny_model_dir, kind, workers
):
    where = archive if kind == "zip" else rec.as_uri()
    assert transcribe(str(rec), tmp_path / "one", tiny_model_dir) == 0
    assert transcribe(where, tmp_path / "two", tiny_model_dir, f"--workers={workers}") == 0
    assert len(tree(tmp_path / "one")) == 5
    assert tree(tmp_path / "two") == tree(tmp_path / "one")


def test_one_recording_in_memory(rec, tmp_path, tiny_model_dir):
    fsspec.filesystem("memory").pipe_file("/box/a.wav", (rec / "a.wav").read_bytes())
    assert transcribe("memory://box/a.wav", tmp_path / "out", tiny_model_dir) == 0
    assert sorted(tree(tmp_path / "out")) == ["a.TextGrid", "a.json", "transcripts.jsonl"]


def test_a_resumed_run_does_what_is_new_or_changed(rec, tmp_path, tiny_model_dir):
    out, lines = tmp_path / "out", lambda: (out / "journal.jsonl").read_text().splitlines()
    assert transcribe(rec.as_uri(), out, tiny_model_dir) == 0
    assert transcribe(rec.as_uri(), out, tiny_model_dir, "--resume") == 0
    assert len(lines()) == 2
    (rec / "a.wav").write_bytes((rec / "a.wav").read_bytes())
    assert transcribe(rec.as_uri(), out, tiny_model_dir, "--resume") == 0
    assert [json.loads(line)["file"] for line in lines()[2:]] == ["a.wav"]


def test_a_bad_recording_is_called_by_its_url(rec, tmp_path, tiny_model_dir, capsys):
    (rec / "bad.wav").write_bytes((rec / "a.wav").read_bytes()[:500])
    assert transcribe(rec.as_uri(), tmp_path / "out", tiny_model_dir) == 1
    said = capsys.readouterr().err
    assert f"failed: {rec.as_uri()}/bad.wav: cut off" in said and "speechattn-" not in said


def test_a_recording_that_is_gone_is_missing(rec, tmp_path, tiny_model_dir, capsys):
    make(rec, "z.wav")
    jobs = collect([rec.as_uri()], tmp_path / "out", ["ctm"])
    (rec / "z.wav").unlink()
    summary = transcribe_files(jobs, load_model(tiny_model_dir, "cpu"), tmp_path / "out")
    (failure,) = summary.failures
    assert failure[1] == "missing" and "z.wav" in failure[2]


def test_a_url_of_nothing_fails_by_name_beside_others(rec, tmp_path, tiny_model_dir, monkeypatch):
    monkeypatch.chdir(rec)  # where there is an a.wav, which is not meant
    urls = [f"{tmp_path.as_uri()}/no/a.wav", "zip://z.wav::no.zip", f"{rec.as_uri()}/b/c.wav"]
    (rec / "b").mkdir(exist_ok=True)
    (rec / "b" / "c.wav").write_bytes((rec / "a.wav").read_bytes())
    jobs = collect(urls, tmp_path / "out", ["ctm"])
    summary = transcribe_files(jobs, load_model(tiny_model_dir, "cpu"), tmp_path / "out")
    assert summary.succeeded == 1
    assert [(file, kind) for file, kind, _ in summary.failures] == [
        ("a.wav", "missing"),
        ("z.wav", "missing"),
    ]


def test_an_archive_that_is_damaged_after_it_was_listed(rec, archive, tmp_path, tiny_model_dir):
    other = (rec / "a.wav").rename(tmp_path / "other.wav")
    jobs = collect([archive, str(other)], tmp_path / "out", ["ctm"])
    (tmp_path / "rec.zip").write_bytes(b"junk")
    fsspec.get_filesystem_class("zip").clear_instance_cache()  # as in another process
    summary = transcribe_files(jobs, load_model(tiny_model_dir, "cpu"), tmp_path / "out")
    assert summary.succeeded == 1 and len(summary.failures) == 2
    for file, kind, said in summary.failures:
        assert kind == "no access" and f"{file}::" in said and "BadZipFile" in said


def test_no_copies_are_left(rec, tmp_path, tiny_model_dir, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    (rec / "bad.wav").write_bytes(b"junk")
    assert transcribe(rec.as_uri(), tmp_path / "out", tiny_model_dir) == 1
    assert not any((tmp_path / "tmp").iterdir())


def refuse(capsys, where, *words, out="out"):
    assert main(["transcribe", where, "--output-dir", str(out)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and all(word in said for word in words), said


def test_what_cannot_be_found_is_said(rec, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refuse(capsys, "file:///no/such/folder", "/no/such/folder", "not found")
    refuse(capsys, "zip://rec::gone.zip", "gone.zip", "not found")
    refuse(capsys, "nothing://a/b", "nothing://a/b", "nothing")
    refuse(capsys, str(rec), "out: outputs go to a folder", out="s3://bucket/out")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    refuse(capsys, rec.as_uri(), "pip install 'speechattn[fsspec]'")


def test_names_that_lead_out_of_the_output_folder_are_refused(rec, tmp_path):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.write(rec / "a.wav", "rec/../../a.wav")
    with pytest.raises(UsageError, match="leads out of the folder|no audio there"):
        collect([f"zip://::{tmp_path}/evil.zip"], tmp_path / "out", ["ctm"])


def test_what_is_a_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for url in ("s3://a/b", "file:///a", "zip://a::b.zip", "simplecache::s3://a/b", "memory://a"):
        assert is_url(url)
    for path in ("a.wav", "C:\\a\\b.wav", "C:/a", "/a/b://c", "a:b", Path("s3://a"), ""):
        assert not is_url(path)
    (tmp_path / "odd:").mkdir()
    (tmp_path / "odd:" / "a.wav").touch()
    assert not is_url("odd://a.wav")  # which is there


def test_a_url_can_be_sent_to_workers_and_compared(rec):
    one, other = (Remote(rec.as_uri(), f"{rec}/a.wav", "a", size) for size in (1, 2))
    assert one == other and str(one) == "a" and one.name == "a.wav"
    size, mark = one.state()
    assert size == os.path.getsize(rec / "a.wav") and mark == other.state()[1]


def test_of_an_unknown_state_only_errors_of_the_file_system_are_expected(rec, monkeypatch):
    one = Remote(rec.as_uri(), f"{rec}/a.wav", "a")
    system = fsspec.filesystem("file")

    def fails(error):
        def info(path):
            raise error

        monkeypatch.setattr(type(system), "info", lambda self, path: info(path))
        return input_state(one)

    for error in (OSError("gone"), zipfile.BadZipFile("odd")):
        assert fails(error) is None
    monkeypatch.undo()
    assert input_state(one) == one.state()
    monkeypatch.setattr(Remote, "state", lambda self: self.nothing)
    with pytest.raises(AttributeError, match="nothing"):
        input_state(one)


def test_the_help_imports_none_of_it():
    code = "import sys; from speechattn.cli.main import main\n"
    code += "try: main(['--help'])\nexcept SystemExit: assert 'fsspec' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
