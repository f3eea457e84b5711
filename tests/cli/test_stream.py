"""``speechattn stream`` as a process of its own: phones as they come, and true exit statuses."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support.messages import without_compiling
from support.models import save_sure_model
from support.recordings import needs_posix
from support.spoken import RATE, speech

import speechattn.cli.main
from speechattn.encoder.int8_matrix import fast_int8
from speechattn.inference.recognizer import load_model
from speechattn.segments import rounded

IMPORT_FROM = str(Path(speechattn.cli.main.__file__).resolve().parents[2])


@pytest.fixture(scope="module")
def model(tiny_model_dir, tmp_path_factory) -> Path:
    return save_sure_model(tiny_model_dir, tmp_path_factory.mktemp("sure") / "sure")


def start(model: Path | str, *options: str, **pipes) -> subprocess.Popen:
    path = os.pathsep.join(filter(None, [IMPORT_FROM, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "speechattn", "stream", "--device", "cpu", "--model", model]
    command += ["--precision", "fp32"]  # auto is 16 bits on some processors
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE} | pipes
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*command, *options], stderr=subprocess.PIPE, env=environment, **pipes)


def run(model: Path | str, data: bytes, *options: str) -> tuple[int, list[str], list[str]]:
    """Exit status, lines of output, lines of errors."""
    process = start(model, *options)
    out, err = process.communicate(data, timeout=300)
    return process.returncode, out.decode().splitlines(), err.decode().splitlines()


def noise(seconds: float, rate: int = 16_000, channels: int = 1) -> np.ndarray:
    """16-bit samples, shape (n, channels), loud and quiet in turn."""
    count = round(seconds * rate)
    level = np.where(np.arange(count) // (rate // 5) % 2, 8000, 300)[:, None]
    random = np.random.default_rng(0).standard_normal((count, channels))
    return (level * random).clip(-32768, 32767).astype("<i2")


def lines(model: Path, samples: np.ndarray, rate: int = 16_000) -> list[str]:
    """What is to be printed for samples, shape (n, channels)."""
    found = load_model(model, "cpu").transcribe(samples.T, sample_rate=rate)
    return [f"{s.start:.2f} {s.end:.2f} {s.label} {s.confidence:.3f}" for s in found.phones]


@pytest.mark.parametrize(
    ("rate", "channels", "options"),
    [
        (16_000, 1, []),
        (44_100, 2, ["--sample-rate", "44100", "--channels", "2", "--chunk-ms", "70"]),
    ],
)
def test_it_prints_what_transcribe_finds(model, rate, channels, options):
    samples = noise(1.503, rate, channels)
    status, out, err = run(model, samples.tobytes(), *options)
    compiling = [line for line in err if line.endswith("compiling for this processor, once")]
    assert (status, err) == (0, compiling)
    assert out == lines(model, samples, rate) and len(out) > 10


def test_half_a_sample_at_the_end_is_told_after_what_was_heard(model):
    samples = noise(0.5)
    status, out, err = run(model, samples.tobytes() + b"\0")
    assert status == 1 and out == lines(model, samples)
    assert len(err) == 1 and "standard input: ends after 1 bytes of a sample of 2" in err[0]


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"", "standard input: holds no samples; check the program"), (bytes(100), "5 ms")],
    ids=["none", "3 ms"],
)
def test_no_sound_is_an_error(model, data, said):
    status, out, err = run(model, data)
    assert (status, out) == (1, []) and len(err) == 1
    assert err[0].startswith("speechattn: error: standard input: ") and said in err[0]


def test_what_cannot_be_done(tmp_path, model):
    for name, options, said in (
        (tmp_path / "gone", [], "gone"),
        (model, ["--sample-rate", "100"], "sample_rate: 100;"),
        (model, ["--channels", "0"], "'0' is no number from 1"),
        (model, ["gone.wav"], "gone.wav: no such file; give a recording, or - for standard input"),
        (model, [str(tmp_path)], "a folder; give a recording"),
        (model, ["a.wav", "more"], "unrecognized arguments: more"),
        (model, ["--format", "csv"], "invalid choice: 'csv'"),
    ):
        status, out, err = run(name, noise(0.2).tobytes(), *options)
        assert (status, out) == (2, []) and len(err) == 1, err
        assert err[0].startswith("speechattn: error: ") and said in err[0]


@needs_posix
def test_a_terminal_is_refused(model):
    own, theirs = os.openpty()
    try:
        process = start(model, stdin=theirs)
        out, err = process.communicate(timeout=300)
    finally:
        os.close(own)
        os.close(theirs)
    assert (process.returncode, out) == (2, b"")
    assert b"standard input: a terminal" in err and err.count(b"\n") == 1


@needs_posix
def test_phones_come_while_the_sound_goes_on_and_an_interrupt_ends_it(model):
    samples = noise(4.0)
    expected = lines(model, samples)
    process = start(model)
    timer = threading.Timer(300, process.kill)  # instead of waiting for ever
    timer.start()
    try:
        process.stdin.write(samples.tobytes())
        process.stdin.flush()
        out = [process.stdout.readline() for _ in range(3)]  # though the input is still open
        process.send_signal(signal.SIGINT)
        out += process.stdout.readlines()
        err = process.stderr.read()
        assert process.wait() == 130, err
    finally:
        timer.cancel()
    assert err == b""
    out = [line.decode().rstrip("\n") for line in out]
    assert out[:3] == expected[:3] and len(out) > 3
    times = [line.split()[:2] for line in out]
    assert all(one[1] == two[0] for one, two in itertools.pairwise(times))
    assert times[-1][1].endswith("0")  # whole chunks of 0.1 s, to the end of the last one


@needs_posix
def test_when_nobody_reads_any_more(model):
    process = start(model)
    process.stdout.close()
    with contextlib.suppress(BrokenPipeError):  # it may have noticed before all is written
        process.stdin.write(noise(3.0).tobytes())
        process.stdin.close()
    assert without_compiling(process.stderr.read().decode()) == ""
    assert process.wait(timeout=300) == 141


def wav(samples: np.ndarray, rate: int, **options) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", **options)
    return file.getvalue()


def test_a_wav_header_is_obeyed_and_contradictions_are_refused(model):
    samples = noise(1.203, 44_100, 2)
    data = wav(samples, 44_100)
    assert run(model, data + b"LIST\x04\0\0\0abcd") == (0, lines(model, samples, 44_100), [])
    assert run(model, data, "--sample-rate", "44100", "--channels", "2")[0] == 0
    status, out, err = run(model, data, "--sample-rate", "16000")
    assert (status, out) == (2, []) and "header says s16le samples, 44100 Hz, 2 channels" in err[0]
    status, out, err = run(model, data[:-1000])
    assert status == 1 and len(out) > 10 and "cut off: 1000 bytes" in err[0]


def test_other_encodings_and_labels(model):
    samples = noise(0.8)
    expected = lines(model, samples)
    data = (samples / 32768).astype("<f4").tobytes()
    assert run(model, data, "--encoding", "f32le") == (0, expected, [])
    status, _, err = run(model, samples.astype("<f4").tobytes(), "--encoding", "f32le")
    assert status == 0 and "warning: standard input: beyond full scale" in err[0]
    assert run(model, samples.astype(">i2").tobytes(), "--encoding", "s16be")[1] == expected
    status, out, _ = run(model, samples.tobytes(), "--phones", "ipa")
    names = load_model(model, "cpu").phones
    ipa = dict(zip(names.labels("arpabet"), names.labels("ipa")))
    assert status == 0
    assert [x.split()[2] for x in out] == [ipa[x.split()[2]] for x in expected]


def test_a_container_is_refused_by_name(model):
    status, out, err = run(model, b"fLaC" + bytes(1000))
    assert (status, out) == (1, []) and "standard input: is FLAC, and not WAV" in err[0]


def test_a_wav_whose_size_says_half_is_heard_to_its_end(model):
    samples = noise(1.2)
    data = wav(samples, 16_000)
    half = data[:40] + (samples.nbytes // 2).to_bytes(4, "little") + data[44:]
    status, out, err = run(model, half)
    assert status == 0 and out == lines(model, samples)
    assert len(err) == 1 and f"says {samples.nbytes // 2} bytes of samples, but more" in err[0]
    status, out, err = run(model, data + b"LIST\x04\0\0\0abcd" + data)
    assert status == 0 and out == lines(model, np.concatenate([samples, samples]))
    assert len(err) == 1 and "several recordings follow each other; all are read" in err[0]
    status, out, err = run(model, data + wav(samples, 8000))
    assert status == 1 and out == lines(model, samples)
    assert len(err) == 1 and "16000 Hz, 1 channels and of s16le samples, 8000 Hz" in err[0]


def test_a_file_is_heard_as_transcribe_hears_it(model, tmp_path):
    samples = noise(1.203, 44_100, 2)
    expected = lines(model, samples, 44_100)
    for name in ("a.flac", "a.wav"):
        soundfile.write(tmp_path / name, samples, 44_100)
        assert run(model, b"", str(tmp_path / name))[:2] == (0, expected)
    assert run(model, wav(samples, 44_100), "-") == (0, expected, [])
    data = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(data[:-1000])
    (tmp_path / "a.txt").write_text("no sound")
    for name in ("a.wav", "a.txt"):
        status, out, err = run(model, b"", str(tmp_path / name))
        assert (status, out) == (1, []) and len(err) == 1
        assert err[0].startswith(f"speechattn: error: {tmp_path / name}: ")


def test_a_file_of_raw_samples_and_a_pipe_with_a_name(model, tmp_path):
    samples = noise(0.6)
    expected = lines(model, samples)
    raw = tmp_path / "a.raw"
    raw.write_bytes(samples.astype(">i2").tobytes())
    assert run(model, b"", str(raw), "--encoding", "s16be") == (0, expected, [])
    soundfile.write(tmp_path / "a.flac", samples, 16_000)
    status, out, err = run(model, b"", str(tmp_path / "a.flac"), "--sample-rate", "16000")
    assert (status, out) == (2, []) and "a.flac: is FLAC, whose header says more" in err[0]
    quiet = (samples // 8).astype("<i2")
    soundfile.write(tmp_path / "quiet.wav", np.zeros(8000), 16_000)
    assert (
        "quiet.wav: silent: all samples are 0" in run(model, b"", str(tmp_path / "quiet.wav"))[2][0]
    )
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo")
        process = start(model, str(tmp_path / "fifo"))
        (tmp_path / "fifo").write_bytes(quiet.tobytes())
        out, err = process.communicate(timeout=300)
        assert (process.returncode, err) == (0, b"")
        assert out.decode().splitlines() == lines(model, quiet)


def test_json_has_an_object_for_each_phone(model):
    samples = noise(0.8)
    status, out, err = run(model, samples.tobytes(), "--format", "jsonl")
    found = load_model(model, "cpu").transcribe(samples.T, sample_rate=RATE).phones
    assert (status, err) == (0, [])
    assert [json.loads(line) for line in out] == [
        {
            "start": rounded(one.start),
            "end": rounded(one.end),
            "phone": one.label,
            "confidence": pytest.approx(one.confidence, abs=1e-4),
        }
        for one in found
    ]


@pytest.mark.slow
def test_json_has_an_object_for_each_word_as_well(tmp_path):
    soundfile.write(tmp_path / "said.flac", speech(), RATE)
    command = [str(tmp_path / "said.flac"), "--words"]
    phones = run("english_streaming", b"", command[0])[1]
    words = run("english_streaming", b"", *command)[1]
    status, out, _ = run("english_streaming", b"", *command, "-f", "jsonl")
    records = [json.loads(line) for line in out]
    assert status == 0 and len(words) > 2
    told = [record["phone"] for record in records if "phone" in record]
    assert told == [line.split()[2] for line in phones]
    said = [[one["word"], *one["phones"]] for one in records if "word" in one]
    assert said == [[line.split()[2], *line.split()[4:]] for line in words]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["auto", "int8"])
def test_the_streaming_model_prints_in_8_bits_what_transcribe_finds(precision):
    if precision == "int8" and not fast_int8():
        pytest.skip("this processor has no products of 8 bits")
    samples = (32767 * speech()).astype("<i2")
    model = load_model("english_streaming", "cpu", precision=precision)
    found = model.transcribe(samples[None], sample_rate=RATE).phones
    expected = [f"{s.start:.2f} {s.end:.2f} {s.label} {s.confidence:.3f}" for s in found]
    options = ["--precision", precision, "--chunk-ms", "130"]
    assert run("english_streaming", samples.tobytes(), *options)[:2] == (0, expected)
