"""What ``align`` says at its end, and its file of differences."""

from __future__ import annotations

import csv
import json

import pytest

from speechattn.cli.align.report import AlignReport, records_of
from speechattn.errors import SpeechattnError
from speechattn.transcription.run_record import RunFiles, Summary

FAULT = {
    "start": 1.5,
    "end": 2.25,
    "kind": "said otherwise",
    "words": "two words",
    "heard": "T UW",
    "score": None,
}
RECORDS = (
    {"file": "a.wav", "differences": [FAULT, {**FAULT, "kind": "not said", "score": -3.5}]},
    {"file": "b.wav", "assumed": {"BOROGOVE": "B AO R (guessed)"}},
    {"file": "other.wav", "differences": [FAULT], "assumed": {"TOVE": "T OW V (guessed)"}},
)
OWN = {"a.wav", "b.wav", "c.wav"}


@pytest.fixture
def report(tmp_path) -> AlignReport:
    lines = "".join(json.dumps(record) + "\n" for record in RECORDS)
    (tmp_path / "transcripts.jsonl").write_text(lines)
    summary = Summary(failures=[("c.wav", "missing", "c.wav: no transcript")])
    return AlignReport(records_of(RunFiles(tmp_path), OWN), summary)


def test_tables_and_lines_hold_the_same(report, tmp_path):
    report.tell(str(tmp_path / "errors.jsonl"), quiet=True)
    lines = [json.loads(line) for line in (tmp_path / "errors.jsonl").read_text().splitlines()]
    assert lines == [
        {"file": "a.wav", **FAULT},
        {"file": "a.wav", **FAULT, "kind": "not said", "score": -3.5},
        {"file": "c.wav", "kind": "missing", "error": "c.wav: no transcript"},
    ]
    for suffix, delimiter in ((".csv", ","), (".tsv", "\t")):
        path = tmp_path / f"errors{suffix}"
        report.tell(str(path), quiet=True)
        with path.open() as file:
            rows = list(csv.DictReader(file, delimiter=delimiter))
        assert [
            {key: str(value) for key, value in line.items() if value is not None} for line in lines
        ] == [{key: value for key, value in row.items() if value} for row in rows]


def test_what_is_printed(report, capsys, tmp_path):
    report.tell(None, quiet=False)
    said = capsys.readouterr().err
    assert "assumed: BOROGOVE is said B AO R (guessed)" in said
    assert "differs: a.wav 1.500-2.250 s: said otherwise (two words)" in said
    assert "differ in 2 places of 1 recording: 1 said otherwise, 1 not said" in said
    assert "TOVE" not in said and "other.wav" not in said  # of another run in the folder
    report.tell(None, quiet=True)
    assert not capsys.readouterr().err
    with pytest.raises(SpeechattnError, match="cannot be written"):
        report.tell(str(tmp_path / "transcripts.jsonl" / "errors.csv"), quiet=True)


def test_a_run_that_stopped_early_has_failures_alone(tmp_path):
    summary = Summary(failures=[("c.wav", "missing", "c.wav: no transcript")])
    AlignReport(records_of(RunFiles(tmp_path), OWN), summary).tell(
        str(tmp_path / "e.jsonl"), quiet=True
    )
    assert json.loads((tmp_path / "e.jsonl").read_text())["file"] == "c.wav"
