"""The run's own files, its lock, and a summary that adds up."""

from __future__ import annotations

import json

import pytest
from support.recordings import make

from speechattn.errors import UsageError
from speechattn.transcription.run_record import (
    RunFiles,
    Summary,
    check_same,
    read_record,
    write_record,
)
from speechattn.transcription.shards import Shard


def test_names_and_removal(tmp_path):
    whole, shard = RunFiles(tmp_path), RunFiles(tmp_path, Shard(2, 10))
    assert whole.run.name == "run.json" and shard.run.name == "run-2-of-10.json"
    assert shard.journal.name == "journal-2-of-10.jsonl"
    assert shard.transcripts.name == "transcripts-2-of-10.jsonl"
    own = ["run.json", "journal.jsonl", "transcripts.jsonl", "a.json", "journal-x-of-y.jsonl"]
    shards = [
        f"{name}-{i}-of-10.json{'l' * (name != 'run')}"
        for name in ("run", "journal", "transcripts")
        for i in (2, 10)
    ]
    make(tmp_path, *own, *shards)
    assert [files.shard for files in whole.shards()] == [Shard(2, 10), Shard(10, 10)]
    shard.remove()
    assert {p.name for p in tmp_path.iterdir()} == {n for n in own + shards if "-2-" not in n}
    whole.remove()
    assert {p.name for p in tmp_path.iterdir()} == {"a.json", "journal-x-of-y.jsonl"}


RECORD = {
    "speechattn": "1",
    "model": {"name": "m", "sha256": "ab"},
    "settings": {"formats": ["ctm"], "channel": None},
    "inputs": ["rec"],
}


def test_a_record_comes_back(tmp_path):
    path = tmp_path / "run.json"
    assert read_record(path) is None
    write_record(path, RECORD)
    assert read_record(path) == RECORD
    for text in ("", "{", "[]", "null"):
        path.write_text(text)
        with pytest.raises(UsageError, match=r"run.json: is damaged; run without --resume"):
            read_record(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"speechattn": "2"}, 'its speechattn was "1" and is now "2"'),
        ({"model": {"name": "m", "sha256": "cd"}}, 'its model.sha256 was "ab" and is now "cd"'),
        (
            {"settings": {"formats": ["ctm", "csv"], "channel": None}},
            'its settings.formats was ["ctm"] and is now ["ctm", "csv"]',
        ),
        (
            {"settings": {"formats": ["ctm"], "channel": 0}},
            "settings.channel was null and is now 0",
        ),
        ({"settings": {"formats": ["ctm"]}}, None),  # what was not asked then: no channel
        (
            {"settings": {"formats": ["ctm"], "channel": None, "new": 1}},
            "settings.new was null and is now 1",
        ),
        ({"device": "cuda"}, 'its device was null and is now "cuda"'),
    ],
)
def test_a_run_made_in_another_way_is_not_gone_on_with(tmp_path, change, said):
    path = tmp_path / "run.json"
    if said is None:
        check_same(path, RECORD, {**RECORD, **change})
        return
    with pytest.raises(UsageError) as caught:
        check_same(path, RECORD, {**RECORD, **change})
    message = str(caught.value)
    assert said in message and str(path) in message and "without --resume" in message
    assert "\n" not in message


def test_other_inputs_and_names_of_the_model_are_no_other_way(tmp_path):
    same = {**RECORD, "inputs": ["more"], "model": {"name": "other/m", "sha256": "ab"}}
    check_same(tmp_path / "run.json", {**RECORD, "device": "cpu", "summary": {}}, same)


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
        "warnings for 2 files: 2 clipped, 1 offset (b, c)"
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
