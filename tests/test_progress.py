"""A log gets few lines, a terminal a bar, and whoever wants silence nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import speechattn
from speechattn import progress
from speechattn.progress import LOG_LINES, LOG_SECONDS, Progress, with_progress


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time, in one element that a test may change."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def work(clock: list[float], total: int, seconds: float, **settings: bool) -> None:
    with Progress("train", total, unit="step", **settings) as bar:
        for _ in range(total):
            clock[0] += seconds
            bar.update()


def test_short_work_leaves_nothing_in_a_log(clock, capsys):
    work(clock, 300, 0.09)
    assert capsys.readouterr() == ("", "")


def test_a_log_gets_a_line_for_each_tenth(clock, capsys):
    work(clock, 300, 60.0)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[0] == "train: 10 %, 30 of 300 steps, 0:30:00 so far, about 4:30:00 to go"
    assert lines[-1] == "train: 100 %, 300 of 300 steps, 5:00:00 so far, about 0:00:00 to go"


def test_work_that_goes_on_is_not_counted_as_new(clock, capsys):
    with Progress("train", 100, unit="step", done=50) as bar:
        bar.note("loss 1.234")
        clock[0] += 100
        bar.update(10)
    said = capsys.readouterr().err
    expected = "train: 60 %, 60 of 100 steps, loss 1.234, 0:01:40 so far, about 0:06:40 to go\n"
    assert said == expected


@given(st.lists(st.tuples(st.floats(0, 200), st.integers(0, 40)), max_size=60))
def test_lines_are_few_and_far_between(steps):
    times, now = [], [0.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress.time, "monotonic", lambda: now[0])
        patch.setattr("builtins.print", lambda *_, **__: times.append(now[0]))
        with Progress("x", sum(count for _, count in steps)) as bar:
            for seconds, count in steps:
                now[0] += seconds
                bar.update(count)
    assert len(times) <= LOG_LINES
    assert all(b - a >= LOG_SECONDS for a, b in zip([0.0, *times], times))


def test_a_terminal_gets_a_bar(clock, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert list(with_progress("abc", "letters", unit="letter")) == ["a", "b", "c"]
    said = capsys.readouterr().err
    assert "letters: 100%" in said and "3/3" in said and "\r" in said


def test_nothing_is_shown_where_nothing_is_wanted(clock, monkeypatch, capsys):
    work(clock, 10, 100.0, shown=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    work(clock, 10, 100.0, shown=False)
    monkeypatch.setattr("sys.stderr", None)  # a program without a window
    work(clock, 10, 100.0)
    assert capsys.readouterr() == ("", "")


def test_no_length_no_lines(clock, capsys):
    for _ in with_progress(iter(range(5)), "endless"):
        clock[0] += 100
    assert capsys.readouterr() == ("", "")


def test_all_bars_are_made_here():
    package = Path(speechattn.__file__).parent
    users = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"(import|from) tqdm", path.read_text(encoding="utf-8"))
    ]
    assert users == ["progress.py"]
