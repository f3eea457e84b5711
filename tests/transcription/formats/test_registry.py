"""Output formats, read back with praatio, json, csv and a CTM parser written from its manual."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from decimal import Decimal
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from praatio import textgrid as praat
from support.transcriptions import EXAMPLE, LABELS, FakeTranscription, transcriptions

from speechattn.files import atomic_path, atomic_write_bytes, atomic_write_text
from speechattn.segments import Segment, exact, plain
from speechattn.transcription.formats.registry import WRITERS
from speechattn.transcription.formats.tables import ctm_field, utterance_name


@pytest.mark.parametrize("name", ["textgrid", "textgrid-short"])
@settings(max_examples=60)
@given(transcription=transcriptions(LABELS | st.sampled_from(['a\n\nb"', '1\n"b"\n2', '"\n"'])))
def test_praatio_reads_the_textgrid_that_was_written(name, transcription):
    text = WRITERS[name].render(transcription, "a.wav", "SIL")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.TextGrid")
        atomic_write_text(path, text)
        grid = praat.openTextgrid(str(path), includeEmptyIntervals=True)
    assert grid.tierNames == ("phones",)
    assert (grid.minTimestamp, grid.maxTimestamp) == (0, transcription.duration)
    tier = grid.getTier("phones")
    assert (tier.minTimestamp, tier.maxTimestamp) == (0, transcription.duration)
    expected = [(s.start, s.end, "" if s.label == "SIL" else s.label) for s in transcription.phones]
    assert [(e.start, e.end, e.label) for e in tier.entries] == expected


@settings(max_examples=60)
@given(transcriptions())
def test_adjacent_times_of_a_textgrid_are_the_same_characters(transcription):
    lines = WRITERS["textgrid"].render(transcription, "a.wav").splitlines()
    times = [line.split("=")[1].strip() for line in lines if line.lstrip().startswith("xm")]
    header, tier, intervals = times[:2], times[2:4], times[4:]
    assert header == tier == [intervals[0], intervals[-1]]
    assert intervals[1:-1:2] == intervals[2::2]
    assert all("e" not in time.lower() for time in times)


def test_textgrid_text():
    assert WRITERS["textgrid"].render(EXAMPLE, "a.wav") == (
        'File type = "ooTextFile"\n'
        'Object class = "TextGrid"\n'
        "\n"
        "xmin = 0\n"
        "xmax = 0.3333333333333333\n"
        "tiers? <exists>\n"
        "size = 1\n"
        "item []:\n"
        "    item [1]:\n"
        '        class = "IntervalTier"\n'
        '        name = "phones"\n'
        "        xmin = 0\n"
        "        xmax = 0.3333333333333333\n"
        "        intervals: size = 3\n"
        "        intervals [1]:\n"
        "            xmin = 0\n"
        "            xmax = 0.1\n"
        '            text = ""\n'
        "        intervals [2]:\n"
        "            xmin = 0.1\n"
        "            xmax = 0.3\n"
        '            text = "K"""\n'
        "        intervals [3]:\n"
        "            xmin = 0.3\n"
        "            xmax = 0.3333333333333333\n"
        '            text = "AE"\n'
    )


def test_short_textgrid_text():
    assert WRITERS["textgrid-short"].render(EXAMPLE, "a.wav") == (
        'File type = "ooTextFile"\n'
        'Object class = "TextGrid"\n'
        "\n"
        "0\n"
        "0.3333333333333333\n"
        "<exists>\n"
        "1\n"
        '"IntervalTier"\n'
        '"phones"\n'
        "0\n"
        "0.3333333333333333\n"
        "3\n"
        '0\n0.1\n""\n'
        '0.1\n0.3\n"K"""\n'
        '0.3\n0.3333333333333333\n"AE"\n'
    )


def test_silence_is_the_label_that_the_phone_set_says():
    transcription = FakeTranscription([Segment("SIL", 0.0, 0.5), Segment("pau", 0.5, 1.0)], 1.0)
    text = WRITERS["textgrid"].render(transcription, "a.wav", "pau")
    assert [line.strip() for line in text.splitlines() if "text =" in line] == [
        'text = "SIL"',
        'text = ""',
    ]


