"""Finding recordings and naming their outputs."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from support.recordings import make, needs_posix, without_media

from speechattn.errors import UsageError
from speechattn.transcription.inputs import collect, left_out_message


def test_a_folder_is_searched_in_order_and_mirrored(tmp_path):
    rec = make(tmp_path / "rec", "b.wav", "a/z.FLAC", "a/c.1.wav", "notes.txt", "a.wav", "noext")
    make(rec, "._b.wav", ".hidden/a.wav", "e/readme.md")
    jobs = collect([rec], tmp_path / "out", ["textgrid", "ctm"])
    assert [job.file for job in jobs] == ["a/c.1.wav", "a/z.FLAC", "a.wav", "b.wav"]
    assert [job.path for job in jobs] == [rec / job.file for job in jobs]
    assert jobs[0].outputs == {
        "textgrid": tmp_path / "out/a/c.1.TextGrid",
        "ctm": tmp_path / "out/a/c.1.ctm",
    }


def test_recordings_that_are_not_read_are_named(tmp_path, monkeypatch):
    rec = make(tmp_path / "rec", "a.wav", "b.M4A", "c/d.webm", "c/e.m4a", "notes.txt", ".f.m4a")
    left_out: list[str] = []
    with without_media(monkeypatch):
        jobs = collect([rec], tmp_path / "out", ["ctm"], left_out)
        assert [job.file for job in jobs] == ["a.wav"]
        assert left_out == [str(rec / name) for name in ("b.M4A", "c/d.webm", "c/e.m4a")]
        message = left_out_message(left_out)
        assert message.startswith("left out: 3 of kinds that are not read (2 .m4a, 1 .webm): ")
        assert str(rec / "c/d.webm") in message and "ffmpeg" in message
        assert "`pip install 'speechattn[media]'`" in message
        assert "and 5 more" in left_out_message(["x.m4a"] * 25)
        with pytest.raises(UsageError, match=r"no audio in this folder.*2 of kinds that are not"):
            collect([rec / "c"], tmp_path / "out", ["ctm"])
    assert "pip install" not in left_out_message(["x.voc"])


def test_raw_samples_in_a_folder_are_counted_and_a_way_out_is_given(tmp_path):
    make(tmp_path, "a.wav", "b.raw", "c/d.RAW", "e.pcm")
    left_out: list[str] = []
    jobs = collect([tmp_path], tmp_path / "out", ["ctm"], left_out)
    assert [job.file for job in jobs] == ["a.wav"]
    message = left_out_message(left_out)
    assert message.startswith("left out: 3 of kinds that are not read (1 .pcm, 2 .raw): ")
    assert all(str(tmp_path / name) in message for name in ("b.raw", "c/d.RAW", "e.pcm"))
    assert "`ffmpeg -f s16le" in message and "`speechattn stream`" in message
    assert "WAV or FLAC" not in message
    both = left_out_message(["a.voc", "b.raw"])
    assert "convert them to WAV or FLAC" in both and "`ffmpeg -f s16le" in both
    (tmp_path / "a.wav").unlink()
    with pytest.raises(UsageError, match=r"no audio in this folder.* 3 of kinds .*ffmpeg -f s16le"):
        collect([tmp_path], tmp_path / "out", ["ctm"])


def test_a_file_is_taken_whatever_its_name_and_lands_on_top(tmp_path):
    make(tmp_path, "rec/deep/talk.dat", "rec/.odd.wav")
    inputs = [str(tmp_path / "rec/deep/talk.dat"), str(tmp_path / "rec/.odd.wav")]
    jobs = collect(inputs, tmp_path / "out", ["json"])
    assert [job.file for job in jobs] == ["talk.dat", ".odd.wav"]
    assert [job.outputs["json"].name for job in jobs] == ["talk.json", ".odd.json"]


@needs_posix
@pytest.mark.parametrize("target", [".", "..", "../a"])
def test_links_that_lead_back_up_end(tmp_path, target):
    rec = make(tmp_path / "rec", "a/x.wav", "b.wav")
    (rec / "a" / "again").symlink_to(target, target_is_directory=True)
    files = [job.file for job in collect([rec], tmp_path / "out", ["ctm"])]
    assert files == ["a/x.wav", "b.wav"]


@pytest.mark.parametrize(
    ("files", "inputs"),
    [
        (["r/a.wav", "r/a.flac"], ["r"]),
        (["x/a.wav", "y/a.wav"], ["x/a.wav", "y/a.wav"]),
        (["x/a.wav", "y/a.ogg"], ["x", "y"]),
        (["x/b/a.wav", "y/b/a.wav"], ["x", "y"]),
        (["x/a.wav", "y/a.mp3"], ["x", "y/a.mp3"]),
    ],
)
def test_two_recordings_with_one_output_are_refused_by_name(tmp_path, files, inputs):
    make(tmp_path, *files)
    with pytest.raises(UsageError) as caught:
        collect([tmp_path / name for name in inputs], tmp_path / "out", ["textgrid"])
    for file in files:
        assert str(tmp_path / file) in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_recording_named_twice_is_transcribed_once(tmp_path):
    rec = make(tmp_path / "rec", "a.wav", "b/c.wav")
    again = str(rec) + "/../rec/a.wav"
    jobs = collect([rec, rec, rec / "a.wav", again], tmp_path / "out", ["ctm"])
    assert [job.file for job in jobs] == ["a.wav", "b/c.wav"]


def test_an_output_never_replaces_a_recording(tmp_path):
    rec = make(tmp_path / "rec", "talk.json")
    with pytest.raises(UsageError, match="would replace a recording"):
        collect([rec / "talk.json"], rec, ["json"])
    assert collect([rec / "talk.json"], rec, ["textgrid"])


@pytest.mark.parametrize(
    ("name", "said"),
    [("", "''"), ("empty", "no audio"), ("n" * 300, "too long"), ("gone/..", "..")],
)
def test_inputs_without_audio_are_refused(tmp_path, monkeypatch, name, said):
    monkeypatch.chdir(make(tmp_path, "a.wav"))
    make(tmp_path, "empty/readme.txt", "empty/sub/.x.wav")
    with pytest.raises(UsageError) as caught:
        collect(["a.wav", name], "out", ["ctm"])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_inputs_are_taken_to_fail_by_name_unless_all_are_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(make(tmp_path, "a.wav"))
    jobs = collect(["gone.wav", "a.wav", "no/folder.d"], "out", ["ctm"])
    assert [job.file for job in jobs] == ["gone.wav", "a.wav", "folder.d"]
    assert jobs[2].outputs == {"ctm": Path("out/folder.ctm")}
    with pytest.raises(UsageError, match="'gone.wav': No such file"):
        collect(["gone.wav"], "out", ["ctm"])
    with pytest.raises(UsageError, match="none of the 2 inputs exists: 'gone.wav', 'no/folder.d'"):
        collect(["gone.wav", "no/folder.d"], "out", ["ctm"])


def test_no_input_and_unknown_formats_are_refused(tmp_path):
    make(tmp_path, "a.wav")
    with pytest.raises(UsageError, match="no input"):
        collect([], "out", ["ctm"])
    with pytest.raises(UsageError, match="'doc'.*textgrid, ctm, json, csv"):
        collect([tmp_path], "out", ["ctm", "doc"])
    with pytest.raises(UsageError, match="no output format"):
        collect([tmp_path], "out", [])


def test_a_folder_that_cannot_be_searched_is_not_passed_over(tmp_path, monkeypatch):
    rec = make(tmp_path / "rec", "a.wav", "locked/b.wav")
    scandir = os.scandir

    def refuse(folder):  # instead of chmod, which does not keep root out
        if Path(folder).name == "locked":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UsageError, match="locked: cannot be searched"):
        collect([rec], tmp_path / "out", ["ctm"])


def test_collisions_of_odd_names_are_one_line(tmp_path):
    if os.name == "nt":
        pytest.skip("no such names")
    rec = make(tmp_path / "rec", "a\n.wav", "a\n.flac")
    with pytest.raises(UsageError) as caught:
        collect([rec], tmp_path / "out", ["ctm"])
    assert "\n" not in str(caught.value) and "a\\n.flac" in str(caught.value)
