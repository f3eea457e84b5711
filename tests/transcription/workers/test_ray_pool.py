"""The workers of a Ray cluster: the same bytes as without, whoever dies."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support import pool_tasks as tasks
from support.models import save_sure_model
from support.recordings import needs_posix

import speechattn
from speechattn.cli.main import main
from speechattn.errors import ModelError, SpeechattnError, UsageError
from speechattn.transcription.workers.ray_cluster import LOCAL, connected, import_ray
from speechattn.transcription.workers.ray_pool import RayPool
from speechattn.transcription.workers.worker import WorkerDied

RATE = 16_000
OWN = ("run.json", "journal.jsonl", ".lock")


@pytest.fixture(scope="module")
def cluster():
    """A cluster of three workers on this machine, that all tests of this module use."""
    ray = pytest.importorskip("ray", reason="needs Ray: pip install '.[ray]'")
    with connected(import_ray(LOCAL), LOCAL, 3):
        yield ray


@pytest.fixture(scope="module")
def model(tiny_model_dir, tmp_path_factory) -> Path:
    return save_sure_model(tiny_model_dir, tmp_path_factory.mktemp("models") / "sure")


@pytest.fixture(scope="module")
def rec(tmp_path_factory) -> Path:
    """Twenty recordings of noise, and one that is no good."""
    folder = tmp_path_factory.mktemp("rec")
    (folder / "b").mkdir()
    for number in range(20):
        noise = np.random.default_rng(number).normal(0, 0.1, round((1 + number) * RATE))
        soundfile.write(folder / ("b" if number % 2 else "") / f"{number}.flac", noise, RATE)
    (folder / "junk.wav").write_bytes(b"RIFF")
    return folder


@pytest.fixture(scope="module")
def plain(rec, model, tmp_path_factory) -> dict[str, bytes]:
    """What a run in one process leaves of them."""
    out = tmp_path_factory.mktemp("plain")
    assert main([*command(rec, out, model, "--workers", "1"), "--quiet"]) == 1
    return content(out)


def command(rec: Path, out: Path, model: Path, *options: str) -> list[str]:
    line = ["transcribe", str(rec), "--output-dir", str(out), "--model", str(model)]
    return [*line, "--format", "textgrid,json", "--posteriors", "npz", "--device", "cpu", *options]


def content(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name not in OWN
    }


def workers_of(process: int) -> list[int]:
    """Processes of Ray actors that this one started, directly or not."""
    parents, found = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(
                (folder / "stat").read_text().rsplit(")", 1)[1].split()[1]
            )
            if (folder / "cmdline").read_bytes().startswith(b"ray::SpeechattnWorker"):
                found.append(int(folder.name))
        except (OSError, IndexError):
            continue

    def descends(pid: int) -> bool:
        return pid == process or (pid in parents and descends(parents[pid]))

    return [pid for pid in found if descends(pid)]


def start(*arguments: str, stdin: int | None = None) -> subprocess.Popen:
    """A Python of its own, which knows nothing of the cluster of these tests."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        env={name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_run(rec: Path, out: Path, model: Path, address: str) -> subprocess.Popen:
    """A run with three workers."""
    options = ("--ray", address, "--workers", "3")
    return start("-m", "speechattn", *command(rec, out, model, *options))


def wait_for(out: Path, count: int) -> None:
    """Wait until so many recordings are done."""
    until = time.monotonic() + 120
    while len(list(out.rglob("*.TextGrid"))) < count and time.monotonic() < until:
        time.sleep(0.005)


@pytest.mark.slow
def test_every_task_is_done_once(cluster):
    with RayPool(tasks.doubles, LOCAL, count=2) as team:
        assert team.facts["pid"] != os.getpid()
        assert sorted(team.run(range(40))) == [(n, 2 * n) for n in range(40)]
        assert team.running == {}


@pytest.mark.slow
@needs_posix
def test_a_worker_that_dies_costs_its_task_after_a_second_try(cluster, tmp_path):
    jobs = ["a", "killed", "b", "killed once", "exit", "raise", "c"]
    with RayPool(partial(tasks.dying, tmp_path), LOCAL, count=2) as team:
        values = dict(team.run(jobs))
    assert values == {
        0: "a",
        1: WorkerDied("its Ray worker died, 2 times"),
        2: "b",
        3: "killed once",
        4: WorkerDied("its Ray worker died, 2 times"),
        5: WorkerDied("its worker failed (RuntimeError: a mistake), 2 times"),
        6: "c",
    }
    assert [len((tmp_path / job).read_text()) for job in jobs] == [1, 2, 1, 2, 2, 2, 1]


@pytest.mark.slow
def test_stopping_early_ends_the_workers_and_names_what_was_under_way(cluster, tmp_path):
    with RayPool(partial(tasks.dying, tmp_path), LOCAL, count=2) as team:
        assert next(team.run(["slow", "a", "slow"])) == (1, "a")
        assert workers_of(os.getpid())
    until = time.monotonic() + 10
    while workers_of(os.getpid()) and time.monotonic() < until:
        time.sleep(0.1)
    assert not workers_of(os.getpid())
    assert team.running[0] == "slow" and 1 not in team.running


