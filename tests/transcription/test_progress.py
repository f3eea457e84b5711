"""The bar goes by bytes of recordings, and within a long one by what has been done of it."""

from __future__ import annotations

import pytest

from speechattn.transcription.inputs import Recording
from speechattn.transcription.progress import ProgressBar


@pytest.fixture
def jobs(tmp_path) -> list[Recording]:
    """A long recording, a short one and one that is gone."""
    for name, size in (("a", 899), ("b", 99)):
        (tmp_path / name).write_bytes(bytes(size))
    return [Recording(tmp_path / name, name, {}) for name in "abc"]


def test_it_moves_within_a_recording(jobs, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with ProgressBar(jobs, shown=True) as bar:
        assert bar._progress.total == 900 + 100 + 1
        bar.within(0, 0.5)
        assert bar._progress.done == 450
        bar.done(1, 3600.0)
        bar.within(0, 0.25)  # told late, or by a second attempt: the bar does not go back
        assert bar._progress.done == 550
        bar.done(0, 7200.0)
        bar.done(2, None)
        assert bar._progress.done == 1001 and not bar._parts
    said = capsys.readouterr().err
    assert "0/3 files, 0:00:00 of audio" in said and "3/3 files, 3:00:00 of audio" in said
    assert "100%" in said


def test_it_is_shown_on_a_terminal_only_and_if_asked_for(jobs, monkeypatch, capsys):
    with ProgressBar(jobs, shown=True) as bar:
        bar.within(0, 0.5)
        bar.done(0, 1.0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with ProgressBar(jobs, shown=False) as bar:
        bar.within(0, 0.5)
        bar.done(0, 1.0)
    assert capsys.readouterr().err == ""
