"""Runs that are interrupted and resumed leave what an undisturbed run leaves."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.recordings import make
from transcription.test_batch import OWN, FakeRecognizer, tree

from speechattn.errors import AudioError, InternalError, SpeechattnError, UsageError
from speechattn.inference.transcription import TranscribeOptions
from speechattn.transcription.batch import run_batch, write_errors
from speechattn.transcription.inputs import collect
from speechattn.transcription.journal import Journal
from speechattn.transcription.outputs import OutputOptions
from speechattn.transcription.run_record import RunFiles
from speechattn.transcription.shards import Shard
from speechattn.transcription.transcriber import Transcriber
from speechattn.transcription.workers.pool import InProcessPool

NAMES = ("a.wav", "b.wav", "bad.wav", "c/d.wav", "e.wav")
FACTS = {"device": "cpu", "precision": "fp32"}
RECORD = {"speechattn": "1", "model": {"name": "m", "sha256": "x"}, "settings": {}, "inputs": []}


class Run:
    """Runs in one output folder, with a recognizer that counts what it is asked."""

    def __init__(self, folder: Path, recordings: Path):
        self.out, self.recordings = folder, recordings
        self.recognizer = FakeRecognizer({"bad.wav": AudioError("bad.wav: cut off", "truncated")})

    def __call__(self, *, record=None, shard=None, formats=("ctm", "csv"), **options):
        jobs = collect([self.recordings], self.out, formats)
        settings = TranscribeOptions(posteriors=False)
        do = Transcriber(self.recognizer, OutputOptions(formats), settings)
        facts = {key: options.pop(key, value) for key, value in FACTS.items()}
        pool = InProcessPool(lambda: (do, facts))
        files = RunFiles(self.out, shard)
        return run_batch(
            shard.pick(jobs) if shard else jobs, pool, files, record or RECORD, **options
        )

    def asked(self) -> list[str]:
        """The recordings it was asked since the last call."""
        names = [name for name, _ in self.recognizer.asked]
        self.recognizer.asked.clear()
        return names

    def content(self) -> dict[str, bytes]:
        """Everything it left but what tells of the run."""
        return {name: (self.out / name).read_bytes() for name in tree(self.out)}


@pytest.fixture
def rec(tmp_path) -> Path:
    return make(tmp_path / "rec", *NAMES)


@pytest.fixture
def run(tmp_path, rec) -> Run:
    return Run(tmp_path / "out", rec)


@pytest.fixture
def expected(tmp_path, rec) -> dict[str, bytes]:
    """What an undisturbed run leaves."""
    undisturbed = Run(tmp_path / "undisturbed", rec)
    undisturbed()
    return undisturbed.content()


@pytest.mark.parametrize("stop", range(len(NAMES)))
def test_an_interrupted_run_goes_on_where_it_was(run, expected, stop):
    name = Path(NAMES[stop]).name
    error = run.recognizer.errors.get(name)
    run.recognizer.errors[name] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(run.asked()) == stop + 1
    assert not (run.out / "transcripts.jsonl").exists()
    assert json.loads((run.out / "run.json").read_text())["summary"] is None
    run.recognizer.errors = (
        {name: error} if error else {"bad.wav": AudioError("bad.wav: cut off", "truncated")}
    )
    summary = run(resume=True)
    assert run.asked() == [Path(name).name for name in NAMES[stop:]]
    assert run.content() == expected
    assert (summary.succeeded, summary.kept, len(summary.failures)) == (4, stop, 1)
    assert summary.new_audio_seconds < summary.audio_seconds == 4.0 or stop == 0


def test_a_mistake_of_the_program_ends_a_run_that_can_go_on(run, expected):
    run.recognizer.errors["d.wav"] = AttributeError("no such thing")
    with pytest.raises(InternalError, match=r"/c/d\.wav: AttributeError: no such thing; this is a"):
        run()
    assert run.asked() == ["a.wav", "b.wav", "bad.wav", "d.wav"]
    del run.recognizer.errors["d.wav"]
    run(resume=True)
    assert run.asked() == ["d.wav", "e.wav"] and run.content() == expected


def test_a_finished_run_that_is_resumed_does_nothing(run, expected):
    run()
    run.asked()
    summary = run(resume=True)
    assert run.asked() == [] and run.content() == expected
    assert summary.kept == 5 and len(summary.failures) == 1


def test_resuming_where_nothing_was_is_an_ordinary_run(run, expected):
    assert run(resume=True).kept == 0
    assert run.content() == expected


def test_without_resume_everything_is_done_again(run):
    run()
    run.asked()
    assert run().kept == 0
    assert len(run.asked()) == 5
    assert len((run.out / "journal.jsonl").read_text().splitlines()) == 5


def test_what_was_added_changed_lost_or_taken_away_is_noticed(run, rec, tmp_path):
    run()
    run.asked()
    make(rec, "0.wav", "c/new.wav")
    (rec / "a.wav").write_bytes(b"longer")
    (rec / "e.wav").unlink()
    (run.out / "b.csv").unlink()
    (run.out / "c" / "d.ctm").write_text("torn")
    run(resume=True)
    assert run.asked() == ["0.wav", "a.wav", "b.wav", "d.wav", "new.wav"]
    for name in ("e.ctm", "e.csv"):  # of a recording that is no longer there: nobody's business
        (run.out / name).unlink()
    fresh = Run(tmp_path / "fresh", rec)
    fresh()
    assert run.content() == fresh.content()


def test_failures_that_do_not_lie_in_the_recording_are_tried_again(run, expected):
    run.recognizer.errors["b.wav"] = MemoryError()
    assert len(run().failures) == 2
    run.asked()
    del run.recognizer.errors["b.wav"]
    run(resume=True)
    assert run.asked() == ["b.wav"] and run.content() == expected


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"record": {**RECORD, "speechattn": "2"}}, "speechattn"),
        ({"record": {**RECORD, "model": {"name": "m", "sha256": "y"}}}, "model.sha256"),
        ({"record": {**RECORD, "settings": {"channel": 1}}}, "settings.channel"),
        ({"device": "cuda:0"}, "device"),
        ({"precision": "bf16"}, "precision"),
    ],
)
def test_a_run_made_in_another_way_is_refused_and_left_as_it_is(run, change, key):
    run()
    (run.out / "a.ctm").unlink()  # something to do
    before = run.content()
    run.asked()
    with pytest.raises(UsageError, match=f"cannot go on with this run: its {key} was"):
        run(resume=True, **change)
    assert run.asked() == [] and run.content() == before


def test_the_first_failure_may_end_the_run(run, expected):
    summary = run(fail_fast=True)
    assert not summary.complete and len(summary.failures) == 1 and summary.succeeded == 2
    assert run.asked() == ["a.wav", "b.wav", "bad.wav"]
    assert not (run.out / "transcripts.jsonl").exists()
    assert json.loads((run.out / "run.json").read_text())["summary"]["complete"] is False
    run(resume=True)
    assert run.asked() == ["d.wav", "e.wav"] and run.content() == expected


def test_outputs_are_there_before_the_journal_says_so(run, monkeypatch):
    add, seen = Journal.add, []

    def checking(self, line):
        for kind, (size, _) in (line["outputs"] or {}).items():
            path = run.out / Path(line["file"]).with_suffix(f".{kind}")
            assert path.stat().st_size == size > 0
            seen.append(path.name)
        return add(self, line)

    monkeypatch.setattr(Journal, "add", checking)
    run()
    assert len(seen) == 8


def test_what_a_killed_process_left_half_written_is_cleared_away(run, expected, monkeypatch):
    replace = os.replace

    def killed(source, target):
        if Path(target).name == "b.csv":
            monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)  # dead processes do nothing
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        run()
    monkeypatch.undo()
    assert any(".tmp" in name for name in tree(run.out))
    run(resume=True)
    assert run.content() == expected


def test_shards_together_are_the_whole(run, expected):
    shards = [Shard(i, 3) for i in (1, 2, 3)]
    for shard in (shards[0], shards[2]):
        run(shard=shard)
    names = run.asked()
    assert (run.out / "transcripts-1-of-3.jsonl").exists()
    run(resume=True)  # the second one is lost: its part is done now
    assert sorted(names + run.asked()) == sorted(Path(name).name for name in NAMES)
    own = {name for name in run.content() if "-of-" in name}
    assert len(own) == 6
    assert {k: v for k, v in run.content().items() if k not in own} == expected
    run()  # anew: the shards are no more
    assert run.content() == expected


def test_a_shard_resumes_by_itself_and_others_do_not_matter(run):
    first, second = Shard(1, 2), Shard(2, 2)
    run(shard=first)
    mine = run.asked()
    assert run(shard=second, resume=True).kept == 0
    theirs = run.asked()
    assert sorted(mine + theirs) == sorted(Path(name).name for name in NAMES)
    assert run(shard=first, resume=True).kept == len(mine)
    assert run.asked() == []


def test_a_shard_made_in_another_way_is_not_taken_over(run):
    run(shard=Shard(1, 2), record={**RECORD, "speechattn": "0"})
    with pytest.raises(UsageError, match="run-1-of-2.json: .* its speechattn was"):
        run(resume=True)


def test_a_shard_may_be_empty(run):
    count = 1000
    used = {
        job.file
        for i in range(1, 3)
        for job in Shard(i, count).pick(collect([run.recordings], run.out, ["ctm"]))
    }
    assert not used
    summary = run(shard=Shard(1, count))
    assert summary.complete and run.asked() == []
    assert (run.out / "transcripts-1-of-1000.jsonl").read_bytes() == b""


def test_the_summary_is_in_run_json(run):
    run()
    record = json.loads((run.out / "run.json").read_text())
    assert {key: record[key] for key in FACTS} == FACTS and record["model"] == RECORD["model"]
    summary = record["summary"]
    assert (summary["files"], summary["succeeded"], summary["failed"]) == (5, 4, 1)
    assert summary["failures"] == {"truncated": 1}


def test_failed_recordings_are_listed(run, tmp_path):
    summary = run()
    write_errors(tmp_path / "sub" / "errors", summary)
    (line,) = (tmp_path / "sub" / "errors").read_text().splitlines()
    said = json.loads(line)
    assert (said["file"], said["kind"]) == ("bad.wav", "truncated") and "cut off" in said["error"]
    (tmp_path / "folder").mkdir()
    with pytest.raises(SpeechattnError, match="folder: cannot be written"):
        write_errors(tmp_path / "folder", summary)


def test_a_crew_that_cannot_start_leaves_the_run_before_as_it_was(run, expected):
    run()

    def refuse():
        raise SpeechattnError("no memory")

    jobs = collect([run.recordings], run.out, ("ctm", "csv"))
    with pytest.raises(SpeechattnError, match="no memory"):
        run_batch(jobs, InProcessPool(refuse), RunFiles(run.out), RECORD)
    assert run.content() == expected
    assert {name for name in OWN if (run.out / name).exists()} == set(OWN)
