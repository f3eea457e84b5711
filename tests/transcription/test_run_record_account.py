"""The account of a run adds up."""

from __future__ import annotations

import json

from speechattn.transcription.run_record import Summary


def ok(file: str, *warnings: str, duration: float = 1800.0) -> dict:
    return {"file": file, "status": "ok", "duration": duration, "warnings": list(warnings)}


def failed(file: str, kind: str) -> dict:
    return {"file": file, "status": "error", "kind": kind, "error": f"{file}: bad"}


def test_counts_hours_and_speed():
    summary = Summary(2, [("x", "empty", "x: bad")], new_audio_seconds=5400.0, wall_seconds=60.0)
    assert str(summary) == (
        "2 files ok, 1 failed; 1.50 h of audio in 60.0 s, 90.0 x real time; failures: 1 empty"
    )
    assert "0.0 x" in str(Summary())


def test_every_recording_is_in_it_once():
    summary = Summary(wall_seconds=36.0)
    summary.add(ok("a"), kept=True)
    summary.add(ok("b", "clipped: 3 %", "offset: 0.1"))
    summary.add(ok("c", "clipped: 1 %"))
    summary.add(failed("d", "empty"), kept=True)
    summary.add(failed("e", "truncated"))
    summary.add(failed("f", "truncated"))
    assert summary.errors == ["d: bad", "e: bad", "f: bad"]
    assert str(summary) == (
        "3 files ok, 3 failed; 1.00 h of audio in 36.0 s, 100.0 x real time; "
        "2 files were done before; failures: 2 truncated, 1 empty; "
        "warnings for 2 files: 2 clipped, 1 offset"
    )
    assert json.loads(json.dumps(summary.to_dict())) == {
        "complete": True,
        "files": 6,
        "succeeded": 3,
        "failed": 3,
        "failures": {"truncated": 2, "empty": 1},
        "files_with_warnings": 2,
        "warnings": {"clipped": 2, "offset": 1},
        "audio_hours": 1.5,
        "done_before": 2,
        "seconds": 36.0,
        "real_time_factor": 100.0,
    }
