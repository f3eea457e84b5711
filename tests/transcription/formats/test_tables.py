"""CTM, JSON and CSV: fields, escapes and times."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from decimal import Decimal
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.transcriptions import EXAMPLE, FakeTranscription, transcriptions

from speechattn.segments import Segment
from speechattn.transcription.formats.registry import WRITERS
from speechattn.transcription.formats.tables import ctm_field, utterance_name


def test_ctm_text():
    assert WRITERS["ctm"].render(EXAMPLE, "a b/c.d.wav") == (
        "a%20b/c.d 1 0 0.1 SIL 0.9900\n"
        'a%20b/c.d 1 0.1 0.2 K" 0.1235\n'
        "a%20b/c.d 1 0.3 0.033333 AE 1.0000\n"
    )


def test_channels_of_a_ctm_count_from_1():
    for channel, column in ((None, "1"), (0, "1"), (1, "2"), (7, "8")):
        text = WRITERS["ctm"].render(dataclasses.replace(EXAMPLE, channel=channel), "a.wav")
        assert {line.split()[1] for line in text.splitlines()} == {column}


@settings(max_examples=60)
@given(
    transcriptions(), st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1)
)
def test_ctm_lines_have_six_fields_and_tile(transcription, name):
    lines = WRITERS["ctm"].render(transcription, f"{name}.wav").encode().split(b"\n")
    assert lines.pop() == b""
    time = Decimal(0)
    for line, segment in zip(lines, transcription.phones, strict=True):
        assert not line.startswith(b";")
        utterance, channel, start, duration, symbol, confidence = line.decode().split()
        assert unquote_to_bytes(utterance) == name.encode()
        assert channel == "1"
        assert Decimal(start) == time and float(start) == segment.start
        time += Decimal(duration)
        assert float(time) == segment.end
        assert unquote_to_bytes(symbol) == segment.label.encode()
        assert abs(float(confidence) - segment.confidence) <= 0.5001e-4


def test_a_name_that_is_not_utf8_is_percent_encoded_in_a_ctm():
    name = os.fsdecode(b"caf\xe9 \n")
    assert unquote_to_bytes(ctm_field(name)) == b"caf\xe9 \n"
    assert ctm_field("\ud800").isascii()  # a name of Windows that is no text
    assert ctm_field("ʃ") == "ʃ"


@pytest.mark.parametrize(
    ("file", "expected"),
    [("b.wav", "b"), ("a.x/b.c.flac", "a.x/b.c"), ("a/b", "a/b"), ("a/.wav", "a/.wav")],
)
def test_utterance_name(file, expected):
    assert utterance_name(file) == expected


@settings(max_examples=60)
@given(transcriptions())
def test_json_and_csv_hold_the_same_phones(transcription):
    values = json.loads(WRITERS["json"].render(transcription, "x/a.wav"))
    assert list(values) == ["file", "duration", "sample_rate", "phones"]
    assert values["file"] == "x/a.wav"
    assert values["duration"] == transcription.duration
    assert values["sample_rate"] == transcription.sample_rate
    expected = [(s.label, s.start, s.end) for s in transcription.phones]
    assert [(p["label"], p["start"], p["end"]) for p in values["phones"]] == expected
    text = WRITERS["csv"].render(transcription, "x/a.wav")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [(r["label"], float(r["start"]), float(r["end"])) for r in rows] == expected
    for phone, row, segment in zip(values["phones"], rows, transcription.phones, strict=True):
        assert phone["confidence"] == float(row["confidence"])
        assert abs(phone["confidence"] - segment.confidence) <= 0.5001e-4


def test_json_text():
    """Laid out as the json module does it."""
    phones = [*EXAMPLE.phones[:2], Segment('\n"', 0.3, 1 / 3, 0.5, (("ʃ", 0.25), ("S", 1e-9)))]
    text = WRITERS["json"].render(FakeTranscription(phones, 1 / 3), "a\n.wav")
    values = json.loads(text)
    assert text == json.dumps(values, indent=1, ensure_ascii=False) + "\n"
    assert values["phones"][1] == {"label": 'K"', "start": 0.1, "end": 0.3, "confidence": 0.1235}
    assert values["phones"][2]["alternatives"] == [
        {"label": "ʃ", "probability": 0.25},
        {"label": "S", "probability": 0.0},
    ]


def test_json_is_utf_8_also_for_odd_names():
    name = os.fsdecode(b"\xff\n\xf0\x9f\x98\x80.wav")
    text = WRITERS["json"].render(EXAMPLE, name)
    assert '"\\udcff\\n\N{GRINNING FACE}.wav"' in text.encode().decode()
    assert os.fsencode(json.loads(text)["file"]) == b"\xff\n\xf0\x9f\x98\x80.wav"


def test_csv_text():
    assert WRITERS["csv"].render(EXAMPLE, "a.wav") == (
        "start,end,label,confidence\n"
        "0,0.1,SIL,0.9900\n"
        '0.1,0.3,"K""",0.1235\n'
        "0.3,0.333333,AE,1.0000\n"
    )
