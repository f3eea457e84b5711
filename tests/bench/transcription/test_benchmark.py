"""``speechattn bench transcribe``: what is measured, in which order, and what is made of it."""

from __future__ import annotations

import csv
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from praatio import textgrid as praat
from support.commands import cells
from support.recordings import two_recordings

from speechattn.bench.peers import tile
from speechattn.bench.process import Usage, run_process, usable_core_ids
from speechattn.bench.transcription import benchmark as bench_module
from speechattn.bench.transcription.benchmark import TranscribeBench, bench_transcribe
from speechattn.bench.transcription.model import ModelAlone
from speechattn.bench.transcription.parts import NAMES
from speechattn.cli.bench.options import PEERS
from speechattn.cli.main import main
from speechattn.errors import AudioError, SpeechattnError, UsageError
from speechattn.files import atomic_write_text
from speechattn.segments import check_tiling

IMPORT_FROM = str(Path(bench_module.__file__).resolve().parents[2])
CORE = usable_core_ids()[:1]


@pytest.fixture(autouse=True)
def find_package(monkeypatch) -> None:
    """The processes find the package where these tests found it."""
    path = os.pathsep.join(filter(None, [IMPORT_FROM, os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)


@pytest.fixture
def rec(tmp_path) -> Path:
    return two_recordings(tmp_path / "rec")


class FakeProcesses:
    """In the place of ``run_process``: writes the TextGrids and says what it was asked to do."""

    def __init__(self, monkeypatch, missing: int = 0) -> None:
        self.calls: list[tuple[str, list[str], float]] = []
        self.missing = missing
        monkeypatch.setattr(bench_module, "run_process", self)
        monkeypatch.setattr(bench_module, "ModelAlone", FakeModel)
        monkeypatch.setattr(bench_module.importlib.util, "find_spec", lambda name: object())

    def __call__(
        self, arguments: list[str], cores: list[int], name: str, variables: dict | None = None
    ) -> Usage:
        assert arguments[:2] == [sys.executable, "-m"] and cores == CORE
        wall = 1.0
        if name == "the parts":
            config = json.loads(Path(arguments[-1]).read_text())
            parts = {part: 0.25 for part in NAMES}
            Path(config["result"]).write_text(json.dumps(parts))
            self.calls.append((name, arguments, 0.0))
            return Usage(2.0, 2.0, 2**20)
        if name in ("pocketsphinx", "hama"):
            paths, out = json.loads(Path(arguments[-2]).read_text()), Path(arguments[-1])
            wall = 4.0
        else:
            out = Path(arguments[arguments.index("--output-dir") + 1])
            inputs = arguments[4 : arguments.index("--output-dir")]
            found = [sorted(p.rglob("*.*")) if p.is_dir() else [p] for p in map(Path, inputs)]
            paths = [str(path) for path in itertools.chain(*found)]
        assert out.is_dir() and not any(out.iterdir()), "a run must not see what another wrote"
        seconds = sum(soundfile.info(path).duration for path in paths)
        for number in range(len(paths) - self.missing):
            atomic_write_text(out / "x" / f"{number}.TextGrid", "")
        self.calls.append((name, arguments, seconds))
        return Usage(wall + seconds / 100, wall / 2, 2**20)


class FakeModel:
    """In the place of the encoder alone: half a second."""

    def __init__(self, paths, lengths, model, cores, folder) -> None:
        assert len(paths) == len(lengths) and cores == CORE

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        pass

    def seconds(self) -> float:
        """What the pass took."""
        return 0.5


def test_order_lengths_and_report(rec, tmp_path, monkeypatch):
    fake, said = FakeProcesses(monkeypatch), []
    reports = []
    bench_transcribe(
        [str(rec)],
        model="m|n",
        peers=["pocketsphinx", "hama"],
        repeats=2,
        long_minutes=[0.1, 0.3],
        output_dir=tmp_path / "out" / "deep",
        publish=reports.append,
        report=said.append,
    )
    (report,) = reports
    names, _, seconds = zip(*fake.calls)
    # One warm-up each and two rounds, the parts twice, the first run, then start-up and both
    # lengths twice.
    ours, peers = ("speechattn",), ("pocketsphinx", "hama")
    rounds = (ours * 2 + peers + ours + peers) * 3
    assert names == rounds + ("the parts",) * 2 + ours + (ours * 2 + peers + ours) * 2
    short = (0.75, 1.0, *(0.75,) * 5) * 3
    assert seconds == short + (0.0, 0.0, 1.0) + (1.0, 6.0, 6.0, 6.0, 18.0) * 2
    assert len(said) == len(fake.calls) + 3 and "warm-up" in said[1] and "2 of 2" in said[-1]
    assert (tmp_path / "out" / "deep" / "transcribe.md").read_text() == report
    rows = list(csv.DictReader((tmp_path / "out" / "deep" / "transcribe.csv").open()))
    first = [(r["part"], r["system"], r["cores"], r["repeat"]) for r in rows[:5]]
    assert first == [
        ("short", "speechattn", "1", "1"),
        ("short", "the encoder alone", "1", "1"),
        ("start", "speechattn", "1", "1"),
        ("short", "pocketsphinx", "1", "1"),
        ("short", "hama", "1", "1"),
    ]
    assert [r["part"] for r in rows].count("parts: encoder") == 2
    assert "| model | m\\|n |" in report
    assert "| recordings | 2, 0.0 minutes |" in report
    # 0.5 s for the encoder, 1.0075 s for the whole, 1.01 s for one second: start-up takes longer.
    assert cells(report, "whole command")[1] == "49.6 %" and "not reached" in report
    assert "without start-up" not in report
    assert cells(report, "decoder") == ["decoder", "0.25", f"{100 / len(NAMES):.1f} %"]
    assert "Peers, 0.1 minutes" in report
    # Peers take 4.0075 s for a few files, ours 1.0075 s.
    assert "| hama | a few files | 4.01 | 3.978 | 2.00 | 1 |" in report
    assert "on 1 core: 1.0 s for a recording of 1 s." in report
    assert sorted(p.name for p in (tmp_path / "out" / "deep").iterdir()) == [
        "transcribe.csv",
        "transcribe.md",
    ]


def test_no_peer_no_long_files_no_output(rec, monkeypatch):
    fake = FakeProcesses(monkeypatch)
    reports = []
    bench_transcribe([str(rec)], model="m", repeats=1, long_minutes=[], publish=reports.append)
    (report,) = reports
    assert [name for name, _, _ in fake.calls] == ["speechattn"] * 6 + [
        *("the parts", "speechattn")
    ]
    assert "Long files" not in report and "pocketsphinx" not in report


def test_command_lines(rec, tmp_path, monkeypatch, capsys):
    fake = FakeProcesses(monkeypatch)
    monkeypatch.chdir(tmp_path)
    Path("-x.wav").write_bytes((rec / "a.wav").read_bytes())
    Path("list").write_text(f"-x.wav\n{rec}\n")
    options = ["--model=-m", "--repeats=1", "--long-minutes=none", "--peer=hama"]
    assert main(["bench", "transcribe", "--list", "list", *options]) == 0
    assert "# Transcription benchmark" in capsys.readouterr().out
    (_, ours, _), _, (_, peers, _) = fake.calls[:3]
    assert ours[2:6] == ["speechattn", "transcribe", "./-x.wav", str(rec)]
    assert {"--model=-m", "--workers=1", "--device=cpu", "--quiet"} < set(ours)
    assert peers[2:4] == ["speechattn.bench.peers", "hama"]


def test_missing_results_are_no_result(rec, monkeypatch):
    FakeProcesses(monkeypatch, missing=1)
    with pytest.raises(SpeechattnError, match="speechattn: wrote 1 TextGrids for 2 recordings"):
        bench_transcribe([str(rec)], model="m", output_dir=None)


def test_what_is_refused(rec, tmp_path, monkeypatch):
    def refuse(error, match, inputs=(str(rec),), **options):
        with pytest.raises(error, match=match) as caught:
            bench_transcribe(list(inputs), model="m", **options)
        assert "\n" not in str(caught.value)

    monkeypatch.setattr(bench_module, "run_process", None)  # nothing is run
    monkeypatch.setattr(bench_module.importlib.util, "find_spec", lambda name: None)
    refuse(UsageError, r"hama is not .*pip install 'speechattn\[bench\]'", peers=["hama"])
    refuse(UsageError, "no input", inputs=())
    (tmp_path / "empty").mkdir()
    refuse(UsageError, "no audio", inputs=(str(tmp_path / "empty"),))
    refuse(UsageError, "10000 threads.*choose 1 to", cores=[1, 10_000])
    refuse(UsageError, "a.wav", output_dir=rec / "a.wav")
    (rec / "junk.wav").write_bytes(b"junk")
    refuse(AudioError, "junk.wav")


# --- the real programs ----------------------------------------------------------------------


def test_ours(rec, tmp_path, tiny_model_dir):
    bench = TranscribeBench([str(rec)], str(tiny_model_dir), tmp_path)
    usage = bench.transcribe("speechattn", bench.inputs, bench.paths)
    assert usage.wall > 0 and not (tmp_path / "out").exists()
    assert bench.audio_seconds == 0.75


def test_what_the_real_command_complains_of_is_passed_on(rec, tmp_path):
    bench = TranscribeBench([str(rec)], "m", tmp_path)
    with pytest.raises(SpeechattnError, match="^speechattn: failed with status 2: .*'gone.wav'"):
        bench.transcribe("speechattn", ["gone.wav"], bench.paths)


def test_the_parts_of_our_own_process(rec, tmp_path, tiny_model_dir):
    bench = TranscribeBench([str(rec)], str(tiny_model_dir), tmp_path)
    run = bench._parts(1)
    assert tuple(run.seconds) == NAMES and not (tmp_path / "out").exists()
    # Everything named is found where it was looked for, and nothing is counted twice.
    assert all(seconds > 0 for seconds in run.seconds.values()), run.seconds
    assert 0.5 * run.usage.wall < sum(run.seconds.values()) <= run.usage.wall


def test_the_encoder_alone(rec, tmp_path, tiny_model_dir):
    paths = [rec / "a.wav", rec / "b" / "c d.flac"]
    with ModelAlone(paths, [0.5, 0.25], str(tiny_model_dir), CORE, tmp_path) as model:
        assert 0 < model.seconds() and 0 < model.seconds() < 60
    with pytest.raises(SpeechattnError, match="the encoder alone: failed with status"):
        ModelAlone([rec / "gone.wav"], [1.0], str(tiny_model_dir), CORE, tmp_path).__enter__()


@pytest.mark.parametrize("peer", PEERS)
def test_peers(rec, tmp_path, peer):
    pytest.importorskip(peer, reason="a peer of the benchmark, extra [bench]")
    # A recording too short for any phone is one stretch of silence.
    soundfile.write(tmp_path / "short.wav", np.zeros(100), 16_000)
    paths = [str(rec / "a.wav"), str(tmp_path / "short.wav")]
    (tmp_path / "list.json").write_text(json.dumps(paths))
    (tmp_path / "grids").mkdir()
    command = ["-m", "speechattn.bench.peers", peer, tmp_path / "list.json", tmp_path / "grids"]
    run_process([sys.executable, *map(str, command)], CORE, peer)
    for name, duration in (("000000", 0.5), ("000001", 0.00625)):
        path = str(tmp_path / "grids" / f"{name}.TextGrid")
        tier = praat.openTextgrid(path, includeEmptyIntervals=True).getTier("phones")
        assert (tier.minTimestamp, tier.maxTimestamp) == (0.0, duration)
        assert len(tier.entries) >= 1


def test_a_peer_imports_neither_pytorch_nor_the_other_one():
    code = (
        "import sys; from speechattn.bench.peers import PEERS; print(*PEERS)\n"
        "print({'torch', 'pocketsphinx', 'hama'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{' '.join(PEERS)}\nset()\n"


@given(st.lists(st.integers(1, 400), max_size=9, unique=True), st.integers(81, 64_000))
def test_the_peer_covers_the_recording(starts, num_samples):
    found = [("SIL", 0), *((f"P{frame}", frame) for frame in sorted(starts))]
    segments = tile(found, num_samples)
    check_tiling(segments, num_samples / 16_000)
    assert all(s.label == "SIL" or s.start == int(s.label[1:]) / 100 for s in segments)
    inside = [frame for _, frame in found if frame / 100 < num_samples / 16_000]
    assert len(segments) == len(inside)
