"""Transcribing many recordings, with a recognizer that does what the test says."""

from __future__ import annotations

import errno
import json
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from support.recordings import make, needs_posix

from speechattn.errors import AudioError, SpeechattnError
from speechattn.inference.transcription import TranscribeOptions, Transcription
from speechattn.segments import Segment
from speechattn.transcription import batch
from speechattn.transcription.batch import choose_pool, transcribe_files
from speechattn.transcription.inputs import Recording, collect
from speechattn.transcription.model_spec import ModelSpec
from speechattn.transcription.outputs import OutputOptions
from speechattn.transcription.transcriber import TranscriberSpec
from speechattn.transcription.workers.pool import InProcessPool, ProcessPool


@dataclass
class FakeRecognizer:
    """Gives one second of silence and a vowel, or raises what ``errors`` has for a name."""

    errors: dict[str, BaseException] = field(default_factory=dict)
    phones: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(silence="SIL"))
    asked: list[tuple[str, int | None]] = field(default_factory=list)

    def prepare(self, audio: Path, options: TranscribeOptions, **_) -> SimpleNamespace:
        """As ``Recognizer.prepare`` of a long recording."""
        result = self.transcribe(audio, channel=options.channel)
        return SimpleNamespace(frames=None, result=result)

    def encode(self, recordings: list) -> list:
        """There are no short ones."""
        return recordings

    def finish(self, prepared: SimpleNamespace, *_) -> Transcription:
        """As ``Recognizer.finish``."""
        return prepared.result

    def transcribe(self, audio: Path, *, channel=None, **_) -> Transcription:
        """What ``Recognizer.transcribe`` gives, without the posteriors."""
        self.asked.append((audio.name, channel))
        if audio.name in self.errors:
            raise self.errors[audio.name]
        phones = [Segment("SIL", 0.0, 0.25, 0.9), Segment("AA", 0.25, 1.0, 0.8)]
        return Transcription(phones, duration=1.0, sample_rate=8000, labels=("SIL", "AA"))


def read_list(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "transcripts.jsonl").read_text().splitlines()]


OWN = ("journal.jsonl", "run.json")  # files of every run


def tree(folder: Path) -> list[str]:
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return [file for file in files if file not in OWN]


