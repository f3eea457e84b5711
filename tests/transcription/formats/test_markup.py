"""ELAN documents, read back by pympi, and WebVTT, read back by webvtt-py."""

from __future__ import annotations

import html
import io
import re
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st
from pympi.Elan import Eaf
from support.transcriptions import (
    EXAMPLE,
    ODD_LABELS,
    FakeTranscription,
    check_edges,
    render,
    transcriptions,
)

from speechattn.segments import Segment, whole_edges
from speechattn.transcription.formats.names import RecordingName

TEN_HOURS = 450_000  # frames of a segment; eight of them are ten hours
ODD = settings(max_examples=80)


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
        "MEDIA_URL": "a b.WAV",
        "RELATIVE_MEDIA_URL": "./a b.WAV",
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


def test_elan_paths_are_not_percent_encoded_and_words_have_a_type_of_their_own():
    file = RecordingName('Prüfung "müde" & <x>.wav', media='../rec/Prüfung "müde" & <x>.wav')
    words = [Segment("a", 0.1, 0.3)]
    text = render("eaf", replace(EXAMPLE, words=words), file)
    root = ElementTree.fromstring(text.encode())
    media = root.find("HEADER/MEDIA_DESCRIPTOR")
    assert media.get("MEDIA_URL") == media.get("RELATIVE_MEDIA_URL") == file.media
    tiers = {tier.get("TIER_ID"): tier.get("LINGUISTIC_TYPE_REF") for tier in root.iter("TIER")}
    assert tiers == {"words": "word", "phones": "phone"}
    kinds = [kind.get("LINGUISTIC_TYPE_ID") for kind in root.iter("LINGUISTIC_TYPE")]
    assert kinds == ["word", "phone"]


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
