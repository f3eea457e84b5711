"""A disk that is full in the middle of a batch: said, nothing half-written, resumed to the end.

The disk is a small file system in memory, mounted in a name space of its own, which Linux gives to
everybody where user name spaces are allowed, and to root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.kill_and_resume import ABOUT_THE_RUN, IMPORT_FROM, differences, make_recordings, tree
from support.recordings import needs_posix

pytestmark = needs_posix
LIMIT = 900  # seconds, on however busy a machine
# $1: mount point; $2: where to copy what is on it; the rest: the command.
SCRIPT = """
disk=$1 copies=$2; shift 2
mount -t tmpfs -o size=64k tmpfs "$disk" || exit 99
"$@" 2> "$copies/said1"; echo $? > "$copies/status1"
cp -a "$disk" "$copies/full"
mount -o remount,size=64m "$disk" || exit 99
"$@" --resume 2> "$copies/said2"; echo $? > "$copies/status2"
cp -a "$disk" "$copies/resumed"
"""


def transcribe(recordings: Path, out: Path, model: Path) -> list[str]:
    """The command line of the batch."""
    command = [sys.executable, "-m", "speechattn", "transcribe", str(recordings)]
    return [*command, "--output-dir", str(out), "--format=textgrid,json", f"--model={model}"]


@pytest.fixture
def small_disk() -> list[str]:
    """A command that runs the script where it may mount."""
    for line in (["unshare", "--map-root-user", "--mount"], ["unshare", "--mount"]):
        if shutil.which("unshare") is None:
            break
        probe = [*line, "mount", "-t", "tmpfs", "tmpfs", "/tmp"]
        if subprocess.run(probe, check=False, capture_output=True).returncode == 0:
            return [*line, "sh", "-c", SCRIPT, "sh"]
    pytest.skip("no small disk: this user may not mount anything, in no name space of its own")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk(tmp_path, tiny_model_dir, small_disk, workers):
    recordings, disk, copies = (tmp_path / name for name in ("in", "disk", "copies"))
    for folder in (disk, copies):
        folder.mkdir()
    make_recordings(recordings, count=12, seconds=1.0)
    (recordings / "speaker1" / "009.wav").unlink()  # the one that is cut off
    path = os.pathsep.join(filter(None, [IMPORT_FROM, os.environ.get("PYTHONPATH")]))
    options = {"env": os.environ | {"PYTHONPATH": path}, "timeout": LIMIT}
    subprocess.run(
        transcribe(recordings, tmp_path / "reference", tiny_model_dir), check=True, **options
    )
    command = [*transcribe(recordings, disk, tiny_model_dir), f"--workers={workers}"]
    subprocess.run([*small_disk, str(disk), str(copies), *command], check=True, **options)

    said = (copies / "said1").read_text()
    assert (copies / "status1").read_text().strip() in ("1", "2"), said
    assert "No space left on device" in said and "free some disk space" in said
    assert "Traceback" not in said
    reference = tree(tmp_path / "reference")
    found = tree(copies / "full")
    del reference["transcripts.jsonl"]  # the full disk may have room for it
    found.pop("transcripts.jsonl", None)
    assert 0 < len(found) < len(reference)
    assert not [p for p in differences(reference, found) if not p.startswith("missing")]

    assert (copies / "status2").read_text().strip() == "0", (copies / "said2").read_text()
    assert differences(tree(tmp_path / "reference"), tree(copies / "resumed")) == []
    about = {p.name for p in (copies / "resumed").iterdir() if p.is_file()}
    assert about <= ABOUT_THE_RUN | {"transcripts.jsonl"}
