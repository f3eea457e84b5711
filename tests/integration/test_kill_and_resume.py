"""A batch killed at random moments; ``python tests/kill_and_resume.py`` does it a hundred times."""

from __future__ import annotations

import pytest
from support.kill_and_resume import Batch, differences, make_recordings, run_trials
from support.recordings import needs_posix

pytestmark = needs_posix


def test_killed_runs_give_what_an_undisturbed_run_gives(tmp_path, tiny_model_dir):
    make_recordings(tmp_path / "in", count=12, seconds=2.0)
    said = []
    bad = run_trials(Batch(tmp_path / "in", str(tiny_model_dir)), tmp_path, [0, 1, 2], said.append)
    assert not bad, "\n".join(said)
    assert "status 1" in said[0]  # one of the recordings is cut off
    assert "3 the same" in said[-1]


@pytest.mark.slow
def test_killed_alignments_give_what_an_undisturbed_run_gives(tmp_path, tiny_model_dir):
    make_recordings(tmp_path / "in", count=8, seconds=2.0)
    for number, path in enumerate(sorted((tmp_path / "in").rglob("*.*"))):
        path.with_suffix(".txt").write_text("see him" if number % 3 else "")
    (tmp_path / "words.dict").write_text("see S IY\nhim HH IH M\n")
    command = ("align", "--every-word", "--text", str(tmp_path / "in"))
    command += ("--lexicon", str(tmp_path / "words.dict"))
    said: list[str] = []
    batch = Batch(tmp_path / "in", str(tiny_model_dir), command=command)
    bad = run_trials(batch, tmp_path, [0, 1], said.append)
    assert not bad, "\n".join(said)
    assert "2 the same" in said[-1]


def test_differences_are_seen():
    expected = {"a": b"1", "b": b"2", "c": b"3"}
    assert differences(expected, dict(expected)) == []
    found = differences(expected, {"a": b"1", "b": b"x", ".d.tmp": b""})
    assert found == ["missing: c", "too much: .d.tmp", "differs: b"]
