"""The streaming benchmark: every line there, every answer compared, mistakes in one line."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
import torch

from speechattn.bench import streaming
from speechattn.bench.streaming import (
    ALL,
    ENCODER,
    Measurement,
    csv_report,
    made_up_sound,
    markdown_report,
    measure,
    random_recognizer,
)
from speechattn.cli.bench.values import parse_chunks
from speechattn.cli.main import main
from speechattn.encoder.encoder import ClassifierStream
from speechattn.errors import UsageError
from speechattn.options import parse_window

SMALL = {"blocks": 2, "width": 16, "feedforward": 32, "heads": 2}


def test_every_way_gives_the_answer_of_the_whole():
    lines = []
    found = measure(
        random_recognizer((8, 4), **SMALL), made_up_sound(2), [100, 250], 3, lines.append
    )
    assert [(m.part, m.chunk_ms) for m in found] == [
        (part, chunk) for part in (ENCODER, ALL) for chunk in (None, 100, 250)
    ]
    assert all(len(m.samples) == 3 and min(m.samples) > 0 for m in found)
    assert all(m.difference < 1e-5 for m in found)
    assert [m.same_phones for m in found] == [None] * 3 + [True] * 3
    assert lines[:2] == ["encoder, whole", "encoder, chunks of 100 ms"] and len(lines) == 6


def test_a_wrong_answer_shows(monkeypatch):
    push = ClassifierStream.push

    def wrong(self, frames, last=False):
        scores = push(self, frames, last)
        if len(frames) == 10:  # in chunks of 100 ms only
            scores = scores.flip(1)
        return scores

    monkeypatch.setattr(ClassifierStream, "push", wrong)
    found = measure(random_recognizer((8, 4), **SMALL), made_up_sound(1), [100], 1)
    assert found[1].difference > 0.1 and found[3].difference > 0.01
    found[3].same_phones = False
    assert "| NO |" in markdown_report(found, 1, {})


def test_the_random_model_is_the_one_of_the_issue():
    config = random_recognizer(streaming.WINDOW).checkpoint.classifier.config
    assert (config.blocks, config.width, config.feedforward, config.heads) == (6, 256, 1024, 4)
    assert config.windows == [(32, 32)] * 6 and config.stack == 1
    sound = made_up_sound(2)
    assert sound.shape == (32_000,) and sound.dtype == np.float32 and 0.2 < abs(sound).max() < 0.5


def test_reports():
    """600 frames of 6 s: 0.06 s for the whole are 0.1 ms a frame."""
    found = [
        Measurement(ENCODER, None, [0.06, 0.05, 0.9]),
        Measurement(ENCODER, 100, [0.24, 0.1, 0.3], difference=1e-6),
        Measurement(ALL, None, [0.12], same_phones=True),
        Measurement(ALL, 400, [0.18], difference=2e-6, same_phones=True),
    ]
    text = markdown_report(found, 6, {"CPU": "abacus"})
    assert "| CPU | abacus |" in text
    assert "| encoder | whole |  | 0.1000 | 1.00 | 100 | 0e+00 | – |" in text
    assert "| encoder | 100 | 4.00 | 0.4000 | 4.00 | 25 | 1e-06 | – |" in text
    assert "| audio to phones | 400 | 12.00 | 0.3000 | 1.50 | 33 | 2e-06 | yes |" in text
    rows = list(csv.DictReader(io.StringIO(csv_report(found, 6))))
    assert [row["chunk_ms"] for row in rows] == ["", "100", "", "400"]
    assert rows[1] == {
        "part": "encoder",
        "chunk_ms": "100",
        "ms_a_frame": "0.4",
        "fastest": "0.166667",
        "slowest": "0.5",
        "rounds": "3",
        "to_whole": "4",
        "times_real_time": "25",
        "max_abs_difference": "1e-06",
        "same_phones": "",
    }
    assert rows[3]["same_phones"] == "True"


def test_the_command(tmp_path, tiny_model_dir, capsys):
    threads = torch.get_num_threads()
    command = ["bench", "streaming", "--model", str(tiny_model_dir), "--seconds", "1"]
    options = ["--chunks", "400,100", "--repeats", "1", "--output-dir", str(tmp_path / "a" / "b")]
    assert main([*command, *options]) == 0
    assert torch.get_num_threads() == threads
    out, err = capsys.readouterr()
    assert (tmp_path / "a" / "b" / "streaming.md").read_text() == out
    assert "| look-ahead | 137.5 ms |" in out and "| model | tiny |" in out
    rows = csv.DictReader((tmp_path / "a" / "b" / "streaming.csv").read_text().splitlines())
    assert [row["chunk_ms"] for row in rows] == ["", "100", "400"] * 2
    assert err.count("\n") == 6 and all(x.startswith("speechattn: ") for x in err.splitlines())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--chunks", "100,x"], "--chunks 100,x: 'x' is no whole number of ms from 10"),
        (["--chunks", "9"], "'9'"),
        (["--window", "32"], "--window 32: LEFT/RIGHT"),
        (["--seconds", "0"], "--seconds 0: choose a number from 1 to 3600"),
        (["--repeats", "0"], "--repeats 0"),
        (["--threads", "-1"], "--threads -1"),
        (["--model", "gone"], "gone"),
    ],
)
def test_mistakes(monkeypatch, tmp_path, capsys, options, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(streaming, "measure", None)  # it must not come so far
    assert main(["bench", "streaming", *options, "--output-dir", "out"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("speechattn: error: ") and err.count("\n") == 1
    assert said in err


def test_a_folder_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["bench", "streaming", "--output-dir", str(tmp_path / "file" / "out")]) == 2
    assert "choose another" in capsys.readouterr().err


def test_lists():
    assert parse_chunks("400, 100,400") == [100, 400]
    assert parse_window("32/4") == (32, 4)
    for text in ("", "100,", "1e3", "60001"):
        with pytest.raises(UsageError):
            parse_chunks(text)
    for text in ("", "a/b", "1/2/3", "-1/2", "/"):
        with pytest.raises(UsageError):
            parse_window(text)
