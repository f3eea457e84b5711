"""Work folders: one process at a time, and named when they cannot be used."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from support.commands import message_of
from support.work_folders import held_elsewhere

from speechattn.errors import SpeechattnError, UsageError
from speechattn.training.work_folder import LOCK, at_work


def test_a_folder_is_for_one_process_and_may_be_taken_again_by_it(tmp_path):
    folder = tmp_path / "a" / "work"
    with at_work(folder):
        assert str(os.getpid()) in (folder / LOCK).read_text()
        with at_work(folder):
            pass
        assert (folder / LOCK).exists()
    assert not (folder / LOCK).exists()


def test_another_process_is_named_and_is_in_nobodys_way_when_killed(tmp_path):
    with held_elsewhere(tmp_path) as holder:
        with pytest.raises(UsageError) as caught:
            at_work(tmp_path).__enter__()
        said = message_of(caught)
        assert said.startswith(f"{tmp_path}: another training is at work in this folder (process ")
        assert f"process {holder.pid} on " in said and "another work_dir" in said
    assert (tmp_path / LOCK).exists()  # killed
    with at_work(tmp_path):
        assert (tmp_path / LOCK).read_text().startswith(f"process {os.getpid()} on ")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file/x: cannot be written .Not a directory.; give anoth"):
        at_work(tmp_path / "file" / "x").__enter__()


@pytest.mark.parametrize("name", [None, "model"])
def test_a_full_disk_is_named_with_the_way_out(tmp_path, name):
    with pytest.raises(SpeechattnError) as caught, at_work(tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
    assert message_of(caught) == (
        f"{name or tmp_path}: cannot be written (No space left on device); "
        "free some disk space and run again"
    )
    with pytest.raises(FileNotFoundError), at_work(tmp_path):
        Path("gone").read_bytes()
