"""Lines of the journal for recordings that failed, and what they say."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from support.recordings import make

from speechattn.errors import AudioError
from speechattn.files import temporary_path
from speechattn.transcription.inputs import Recording
from speechattn.transcription.journal_lines import death_line, error_message
from speechattn.transcription.workers.worker import WorkerDied


@pytest.fixture
def job(tmp_path) -> Recording:
    """A job with a recording, and with the output of an earlier run."""
    make(tmp_path, "a.wav", "a.ctm")
    return Recording(tmp_path / "a.wav", "a.wav", {"ctm": tmp_path / "a.ctm"})


def test_the_line_of_a_recording_whose_process_died(job):
    temporary_path(job.outputs["ctm"]).write_text("half")
    line = death_line(job, WorkerDied("its process was ended by SIGKILL, 2 times"))
    assert line["record"]["kind"] == "crash"
    assert line["record"]["error"].startswith(f"{job.path}: its process was ended by SIGKILL")
    assert not job.outputs["ctm"].exists() and list(job.path.parent.iterdir()) == [job.path]


def test_an_error_of_the_system_names_its_own_file():
    error = OSError(errno.ENOSPC, "No space left", "/tmp/scratch")
    assert error_message(Path("a.wav"), error) == (
        "a.wav: /tmp/scratch: No space left; free some disk space and run again"
    )
    assert error_message(Path("a\n.wav"), AudioError("bad")) == "a\\n.wav: bad"
