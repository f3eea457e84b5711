"""TextGrids, read back by praatio, and label files of Audacity and HTK."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from praatio import textgrid as praat
from support.transcriptions import (
    EXAMPLE,
    LABELS,
    ODD_LABELS,
    FakeTranscription,
    check_edges,
    render,
    transcriptions,
)

from speechattn.files import atomic_write_text
from speechattn.segments import Segment
from speechattn.text import one_line
from speechattn.transcription.formats.registry import WRITERS

TEN_HOURS = 450_000  # frames of a segment; eight of them are ten hours
ODD = settings(max_examples=80)


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
        "xmax = 0.333333\n"
        "tiers? <exists>\n"
        "size = 1\n"
        "item []:\n"
        "    item [1]:\n"
        '        class = "IntervalTier"\n'
        '        name = "phones"\n'
        "        xmin = 0\n"
        "        xmax = 0.333333\n"
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
        "            xmax = 0.333333\n"
        '            text = "AE"\n'
    )


def test_short_textgrid_text():
    assert WRITERS["textgrid-short"].render(EXAMPLE, "a.wav") == (
        'File type = "ooTextFile"\n'
        'Object class = "TextGrid"\n'
        "\n"
        "0\n"
        "0.333333\n"
        "<exists>\n"
        "1\n"
        '"IntervalTier"\n'
        '"phones"\n'
        "0\n"
        "0.333333\n"
        "3\n"
        '0\n0.1\n""\n'
        '0.1\n0.3\n"K"""\n'
        '0.3\n0.333333\n"AE"\n'
    )


def test_silence_is_the_label_that_the_phone_set_says():
    transcription = FakeTranscription([Segment("SIL", 0.0, 0.5), Segment("pau", 0.5, 1.0)], 1.0)
    text = WRITERS["textgrid"].render(transcription, "a.wav", "pau")
    assert [line.strip() for line in text.splitlines() if "text =" in line] == [
        'text = "SIL"',
        'text = ""',
    ]


@ODD
@given(transcriptions(ODD_LABELS, TEN_HOURS))
def test_audacity_lines_are_start_end_and_label(transcription):
    """Its manual: three fields with a tab between them, a label a line."""
    lines = render("audacity", transcription).split("\n")
    assert lines.pop() == ""
    for line, segment in zip(lines, transcription.phones, strict=True):
        start, end, label = line.split("\t")
        assert re.fullmatch(r"\d+(\.\d+)?", start) and re.fullmatch(r"\d+(\.\d+)?", end)
        assert (float(start), float(end)) == (segment.start, segment.end)
        assert label == one_line(segment.label) and len(line.splitlines()) == 1


def test_audacity_text():
    assert render("audacity", EXAMPLE) == ('0\t0.1\tSIL\n0.1\t0.3\tK"\n0.3\t0.333333\tAE\n')


def htk_fields(line: str) -> list[str]:
    """A line's strings by the rules of The HTK Book, section 4.6.

    They end at white space, or, if they begin with a quote, at the next one of its kind. A
    backslash makes the character after it an ordinary one, or three octal digits a byte.
    """
    data, fields, i = line.encode(), [], 0
    while i < len(data):
        if data[i : i + 1].isspace():
            i += 1
            continue
        quote = data[i : i + 1] if data[i : i + 1] in (b'"', b"'") else b""
        i += len(quote)
        value = b""
        while i < len(data):
            c = data[i : i + 1]
            if c == quote or (not quote and c.isspace()):
                break
            if c == b"\\" and data[i + 1 : i + 4].isdigit():
                value += bytes([int(data[i + 1 : i + 4], 8)])
                i += 4
            elif c == b"\\":
                value += data[i + 1 : i + 2]
                i += 2
            else:
                value += c
                i += 1
        assert not quote or data[i : i + 1] == quote
        i += len(quote)
        fields.append(value.decode())
    return fields


@ODD
@given(transcriptions(ODD_LABELS, TEN_HOURS))
def test_htk_labels_are_read_by_the_rules_of_its_book(transcription):
    lines = render("lab", transcription).split("\n")
    assert lines.pop() == ""
    fields = [htk_fields(line) for line in lines]
    assert [label for _, _, label in fields] == [segment.label for segment in transcription.phones]
    edges = [(int(start), int(end)) for start, end, _ in fields]
    check_edges(edges, transcription, 10_000_000)


def test_htk_text():
    labels = ["SIL", "AA", "t͡ʃ", 'K"', "a b", "4", "", "|", "a\n"]
    segments = [Segment(label, i / 100, (i + 1) / 100) for i, label in enumerate(labels)]
    assert render("lab", FakeTranscription(segments, 0.09)).splitlines() == [
        "0 100000 SIL",
        "100000 200000 AA",
        "200000 300000 t͡ʃ",
        r'300000 400000 "K\""',
        '400000 500000 "a b"',
        '500000 600000 "4"',
        '600000 700000 ""',
        '700000 800000 "|"',
        r'800000 900000 "a\012"',
    ]
