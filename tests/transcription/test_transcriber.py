"""Recordings of a batch: lines of the journal, several at a time as each alone."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from support.recordings import make, tone
from transcription.test_batch import FakeRecognizer

from speechattn.errors import InternalError
from speechattn.inference.recognizer import load_model
from speechattn.inference.transcription import TranscribeOptions
from speechattn.transcription.inputs import Recording, collect
from speechattn.transcription.journal import output_state
from speechattn.transcription.outputs import OutputOptions
from speechattn.transcription.transcriber import SHORT_BYTES, Transcriber, is_short


@pytest.fixture
def job(tmp_path) -> Recording:
    """A job with a recording, and with the output of an earlier run."""
    make(tmp_path, "a.wav", "a.ctm")
    return Recording(tmp_path / "a.wav", "a.wav", {"ctm": tmp_path / "a.ctm"})


def transcribe(job: Recording, recognizer: FakeRecognizer) -> dict:
    outputs, options = OutputOptions(("ctm",)), TranscribeOptions(posteriors=False)
    return Transcriber(recognizer, outputs, options)(job, lambda share: None)


def test_the_line_of_the_journal(job):
    line = transcribe(job, FakeRecognizer())
    status = job.path.stat()
    assert line["input"] == (status.st_size, status.st_mtime_ns)
    assert line["outputs"] == {"ctm": output_state(job.outputs["ctm"])}
    assert line["file"] == line["record"]["file"] == "a.wav"


def test_a_recording_that_grows_is_not_taken_for_whole(job):
    recognizer = FakeRecognizer()
    give = recognizer.transcribe

    def grow(audio, **options):
        audio.write_bytes(b"more")
        return give(audio, **options)

    recognizer.transcribe = grow
    line = transcribe(job, recognizer)
    assert (
        line["record"]["kind"] == "changed"
        and "changed while it was read" in line["record"]["error"]
    )
    assert not job.outputs["ctm"].exists()


OUTPUTS = OutputOptions(("textgrid", "json"), "npz")
OPTIONS = TranscribeOptions(posteriors=False, alternatives=2)
SECONDS = {"a": 0.5, "b": 2.0, "c": 21.0, "d": 0.01, "e": 1.1}  # c: more than a block


@pytest.fixture(scope="module")
def recognizer(tiny_model_dir):
    return load_model(tiny_model_dir, "cpu")


@pytest.fixture
def folder(tmp_path):
    rec = tmp_path / "rec"
    rec.mkdir()
    for number, (name, seconds) in enumerate(SECONDS.items()):
        samples = tone(round(16_000 * seconds), 16_000, 200.0 + 100 * number)
        soundfile.write(rec / f"{name}.wav", samples, 16_000)
    return rec


def jobs(folder, out):
    return collect([folder], out, OUTPUTS.kinds)


def alone(folder, out, recognizer):
    transcriber = Transcriber(recognizer, OUTPUTS, OPTIONS)
    return [transcriber(job, lambda share: None) for job in jobs(folder, out)]


def together(folder, out, recognizer, told=None):
    told = [] if told is None else told
    transcriber = Transcriber(recognizer, OUTPUTS, OPTIONS)
    return transcriber.several(jobs(folder, out), lambda *what: told.append(what))


def written(out):
    return {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_lines_and_files_are_those_of_each_alone(folder, tmp_path, recognizer):
    told = []
    lines = together(folder, tmp_path / "one", recognizer, told)
    assert lines == alone(folder, tmp_path / "two", recognizer)
    assert written(tmp_path / "one") == written(tmp_path / "two")
    assert len(written(tmp_path / "one")) == 3 * len(SECONDS)
    assert {number for number, share in told if share == 1.0} == set(range(len(SECONDS)))


def test_one_that_cannot_be_read_fails_alone(folder, tmp_path, recognizer):
    (folder / "b.wav").write_bytes(b"junk")
    soundfile.write(folder / "e.wav", np.full(800, np.nan, np.float32), 16_000, subtype="FLOAT")
    lines = together(folder, tmp_path / "one", recognizer)
    assert [line["record"]["status"] for line in lines] == ["ok", "error", "ok", "ok", "error"]
    assert lines == alone(folder, tmp_path / "two", recognizer)
    assert written(tmp_path / "one") == written(tmp_path / "two")


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (MemoryError(), "out of memory", "not enough memory"),
        (ValueError("of no such length"), "internal", "b.wav: ValueError: of no such length"),
    ],
)
def test_where_the_encoder_fails_each_is_tried_alone(
    folder, tmp_path, recognizer, monkeypatch, error, kind, said
):
    encode = recognizer.encode

    def fails(recordings):
        if len(recordings) > 1 or len(recordings[0]) == 200:  # b
            raise error
        return encode(recordings)

    monkeypatch.setattr(recognizer, "encode", fails)
    lines = together(folder, tmp_path / "out", recognizer)
    assert [line["record"]["kind"] for line in lines] == [None, kind, None, None, None]
    assert said in lines[1]["record"]["error"]
    assert not (tmp_path / "out" / "b.json").exists()


@pytest.mark.parametrize("together", [True, False])
def test_a_mistake_of_the_program_comes_out_with_the_recordings(
    folder, tmp_path, recognizer, monkeypatch, together
):
    encode = recognizer.encode

    def mistaken(recordings):
        if (len(recordings) > 1) == together:
            raise TypeError("no such argument")
        return encode(recordings)

    monkeypatch.setattr(recognizer, "encode", mistaken)
    listed = [*jobs(folder, tmp_path / "out")]
    listed = listed if together else listed[1:2]
    expected = f"{listed[0].path} and 3 more" if together else str(listed[0].path)
    with pytest.raises(InternalError) as raised:
        Transcriber(recognizer, OUTPUTS, OPTIONS).several(listed, lambda *what: None)
    assert str(raised.value).startswith(f"{expected}: TypeError: no such argument; this is a")
    assert isinstance(raised.value.__cause__, TypeError)


def test_a_mistake_outside_the_encoder_names_the_recording(job):
    line = transcribe(job, FakeRecognizer({"a.wav": RuntimeError("libsndfile")}))
    assert line["record"]["kind"] == "internal"
    with pytest.raises(InternalError, match=rf"^{job.path}: AttributeError: x; this is a mistake"):
        transcribe(job, FakeRecognizer({"a.wav": AttributeError("x")}))


def test_what_is_small(tmp_path):
    path = tmp_path / "a.wav"
    (job,) = [*collect([_sized(path, SHORT_BYTES)], tmp_path / "out", ["ctm"])]
    assert is_short(job)
    _sized(path, SHORT_BYTES + 1)
    assert not is_short(job)
    path.unlink()
    assert is_short(job)  # fails soon


def _sized(path, size):
    path.write_bytes(bytes(size))
    return path
