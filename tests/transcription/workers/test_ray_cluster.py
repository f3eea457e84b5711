"""A worker on another machine looks whether it sees what its caller sees; no Ray is needed."""

from __future__ import annotations

import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from support import pool_tasks as tasks

from speechattn.errors import ModelError, SpeechattnError
from speechattn.inference.model_files import model_digest
from speechattn.transcription.run_record import LOCK
from speechattn.transcription.workers.ray_cluster import Shared, begin, shared_by
from speechattn.transcription.workers.worker import Failed, Ready


@pytest.fixture
def shared(tmp_path, tiny_model_dir, monkeypatch) -> Shared:
    """What a process in ``here`` sees that was told relative paths."""
    (tmp_path / "here" / "in").mkdir(parents=True)
    (tmp_path / "here" / "in" / "a.wav").write_bytes(b"four")
    shutil.copytree(tiny_model_dir, tmp_path / "here" / "model")
    monkeypatch.chdir(tmp_path / "here")
    return shared_by(
        ["in"], Path("in/a.wav"), "out", "model", model_digest(Path("model")), lock=LOCK
    )


def test_a_worker_that_sees_the_same_begins_in_the_same_folder(shared, tmp_path, monkeypatch):
    word = shared.mark()
    assert shared.mark() != word  # another run's, which does no harm
    monkeypatch.chdir(tmp_path)
    do, answer = begin(pickle.dumps((tasks.doubles, shared, word)))
    assert pickle.loads(answer) == Ready({"pid": os.getpid()}) and do(21, None) == 42
    assert Path.cwd() == tmp_path / "here"
    assert [path.name for path in (tmp_path / "here" / "out").iterdir()] == [".lock"]


def test_absolute_paths_need_no_common_folder(shared, tmp_path):
    here = tmp_path / "here"
    paths = {"output_dir": str(here / "out"), "model": str(here / "model")}
    absolute = replace(shared, folder="/no/such", inputs=(str(here / "in"),), sample=None, **paths)
    absolute.check(absolute.mark())


@pytest.mark.parametrize(
    ("elsewhere", "message"),
    [
        ({"folder": "/no/such"}, "^/no/such: is not there on "),
        ({"inputs": ("in", "more")}, "^more: is not there on .* under the same paths"),
        ({"sample": ("in/a.wav", 5)}, "^in/a.wav: is another one on "),
        ({"sample": ("in/b.wav", 4)}, "^in/b.wav: is another one on .*, or none"),
        ({"digest": "0"}, "^model: is another one on .*; copy the model there"),
        ({"torch": "0.1"}, "^PyTorch on .* and here 0.1; install the same"),
    ],
)
def test_what_is_another_is_named(shared, elsewhere, message):
    word = shared.mark()
    shared.check(word)
    with pytest.raises(SpeechattnError, match=message):
        replace(shared, **elsewhere).check(word)


def test_another_output_folder_of_the_same_name_is_noticed(shared, tmp_path):
    word = shared.mark()
    (tmp_path / "here" / "out").rename(tmp_path / "moved")
    (tmp_path / "here" / "out").mkdir()
    with pytest.raises(SpeechattnError, match="^out: is another one on "):
        shared.check(word)


def test_a_refusal_is_told_to_the_caller(shared):
    word = shared.mark()
    do, answer = begin(pickle.dumps((tasks.plain, replace(shared, model="none"), word)))
    failed = pickle.loads(answer)
    assert do is None and isinstance(failed, Failed)
    assert isinstance(failed.error, ModelError) and "none: no model folder" in str(failed.error)
