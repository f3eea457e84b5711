"""The examples of the README do what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
from support.models import save_sure_model

import speechattn
from speechattn.inference.recognizer import load_model

README = Path(__file__).resolve().parents[2] / "README.md"
IMPORT_FROM = str(Path(speechattn.__file__).resolve().parent.parent)


def example(name: str) -> str:
    """The Python code behind ``<!-- example: NAME -->``."""
    marker = re.escape(f"<!-- example: {name} -->")
    found = re.findall(rf"{marker}\s*```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert len(found) == 1, f"{len(found)} examples named {name}"
    return found[0]


def test_streaming(tmp_path, tiny_model_dir):
    """The whole example, on a recording of another rate, with a model in the place of its own."""
    model = save_sure_model(tiny_model_dir, tmp_path / "model")
    code = example("streaming").replace('"english_streaming"', repr(str(model)))
    assert repr(str(model)) in code
    loud = np.where(np.arange(36_000) // 4000 % 2, 0.2, 0.01)[:, None]
    samples = loud * np.random.default_rng(0).standard_normal((36_000, 2))
    soundfile.write(tmp_path / "a.wav", samples, 22_050, subtype="FLOAT")
    path = os.pathsep.join(filter(None, [IMPORT_FROM, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    phones = load_model(model, "cpu").transcribe(tmp_path / "a.wav").phones
    assert len(phones) > 3
    assert done.stdout.splitlines() == [
        f"{p.start:.2f} {p.end:.2f} {p.label} {p.confidence:.2f}" for p in phones
    ]
