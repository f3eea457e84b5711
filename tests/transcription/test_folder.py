"""A folder in Python: every recording, in order, whatever becomes of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support.messages import without_compiling
from support.models import save_sure_model

import speechattn
from speechattn.errors import ModelError, UsageError
from speechattn.transcription.folder import FolderResult, transcribe_folder


@pytest.fixture(scope="module")
def model(tiny_model_dir, tmp_path_factory) -> Path:
    """A small model that is sure of what it hears."""
    return save_sure_model(tiny_model_dir, tmp_path_factory.mktemp("models") / "sure")


@pytest.fixture(scope="module")
def rec(tmp_path_factory) -> Path:
    """Five recordings, of which one is no good."""
    folder = tmp_path_factory.mktemp("rec")
    (folder / "c").mkdir()
    for number, name in enumerate(("a.wav", "c/d.wav", "c/e.flac", "f.wav")):
        noise = np.random.default_rng(number).normal(0, 0.1, 9000 + 1000 * number)
        soundfile.write(folder / name, noise, 16_000)
    (folder / "b.wav").write_bytes(b"")
    return folder


def plain(result: FolderResult) -> tuple:
    found = result.transcription
    return (
        result.path,
        result.file,
        found and (found.phones, found.duration, found.labels, found.posteriors.tobytes()),
        result.error,
        result.kind,
        result.warnings,
    )


def test_results_come_in_order_and_are_those_of_the_recognizer(rec, model):
    results = list(speechattn.transcribe_folder(rec, model=model, device="cpu", posteriors=True))
    assert [result.file for result in results] == ["a.wav", "b.wav", "c/d.wav", "c/e.flac", "f.wav"]
    assert results[1].kind == "empty" and str(rec / "b.wav") in results[1].error
    assert results[1].transcription is None
    recognizer = speechattn.load_model(model, "cpu")
    for result in results[:1] + results[2:]:
        alone = recognizer.transcribe(rec / result.file)
        assert result.error is None and result.transcription.phones == alone.phones
        np.testing.assert_array_equal(result.transcription.posteriors, alone.posteriors)
    others = transcribe_folder([rec], model=model, device="cpu", posteriors=True, workers=2)
    assert list(map(plain, others)) == list(map(plain, results))


def test_a_script_needs_no_main(rec, model):
    """Processes made by multiprocessing would run the script again."""
    script = (
        "import sys; sys.path[:] = sys.argv[3:]\n"
        "import speechattn\n"
        "for r in speechattn.transcribe_folder(sys.argv[1], model=sys.argv[2], workers=2):\n"
        "    print(r.file, r.transcription and len(r.transcription.phones) > 0, r.kind)\n"
        "    if r.file == 'c/d.wav': break\n"
    )
    command = [sys.executable, "-c", script, str(rec), str(model), *sys.path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, without_compiling(done.stderr)) == (0, "")
    assert done.stdout == "a.wav True None\nb.wav None empty\nc/d.wav True None\n"


def test_mistakes_are_told_at_once(rec, tmp_path):
    with pytest.raises(UsageError, match="no audio in this folder"):
        transcribe_folder(tmp_path)
    with pytest.raises(ModelError, match="no model folder"):
        next(transcribe_folder(rec, model=tmp_path / "gone"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"workers": 0}, "workers: 0; a whole number, 1 or more"),
        ({"workers": -1}, "workers: -1;"),
        ({"workers": 1.5}, "workers: 1.5;"),
        ({"threads": -1}, "threads: -1; a whole number, 0 or more"),
    ],
)
def test_numbers_of_processes_that_are_none(rec, wrong, said):
    with pytest.raises(UsageError, match=said):
        transcribe_folder(rec, **wrong)


def test_a_missing_input_fails_by_name(rec, model, tmp_path):
    inputs = [tmp_path / "gone.wav", rec / "a.wav"]
    gone, there = transcribe_folder(inputs, model=model, device="cpu")
    assert gone.kind == "missing" and "gone.wav" in gone.error and there.error is None


def test_recordings_that_are_not_read_are_warned_of(rec, model, tmp_path):
    shutil.copy(rec / "a.wav", tmp_path)
    (tmp_path / "b.voc").write_bytes(b"voc")
    with pytest.warns(UserWarning, match=r"left out: 1 .*b\.voc"):
        (result,) = transcribe_folder(os.fsencode(tmp_path), model=model, device="cpu")
    assert result.file == "a.wav" and result.transcription.warnings == result.warnings
