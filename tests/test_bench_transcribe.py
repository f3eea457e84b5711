"""``speechattn bench transcribe``: what is measured, in which order, and what is made of it."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from praatio import textgrid as praat

import speechattn.bench.transcribe as bench_module
from speechattn.atomic import atomic_write_text
from speechattn.bench.peer_pocketsphinx import tile
from speechattn.bench.process import Usage, run_process, usable_cores
from speechattn.bench.recordings import pcm16, repeat_audio
from speechattn.bench.transcribe import (
    Run,
    TranscribeBench,
    bench_transcribe,
    parse_minutes,
    read_list,
)
from speechattn.bench.transcribe_report import csv_report, markdown_report, pair_ratios
from speechattn.errors import AudioError, SpeechattnError, UsageError
from speechattn.segments import check_tiling

IMPORT_FROM = str(Path(bench_module.__file__).resolve().parents[2])
CORE = usable_cores()[:1]


@pytest.fixture(autouse=True)
def find_package(monkeypatch) -> None:
    """The processes find the package where these tests found it."""
    path = os.pathsep.join(filter(None, [IMPORT_FROM, os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)


@pytest.fixture
def rec(tmp_path) -> Path:
    """A folder with two recordings of 0.5 and 0.25 s."""
    folder = tmp_path / "rec"
    (folder / "b").mkdir(parents=True)
    noise = np.random.default_rng(0).normal(0, 0.1, 8_000)
    soundfile.write(folder / "a.wav", noise, 16_000)
    soundfile.write(folder / "b" / "c d.flac", noise[:4_000], 16_000)
    return folder


class FakeProcesses:
    """In the place of ``run_process``: writes the TextGrids and says what it was asked to do."""

    def __init__(self, monkeypatch, missing: int = 0) -> None:
        self.calls: list[tuple[str, list[str], float]] = []
        self.missing = missing
        monkeypatch.setattr(bench_module, "run_process", self)
        monkeypatch.setattr(bench_module.importlib.util, "find_spec", lambda name: object())

    def __call__(self, arguments: list[str], cores: list[int], name: str) -> Usage:
        assert arguments[:2] == [sys.executable, "-m"] and cores == CORE
        if name == "pocketsphinx":
            paths, out = json.loads(Path(arguments[-2]).read_text()), Path(arguments[-1])
            wall = 4.0
        else:
            out = Path(arguments[arguments.index("--output-dir") + 1])
            inputs = arguments[4 : arguments.index("--output-dir")]
            found = [sorted(p.rglob("*.*")) if p.is_dir() else [p] for p in map(Path, inputs)]
            paths = [str(path) for path in itertools.chain(*found)]
            wall = 1.0
        assert out.is_dir() and not any(out.iterdir()), "a run must not see what another wrote"
        seconds = sum(soundfile.info(path).duration for path in paths)
        for number in range(len(paths) - self.missing):
            atomic_write_text(out / "x" / f"{number}.TextGrid", "")
        self.calls.append((name, arguments, seconds))
        return Usage(wall + seconds / 100, wall / 2, 2**20)


def test_order_lengths_and_report(rec, tmp_path, monkeypatch):
    fake, said = FakeProcesses(monkeypatch), []
    report = bench_transcribe(
        [str(rec)],
        model="m|n",
        repeats=2,
        long_minutes=[0.1, 0.3],
        output_dir=tmp_path / "out" / "deep",
        progress=said.append,
    )
    names, _, seconds = zip(*fake.calls)
    # One warm-up each and two pairs, then start-up and both lengths twice.
    assert names == ("speechattn", "pocketsphinx") * 3 + ("speechattn",) * 6
    assert seconds == (0.75,) * 6 + (1.0, 6.0, 18.0) * 2
    assert len(said) == len(fake.calls) and "warm-up" in said[1] and "2 of 2" in said[-1]
    assert (tmp_path / "out" / "deep" / "transcribe.md").read_text() == report
    rows = list(csv.DictReader((tmp_path / "out" / "deep" / "transcribe.csv").open()))
    assert [(r["part"], r["system"], r["repeat"]) for r in rows] == [
        *(("short", name, repeat) for repeat in "12" for name in ("speechattn", "pocketsphinx")),
        *((part, "speechattn", repeat) for repeat in "12" for part in ("start", "long", "long")),
    ]
    assert "| model | m\\|n |" in report
    assert "| recordings | 2, 0.0 minutes |" in report
    assert sorted(p.name for p in (tmp_path / "out" / "deep").iterdir()) == [
        "transcribe.csv",
        "transcribe.md",
    ]


def test_no_peer_no_long_files_no_output(rec, monkeypatch):
    fake = FakeProcesses(monkeypatch)
    report = bench_transcribe([str(rec)], model="m", peer="none", repeats=1, long_minutes=[])
    assert [name for name, _, _ in fake.calls] == ["speechattn"] * 2
    assert "Long files" not in report and "pocketsphinx" not in report


def test_command_lines(rec, tmp_path, monkeypatch):
    fake = FakeProcesses(monkeypatch)
    monkeypatch.chdir(tmp_path)
    Path("-x.wav").write_bytes((rec / "a.wav").read_bytes())
    bench_transcribe(["-x.wav", str(rec)], model="-m", repeats=1, long_minutes=[])
    (_, ours, _), (_, peers, _) = fake.calls[:2]
    assert ours[2:6] == ["speechattn", "transcribe", "./-x.wav", str(rec)]
    assert {"--model=-m", "--threads=1", "--device=cpu", "--quiet"} < set(ours)
    assert peers[2] == "speechattn.bench.peer_pocketsphinx"


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
    refuse(UsageError, r"pip install 'speechattn\[bench\]'")
    refuse(UsageError, "'espeak' is not known", peer="espeak")
    refuse(UsageError, "no input", inputs=(), peer="none")
    (tmp_path / "empty").mkdir()
    refuse(UsageError, "no audio", inputs=(str(tmp_path / "empty"),), peer="none")
    refuse(UsageError, "10000 threads.*choose 1 to", peer="none", threads=10_000)
    refuse(UsageError, "a.wav", peer="none", output_dir=rec / "a.wav")
    (rec / "junk.wav").write_bytes(b"junk")
    refuse(AudioError, "junk.wav", peer="none")


def test_lists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"caf\xe9 1.wav")
    for item in ("a.wav", name):
        Path(item).touch()
    listing = tmp_path / "split"
    listing.write_bytes(b"a.wav\r\n\n" + os.fsencode(name))
    assert read_list(listing) == ["a.wav", name]
    for text, match in [(b"a.wav\nb.wav\n", "split:2: 'b.wav' does not"), (b"\n", "no path")]:
        listing.write_bytes(text)
        with pytest.raises(UsageError, match=match):
            read_list(listing)
    with pytest.raises(UsageError, match="nothing: No such file.*--list"):
        read_list("nothing")


def test_minutes():
    assert parse_minutes("20, 6,60,6") == [6.0, 20.0, 60.0]
    assert parse_minutes("None") == []
    for text in ("", "6,", "0", "-1", "nan", "1e9", "six", "6;20"):
        with pytest.raises(UsageError, match="--long-minutes"):
            parse_minutes(text)


# --- numbers --------------------------------------------------------------------------------


def run(part: str, system: str, repeat: int, seconds: float, wall: float, cpu=None, rss=None):
    return Run(part, system, repeat, seconds, Usage(wall, cpu, rss))


def cells(report: str, first: str) -> list[str]:
    """The cells of the row that begins with this one."""
    (line,) = [line for line in report.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_medians_and_ratios_are_taken_pair_by_pair():
    walls = {"speechattn": (1.0, 2.0, 6.0), "peer": (4.0, 4.0, 60.0)}
    runs = [
        run("short", name, repeat, 120.0, wall, wall / 2, repeat * 2**20)
        for name, values in walls.items()
        for repeat, wall in enumerate(values, 1)
    ]
    report = markdown_report(runs, {"CPU": "one"})
    assert cells(report, "speechattn") == ["speechattn", "2.00", "60.0", "1.00", "3"]
    assert cells(report, "peer") == ["peer", "4.00", "30.0", "2.00", "3"]
    # 0.25, 0.5 and 0.1: not the ratio of the medians, which is 0.5.
    assert cells(report, "wall time") == ["wall time", "0.250", "4.00", "0.100 to 0.500"]
    assert pair_ratios(runs[:3], runs[:2:-1]) == {
        "wall time": [0.25, 0.5, 0.1],
        "CPU time": [0.25, 0.5, 0.1],
    }


def test_long_files_with_and_without_start_up():
    runs = [run("short", "speechattn", 1, 9.0, 3.0), run("start", "speechattn", 1, 1.0, 2.0)]
    # Two seconds to start, a tenth of a second for each of audio after the first.
    for seconds in (601.0, 61.0):
        runs.append(run("long", "speechattn", 1, seconds, 2 + (seconds - 1) / 10))
    report = markdown_report(runs, {})
    assert "1 s: 2.00 s" in report
    short = cells(report, f"{61 / 60:g}")
    assert short == [f"{61 / 60:g}", "8.00", "7.6", "–", "–", "7.869", "1.000", "6.000", "1.000"]
    whole = 60 * 62 / 601
    assert cells(report, f"{601 / 60:g}")[5:] == [
        f"{whole:.3f}",
        f"{whole / (60 * 8 / 61):.3f}",
        "6.000",
        "1.000",
    ]


def test_a_length_faster_than_the_start_has_no_ratio():
    runs = [run("short", "s", 1, 9.0, 3.0), run("start", "s", 1, 1.0, 2.0)]
    runs += [run("long", "s", 1, 6.0, 1.5), run("long", "s", 1, 12.0, 3.0)]
    report = markdown_report(runs, {})
    assert [cells(report, minutes)[-1] for minutes in ("0.1", "0.2")] == ["–", "–"]


def test_csv_holds_every_run():
    runs = [run("short", "a,b", 1, 1.5, 2.0), run("long", "s", 2, 60.0, 1.0, 0.5, 1024)]
    rows = list(csv.DictReader(io.StringIO(csv_report(runs))))
    assert list(rows[0].values()) == ["short", "a,b", "1", "1.500", "2.0000", "", ""]
    assert list(rows[1].values()) == ["long", "s", "2", "60.000", "1.0000", "0.5000", "1024"]


# --- recordings -----------------------------------------------------------------------------


@given(st.integers(-(2**15), 2**15 - 1))
def test_16_bit_samples_come_back(value):
    assert np.frombuffer(pcm16(np.float32([value / 2**15])), "<i2") == [value]


def test_loud_samples_are_clipped():
    samples = np.frombuffer(pcm16(np.array([1.0, 2.0, -1.0, -3.0])), "<i2")
    assert samples.tolist() == [32_767, 32_767, -32_768, -32_768]


def test_repeated_audio(rec, tmp_path):
    paths = [rec / "a.wav", rec / "b" / "c d.flac"]
    both = np.concatenate([soundfile.read(path, dtype="int16")[0] for path in paths])
    for seconds in (1.0, 0.1, 2.345):
        repeat_audio(paths, tmp_path / "long.wav", seconds)
        samples, rate = soundfile.read(tmp_path / "long.wav", dtype="int16")
        assert rate == 16_000
        np.testing.assert_array_equal(samples, np.resize(both, round(16_000 * seconds)))


def test_a_full_disk_is_reported(rec):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    with pytest.raises(SpeechattnError, match="0.1 minutes.*TMPDIR"):
        repeat_audio([rec / "a.wav"], Path("/dev/full"), 6.0)


# --- the real programs ----------------------------------------------------------------------


def test_ours(rec, tmp_path, tiny_model_dir):
    bench = TranscribeBench([str(rec)], str(tiny_model_dir), tmp_path, peer="none")
    usage = bench.transcribe("speechattn", bench.inputs, bench.paths)
    assert usage.wall > 0 and not (tmp_path / "out").exists()
    assert bench.audio_seconds == 0.75


def test_what_the_real_command_complains_of_is_passed_on(rec, tmp_path):
    bench = TranscribeBench([str(rec)], "m", tmp_path, peer="none")
    with pytest.raises(SpeechattnError, match="^speechattn: failed with status 2: .*'gone.wav'"):
        bench.transcribe("speechattn", ["gone.wav"], bench.paths)


def test_pocketsphinx(rec, tmp_path):
    pytest.importorskip("pocketsphinx", reason="the peer of the benchmark, extra [bench]")
    # A recording too short for any phone is one stretch of silence.
    soundfile.write(tmp_path / "short.wav", np.zeros(100), 16_000)
    paths = [str(rec / "a.wav"), str(tmp_path / "short.wav")]
    (tmp_path / "list.json").write_text(json.dumps(paths))
    (tmp_path / "grids").mkdir()
    peer = ["-m", "speechattn.bench.peer_pocketsphinx", tmp_path / "list.json", tmp_path / "grids"]
    run_process([sys.executable, *map(str, peer)], CORE, "pocketsphinx")
    for name, duration in (("000000", 0.5), ("000001", 0.00625)):
        path = str(tmp_path / "grids" / f"{name}.TextGrid")
        tier = praat.openTextgrid(path, includeEmptyIntervals=True).getTier("phones")
        assert (tier.minTimestamp, tier.maxTimestamp) == (0.0, duration)
        assert len(tier.entries) >= 1


@given(st.lists(st.integers(1, 400), max_size=9, unique=True), st.integers(81, 64_000))
def test_the_peer_covers_the_recording(starts, num_samples):
    found = [("SIL", 0), *((f"P{frame}", frame) for frame in sorted(starts))]
    segments = tile(found, num_samples)
    check_tiling(segments, num_samples / 16_000)
    assert all(s.label == "SIL" or s.start == int(s.label[1:]) / 100 for s in segments)
    inside = [frame for _, frame in found if frame / 100 < num_samples / 16_000]
    assert len(segments) == len(inside)
