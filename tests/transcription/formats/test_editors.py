"""Formats of other programs, read back with pympi (ELAN), webvtt-py, and, from their manuals, here."""

from __future__ import annotations

import html
import io
import re
import tempfile
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st
from pympi.Elan import Eaf
from support.transcriptions import EXAMPLE, LABELS, ODD_LABELS, FakeTranscription, transcriptions

from speechattn.segments import Segment, whole_edges
from speechattn.text import one_line
from speechattn.transcription.formats.registry import WRITERS

TEN_HOURS = 450_000  # frames of a segment; eight of them are ten hours
ODD = settings(max_examples=80)


def render(name: str, transcription: FakeTranscription, file: str = "a.wav") -> str:
    return WRITERS[name].render(transcription, file, "SIL")


def check_edges(edges: list[tuple[int, int]], transcription: FakeTranscription, unit: int) -> None:
    """Whole numbers that tile from 0 on, each at most half a unit from the time it stands for."""
    assert edges[0][0] == 0
    assert [end for _, end in edges[:-1]] == [start for start, _ in edges[1:]]
    for (start, end), segment in zip(edges, transcription.phones, strict=True):
        assert start < end
        assert abs(start - segment.start * unit) <= 0.5 + 1e-9 * start
        assert abs(end - segment.end * unit) <= 0.5 + 1e-9 * end


# --- whole units ----------------------------------------------------------------------------


def test_boundaries_that_would_coincide_are_a_unit_apart():
    times = [0.0, 0.0001, 0.0002, 0.0104, 0.0105, 0.0115]
    segments = [Segment("A", *edge) for edge in pairwise(times)]
    assert whole_edges(segments, 1000) == [(0, 1), (1, 2), (2, 10), (10, 11), (11, 12)]


def test_the_same_boundary_is_rounded_to_the_same_number_on_both_sides():
    segments = [
        Segment("A", 0.0, 0.0125),
        Segment("B", 0.0125, 0.0135),
        Segment("C", 0.0135, 1 / 3),
    ]
    assert whole_edges(segments, 1000) == [(0, 12), (12, 14), (14, 333)]  # halves to even numbers


# --- Audacity -------------------------------------------------------------------------------


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
    assert render("audacity", EXAMPLE) == (
        '0\t0.1\tSIL\n0.1\t0.3\tK"\n0.3\t0.3333333333333333\tAE\n'
    )


# --- HTK ------------------------------------------------------------------------------------


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


# --- ELAN -----------------------------------------------------------------------------------


def xml_held(label: str) -> str:
    """What of a label XML can hold, and escapes for the rest."""
    odd = r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
    return re.sub(odd, lambda found: found[0].encode("unicode_escape").decode(), label)


@ODD
@given(transcriptions(ODD_LABELS, TEN_HOURS), st.sampled_from(["a b/c'&<d>.wav", "ʃ%.flac"]))
def test_pympi_reads_the_elan_document(transcription, file):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.eaf")
        path.write_bytes(render("eaf", transcription, file).encode())
        document = Eaf(str(path))
    assert list(document.get_tier_names()) == ["phones"]
    found = sorted(document.get_annotation_data_for_tier("phones"))
    check_edges([(start, end) for start, end, *_ in found], transcription, 1000)
    expected = [xml_held(segment.label) for segment in transcription.phones]
    assert [value for _, _, value in found] == expected


