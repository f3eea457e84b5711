"""Words as text and captions, read by other programs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from speechattn.inference.transcription import Transcription
from speechattn.segments import Segment
from speechattn.transcription.formats.captions import LINE, LONGEST, PAUSE, captions
from speechattn.transcription.formats.registry import WRITERS

SRT_TIME = r"(\d\d):(\d\d):(\d\d),(\d\d\d)"


def said(*words: tuple[str, float, float], duration: float = 60.0, channel: int | None = None):
    segments = [Segment(label, start, end, 0.5) for label, start, end in words]
    phones = [Segment("AA", 0.0, duration, 0.5)]
    return Transcription(phones, duration, 16_000, ("SIL", "AA"), words=segments, channel=channel)


def read_srt(text: str) -> list[tuple[float, float, list[str]]]:
    """Start, end and lines of each caption; the numbers must count from 1."""
    found = []
    for number, block in enumerate(filter(None, text.split("\n\n")), 1):
        first, times, *lines = block.strip("\n").split("\n")
        assert first == str(number)
        match = re.fullmatch(f"{SRT_TIME} --> {SRT_TIME}", times)
        assert match
        values = [int(value) for value in match.groups()]
        start, end = (3600 * h + 60 * m + s + ms / 1000 for h, m, s, ms in (values[:4], values[4:]))
        found.append((start, end, lines))
    return found


HELLO = said(("hello", 0.5, 0.9), ("world", 0.9, 1.3), ("<unk>", 3.0, 3.2), duration=3.5)


def test_captions_of_a_short_recording(tmp_path):
    expected = [(0.5, 1.5, ["hello world"]), (3.0, 3.5, ["<unk>"])]
    assert read_srt(WRITERS["srt"].render(HELLO, "a.wav")) == expected
    path = Path(tmp_path / "a.vtt")
    path.write_text(WRITERS["vtt"].render(HELLO, "a.wav"), encoding="utf-8")
    cues = [(cue.start, cue.end, cue.raw_text) for cue in webvtt.read(path)]
    assert cues == [
        ("00:00:00.500", "00:00:01.500", "hello world"),
        ("00:00:03.000", "00:00:03.500", "&lt;unk&gt;"),
    ]
    assert WRITERS["txt"].render(HELLO, "a.wav") == "hello world\n<unk>\n"


def test_a_recording_without_words_has_no_captions():
    nothing = said()
    assert WRITERS["txt"].render(nothing, "a.wav") == WRITERS["srt"].render(nothing, "a.wav") == ""
    assert WRITERS["vtt"].render(nothing, "a.wav") == "WEBVTT\n"


def test_channels_are_told_apart():
    both = [said(("yes", 1, 2), channel=0), said(("no", 0.5, 0.9), ("why", 30, 31), channel=1)]
    assert WRITERS["txt"].render(both, "a.wav") == "1: no\n0: yes\n1: why\n"
    lines = [line for _, _, [line] in read_srt(WRITERS["srt"].render(both, "a.wav"))]
    assert lines == ["1: no", "0: yes", "1: why"]
    cues = WRITERS["vtt"].render(both, "a.wav")
    assert re.findall("<v channel (.)>(.*)", cues) == [("1", "no"), ("0", "yes"), ("1", "why")]


gaps = st.sampled_from([0.0, 0.0, 0.05, 0.3, PAUSE, 2.0])
lengths = st.sampled_from([0.1, 0.3, 0.8, 2.5])
labels = st.sampled_from(["a", "word", "<unk>", "internationalization", "x" * 50])


@given(st.lists(st.tuples(gaps, lengths, labels), min_size=1, max_size=60))
def test_captions_hold_every_word_and_can_be_read(parts):
    words, end = [], 0.0
    for gap, length, label in parts:
        start = round(end + gap, 3)
        end = round(start + length, 3)
        words.append(Segment(label, start, end))
    shown = captions(words, end)
    assert " ".join(" ".join(c.lines) for c in shown) == " ".join(w.label for w in words)
    for one, two in zip(shown, shown[1:]):
        assert one.end <= two.start
    place = 0
    for caption in shown:
        count = len(" ".join(caption.lines).split(" "))
        own = words[place : place + count]
        place += count
        assert caption.start == own[0].start and caption.end >= own[-1].end
        assert all(b.start - a.end < PAUSE for a, b in zip(own, own[1:]))
        assert len(caption.lines) <= 2
        if count > 1:
            assert own[-1].end - own[0].start <= LONGEST
            assert max(map(len, caption.lines)) <= LINE


def test_a_long_caption_is_cut_at_a_gap():
    words = [Segment("word", 0.3 * n, 0.3 * n + 0.3) for n in range(30)]
    words[12:] = [Segment("word", w.start + 0.3, w.end + 0.3) for w in words[12:]]
    assert len(" ".join(captions(words, 20)[0].lines).split()) == 12


@pytest.mark.parametrize("name", ["srt", "vtt", "txt"])
def test_line_ends_in_a_word_do_not_end_its_caption(name):
    odd = said(("a\n\nb --> c", 0.0, 1.0), duration=1.0)
    text = WRITERS[name].render(odd, "a.wav")
    assert "a\n" not in text
