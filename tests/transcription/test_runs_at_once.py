"""Runs at work in one folder at once leave what one after the other leaves.

One run is begun from within another: where that loads its model, or transcribes a recording.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.recordings import make, needs_posix
from transcription.test_batch import FakeRecognizer, tree

from speechattn.errors import UsageError
from speechattn.inference.transcription import TranscribeOptions
from speechattn.transcription.batch import run_batch
from speechattn.transcription.inputs import collect
from speechattn.transcription.journal import read_journal
from speechattn.transcription.outputs import OutputOptions
from speechattn.transcription.run_record import RunFiles, Summary
from speechattn.transcription.transcriber import Transcriber
from speechattn.transcription.workers.pool import InProcessPool

pytestmark = needs_posix
FACTS = {"device": "cpu", "precision": "fp32"}
NAMES = ("a", "b", "c", "d")
Action = Callable[[], object]


class Hooked(FakeRecognizer):
    """Does something before it transcribes a recording."""

    def __init__(self, actions: dict[str, Action]):
        super().__init__()
        self.actions = actions

    def transcribe(self, audio: Path, *, channel=None, **rest):
        self.actions.get(audio.stem, lambda: None)()
        return super().transcribe(audio, channel=channel, **rest)


class Folder:
    """An output folder, and runs in it."""

    def __init__(self, folder: Path, recordings: Path):
        self.out, self.recordings = folder, recordings

    def run(
        self,
        names: str,
        actions: dict[str, Action] | None = None,
        *,
        begin: Action = lambda: None,
        settings: dict | None = None,
        facts: dict | None = None,
        resume: bool = False,
    ) -> Summary:
        """Transcribe recordings of these names; ``begin`` is done while the model is loaded."""
        inputs = [str(self.recordings / f"{name}.wav") for name in names]
        record = {
            "speechattn": "1",
            "model": {"name": "m", "sha256": "x"},
            "settings": settings or {},
            "inputs": inputs,
        }
        options = TranscribeOptions(posteriors=False)
        do = Transcriber(Hooked(actions or {}), OutputOptions(("ctm",)), options)

        def setup():
            begin()
            return do, {**FACTS, **(facts or {})}

        return run_batch(
            collect(inputs, self.out, ("ctm",)),
            InProcessPool(setup),
            RunFiles(self.out),
            record,
            resume=resume,
        )

    def content(self) -> dict[str, bytes]:
        return {name: (self.out / name).read_bytes() for name in tree(self.out)}

    def record(self) -> dict:
        return json.loads((self.out / "run.json").read_text())

    def inputs(self, names: str) -> list[str]:
        return [str(self.recordings / f"{name}.wav") for name in names]


@pytest.fixture
def rec(tmp_path) -> Path:
    return make(tmp_path / "rec", *(f"{name}.wav" for name in NAMES))


@pytest.fixture
def folder(tmp_path, rec) -> Folder:
    return Folder(tmp_path / "out", rec)


@pytest.fixture
def expected(tmp_path, rec) -> dict[str, bytes]:
    """What runs one after the other leave."""
    after = Folder(tmp_path / "after", rec)
    after.run("ab")
    after.run("cd")
    return after.content()


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("moment", ["begin", "a", "b"])
@pytest.mark.parametrize("earlier", ["nothing", "same settings", "other settings"])
def test_both_are_listed(folder, expected, moment, earlier):
    if earlier != "nothing":
        folder.run("abc", settings={} if earlier == "same settings" else {"channel": 1})
    found: list[Summary] = []

    def other() -> None:
        found.append(folder.run("cd"))

    if moment == "begin":
        summary = folder.run("ab", begin=other)
    else:
        summary = folder.run("ab", {moment: other})
    assert folder.content() == expected
    assert [path.name for path in folder.out.glob(".*")] == []
    assert found[0].at_work == (moment != "begin") and found[0].interrupted == 0
    assert (summary.at_work, summary.interrupted, summary.listed) == (0, 0, 2)
    record = folder.record()
    assert record["summary"]["files"] == 2 and "unfinished" not in record
    assert set(folder.inputs("cd")) <= set(record["inputs_before"])


def test_while_they_work_their_inputs_are_told(folder):
    seen = []
    folder.run("ab", {"b": lambda: folder.run("cd", {"d": lambda: seen.append(folder.record())})})
    (record,) = seen
    assert record["summary"] is None
    assert list(record["unfinished"].values()) == [folder.inputs("ab"), folder.inputs("cd")]


def test_one_that_is_interrupted_is_told_and_gone_on_with(folder, expected):
    def other() -> None:
        with pytest.raises(KeyboardInterrupt):
            folder.run("cd", {"d": interrupt})

    summary = folder.run("ab", {"b": other})
    assert (summary.at_work, summary.interrupted, summary.listed) == (0, 1, 1)
    assert "1 run was interrupted: give the inputs under unfinished" in str(summary)
    assert list(folder.record()["unfinished"].values()) == [folder.inputs("cd")]
    assert b"c.wav" in folder.content()["transcripts.jsonl"]
    summary = folder.run("cd", resume=True)
    assert (summary.kept, summary.interrupted, summary.listed) == (1, 0, 2)
    assert folder.content() == expected and "unfinished" not in folder.record()


def test_what_a_killed_one_has_half_written_spoils_no_line(folder, expected):
    def torn() -> None:
        with (folder.out / "journal.jsonl").open("ab") as journal:
            journal.write(b'{"file": "c.wav", "input": [')

    folder.run("ab", {"b": torn})
    assert list(read_journal(folder.out / "journal.jsonl")[0]) == ["a.wav", "b.wav"]
    folder.run("cd")
    assert folder.content() == expected


@pytest.mark.parametrize(
    ("names", "change", "said"),
    [
        ("cd", {"settings": {"channel": 1}}, "with other settings: its settings.channel is null"),
        (
            "cd",
            {"facts": {"device": "cuda:0"}},
            'its device is "cpu" and that of this run "cuda:0"',
        ),
        ("bc", {}, r"out/b.ctm: another run is at work on this output \(process"),
    ],
)
@pytest.mark.parametrize("resume", [False, True])
def test_what_cannot_stand_beside_it_is_refused_and_harms_nothing(
    folder, expected, names, change, said, resume
):
    def other() -> None:
        with pytest.raises(UsageError, match=said):
            folder.run(names, resume=resume, **change)

    folder.run("ab", {"b": other})
    assert folder.run("cd").interrupted == 0
    assert folder.content() == expected


def test_resuming_beside_another_keeps_what_is_done(folder, expected):
    with contextlib.suppress(KeyboardInterrupt):
        folder.run("cd", {"d": interrupt})
    kept = []
    folder.run("ab", {"b": lambda: kept.append(folder.run("cd", resume=True).kept)})
    assert kept == [1] and folder.content() == expected
    lines = (folder.out / "journal.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["file"] for line in lines) == [f"{n}.wav" for n in NAMES]


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
@pytest.mark.parametrize("resume", [False, True])
def test_the_outputs_of_another_recording_are_not_replaced(folder, tmp_path, name, resume):
    folder.run("ab")
    before = folder.content()
    other = make(tmp_path / "other", name) / name

    def again() -> Summary:
        record = {**folder.record(), "inputs": [str(other)], "settings": {}}
        do = Transcriber(FakeRecognizer(), OutputOptions(("ctm",)), TranscribeOptions(None, False))
        jobs = collect([other], folder.out, ("ctm",))
        return run_batch(
            jobs, InProcessPool(lambda: (do, FACTS)), RunFiles(folder.out), record, resume=resume
        )

    with pytest.raises(UsageError, match=r"rec/a.wav and .*/other/a.* both be written to .*a.ctm"):
        again()
    assert folder.content() == before
    (folder.recordings / "a.wav").unlink()  # it was moved
    assert again().succeeded == 1
