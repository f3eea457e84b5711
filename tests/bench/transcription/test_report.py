"""The report of ``speechattn bench transcribe``: medians, ratios, costs by length."""

from __future__ import annotations

import csv
import io

from support.commands import cells

from speechattn.bench.process import Usage
from speechattn.bench.transcription.report import Run, csv_report, markdown_report, pair_ratios


def run(part: str, system: str, repeat: int, seconds: float, wall: float, cpu=None, rss=None):
    return Run(part, system, 1, repeat, seconds, Usage(wall, cpu, rss))


def test_medians_and_ratios_are_taken_pair_by_pair():
    walls = {"speechattn": (1.0, 2.0, 6.0), "peer": (4.0, 4.0, 60.0)}
    runs = [
        run("short", name, repeat, 120.0, wall, wall / 2, repeat * 2**20)
        for name, values in walls.items()
        for repeat, wall in enumerate(values, 1)
    ]
    report = markdown_report(runs, {"CPU": "one"})
    assert cells(report, "speechattn") == ["speechattn", "2.00", "60.0", "1.00", "1.00", "3"]
    assert cells(report, "peer") == ["peer", "4.00", "30.0", "0.50", "2.00", "3"]
    # 0.25, 0.5 and 0.1: not the ratio of the medians, which is 0.5.
    assert cells(report, "wall time") == ["wall time", "0.250", "4.00", "0.100 to 0.500"]
    assert pair_ratios(runs[:3], runs[:2:-1]) == {
        "wall time": [0.25, 0.5, 0.1],
        "CPU time": [0.25, 0.5, 0.1],
    }


def test_the_share_of_the_encoder_is_taken_pair_by_pair():
    walls = {"speechattn": (4.0, 5.0, 20.0), "the encoder alone": (3.0, 4.6, 5.0)}
    runs = [
        run("short", name, repeat, 120.0, wall)
        for name, values in walls.items()
        for repeat, wall in enumerate(values, 1)
    ]
    runs += [run("start", "speechattn", repeat, 1.0, 0.4) for repeat in (1, 2, 3)]
    report = markdown_report(runs, {})
    assert cells(report, "whole command") == ["whole command", "75.0 %", "25.0 to 92.0 %"]
    assert "the aim is 90 %: not reached" in report
    assert cells(report, "without start-up")[1] == "83.3 %"
    fast = [run("short", "speechattn", 1, 9.0, 1.0), run("short", "the encoder alone", 1, 9.0, 0.9)]
    assert "the aim is 90 %: reached" in markdown_report(fast, {})


def test_long_files_with_and_without_start_up():
    runs = [run("short", "speechattn", 1, 9.0, 3.0), run("long start", "speechattn", 1, 1.0, 2.0)]
    # Two seconds to start, a tenth of a second for each of audio after the first.
    for seconds in (601.0, 61.0):
        runs.append(run("long", "speechattn", 1, seconds, 2 + (seconds - 1) / 10))
    report = markdown_report(runs, {})
    assert "1 s: 2.00 s" in report
    short = cells(report, f"{61 / 60:g}")
    costs = ["7.869", "1.000", "6.000", "1.000"]
    assert short == [f"{61 / 60:g}", "8.00", "7.6", "0.13", "–", "–", *costs]
    whole = 60 * 62 / 601
    assert cells(report, f"{601 / 60:g}")[6:] == [
        f"{whole:.3f}",
        f"{whole / (60 * 8 / 61):.3f}",
        "6.000",
        "1.000",
    ]


def test_a_length_faster_than_the_start_has_no_ratio():
    own = "speechattn"
    runs = [run("short", own, 1, 9.0, 3.0), run("long start", own, 1, 1.0, 2.0)]
    runs += [run("long", own, 1, 6.0, 1.5), run("long", own, 1, 12.0, 3.0)]
    report = markdown_report(runs, {})
    assert [cells(report, minutes)[-1] for minutes in ("0.1", "0.2")] == ["–", "–"]


def test_csv_holds_every_run():
    runs = [run("short", "a,b", 1, 1.5, 2.0), run("long", "s", 2, 60.0, 1.0, 0.5, 1024)]
    rows = list(csv.DictReader(io.StringIO(csv_report(runs))))
    assert list(rows[0].values()) == ["short", "a,b", "1", "1", "1.500", "2.0000", "", ""]
    assert list(rows[1].values()) == ["long", "s", "1", "2", "60.000", "1.0000", "0.5000", "1024"]
