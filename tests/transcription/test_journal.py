"""The journal survives whatever ends a run, and tells what need not be done again."""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.errors import CRASH, DAMAGED
from speechattn.transcription.inputs import Recording, input_state
from speechattn.transcription.journal import Journal, is_done, read_journal, read_records


def line(file: str, kind: str | None = None, **record: object) -> dict:
    outputs = None if kind else {"ctm": [3, zlib.crc32(b"abc")]}
    return {
        "file": file,
        "input": [1, 2],
        "outputs": outputs,
        "record": {
            "file": file,
            "duration": None if kind else 1.0,
            "status": "error" if kind else "ok",
            "error": kind,
            "kind": kind,
            "warnings": [],
            "phones": [],
            **record,
        },
    }


def write(path: Path, *lines: dict) -> bytes:
    with Journal(path) as journal:
        for each in lines:
            journal.add(each)
    return path.read_bytes()


def test_what_is_added_is_known_at_once_and_later(tmp_path):
    path = tmp_path / "j"
    with Journal(path) as journal:
        assert journal.entries == {}
        journal.add(line("a", n=1))
        journal.add(line("b\udcff\n", DAMAGED))
        journal.add(line("a", n=2))  # done again: the later one counts
        known = dict(journal.entries)
        assert read_journal(path) == (known, path.stat().st_size)
    assert known["a"].outputs == {"ctm": (3, zlib.crc32(b"abc"))} and known["a"].input == (1, 2)
    assert (known["b\udcff\n"].kind, known["b\udcff\n"].outputs) == (DAMAGED, None)
    records = list(read_records([known["b\udcff\n"], known["a"]]))
    assert [record["file"] for record in records] == ["b\udcff\n", "a"] and records[1]["n"] == 2


def is_whole(data: bytes) -> bool:
    with contextlib.suppress(ValueError):
        return bool(json.loads(data))
    return False


@settings(max_examples=60)
@given(cut=st.integers(0, 800), tail=st.sampled_from([b"", b"\0\0\0", b'{"file": "x"}\n', b"[\n"]))
def test_a_journal_torn_anywhere_keeps_its_whole_lines_and_goes_on(tmp_path_factory, cut, tail):
    path = tmp_path_factory.mktemp("torn") / "j"
    whole = write(path, line("a"), line("b"), line("c"))
    kept = whole[:cut]
    path.write_bytes(kept + tail)
    complete = [json.loads(each)["file"] for each in kept.splitlines() if is_whole(each)]
    if tail and not kept.endswith(b"\n") and is_whole(kept[kept.rfind(b"\n") + 1 :]):
        complete.pop()  # what follows it spoils it
    write(path, line("d"))
    entries, end = read_journal(path)
    assert list(entries) == [*complete, "d"]
    assert end == path.stat().st_size
    assert [r["file"] for r in read_records(entries.values())] == [*complete, "d"]


def test_a_line_of_zeros_in_the_middle_is_no_line(tmp_path):
    path = tmp_path / "j"
    data = write(path, line("a"), line("b"))
    first = data.index(b"\n") + 1
    path.write_bytes(data[:first] + bytes(10) + b"\n" + data[first:])
    assert list(read_journal(path)[0]) == ["a", "b"]


def test_it_reaches_the_disk_after_some_seconds_and_not_at_every_line(tmp_path, monkeypatch):
    calls, now = [], [0.0]
    monkeypatch.setattr(os, "fsync", calls.append)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with Journal(tmp_path / "j") as journal:
        for second in range(12):
            now[0] = float(second)
            journal.add(line(str(second)))
    assert len(calls) == 1


@pytest.fixture
def job(tmp_path) -> Recording:
    """A job that has been done: a recording and its output of three bytes."""
    (tmp_path / "a.wav").write_bytes(b"sound")
    (tmp_path / "a.ctm").write_bytes(b"abc")
    return Recording(tmp_path / "a.wav", "a.wav", {"ctm": tmp_path / "a.ctm"})


def entry(job: Recording, tmp_path: Path, kind: str | None = None):
    with Journal(tmp_path / "j") as journal:
        return journal.add({**line(job.file, kind), "input": input_state(job.path)})


def test_what_is_done_need_not_be_done_again(job, tmp_path):
    assert is_done(job, entry(job, tmp_path))
    assert not is_done(job, None)
    assert is_done(job, entry(job, tmp_path, DAMAGED))
    assert not is_done(job, entry(job, tmp_path, CRASH))  # does not lie in the recording


def test_what_has_changed_since_is_done_again(job, tmp_path):
    before = entry(job, tmp_path)
    other = Recording(job.path, job.file, {**job.outputs, "csv": tmp_path / "a.csv"})
    assert not is_done(other, before)
    (tmp_path / "a.ctm").write_bytes(b"ab")
    assert not is_done(job, before)
    (tmp_path / "a.ctm").unlink()
    assert not is_done(job, before)
    (tmp_path / "a.ctm").write_bytes(bytes(3))  # as some file systems leave it
    assert not is_done(job, before)
    (tmp_path / "a.ctm").write_bytes(b"abc")
    assert is_done(job, before)
    status = job.path.stat()
    os.utime(job.path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert not is_done(job, before)
    job.path.unlink()
    assert not is_done(job, before)
    assert not is_done(job, entry(job, tmp_path, DAMAGED))
