"""What all formats have in common, and files that are written whole or not at all."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.transcriptions import LABELS, FakeTranscription, render, transcriptions

from speechattn.files import atomic_path, atomic_write_bytes, atomic_write_text
from speechattn.segments import Segment, exact, plain
from speechattn.transcription.formats.registry import (
    NEED_WORDS,
    WORD_FILES,
    WORDS_CTM,
    WRITERS,
)

TEN_HOURS = 450_000  # frames of a segment; eight of them are ten hours
ODD = settings(max_examples=80)


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


SAID = [Segment("SIL", 0.0, 0.2), Segment("AA", 0.2, 0.5, 0.25), Segment("B", 0.5, 1.0)]


@pytest.mark.parametrize(
    "words",
    [
        [Segment("a", 0.2, 0.2)],
        [Segment("a", 0.2, 1.1)],
        [Segment("a", 0.2, 0.6), Segment("b", 0.5, 1.0)],
        [Segment("a", 0.2, 0.5, 1.5)],
    ],
)
def test_words_that_cannot_be_are_not_written(words):
    with pytest.raises(ValueError):
        WRITERS["json"].render(FakeTranscription(SAID, 1.0, words=words), "a.wav")


def test_words_stand_beside_the_phones():
    words = [Segment('a"b', 0.2, 0.5, 0.25)]
    transcription = FakeTranscription(SAID, 1.0, words=words, confidence=0.5)
    texts = {name: WRITERS[name].render(transcription, "x/a.wav") for name in WRITERS}
    short = texts["textgrid-short"].splitlines()
    assert short[6:12] == ["2", '"IntervalTier"', '"words"', "0", "1", "3"]
    assert short[12:21] == ["0", "0.2", '""', "0.2", "0.5", '"a""b"', "0.5", "1", '""']
    assert short[21:26] == ['"IntervalTier"', '"phones"', "0", "1", "3"]
    assert texts["textgrid"].count("class =") == 3  # of the file, and of each tier
    assert texts["csv"].splitlines()[:3] == [
        "tier,start,end,label,confidence",
        'words,0.2,0.5,"a""b",0.2500',
        "phones,0,0.2,SIL,1.0000",
    ]
    found = json.loads(texts["json"])
    assert found["confidence"] == 0.5 and len(found["phones"]) == 3
    word = {"label": 'a"b', "start": 0.2, "end": 0.5, "confidence": 0.25, "phones": ["AA"]}
    assert found["words"] == [word]
    assert WORDS_CTM.render(transcription, "x/a.wav") == 'x/a 1 0.2 0.3 a"b 0.2500\n'
    track = WORD_FILES["audacity"].render(transcription, "x/a.wav")
    assert track == '0.2\t0.5\ta"b\n'
    labels = WORD_FILES["lab"].render(transcription, "x/a.wav")
    assert labels == '0 2000000 SIL\n2000000 5000000 "a\\"b"\n5000000 10000000 SIL\n'
    without = FakeTranscription(SAID, 1.0)
    assert texts["ctm"] == WRITERS["ctm"].render(without, "x/a.wav")


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in NEED_WORDS])
@settings(max_examples=20)
@given(transcription=transcriptions(LABELS, TEN_HOURS))
def test_every_format_is_the_same_each_time_and_ends_its_last_line(name, transcription):
    text = render(name, transcription)
    assert text == render(name, transcription) and text.endswith("\n")


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


def test_words_of_channels_are_told_apart():
    both = [
        FakeTranscription(SAID, 1.0, words=[Segment(word, 0.2, 1.0, 0.5)], channel=channel)
        for channel, word in enumerate(("yes", "no"))
    ]
    grid = WRITERS["textgrid-short"].render(both, "a.wav")
    names = [line for line in grid.splitlines() if "channel" in line]
    assert names == [f'"channel {c} - {tier}"' for c in (0, 1) for tier in ("words", "phones")]
    assert WORDS_CTM.render(both, "a.wav") == "a 1 0.2 0.8 yes 0.5000\na 2 0.2 0.8 no 0.5000\n"
    track = WORD_FILES["audacity"].render(both, "a.wav")
    assert track == "0.2\t1\t0: yes\n0.2\t1\t1: no\n"
    channels = json.loads(WRITERS["json"].render(both, "a.wav"))["channels"]
    assert [one["words"][0]["label"] for one in channels] == ["yes", "no"]
    assert channels[1]["words"][0]["phones"] == ["AA", "B"]
    rows = WRITERS["csv"].render(both, "a.wav").splitlines()
    assert rows[:2] == ["channel,tier,start,end,label,confidence", "0,words,0.2,1,yes,0.5000"]
    assert WRITERS["eaf"].render(both, "a.wav").count("TIER_ID=") == 4
