"""A worker on another machine looks whether it sees what its caller sees; no Ray is needed."""

from __future__ import annotations

import dis
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from support import pool_tasks as tasks

from speechattn import __version__
from speechattn.errors import ModelError, SpeechattnError
from speechattn.inference.model_files import model_digest
from speechattn.transcription.workers import ray_cluster
from speechattn.transcription.workers.ray_cluster import Shared, begin, shared_by, worker_class
from speechattn.transcription.workers.worker import Failed, Ready


@pytest.fixture
def shared(tmp_path, tiny_model_dir, monkeypatch) -> Shared:
    """What a process in ``here`` sees that was told relative paths."""
    (tmp_path / "here" / "in").mkdir(parents=True)
    (tmp_path / "here" / "in" / "a.wav").write_bytes(b"four")
    shutil.copytree(tiny_model_dir, tmp_path / "here" / "model")
    monkeypatch.chdir(tmp_path / "here")
    return shared_by(["in"], Path("in/a.wav"), "out", "model", model_digest(Path("model")))


def test_a_worker_that_sees_the_same_begins_in_the_same_folder(shared, tmp_path, monkeypatch):
    with shared.marked() as mark, shared.marked() as of_another_run:
        assert mark != of_another_run
        monkeypatch.chdir(tmp_path)
        do, answer = begin(pickle.dumps((tasks.doubles, shared, mark)))
        assert pickle.loads(answer) == Ready({"pid": os.getpid()}) and do(21, None) == 42
        assert Path.cwd() == tmp_path / "here"
    assert not list((tmp_path / "here" / "out").iterdir())


def test_the_class_of_workers_needs_nothing_of_this_package_to_arrive():
    """What its methods take from their module would be imported before it can say what lacks."""
    for method in ("begin", "do"):
        code = getattr(worker_class(), method)
        taken = {each.argval for each in dis.get_instructions(code) if "GLOBAL" in each.opname}
        assert not taken & vars(ray_cluster).keys(), method


def test_a_worker_begins_and_does_tasks_or_tells_another_version():
    worker = worker_class()()
    message = pickle.dumps((tasks.doubles, None, None))
    assert "install the same on all machines" in worker.begin("0.0.1", [], message)
    assert pickle.loads(worker.begin(__version__, [], message)) == Ready({"pid": os.getpid()})
    assert worker.do(21) == 42


def test_absolute_paths_need_no_common_folder(shared, tmp_path):
    here = tmp_path / "here"
    paths = {"output_dir": str(here / "out"), "model": str(here / "model")}
    absolute = replace(shared, folder="/no/such", inputs=(str(here / "in"),), sample=None, **paths)
    with absolute.marked() as mark:
        absolute.check(mark)


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
    with shared.marked() as mark:
        shared.check(mark)
        with pytest.raises(SpeechattnError, match=message):
            replace(shared, **elsewhere).check(mark)


def test_another_output_folder_of_the_same_name_is_noticed(shared, tmp_path):
    with shared.marked() as mark:
        (tmp_path / "here" / "out").rename(tmp_path / "moved")
        (tmp_path / "here" / "out").mkdir()
        with pytest.raises(SpeechattnError, match="^out: is another one on "):
            shared.check(mark)


def test_a_refusal_is_told_to_the_caller(shared):
    with shared.marked() as mark:
        do, answer = begin(pickle.dumps((tasks.plain, replace(shared, model="none"), mark)))
    failed = pickle.loads(answer)
    assert do is None and isinstance(failed, Failed)
    assert isinstance(failed.error, ModelError) and "none: no model folder" in str(failed.error)
