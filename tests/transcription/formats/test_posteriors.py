"""Posteriors as files, read back with NumPy and kaldiio."""

from __future__ import annotations

import io
import os
import tempfile
import tracemalloc
import zipfile
from pathlib import Path
from unittest import mock

import kaldiio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.recordings import needs_posix

from speechattn.transcription.formats import posteriors as module
from speechattn.transcription.formats.posteriors import KINDS, PosteriorFile

LABELS = ("SIL", "ʃ", "t͡ʃ")


def rows(frames: int, phones: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((frames, phones), np.float32)


def write(path: Path, kind: str, blocks, labels=LABELS, utterance: str = "a/b") -> bytes:
    with PosteriorFile(path, kind) as file:
        for block in blocks:
            file.add(block)
        file.write(labels, utterance)
    return path.read_bytes()


@settings(max_examples=25)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any),
    waiting=st.sampled_from([1, 100, 1 << 20]),
)
def test_numpy_and_kaldi_read_what_was_added(lengths, waiting):
    """In pieces of any size, waiting in memory or on the disk."""
    blocks = [rows(length, seed=i) for i, length in enumerate(lengths)]
    whole = np.concatenate(blocks)
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(module, "WAITING_BYTES", waiting),
    ):
        npz, ark = Path(folder, "a.npz"), Path(folder, "a.ark")
        write(npz, "npz", blocks)
        with np.load(npz, allow_pickle=False) as archive:
            assert set(archive.files) == {"posteriors", "labels", "frame_shift"}
            found = archive["posteriors"]
            assert archive["labels"].tolist() == list(LABELS)
            assert archive["frame_shift"] == 0.01 and archive["frame_shift"].shape == ()
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, whole)
        assert zipfile.ZipFile(npz).testzip() is None

        write(ark, "ark", blocks, utterance="x%20y/ʃ")
        [(utterance, matrix)] = kaldiio.load_ark(str(ark))
        assert utterance == "x%20y/ʃ" and matrix.dtype == np.float32
        np.testing.assert_array_equal(matrix, whole)
        assert sorted(os.listdir(folder)) == ["a.ark", "a.npz"]


def test_archives_put_one_after_the_other_are_an_archive(tmp_path):
    """As Kaldi's own are joined: ``cat *.ark``."""
    data = b"".join(
        write(tmp_path / "a", "ark", [rows(n, seed=n)], utterance=f"u{n}") for n in (1, 5)
    )
    found = dict(kaldiio.load_ark(io.BytesIO(data)))
    assert list(found) == ["u1", "u5"]
    np.testing.assert_array_equal(found["u5"], rows(5, seed=5))


@pytest.mark.parametrize("kind", KINDS)
def test_the_bytes_depend_on_nothing_but_the_values(tmp_path, kind):
    """Not on the day, the pieces, or where they waited."""
    whole = rows(1000)
    once = write(tmp_path / "a", kind, [whole])
    with (
        mock.patch("time.time", return_value=2e9),
        mock.patch("time.localtime", side_effect=AssertionError),
        mock.patch.object(module, "WAITING_BYTES", 100),
    ):
        again = write(tmp_path / "b", kind, [whole[:1], whole[1:400], whole[400:]])
    assert once == again


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_of_what_was_not_written(tmp_path, kind):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with mock.patch.object(module, "WAITING_BYTES", 1):
        with pytest.raises(KeyboardInterrupt), PosteriorFile(path, kind) as file:
            file.add(rows(9))
            raise KeyboardInterrupt
        full = mock.patch.object(module.shutil, "copyfileobj", side_effect=OSError("full"))
        with full, pytest.raises(OSError, match="full"):
            write(path, kind, [rows(9)])
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a"]


@needs_posix
def test_a_process_that_is_killed_leaves_nothing_that_waited(tmp_path):
    """What waits on the disk has no name: its space is free when nobody has it open."""
    with (
        mock.patch.object(module, "WAITING_BYTES", 1),
        PosteriorFile(tmp_path / "a", "npz") as file,
    ):
        file.add(rows(5000))
        assert os.fstat(file._rows.fileno()).st_nlink == 0
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", KINDS)
def test_folders_are_made_as_needed(tmp_path, kind):
    assert write(tmp_path / "x" / "y" / "a", kind, [rows(2)])
    with PosteriorFile(tmp_path / "z" / "a", kind):
        pass
    assert not (tmp_path / "z").exists()


def test_labels_that_are_not_the_columns_are_refused(tmp_path):
    for blocks in ([], [rows(3, phones=2)]):
        with pytest.raises(ValueError, match="3 phones"):
            write(tmp_path / "a", "npz", blocks)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_recording_is_never_in_memory(tmp_path, kind):
    block = rows(10_000)
    elsewhere = str(tmp_path / "gone")  # where the system puts temporary files may be too small
    with (
        mock.patch.object(module, "WAITING_BYTES", 1 << 16),
        mock.patch.object(tempfile, "tempdir", elsewhere),
    ):
        write(tmp_path / "warm", kind, [block[:10]])
        tracemalloc.start()
        try:
            with PosteriorFile(tmp_path / "a", kind) as file:
                for _ in range(100):  # 12 MB
                    file.add(block)
                file.write(LABELS, "a")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert (tmp_path / "a").stat().st_size > 12_000_000
    assert peak < 1_000_000