@pytest.mark.slow
def test_a_setup_that_fails_says_why(cluster):
    with (
        pytest.raises(ModelError, match="see the list"),
        RayPool(tasks.refused, LOCAL, count=1),
    ):
        pytest.fail("it must not begin")


@pytest.mark.slow
def test_another_version_on_a_worker_is_refused(cluster, monkeypatch):
    monkeypatch.setattr(speechattn, "__version__", "0.0.1")
    with (
        pytest.raises(SpeechattnError, match=r"is version .* and here 0\.0\.1; install the same"),
        RayPool(tasks.plain, LOCAL, count=1),
    ):
        pytest.fail("it must not begin")


@pytest.mark.slow
def test_the_same_bytes_as_without_ray(cluster, rec, model, plain, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(command(rec, out, model, "--ray", LOCAL, "--workers", "3")) == 1
    assert content(out) == plain
    assert len(plain) == 61  # of twenty recordings three each, and transcripts.jsonl
    said = capsys.readouterr()
    assert "junk.wav" in said.err and not said.out
    assert main(command(rec, out, model, "--ray", LOCAL, "--resume")) == 1
    assert "nothing to do: all 21" in capsys.readouterr().err
    assert content(out) == plain


@pytest.mark.slow
@needs_posix
def test_a_worker_killed_in_the_middle_loses_nothing(cluster, rec, model, plain, tmp_path):
    process = start_run(rec, tmp_path / "out", model, LOCAL)
    wait_for(tmp_path / "out", 3)
    os.kill(workers_of(process.pid)[0], signal.SIGKILL)
    done = len(list((tmp_path / "out").rglob("*.TextGrid")))
    said, complained = process.communicate(timeout=120)
    assert process.returncode == 1 and 3 <= done < 20
    assert content(tmp_path / "out") == plain
    assert said == "" and len(complained.splitlines()) == 2  # the bad recording and the summary
    summary = json.loads((tmp_path / "out" / "run.json").read_text())["summary"]
    assert (summary["succeeded"], summary["failed"]) == (20, 1)


@pytest.mark.slow
@needs_posix
def test_a_machine_lost_in_the_middle_loses_nothing(cluster, rec, model, plain, tmp_path):
    script = str(Path(__file__).parents[2] / "support" / "two_machines.py")
    machines = start(script, stdin=subprocess.PIPE)
    try:
        address = next(line for line in machines.stdout if line.startswith("address ")).split()[1]
        process = start_run(rec, tmp_path / "out", model, address)
        wait_for(tmp_path / "out", 3)
        print("go", file=machines.stdin, flush=True)
        next(line for line in machines.stdout if line.startswith("lost"))
        done = len(list((tmp_path / "out").rglob("*.TextGrid")))
        said, complained = process.communicate(timeout=120)
    finally:
        machines.communicate(timeout=60)
    assert process.returncode == 1 and said == "" and 3 <= done < 20
    assert len(complained.splitlines()) == 2  # the bad recording and the summary
    assert content(tmp_path / "out") == plain


@pytest.mark.slow
@needs_posix
def test_an_interrupted_run_leaves_nobody_and_can_go_on(cluster, rec, model, plain, tmp_path):
    process = start_run(rec, tmp_path / "out", model, LOCAL)
    wait_for(tmp_path / "out", 3)
    workers = workers_of(process.pid)
    process.send_signal(signal.SIGINT)
    said, complained = process.communicate(timeout=60)
    assert process.returncode == 130 and said == ""
    assert "interrupted" in complained and len(complained.splitlines()) == 1
    assert workers and not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert not (tmp_path / "out" / "transcripts.jsonl").exists()
    assert main(command(rec, tmp_path / "out", model, "--workers", "1", "--resume")) == 1
    assert content(tmp_path / "out") == plain


@pytest.mark.parametrize(
    "address", ["nonsense", "ray://head:10001", ":6379", "head:99999", "head:"]
)
def test_an_address_that_is_none_is_refused(address):
    with (
        pytest.raises(UsageError, match="no address; give HOST:PORT"),
        connected(_Apart(), address, 1),
    ):
        pytest.fail("it must not begin")


def test_an_address_where_nobody_answers_is_told_soon(rec, tiny_model_dir, tmp_path):
    pytest.importorskip("ray", reason="needs Ray: pip install '.[ray]'")
    with socket.socket() as taken:  # nobody else gets this port
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        began = time.monotonic()
        done = subprocess.run(
            [
                *(sys.executable, "-m", "speechattn"),
                *command(rec, tmp_path / "out", tiny_model_dir, "--ray", address),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == 2 and time.monotonic() - began < 60
    (line,) = done.stderr.splitlines()
    assert f"--ray {address}: nobody answers (Connection refused); check the address" in line


def test_something_else_at_the_address_is_told_soon():
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with (
        pytest.raises(SpeechattnError, match="what answers is no Ray cluster"),
        connected(_Apart(), f"127.0.0.1:{server.server_port}", 1),
    ):
        pytest.fail("it must not begin")
    server.shutdown()
    server.server_close()


def test_ray_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"Ray is not installed; pip install 'speechattn\[ray\]'"):
        import_ray(LOCAL)


class _Apart:
    """Ray, as it is in a process that belongs to no cluster."""

    @staticmethod
    def is_initialized() -> bool:
        return False
