"""What computes posteriors, and that PyTorch stays out of it in 8 bits on CPUs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from support.array_models import save_array_model
from support.messages import without_compiling
from support.recordings import RATE, tone

from speechattn.attention.kernels import byte_matrix, threads
from speechattn.errors import ConfigError
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.engine import make_engine
from speechattn.inference.stored import StoredCheckpoint
from speechattn.inference.tensor_engine import TensorEngine

needs_arrays = pytest.mark.skipif(
    not byte_matrix.OFFERED, reason="PyTorch computes on this processor"
)
# A process in which PyTorch cannot be imported, whatever would like to.
WITHOUT_TORCH = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchaudio"):
            raise AssertionError(f"{name} is imported")
sys.meta_path.insert(0, NoTorch())
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recordings") / "tones.wav"
    pieces = [tone(RATE // 5, RATE, hertz) for hertz in (200.0, 500.0, 1500.0)]
    noise = np.random.default_rng(0).normal(0, 0.01, 3 * (RATE // 5))
    soundfile.write(path, np.concatenate(pieces) + noise, RATE)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_array_model(tmp_path_factory.mktemp("models") / "arrays")


def run(code: str, *arguments: object) -> str:
    """What a process of its own prints; it has nothing to say, or only that it compiles."""
    line = [sys.executable, "-c", WITHOUT_TORCH + code, *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, without_compiling(done.stderr)) == (0, "")
    return done.stdout


@needs_arrays
def test_a_recording_is_transcribed_without_pytorch(recording):
    code = """
import speechattn
model = speechattn.load_model("english", "cpu", precision="auto")
found = model.transcribe(sys.argv[1], words=True)
assert model.precision == "int8" and found.phones and found.posteriors.shape[0] == 60
assert "torch" not in sys.modules
print(len(found.phones))
"""
    assert int(run(code, recording)) > 0


@needs_arrays
def test_a_recording_is_streamed_without_pytorch(folder, recording):
    code = """
import numpy as np, soundfile
import speechattn
model = speechattn.load_model(sys.argv[1], "cpu", precision="int8", window=(4, 4))
samples = soundfile.read(sys.argv[2], dtype="float32")[0]
stream, frames = model.stream(), 0
for part in np.array_split(samples, 7):
    frames += len(stream.push(part).posteriors)
frames += len(stream.finish().posteriors)
assert model.look_ahead_ms and "torch" not in sys.modules
print(frames)
"""
    assert int(run(code, folder, recording)) == 60


@needs_arrays
@pytest.mark.parametrize("options", [(), ("--format", "json", "--words")])
def test_the_command_transcribes_without_pytorch(recording, tmp_path, options):
    code = "from speechattn.cli.main import run; run()"
    arguments = [recording, "--output-dir", tmp_path, "--device", "cpu", "--quiet"]
    run(code, "transcribe", *arguments, *options)
    assert any(path.stem.startswith("tones") for path in tmp_path.iterdir())


@needs_arrays
def test_the_program_itself_imports_no_pytorch(folder, recording):
    line = [sys.executable, "-X", "importtime", "-m", "speechattn", "transcribe"]
    line += ["--model", str(folder), "--device", "cpu", str(recording)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    imported = {part.rpartition("|")[2].strip() for part in done.stderr.splitlines()}
    assert "numpy" in imported and "speechattn.inference.array_engine" in imported
    assert "torch" not in imported and done.stdout


def test_float32_imports_pytorch(folder, recording):
    code = """
import sys, speechattn
model = speechattn.load_model(sys.argv[1], "cpu")
assert "torch" in sys.modules and len(model.transcribe(sys.argv[2]).phones)
"""
    line = [sys.executable, "-c", code, str(folder), str(recording)]
    subprocess.run(line, check=True)


@needs_arrays
def test_pytorch_that_is_imported_later_gets_as_many_threads(folder):
    code = """
import sys
from speechattn import machine as threads
threads.set_num_threads(3)
assert "torch" not in sys.modules and threads.num_threads() == 3
import speechattn
speechattn.load_model(sys.argv[1], "cpu")
import torch
print(torch.get_num_threads(), threads.num_threads())
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    line = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(line, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["3", "3"]


def test_each_precision_has_its_engine(folder):
    checkpoint = Checkpoint.load(folder)
    for device in ("cpu", torch.device("cpu")):
        engine = make_engine(checkpoint, device, "fp32")
        assert isinstance(engine, TensorEngine) and engine.device == "cpu"
        assert engine.front_end.config == checkpoint.front_end
    with pytest.raises(ConfigError, match="'int4'; choose from auto, fp32, bf16, int8"):
        make_engine(checkpoint, "cpu", "int4")


@needs_arrays
def test_a_stored_model_in_float32_is_computed_by_pytorch(folder):
    frames = [8 + np.random.default_rng(0).standard_normal((30, 20)).astype(np.float32)]
    found, wanted = (
        make_engine(each, "cpu", "fp32").log_posteriors(frames)[0]
        for each in (StoredCheckpoint.open(folder), Checkpoint.load(folder))
    )
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("load", "precision"),
    [(Checkpoint.load, "fp32"), pytest.param(StoredCheckpoint.open, "int8", marks=needs_arrays)],
)
def test_streams_and_recordings_give_the_same(folder, load, precision):
    engine = make_engine(load(folder), "cpu", precision)
    frames = 8 + np.random.default_rng(0).standard_normal((31, 20)).astype(np.float32)
    stream = engine.stream()
    found = [stream.push(frames[:7]), stream.push(frames[7:7]), stream.push(frames[7:], last=True)]
    assert [each.dtype for each in found] == [np.float32] * 3
    whole = engine.log_posteriors([frames])[0]
    np.testing.assert_allclose(np.concatenate(found), whole, atol=1e-5)
    assert engine.log_posteriors([]) == []


def test_threads_are_as_many_as_those_of_pytorch():
    assert threads.num_threads() == torch.get_num_threads()