def test_ctm_text():
    assert WRITERS["ctm"].render(EXAMPLE, "a b/c.d.wav") == (
        "a%20b/c.d 1 0 0.1 SIL 0.9900\n"
        'a%20b/c.d 1 0.1 0.2 K" 0.1235\n'
        "a%20b/c.d 1 0.3 0.0333333333333333 AE 1.0000\n"
    )


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
    assert text == json.dumps(values, indent=1) + "\n"
    assert values["phones"][1] == {"label": 'K"', "start": 0.1, "end": 0.3, "confidence": 0.1235}
    assert values["phones"][2]["alternatives"] == [
        {"label": "ʃ", "probability": 0.25},
        {"label": "S", "probability": 0.0},
    ]


def test_json_is_ascii_also_for_odd_names():
    name = os.fsdecode(b"\xff\n\xf0\x9f\x98\x80.wav")
    text = WRITERS["json"].render(EXAMPLE, name)
    assert text.isascii()
    assert os.fsencode(json.loads(text)["file"]) == b"\xff\n\xf0\x9f\x98\x80.wav"


def test_csv_text():
    assert WRITERS["csv"].render(EXAMPLE, "a.wav") == (
        "start,end,label,confidence\n"
        "0,0.1,SIL,0.9900\n"
        '0.1,0.3,"K""",0.1235\n'
        "0.3,0.3333333333333333,AE,1.0000\n"
    )


@given(st.floats(0, 1e17, exclude_min=True))
def test_times_are_read_back_as_the_same_double(seconds):
    text = plain(exact(seconds))
    assert float(text) == seconds
    assert set(text) <= set("0123456789.")


@pytest.mark.parametrize(
    "transcription",
    [
        FakeTranscription([], 1.0),
        FakeTranscription([], 0.0),
        FakeTranscription([Segment("A", 0.0, 0.5)], 1.0),
        FakeTranscription([Segment("A", 0.0, 0.5), Segment("B", 0.6, 1.0)], 1.0),
        FakeTranscription([Segment("A", 0.0, 0.5), Segment("B", 0.4, 1.0)], 1.0),
        FakeTranscription([Segment("A", 0.0, 1.0, float("nan"))], 1.0),
        FakeTranscription([Segment("A", 0.0, 1.0, 1.01)], 1.0),
        FakeTranscription([Segment("A", 0.0, float("nan"))], float("nan")),
        FakeTranscription([Segment("A", 0.0, float("inf"))], float("inf")),
    ],
)
@pytest.mark.parametrize("name", WRITERS)
def test_what_is_not_a_tiling_is_not_written(name, transcription):
    with pytest.raises(ValueError):
        WRITERS[name].render(transcription, "a.wav")


# --- files written whole or not at all ------------------------------------------------------


def test_atomic_write_makes_folders_and_replaces(tmp_path):
    path = tmp_path / "a" / "b" / "c.txt"
    atomic_write_text(path, "ʃ\r\n")
    atomic_write_text(path, "ʒ\n")
    assert path.read_bytes() == "ʒ\n".encode()
    assert os.listdir(path.parent) == ["c.txt"]


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "c.txt"
    atomic_write_bytes(path, b"old")
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), atomic_path(path) as temporary:
            temporary.write_bytes(b"half")
            assert temporary.parent == tmp_path and temporary.suffix == ".txt"
            raise error
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["c.txt"]


def test_a_target_that_is_a_folder_is_an_error_and_leaves_nothing(tmp_path):
    (tmp_path / "c").mkdir()
    with pytest.raises(OSError):
        atomic_write_bytes(tmp_path / "c", b"x")
    assert os.listdir(tmp_path) == ["c"]


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        atomic_write_bytes(tmp_path / "c", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "c").stat().st_mode & 0o777 == 0o640


def test_the_longest_name_can_be_written(tmp_path):
    atomic_write_bytes(tmp_path / ("n" * 255), b"x")
    atomic_write_bytes(tmp_path / ("n." + "s" * 253), b"x")
