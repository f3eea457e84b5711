"""Paths of all kinds and open files are read, and open files stay as they were."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support.recordings import message, tone

from speechattn.audio import AudioStream, read_audio
from speechattn.audio.load import AudioFile, array_blocks


class Named:
    """An ``os.PathLike`` that is no Path."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(8_000, 22_050), 22_050)
    return path


@pytest.mark.parametrize(
    "name", [str, os.fsencode, Named, lambda path: io.BytesIO(path.read_bytes())]
)
def test_all_ways_to_name_a_file_give_the_same(path, name):
    np.testing.assert_array_equal(read_audio(name(path))[0], read_audio(path)[0])


def test_an_open_file_is_read_from_its_position_which_is_put_back(path):
    content = b"before" + path.read_bytes()
    file = io.BytesIO(content)
    file.seek(6)
    with AudioFile(file) as audio:
        once = np.concatenate(list(audio.blocks(0.1)))
        np.testing.assert_array_equal(np.concatenate(list(audio.blocks())), once)
    assert file.tell() == 6 and file.getvalue() == content and not file.closed
    np.testing.assert_array_equal(once, read_audio(path)[0])
    assert audio.info.path == Path("open file")
    with path.open("rb") as file:
        assert read_audio(file)[1] == read_audio(path)[1]


def test_a_pipe_is_read(path):
    read, write = os.pipe()
    with os.fdopen(read, "rb") as pipe:
        with os.fdopen(write, "wb") as other:
            other.write(path.read_bytes()[:50_000])
        assert len(read_audio(pipe)[0]) == round(8_000 * 16_000 / 22_050)


def test_no_copy_is_left(path, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    read_audio(io.BytesIO(path.read_bytes()))
    message(lambda: read_audio(io.BytesIO(b"no sound")))
    message(lambda: read_audio(path.open()))
    assert list(folder.iterdir()) == []


def test_what_cannot_be_read_says_what_to_give(path):
    at_end = io.BytesIO(path.read_bytes())
    at_end.seek(0, io.SEEK_END)
    for audio, said in (
        (at_end, "seek(0)"),
        (io.BytesIO(), "is empty"),
        (io.StringIO("text"), "mode 'rb'"),
        (path.read_bytes(), "io.BytesIO"),
        (bytearray(b"RIFF"), "io.BytesIO"),
        ("s3://bucket/a.wav", "fsspec"),
        (3, "int is no path"),
    ):
        assert said in message(lambda a=audio: read_audio(a))


def test_an_open_file_is_no_array(path):
    with path.open("rb") as file:
        assert "read it first" in message(lambda: AudioStream().push(file))
        assert "read it first" in message(lambda: array_blocks(file, 16_000))
        assert file.read(4) == b"RIFF"
