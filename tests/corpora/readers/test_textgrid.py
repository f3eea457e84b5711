"""TextGrids of every form, read as Praat reads them, and what is wrong with others."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from praatio import textgrid as praat
from praatio.utilities.constants import Interval as PraatInterval
from support.published import CAT_WORDS, textgrid, write_text

from speechattn.corpora.readers.textgrid import Interval, TextGrid, read_textgrid
from speechattn.errors import CorpusError

TIERS = {"words": CAT_WORDS, "phones": [('ʃ "x"', 0, 0.25), ("", 0.25, 1.0)]}


def shown(grid: TextGrid) -> dict[str, list[tuple[str, float, float]]]:
    return {tier.name: [interval[:3] for interval in tier.intervals] for tier in grid.tiers}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("short", [False, True])
def test_every_text_form_is_the_same(tmp_path, encoding, ends, short):
    text = textgrid(TIERS, short=short).replace("\n", ends)
    grid = read_textgrid(write_text(tmp_path / "a.TextGrid", text, encoding))
    assert shown(grid) == TIERS and (grid.start, grid.end, grid.gaps) == (0, 1, ())
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for interval in grid.tiers[1].intervals:
        assert f"{interval.start:g}" in lines[interval.line - 1]


def test_big_endian_utf16(tmp_path):
    path = tmp_path / "a.TextGrid"
    path.write_bytes(b"\xfe\xff" + textgrid(TIERS).encode("utf-16-be"))
    assert shown(read_textgrid(path)) == TIERS


@pytest.mark.parametrize("form", ["long_textgrid", "short_textgrid"])
def test_what_praatio_writes(tmp_path, form):
    grid = praat.Textgrid()
    intervals = [PraatInterval(0.1, 0.2, "a b"), PraatInterval(0.2, 0.9, "c")]
    grid.addTier(praat.IntervalTier("phones", intervals, 0, 1))
    grid.addTier(praat.PointTier("bell", [(0.5, "ding")], 0, 1))
    grid.save(str(tmp_path / "a.TextGrid"), form, includeBlankSpaces=True)
    found = read_textgrid(tmp_path / "a.TextGrid")
    spans = [("", 0, 0.1), ("a b", 0.1, 0.2), ("c", 0.2, 0.9), ("", 0.9, 1.0)]
    assert shown(found) == {"phones": spans, "bell": [("ding", 0.5, 0.5)]}
    assert [tier.points for tier in found.tiers] == [False, True]
    assert found.tier("PHONES") is found.tiers[0] and found.tier("words") is None


def binary(tiers: dict) -> bytes:
    """A TextGrid as Praat's Save as binary file writes it."""

    def text(value: str) -> bytes:
        if all(ord(c) < 128 for c in value):
            return struct.pack(">h", len(value)) + value.encode("ascii")
        return struct.pack(">hH", -1, len(value)) + value.encode("utf-16-be")

    data = b"ooBinaryFile\x08TextGrid" + struct.pack(">ddBi", 0, 1, 1, len(tiers))
    for name, intervals in tiers.items():
        data += b"\x0cIntervalTier" + text(name) + struct.pack(">ddi", 0, 1, len(intervals))
        for label, start, end in intervals:
            data += struct.pack(">dd", start, end) + text(label)
    return data


def test_the_binary_form(tmp_path):
    path = tmp_path / "a.TextGrid"
    path.write_bytes(binary(TIERS))
    assert shown(read_textgrid(path)) == TIERS
    for size in range(12, len(binary(TIERS)), 7):
        path.write_bytes(binary(TIERS)[:size])
        with pytest.raises(CorpusError, match=r"a\.TextGrid: ends at byte"):
            read_textgrid(path)


def test_a_text_file_cut_anywhere_is_refused_or_read(tmp_path):
    text = textgrid(TIERS)
    for size in range(0, len(text.rstrip()) - 1, 11):
        with pytest.raises(CorpusError, match=r"a\.TextGrid:\d+: "):
            read_textgrid(write_text(tmp_path / "a.TextGrid", text[:size]))


def refused(path: Path) -> str:
    with pytest.raises(CorpusError) as caught:
        read_textgrid(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "encoding", "said"),
    [
        (textgrid({"é": CAT_WORDS}), "latin-1", ":11: byte 0xe9 is not UTF-8, so the file is perhaps"),
        (textgrid(TIERS), "utf-16-le", ":1: UTF-16 without a byte order mark; in Praat choose UTF-8"),
        ("hello\n", "utf-8", "a.TextGrid:1: "),
        (textgrid(TIERS).replace("size = 4", "size = 1e999"), "utf-8", ":14: inf is no number of"),
        (textgrid(TIERS).replace("xmax = 0.4", "xmax = 1e999"), "utf-8", ":24: tier 'words': 'cat': begins"),
        (textgrid(TIERS).replace('"TextGrid"', '"Pitch"'), "utf-8", "no TextGrid"),
        (textgrid(TIERS).replace("IntervalTier", "PitchTier"), "utf-8", "a tier of class 'PitchTier'"),
        (textgrid({"p": [("a", 0, 0.6), ("b", 0.5, 1)]}), "utf-8",
         ":20: tier 'p': 'b': begins at 0.5 s, before the interval before it ends (0.6 s)"),
        (textgrid({"p": [("a", 0.5, 0.5)]}), "utf-8", ":16: tier 'p': 'a': from 0.5 to 0.5 s has no"),
    ],
)  # fmt: skip
def test_refused_with_file_and_line(tmp_path, text, encoding, said):
    path = write_text(tmp_path / "a.TextGrid", text, encoding)
    message = refused(path)
    assert message.startswith(str(path)) and said in message


def test_a_missing_file(tmp_path):
    assert "cannot be read (No such file" in refused(tmp_path / "no.TextGrid")


def test_gaps_are_named_and_lines_known(tmp_path):
    text = textgrid({"p": [("a", 0.2, 0.4), ("b", 0.5, 1)]})
    grid = read_textgrid(write_text(tmp_path / "a.TextGrid", text))
    assert grid.tiers[0].intervals == (Interval("a", 0.2, 0.4, 16), Interval("b", 0.5, 1.0, 20))
    assert [gap.split(": ", 1)[1] for gap in grid.gaps] == [
        "tier 'p': 'a': nothing says what lies from 0 to 0.2 s; taken as silence",
        "tier 'p': 'b': nothing says what lies from 0.4 to 0.5 s; taken as silence",
    ]
    assert f"{tmp_path / 'a.TextGrid'}:20: " in grid.gaps[1]
