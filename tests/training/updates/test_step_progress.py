"""A log of a slow training says each half minute where it is."""

from __future__ import annotations

from speechattn import progress as progress_module
from speechattn.training.updates.step_progress import StepProgress


def test_a_log_gets_a_line_each_half_minute(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    with StepProgress("train", 3000, unit="step", done=1000) as progress:
        for second in range(0, 65, 5):
            now[0] = float(second)
            progress.note(f"loss {second}")
            progress.update()
    first, second = capsys.readouterr().err.splitlines()
    assert first == (
        "train: 34 %, 1007 of 3000 steps, loss 30, 0:00:30 so far, about 2:22:21 to go"
    )
    assert "1013 of 3000 steps, loss 60" in second


def test_nothing_is_said_where_another_process_says_it(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    with StepProgress("train", 3, unit="step", shown=False) as progress:
        now[0] = 100.0
        progress.update()
    assert capsys.readouterr().err == ""