@needs_posix
def test_links_to_folders_are_followed_and_dead_links_fail_by_name(tmp_path):
    rec = make(tmp_path / "rec", "b.wav")
    make(tmp_path / "elsewhere", "x.wav")
    (rec / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (rec / "dead.wav").symlink_to(tmp_path / "gone.wav")
    (rec / "self.wav").symlink_to("self.wav")
    jobs = collect([rec], tmp_path / "out", ["ctm"])
    assert [job.file for job in jobs] == ["b.wav", "dead.wav", "link/x.wav", "self.wav"]
    summary = transcribe_files(jobs, FakeRecognizer(), tmp_path / "out")
    assert summary.succeeded == 2
    dead, loop = summary.errors
    assert "dead.wav" in dead and "self.wav" in loop


def test_the_output_folder_may_lie_in_the_input_folder(tmp_path):
    rec = make(tmp_path / "rec", "a.wav", "b/c.wav")
    for _ in range(2):
        jobs = collect([rec], rec / "out", ["json", "csv"])
        assert transcribe_files(jobs, FakeRecognizer(), rec / "out").succeeded == 2


def test_every_output_and_the_list_are_written(tmp_path):
    rec = make(tmp_path / "rec", "a.wav", "b/c.wav")
    out = tmp_path / "out"
    recognizer = FakeRecognizer()
    jobs = collect([rec], out, ["textgrid", "ctm", "json", "csv"])
    summary = transcribe_files(jobs, recognizer, out, channel=1)
    assert tree(out) == sorted(
        [
            f"{stem}.{suffix}"
            for stem in ("a", "b/c")
            for suffix in ("TextGrid", "ctm", "json", "csv")
        ]
        + ["transcripts.jsonl"]
    )
    assert recognizer.asked == [("a.wav", 1), ("c.wav", 1)]
    phones = [
        {"label": "SIL", "start": 0.0, "end": 0.25, "confidence": 0.9},
        {"label": "AA", "start": 0.25, "end": 1.0, "confidence": 0.8},
    ]
    expected = {"duration": 1.0, "sample_rate": 8000, "status": "ok", "error": None}
    expected |= {"kind": None, "warnings": []}
    assert read_list(out) == [
        {"file": file, **expected, "phones": phones} for file in ("a.wav", "b/c.wav")
    ]
    assert (out / "b/c.ctm").read_text().splitlines()[1] == "b/c 1 0.25 0.75 AA 0.8000"
    assert (summary.succeeded, summary.errors, summary.audio_seconds) == (2, [], 2.0)


def test_silence_is_that_of_the_recognizer(tmp_path):
    make(tmp_path, "a.wav")
    recognizer = FakeRecognizer(phones=SimpleNamespace(silence="AA"))
    transcribe_files(collect([tmp_path], tmp_path / "o", ["textgrid"]), recognizer, tmp_path / "o")
    labels = [
        x.strip() for x in (tmp_path / "o/a.TextGrid").read_text().splitlines() if "text" in x
    ]
    assert labels == ['text = "SIL"', 'text = ""']


@pytest.mark.parametrize(
    ("error", "said", "kind"),
    [
        (AudioError("{path}: 0 samples; record it again", "empty"), "0 samples", "empty"),
        (
            PermissionError(errno.EACCES, os.strerror(errno.EACCES)),
            "check the permissions",
            "no access",
        ),
        (OSError("no number"), "no number", "no access"),
        (MemoryError(), "not enough memory", "out of memory"),
        (
            type("OutOfMemoryError", (RuntimeError,), {})("CUDA"),
            "not enough memory",
            "out of memory",
        ),
        (RuntimeError("shape\nmismatch"), r"RuntimeError: shape\nmismatch", "internal"),
        (RecursionError(), "RecursionError", "internal"),
    ],
)
def test_a_failing_recording_does_not_stop_the_others(tmp_path, error, said, kind):
    rec = make(tmp_path / "rec", "a.wav", "b.wav", "c.wav")
    out = make(tmp_path / "out", "b.ctm", "b.TextGrid", "b.csv")
    if isinstance(error, AudioError):
        error = AudioError(str(error).format(path=rec / "b.wav"), error.kind)
    jobs = collect([rec], out, ["textgrid", "ctm"])
    summary = transcribe_files(jobs, FakeRecognizer({"b.wav": error}), out)
    # Of b.wav only the format that was not asked for is left.
    assert tree(out) == sorted(
        ["a.TextGrid", "a.ctm", "b.csv", "c.TextGrid", "c.ctm", "transcripts.jsonl"]
    )
    ok, failed, also_ok = read_list(out)
    assert (ok["status"], also_ok["status"]) == ("ok", "ok")
    message = failed.pop("error")
    assert failed == {
        "file": "b.wav",
        "duration": None,
        "sample_rate": None,
        "status": "error",
        "kind": kind,
        "warnings": [],
        "phones": [],
    }
    assert said in message and message.count(str(rec / "b.wav")) == 1 and "\n" not in message
    assert summary.errors == [message]
    assert (summary.succeeded, summary.audio_seconds) == (2, 2.0)


@pytest.mark.parametrize(
    "phones", [[], [Segment("AA", 0.0, 0.5)], [Segment("AA", 0.0, 1.0, float("nan"))]]
)
def test_a_transcription_that_does_not_cover_the_recording_is_an_error(tmp_path, phones):
    make(tmp_path, "a.wav")
    recognizer = FakeRecognizer()
    result = Transcription(phones, duration=1.0, sample_rate=8000, labels=("SIL", "AA"))
    recognizer.transcribe = lambda audio, **_: result
    jobs = collect([tmp_path], tmp_path / "out", ["json"])
    summary = transcribe_files(jobs, recognizer, tmp_path / "out")
    assert summary.succeeded == 0 and "ValueError" in summary.errors[0]
    assert tree(tmp_path / "out") == ["transcripts.jsonl"]


def test_an_output_that_cannot_be_written_takes_the_others_of_its_recording_along(tmp_path):
    rec = make(tmp_path / "rec", "a.wav", "b.wav")
    out = tmp_path / "out"
    (out / "a.csv").mkdir(parents=True)
    jobs = collect([rec], out, ["textgrid", "csv"])
    summary = transcribe_files(jobs, FakeRecognizer(), out)
    assert tree(out) == ["b.TextGrid", "b.csv", "transcripts.jsonl"]
    assert summary.succeeded == 1
    assert str(rec / "a.wav") in summary.errors[0]
    assert f"{out / 'a.csv'}: cannot be written" in summary.errors[0]


@needs_posix
def test_pipes_and_devices_are_refused_without_reading_them(tmp_path):
    rec = make(tmp_path / "rec", "a.wav")
    os.mkfifo(rec / "b.wav")
    jobs = collect([rec, "/dev/zero"], tmp_path / "out", ["ctm"])
    recognizer = FakeRecognizer()
    summary = transcribe_files(jobs, recognizer, tmp_path / "out")
    assert [name for name, _ in recognizer.asked] == ["a.wav"]
    assert ["not a regular file" in error for error in summary.errors] == [True, True]


def test_an_interrupt_leaves_what_is_done_in_the_journal(tmp_path):
    rec = make(tmp_path / "rec", *(f"{name}.wav" for name in "abcde"))
    out = make(tmp_path / "out", "transcripts.jsonl")
    jobs = collect([rec], out, ["ctm"])
    with pytest.raises(KeyboardInterrupt):
        transcribe_files(jobs, FakeRecognizer({"e.wav": KeyboardInterrupt()}), out)
    done = ["a.ctm", "b.ctm", "c.ctm", "d.ctm"]  # three of them together, then each alone
    assert tree(out) == done
    lines = (out / "journal.jsonl").read_text().splitlines()
    assert [json.loads(line)["file"] for line in lines] == [f"{name}.wav" for name in "abcd"]
    transcribe_files(jobs, FakeRecognizer(), out)
    assert tree(out) == [*done, "e.ctm", "transcripts.jsonl"]
    assert len(read_list(out)) == 5


def test_a_journal_that_cannot_be_written_ends_the_run_with_a_message(tmp_path, monkeypatch):
    def full(self, line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    monkeypatch.setattr("speechattn.transcription.journal.Journal.add", full)
    rec = make(tmp_path / "rec", "a.wav")
    out = make(tmp_path / "out", "transcripts.jsonl")
    jobs = collect([rec], out, ["ctm"])
    with pytest.raises(SpeechattnError, match="journal.jsonl: .*free some disk space"):
        transcribe_files(jobs, FakeRecognizer(), out)
    assert not (out / "transcripts.jsonl").exists()


def test_an_output_folder_that_is_a_file_is_refused(tmp_path):
    rec = make(tmp_path / "rec", "a.wav")
    out = make(tmp_path, "out") / "out"
    recognizer = FakeRecognizer()
    with pytest.raises(SpeechattnError, match="cannot be written"):
        transcribe_files(collect([rec], out, ["ctm"]), recognizer, out)
    assert not recognizer.asked


@needs_posix
def test_odd_names_go_through(tmp_path):
    rec = tmp_path / "rec"
    rec.mkdir()
    names = [b"new\nline.wav", "\N{GRINNING FACE} a.wav".encode(), b"caf\xe9.wav", b'"q".wav']
    try:
        for name in names:
            with open(os.fsencode(rec) + b"/" + name, "wb"):
                pass
    except OSError:
        pytest.skip("this file system takes no names that are not UTF-8")
    out = tmp_path / "out"
    error = AudioError(f"{rec}/new\\nline.wav: bad")  # audio.py escapes names itself
    jobs = collect([rec], out, ["textgrid", "ctm", "json", "csv"])
    summary = transcribe_files(jobs, FakeRecognizer({"new\nline.wav": error}), out)
    assert summary.errors == [f"{rec}/new\\nline.wav: bad"]
    assert sorted(os.fsencode(record["file"]) for record in read_list(out)) == sorted(names)
    assert b"caf\xe9.TextGrid" in os.listdir(os.fsencode(out))


def test_progress_is_shown_on_a_terminal_only(tmp_path, monkeypatch, capsys):
    rec = make(tmp_path / "rec", "a.wav")
    jobs = collect([rec], tmp_path / "out", ["ctm"])
    transcribe_files(jobs, FakeRecognizer(), tmp_path / "out", progress=True)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    transcribe_files(jobs, FakeRecognizer(), tmp_path / "out", progress=False)
    assert capsys.readouterr().err == ""
    transcribe_files(jobs, FakeRecognizer(), tmp_path / "out", progress=True)
    assert "1/1 files" in capsys.readouterr().err


@needs_posix
def test_a_real_interrupt_signal_is_not_taken_for_a_failing_recording(tmp_path):
    # A shell that starts the tests in the background has them ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    rec = make(tmp_path / "rec", "a.wav", "b.wav")
    recognizer = FakeRecognizer()
    recognizer.transcribe = lambda audio, **_: os.kill(os.getpid(), signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            transcribe_files(collect([rec], tmp_path / "o", ["ctm"]), recognizer, tmp_path / "o")
    finally:
        signal.signal(signal.SIGINT, before)
    assert tree(tmp_path / "o") == []


def spec(device: str, threads: int) -> TranscriberSpec:
    return TranscriberSpec(ModelSpec("m", device, threads), OutputOptions(), TranscribeOptions())


def test_the_pool_suits_the_machine_and_the_recordings(monkeypatch, tmp_path):
    memory = [None]
    monkeypatch.setattr(batch, "num_usable_cores", lambda: 8)
    monkeypatch.setattr(batch, "available_memory", lambda: memory[0])
    monkeypatch.setattr(batch, "may_have_cuda", lambda: False)
    soundfile.write(tmp_path / "long.wav", np.zeros(61 * 8000), 8000)
    soundfile.write(tmp_path / "short.wav", np.zeros(8000), 8000)

    def jobs_of(count, name="long.wav"):
        return [Recording(tmp_path / name, f"{i}.wav", {}) for i in range(count)]

    def size(workers=0, jobs=100, device="auto", threads=1, name="long.wav"):
        picked = choose_pool(spec(device, threads), workers, jobs_of(jobs, name))
        return 1 if isinstance(picked, InProcessPool) else picked._count

    assert size() == 8 and size(jobs=3) == 3 and size(jobs=0) == 1
    assert size(threads=2) == 4 and size(threads=16) == 1 and size(threads=0) == 8
    assert size(workers=5) == 5 and size(workers=5, jobs=2) == 2 and size(workers=1) == 1
    assert size(device="cuda") == 4 and size(device="cuda", workers=2) == 2
    assert isinstance(choose_pool(spec("cpu", 3), 2, jobs_of(9)), ProcessPool)
    # Below a minute one process is the fastest.
    assert size(jobs=59, name="short.wav") == 1 and size(jobs=60, name="short.wav") == 8
    assert size(workers=3, jobs=59, name="short.wav") == 3 and size(jobs=9, name="gone.wav") == 1
    for forks, of_two_gb in ((True, 6), (False, 3)):  # workers that share memory take less
        monkeypatch.setattr(batch, "CAN_FORK", forks)
        for memory[0], expected in ((10**8, 1), (2 * 10**9, of_two_gb), (10**11, 8)):
            assert size() == expected and size(workers=5) == 5
        memory[0] = 2 * 10**9
        assert size(threads=2) == 3 and size(device="cuda") == 3
    # One process that does it all, by our choice, may take all cores.
    memory[0] = None
    for workers, jobs, name, cores in (
        (0, 1, "long.wav", 8),
        (0, 9, "short.wav", 8),
        (1, 1, "long.wav", 1),
        (1, 9, "short.wav", 1),
        (0, 9, "long.wav", 1),
        (3, 1, "long.wav", 1),
    ):
        picked = choose_pool(spec("cpu", 1), workers, jobs_of(jobs, name))
        assert picked._setup.model.cores == cores, (workers, jobs, name)
    # What brought the process down may do so again.
    resumed = choose_pool(spec("cpu", 1), 1, jobs_of(9), resume=True)
    assert isinstance(resumed, ProcessPool) and resumed._count == 1
