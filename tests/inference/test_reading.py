"""Each channel by itself is what that channel gives when it alone is asked for."""

from __future__ import annotations

import io
import json

import kaldiio
import numpy as np
import pytest
import soundfile

from speechattn.cli.main import main
from speechattn.errors import UsageError
from speechattn.inference.recognizer import load_model
from speechattn.transcription.folder import transcribe_folder

RATE = 16_000


@pytest.fixture(scope="module")
def call() -> np.ndarray:
    """Two channels, shape (channels, samples); the second one is silent for most of it."""
    noise = np.random.default_rng(0).standard_normal((2, 20_000)) * 0.2
    noise[1, :18_000] *= 0.3
    return noise.astype(np.float32)


@pytest.fixture(scope="module")
def calls(tmp_path_factory, call):
    """A folder: a short call, one of more than 20 seconds, and a recording of one channel."""
    folder = tmp_path_factory.mktemp("calls")
    soundfile.write(folder / "a.wav", call.T, RATE)
    soundfile.write(folder / "b.flac", np.tile(call.T, (17, 1)), RATE)
    soundfile.write(folder / "c.wav", call[0], RATE)
    return folder


@pytest.fixture(scope="module")
def model(tiny_model_dir):
    return load_model(tiny_model_dir, "cpu")


def values(transcription) -> tuple:
    return transcription.phones, transcription.duration, transcription.channel


@pytest.mark.parametrize("name", ["a.wav", "b.flac"])
def test_all_is_each_alone(model, calls, name):
    every = model.transcribe(calls / name, channel="all")
    alone = [model.transcribe(calls / name, channel=channel) for channel in (0, 1)]
    assert [values(one) for one in every] == [values(one) for one in alone]
    assert [one.warnings for one in every] == [one.warnings for one in alone]
    for one, other in zip(every, alone):
        np.testing.assert_array_equal(one.posteriors, other.posteriors)
    assert values(every[0]) != values(every[1])


def test_of_samples_and_of_open_files(model, calls, call):
    of_file = model.transcribe(calls / "a.wav", channel="all")
    file = io.BytesIO((calls / "a.wav").read_bytes())
    assert [values(one) for one in model.transcribe(file, channel="all")] == list(
        map(values, of_file)
    )
    assert file.tell() == 0
    scaled = np.round(call * 32768).clip(-32768, 32767).astype(np.int16)
    of_array = model.transcribe(scaled, sample_rate=RATE, channel="all")
    assert len(of_array) == 2 and [one.channel for one in of_array] == [0, 1]
    assert len(model.transcribe(call[0], sample_rate=RATE, channel="all")) == 1


def test_other_names_are_refused(model, call):
    with pytest.raises(UsageError, match="'left' is none"):
        model.transcribe(call, sample_rate=RATE, channel="left")
    with pytest.raises(UsageError, match="choose one here"):
        model.stream(channel="all")


def test_folders(calls, tiny_model_dir, model):
    results = list(transcribe_folder(calls, model=tiny_model_dir, device="cpu", channel="all"))
    assert [result.file for result in results] == ["a.wav", "b.flac", "c.wav"]
    assert all(result.transcription is None and result.error is None for result in results)
    assert [len(result.channels) for result in results] == [2, 2, 1]
    alone = model.transcribe(calls / "a.wav", channel="all")
    assert [values(one) for one in results[0].channels] == [values(one) for one in alone]


def test_the_command_and_its_files(tmp_path, calls, tiny_model_dir, model):
    options = ["--model", str(tiny_model_dir), "--channel=all", "--device=cpu", "--precision=fp32"]
    options += ["--quiet", "--workers=1", "--format=textgrid,ctm,json"]
    for kind in ("npz", "ark"):
        out = ["--output-dir", str(tmp_path / kind), "--posteriors", kind]
        assert main(["transcribe", str(calls), *options, *out]) == 0
    record = json.loads((tmp_path / "npz" / "transcripts.jsonl").read_text().splitlines()[1])
    assert record["file"] == "b.flac" and "phones" not in record
    found = model.transcribe(calls / "b.flac", channel="all")
    for part, one in zip(record["channels"], found, strict=True):
        assert part["channel"] == one.channel
        assert [phone["label"] for phone in part["phones"]] == [p.label for p in one.phones]
    arrays = np.load(tmp_path / "npz" / "b.npz")["posteriors"]
    archive = dict(kaldiio.load_ark(str(tmp_path / "ark" / "b.ark")))
    for array, name, one in zip(arrays, ("b-1", "b-2"), found, strict=True):
        np.testing.assert_array_equal(array, archive[name])
        np.testing.assert_allclose(array, one.posteriors, atol=1e-6)
    assert main(["transcribe", str(calls), *options, "--output-dir", str(tmp_path / "npz"),
                 "--posteriors=npz", "--resume"]) == 0  # fmt: skip
    columns = {line.split()[1] for line in (tmp_path / "npz" / "a.ctm").read_text().splitlines()}
    assert columns == {"1", "2"}


def test_a_format_of_one_channel_is_refused_at_once(tmp_path, calls, capsys):
    out = ["--output-dir", str(tmp_path), "--channel=all", "--format=lab"]
    assert main(["transcribe", str(calls), *out]) == 2
    assert "format lab: holds one channel" in capsys.readouterr().err


def test_a_transcription_remembers_its_file(calls, model, tiny_model_dir):
    path = calls / "a.wav"
    for given in (path, str(path), bytes(path)):
        assert model.transcribe(given).path == path
    assert [one.path for one in model.transcribe(path, channel="all")] == [path, path]
    with path.open("rb") as file:
        assert model.transcribe(file).path is None
    (found,) = transcribe_folder(path, model=tiny_model_dir, device="cpu")
    assert found.transcription.path == path
    (remote,) = transcribe_folder(path.as_uri(), model=tiny_model_dir, device="cpu")
    assert remote.error is None and remote.transcription.path is None  # of a copy that is gone
