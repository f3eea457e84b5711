"""Several runs at work in one output folder: who may, and what they leave to each other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.recordings import needs_posix

from speechattn.errors import UsageError
from speechattn.files import temporary_path
from speechattn.transcription.at_work import at_work
from speechattn.transcription.inputs import Recording
from speechattn.transcription.run_record import RunFiles
from speechattn.transcription.shards import Shard

RECORD = {"speechattn": "1", "model": {"name": "m", "sha256": "ab"}, "settings": {"channel": None}}


def recording(folder: Path, name: str) -> Recording:
    return Recording(folder / f"{name}.wav", f"{name}.wav", {"ctm": folder / f"{name}.ctm"})


def work(folder: Path, *names: str, shard: Shard | None = None, record=RECORD):
    return at_work(RunFiles(folder, shard), record, [recording(folder, name) for name in names])


@needs_posix
@pytest.mark.parametrize(
    ("one", "other", "may"),
    [
        (None, None, True),
        (None, Shard(1, 2), False),
        (Shard(1, 2), None, False),
        (Shard(1, 2), Shard(1, 2), False),
        (Shard(1, 2), Shard(2, 2), True),
    ],
)
def test_who_may_work_in_one_folder(tmp_path, one, other, may):
    out = tmp_path / "out"
    with work(out, "a", shard=one):
        if may:
            with work(out, "b", shard=other):
                pass
        else:
            with (
                pytest.raises(UsageError, match="out: another run is at work in .*process"),
                work(out, "b", shard=other),
            ):
                pass
    with work(out, "b", shard=other):  # free again
        pass
    assert not list(out.iterdir())


@needs_posix
@pytest.mark.parametrize(
    ("names", "record", "said"),
    [
        (("c", "b"), RECORD, r"out/b\.ctm: another run is at work on this output \(process \d+"),
        (
            ("c",),
            {**RECORD, "settings": {"channel": 1}},
            "out: another run .* other settings: its settings.channel is null and that of this run "
            "1; wait for its end",
        ),
        (("c",), {**RECORD, "model": {"name": "n", "sha256": "cd"}}, "its model.sha256 is"),
    ],
)
def test_what_cannot_go_well_beside_another_run_is_named(tmp_path, names, record, said):
    out = tmp_path / "out"
    with work(out, "a", "b"):
        with pytest.raises(UsageError, match=said), work(out, *names, record=record):
            pass
        with work(out, "c"):
            pass
    with work(out, *names, record=record):
        pass


@needs_posix
def test_others_are_known_while_they_work(tmp_path):
    with work(tmp_path, "a") as one:
        assert one.others() == []
        with work(tmp_path, "b\udcff\n") as other:
            (seen,) = one.others()
            assert one.other_ids() == {other.run_id} and other.other_ids() == {one.run_id}
            assert list(seen.outputs) == ["b\udcff\n.ctm"] and seen.about["record"] == RECORD
        assert one.others() == []


@needs_posix
def test_a_killed_process_leaves_no_lock(tmp_path):
    program = (
        "import os, signal, sys; sys.path[:] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "from speechattn.transcription.at_work import at_work\n"
        "from speechattn.transcription.run_record import RunFiles\n"
        "with at_work(RunFiles(Path(sys.argv[1])), {}, []): os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path), *sys.path]
    assert subprocess.run(command, check=False, timeout=60).returncode == -9
    assert len(list(tmp_path.glob(".lock-*"))) == 1
    with work(tmp_path, "a") as folder:
        assert folder.others() == []
        assert list(tmp_path.glob(".lock-*")) == [folder.lock]
        assert json.loads(folder.lock.read_text().splitlines()[0])["record"] == RECORD


@pytest.mark.parametrize("shard", [None, Shard(1, 2)])
def test_what_a_killed_run_was_writing_is_cleared_away(tmp_path, shard):
    files, other = RunFiles(tmp_path, shard), RunFiles(tmp_path, Shard(2, 2))
    half = [temporary_path(path) for path in (files.run, files.transcripts, other.run)]
    for path in half:
        path.write_text("half")
    with at_work(files, RECORD, []):
        assert [path.exists() for path in half] == [False, False, True]
