"""Errors: their messages, and the kinds of failure they stand for."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support.recordings import SIGNAL, encoded, needs_posix, wav

from speechattn import errors
from speechattn.audio.load import read_audio
from speechattn.audio.media import has_media
from speechattn.errors import AudioError, SpeechattnError, UsageError, kind_of


@pytest.mark.parametrize("kind", [errors.AudioError, errors.ModelError, errors.SpeechattnError])
def test_a_message_is_one_line_whatever_it_quotes(kind):
    error = kind("a\nb\x1b[2J\udcff é: wrong; leave it out")
    assert str(error) == r"a\nb\x1b[2J\udcff é: wrong; leave it out"
    assert str(kind(str(error))) == str(error)  # of an error that quotes another
    again = pickle.loads(pickle.dumps(error))  # from another process
    assert type(again) is kind and str(again) == str(error)


def kind_of_file(path: Path, **options) -> str:
    with pytest.raises(AudioError) as caught:
        read_audio(path, **options)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) and kind_of(again) == kind_of(caught.value)
    return kind_of(caught.value)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "empty"),
        (wav(b""), "empty"),
        (wav(declared=1 << 20), "truncated"),
        (wav()[:30], "truncated"),
        (wav(channels=0), "damaged"),
        (b"not audio at all", "unreadable"),
        (b"\0\0\0\x18ftypM4A ", "damaged" if has_media() else "unreadable"),
        (wav(bytes(20)), "too short"),
        (wav(rate=1), "unsuitable"),
    ],
)
def test_files(tmp_path, data, kind):
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    assert kind_of_file(path) == kind


def test_samples_and_channels(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.where(np.arange(16_000) == 99, np.nan, 0.1), 16_000, subtype="FLOAT")
    assert kind_of_file(path) == "not finite"
    path.write_bytes(wav())
    assert kind_of_file(path, channel=1) == "unsuitable"
    assert kind_of_file(tmp_path / "gone.wav") == "missing"
    assert kind_of_file(tmp_path) == "unreadable"


@pytest.mark.parametrize("kind", ["FLAC", "OGG"])
def test_cut_compressed_files(tmp_path, kind):
    path = tmp_path / "a"
    data = encoded(tmp_path, kind, "VORBIS" if kind == "OGG" else "PCM_16", SIGNAL)
    path.write_bytes(data[: len(data) * 2 // 3])
    assert kind_of_file(path) in ("truncated", "damaged")


@needs_posix
@pytest.mark.skipif(os.name != "nt" and os.geteuid() == 0, reason="root may read everything")
def test_permissions(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav())
    path.chmod(0)
    assert kind_of_file(path) == "no access"


def writing(code: int) -> SpeechattnError:
    """What is raised where an output cannot be written."""
    error = SpeechattnError("a.ctm: cannot be written")
    error.__cause__ = OSError(code, os.strerror(code))
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (AudioError("x"), "unreadable"),
        (AudioError("x", "empty"), "empty"),
        (FileNotFoundError(errno.ENOENT, "x"), "missing"),
        (PermissionError(errno.EACCES, "x"), "no access"),
        (OSError(errno.EIO, "x"), "no access"),
        (OSError(errno.ENOSPC, "x"), "cannot write"),
        (writing(errno.EACCES), "cannot write"),
        (MemoryError(), "out of memory"),
        (UsageError("x"), "unreadable"),
        (RuntimeError("x"), "internal"),
    ],
)
def test_other_errors(error, kind):
    assert kind_of(error) == kind


def test_every_kind_is_a_constant():
    kinds = {v for k, v in vars(errors).items() if k.isupper() and isinstance(v, str)}
    assert kinds > errors.LASTING
    assert not errors.LASTING & {"missing", "no access", "cannot write", "out of memory", "crash"}
