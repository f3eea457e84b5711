from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import speechattn
from speechattn.corpora.synth import render
from speechattn.corpora.synth.corpus import plan
from speechattn.corpora.synth.render import make_utterances
from speechattn.errors import CorpusError, UsageError

PATH = {**os.environ, "PYTHONPATH": str(Path(speechattn.__file__).parents[1])}


def run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, env=PATH, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def jobs():
    return plan({"train": 3}, 0)


def test_a_script_without_main_guard_is_run_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from speechattn.corpora.synth.render import make_utterances\n"
        "from speechattn.corpora.synth.corpus import plan\n"
        "print('begins')\n"
        f"made, version = make_utterances(Path({str(tmp_path)!r}), plan({{'dev': 3}}, 0))\n"
        "print(len(made), version)\n"
    )
    done = run(str(script))
    assert done.stderr == "" and done.returncode == 0
    begins, last = done.stdout.splitlines()
    assert begins == "begins" and last.startswith("3 1.")
    assert len(list(tmp_path.rglob("*.flac"))) == 3


@pytest.mark.parametrize("module", ["corpora.synth.corpus", "corpora.synth.render"])
def test_imports_are_few(module):
    program = f"import sys, speechattn.{module}; print(*sys.modules)"
    loaded = set(run("-c", program).stdout.split())
    assert f"speechattn.{module}" in loaded
    slow = {"torch", "torchaudio", "librosa", "numba", "matplotlib", "scipy.signal", "scipy.stats"}
    assert not loaded & slow


def test_one_job_leaves_a_lane_without_any(tmp_path, jobs, capsys):
    made, _ = make_utterances(tmp_path, jobs[:1], progress=True)
    assert list(made) == [jobs[0].id] and (tmp_path / made[jobs[0].id].path).is_file()
    assert capsys.readouterr().err == ""  # no bar in a log


def test_error_of_a_lane_is_raised_as_it_is(tmp_path, jobs, capfd):
    jobs[1] = replace(jobs[1], text="...")
    with pytest.raises(UsageError, match=r"nothing to say in '\.\.\.'"):
        make_utterances(tmp_path, jobs)
    assert capfd.readouterr().err == ""


def test_folder_that_cannot_be_written(tmp_path, jobs, capfd):
    (tmp_path / "audio").write_text("a file where a folder should be")
    with pytest.raises(CorpusError, match="audio.*cannot be written") as error:
        make_utterances(tmp_path, jobs)
    assert "\n" not in str(error.value) and capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "program", ["raise SystemExit(7)", "print('{', end=''); raise SystemExit(7)"]
)
def test_lane_that_ends_early(tmp_path, jobs, monkeypatch, program):
    monkeypatch.setattr(render, "_PROGRAM", program)
    with pytest.raises(CorpusError, match="ended early .status 7.") as error:
        make_utterances(tmp_path, jobs * 2000)  # more than a pipe holds
    assert "\n" not in str(error.value)


def test_lanes_are_stopped_with_the_caller(tmp_path, jobs, monkeypatch):
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1]
    )

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(render, "_answer", interrupt)
    monkeypatch.setattr(render, "_PROGRAM", "import time; time.sleep(60)")
    with pytest.raises(KeyboardInterrupt):
        make_utterances(tmp_path, jobs)
    assert [process.returncode for process in started] == [-9, -9]