def test_elan_structure():
    """Elements, their order and their attributes as version 3.0 of the schema wants them."""
    text = render("eaf", EXAMPLE, "x/a b.WAV")
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n')
    root = ElementTree.fromstring(text.encode())
    assert root.tag == "ANNOTATION_DOCUMENT"
    assert {"AUTHOR", "DATE", "VERSION", "FORMAT"} <= root.attrib.keys()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", root.get("DATE"))
    assert [child.tag for child in root] == ["HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE"]
    header, time_order, tier, kind = root
    assert header.get("TIME_UNITS") == "milliseconds"
    assert header.find("MEDIA_DESCRIPTOR").attrib == {
        "MEDIA_URL": "a%20b.WAV",
        "RELATIVE_MEDIA_URL": "./a%20b.WAV",
        "MIME_TYPE": "audio/x-wav",
    }
    assert [slot.attrib for slot in time_order] == [
        {"TIME_SLOT_ID": f"ts{i}", "TIME_VALUE": str(value)}
        for i, value in enumerate([0, 100, 100, 300, 300, 333], 1)
    ]
    assert tier.get("LINGUISTIC_TYPE_REF") == kind.get("LINGUISTIC_TYPE_ID")
    assert kind.get("TIME_ALIGNABLE") == "true"
    annotations = [annotation.find("ALIGNABLE_ANNOTATION") for annotation in tier]
    assert [(a.get("TIME_SLOT_REF1"), a.get("TIME_SLOT_REF2")) for a in annotations] == [
        ("ts1", "ts2"),
        ("ts3", "ts4"),
        ("ts5", "ts6"),
    ]
    ids = [element.get("ANNOTATION_ID") for element in annotations]
    assert len(set(ids)) == 3
    assert [a.findtext("ANNOTATION_VALUE") for a in annotations] == ["SIL", 'K"', "AE"]


# --- WebVTT ---------------------------------------------------------------------------------


@ODD
@given(transcriptions(ODD_LABELS, TEN_HOURS))
def test_webvtt_reads_a_cue_for_every_phone(transcription):
    text = render("vtt", transcription)
    cues = list(webvtt.from_buffer(io.StringIO(text)))
    edges = whole_edges(transcription.phones, 1000)
    spoken = [(e, p) for e, p in zip(edges, transcription.phones) if p.label != "SIL"]
    for cue, ((start, end), phone) in zip(cues, spoken, strict=True):
        # Cue text is parsed as character references are in HTML.
        expected = re.sub("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", "\ufffd", phone.label)
        assert html.unescape(cue.raw_text) == expected
        for found, milliseconds in ((cue.start, start), (cue.end, end)):
            hours, minutes, seconds = found.split(":")
            whole, fraction = seconds.split(".")
            assert len(fraction) == 3 and int(minutes) < 60 and int(whole) < 60
            total = (int(hours) * 60 + int(minutes)) * 60 + int(whole)
            assert 1000 * total + int(fraction) == milliseconds


@ODD
@given(transcriptions(ODD_LABELS.filter(bool)))
def test_webvtt_blocks_are_a_timing_and_one_line_of_text(transcription):
    """The rules of the format: blank lines between blocks, "-->" in the timing line only."""
    head, *blocks = render("vtt", transcription).removesuffix("\n").split("\n\n")
    assert head == "WEBVTT"
    for block in blocks:
        timing, payload = block.split("\n")
        assert re.fullmatch(r"\d\d+:\d\d:\d\d\.\d{3} --> \d\d+:\d\d:\d\d\.\d{3}", timing)
        assert "-->" not in payload and "<" not in payload and "\r" not in payload


def test_webvtt_text():
    phones = [
        Segment("A&B", 0.0, 3599.5),
        Segment("SIL", 3599.5, 3600.0),
        Segment("AE", 3600.0, 1e6),
    ]
    assert render("vtt", FakeTranscription(phones, 1e6)) == (
        "WEBVTT\n\n00:00:00.000 --> 00:59:59.500\nA&amp;B\n\n01:00:00.000 --> 277:46:40.000\nAE\n"
    )


def test_webvtt_of_nothing_but_silence_is_its_header():
    assert render("vtt", FakeTranscription([Segment("SIL", 0.0, 1.0)], 1.0)) == "WEBVTT\n"


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=20)
@given(transcription=transcriptions(LABELS, TEN_HOURS))
def test_every_format_is_the_same_each_time_and_ends_its_last_line(name, transcription):
    text = render(name, transcription)
    assert text == render(name, transcription) and text.endswith("\n")
