"""Measure whether another runtime would start sooner: the encoder of the English model in each.

    python docs/measure_runtimes.py [ROUNDS [MODEL]]

MODEL is a model of the package, ``english`` if not given. On processors with AMX, arrays are also
measured without it. It needs the extra ``onnx`` and the packages onnxruntime and openvino; one that
is missing is left out. Every runtime starts in fresh processes, in turns with the others, with one
thread: it is imported, loads the encoder and computes a recording of 2.5 s, then one of 20 s
several times. The table has medians. Put it into docs/benchmarks.md.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from speechattn.attention.kernels import byte_layers

MODEL = sys.argv[2] if len(sys.argv) > 2 else "english"
SHORT, LONG = 250, 2000  # frames of 10 ms
TIMES = 5  # that the long recording is computed in a process
ROUNDS = 5

# Each defines `run(frames)` -> log posteriors; FOLDER holds what it loads.
RUNTIMES = {
    "PyTorch and our kernels, int8": """
from speechattn.process import import_torch, start_own_process
start_own_process(); import_torch()
import torch; torch.set_num_threads(1)
from speechattn.inference.checkpoint import Checkpoint
from speechattn.encoder.precision import with_packed_linears
made = Checkpoint.load(MODEL_FOLDER, torch.device("cpu"))
model = with_packed_linears(made.classifier, PRECISION, made.ranges)
def run(frames):
    with torch.inference_mode():
        return model(torch.from_numpy(frames)[None])[0].log_softmax(-1).numpy()
""",
    "ONNX Runtime, fp32": """
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(FOLDER + "/fp32.onnx", options)
def run(frames):
    return session.run(None, {"frames": frames[None]})[0][0]
""",
    "OpenVINO, fp32": """
import openvino
core = openvino.Core()
exact = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
model = core.compile_model(FOLDER + "/fp32.onnx", "CPU", exact)
def run(frames):
    return model([frames[None]])[0][0]
""",
}
RUNTIMES["arrays and our kernels, int8"] = """
from speechattn.process import start_own_process
start_own_process()
from pathlib import Path
from speechattn.inference.array_engine import ArrayEngine
from speechattn.inference.stored import StoredCheckpoint
from speechattn.machine import set_num_threads
set_num_threads(1)
engine = ArrayEngine(StoredCheckpoint.open(Path(MODEL_FOLDER)))
def run(frames):
    return engine.log_posteriors([frames])[0]
"""
if byte_layers.uses_amx():
    RUNTIMES["arrays and our kernels without AMX, int8"] = (
        RUNTIMES["arrays and our kernels, int8"]
        + "from speechattn.attention.kernels import byte_attention, byte_layers\n"
        + "byte_layers.uses_amx = byte_attention.uses_amx = lambda: False\n"
    )
RUNTIMES["PyTorch and our kernels, fp32"] = RUNTIMES["PyTorch and our kernels, int8"]
RUNTIMES["ONNX Runtime, int8"] = RUNTIMES["ONNX Runtime, fp32"].replace("fp32.onnx", "int8.onnx")
PACKAGES = {"ONNX Runtime": "onnxruntime", "OpenVINO": "openvino"}

AROUND = """
import json, sys, time
began, used = time.perf_counter(), time.process_time()
import numpy as np
FOLDER, MODEL_FOLDER, PRECISION = sys.argv[1:4]
{code}
run(np.load(FOLDER + "/short.npy"))
facts = {{"first": time.perf_counter() - began, "first_cpu": time.process_time() - used}}
frames = np.load(FOLDER + "/long.npy")
found, took = run(frames), []
for _ in range({times}):
    began = time.perf_counter()
    run(frames)
    took.append(time.perf_counter() - began)
facts["long"] = min(took)
facts["apart"] = float(np.abs(found - np.load(FOLDER + "/scores.npy")).max())
print(json.dumps(facts))
"""


def make_files(folder: Path) -> str:
    """Write the graphs, the frames and what PyTorch makes of them; return the model's folder."""
    import torch

    from speechattn.encoder.export import ExportableClassifier
    from speechattn.inference.export import export_onnx
    from speechattn.inference.recognizer import load_model

    checkpoint = load_model(MODEL, precision="fp32").checkpoint
    export_onnx(checkpoint, folder / "fp32.onnx")
    if importlib.util.find_spec("onnxruntime"):
        from onnxruntime.quantization import quantize_dynamic

        quantize_dynamic(str(folder / "fp32.onnx"), str(folder / "int8.onnx"))
    drawn = np.random.default_rng(0).standard_normal((LONG, checkpoint.front_end.dim), np.float32)
    classifier = checkpoint.classifier
    frames = drawn * classifier.std.numpy() + classifier.mean.numpy()
    with torch.inference_mode():
        scores = ExportableClassifier(classifier)(torch.from_numpy(frames)[None])[0]
    np.save(folder / "scores.npy", scores.numpy())
    np.save(folder / "long.npy", frames)
    np.save(folder / "short.npy", frames[:SHORT])
    import speechattn

    return str(Path(speechattn.__file__).parent / "pretrained" / MODEL)


def measure(name: str, folder: Path, model: str) -> dict[str, float]:
    """Return what one fresh process took, in seconds."""
    code = AROUND.format(code=RUNTIMES[name], times=TIMES)
    command = [sys.executable, "-c", code, str(folder), model, name[-4:]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def main(rounds: int) -> None:
    """Measure every runtime in turns and print the table."""
    names = [
        name
        for name in RUNTIMES
        if importlib.util.find_spec(PACKAGES.get(name.split(",")[0], "torch"))
    ]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        model = make_files(folder)
        for name in names:  # files into memory, compiled code into its cache
            measure(name, folder, model)
        found = {name: [] for name in names}
        for _ in range(rounds):
            for name in names:
                found[name].append(measure(name, folder, model))
    print("| runtime | start and 2.5 s (s) | of it CPU | 20 s, once started | apart |")
    print("|---|---:|---:|---:|---:|")
    for name, facts in sorted(found.items()):
        first, cpu, long, apart = (
            float(np.median([fact[key] for fact in facts]))
            for key in ("first", "first_cpu", "long", "apart")
        )
        speed = LONG / 100 / long
        print(f"| {name} | {first:.2f} | {cpu:.2f} | {speed:.0f}x real time | {apart:.0e} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
