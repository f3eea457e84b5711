"""Utterances with times and speakers: TextGrids, Kaldi's segments, tables."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest
from praatio import textgrid as praat

from speechattn.alignment.transcript_files import grid_transcript
from speechattn.alignment.transcripts import find_transcripts
from speechattn.errors import CorpusError

TIERS = {
    "anna": [(0.0, 1.0, "See him"), (1.0, 2.0, ""), (2.0, 3.0, "the  sea")],
    "Bo": [(0.0, 0.5, ""), (0.5, 1.5, "Now!"), (1.5, 3.0, "")],
}


def write_grid(path: Path, tiers=TIERS, form: str = "long_textgrid") -> Path:
    """Write a TextGrid by another library, or, as ``binary``, as Praat does."""
    if form == "binary":
        data = b"ooBinaryFile\x08TextGrid" + struct.pack(">dd?i", 0, 3, True, len(tiers))
        for name, rows in tiers.items():
            data += b"\x0cIntervalTier" + struct.pack(">h", len(name)) + name.encode()
            data += struct.pack(">ddi", 0, 3, len(rows))
            for start, end, label in rows:
                data += struct.pack(">ddh", start, end, len(label)) + label.encode()
        path.write_bytes(data)
        return path
    grid = praat.Textgrid()
    for name, rows in tiers.items():
        spoken = [row for row in rows if row[2]]
        grid.addTier(praat.IntervalTier(name, spoken, 0, 3))
    grid.save(str(path), format=form, includeBlankSpaces=True)
    return path


def said(transcript) -> list[tuple[str, str, float, float]]:
    return [(each.speaker, each.text, each.start, each.end) for each in transcript.utterances]


@pytest.mark.parametrize("form", ["long_textgrid", "short_textgrid", "binary"])
def test_tiers_are_speakers_and_intervals_utterances(tmp_path, form):
    path = write_grid(tmp_path / "a.TextGrid", form=form)
    notes: list[str] = []
    found = grid_transcript(path, notes)
    assert said(found) == [
        ("anna", "See him", 0.0, 1.0), ("Bo", "Now!", 0.5, 1.5), ("anna", "the sea", 2.0, 3.0)
    ]  # fmt: skip
    assert found.text == "See him Now! the sea" and not notes
    if form == "long_textgrid":
        line = path.read_text().splitlines()[int(found.utterances[0].source.split(":")[-1]) - 1]
        assert "xmin = 0" in line


def test_one_tier_has_no_speaker(tmp_path):
    path = write_grid(tmp_path / "a.TextGrid", {"anna": TIERS["anna"]})
    assert {each.speaker for each in grid_transcript(path, []).utterances} == {""}


def test_tiers_of_an_aligner_are_left_out_beside_others(tmp_path):
    words = [(0.0, 0.5, "see"), (0.5, 1.0, "him"), (2.5, 3.0, "now")]
    path = write_grid(tmp_path / "a.TextGrid", {**TIERS, "anna - words": words, "phones": words})
    assert len(grid_transcript(path, []).utterances) == 3
    path = write_grid(tmp_path / "b.TextGrid", {"anna - words": words, "anna - phones": words})
    notes: list[str] = []
    assert said(grid_transcript(path, notes)) == [("", "see him now", 0.0, math.inf)]
    assert "the words of its tiers" in notes[0]


def test_grids_that_cannot_be_used(tmp_path):
    write_grid(tmp_path / "phones.TextGrid", {"phones": TIERS["anna"]})
    with pytest.raises(CorpusError, match=r"no tier of intervals .* 'phones'"):
        grid_transcript(tmp_path / "phones.TextGrid", [])
    text = write_grid(tmp_path / "over.TextGrid", form="short_textgrid").read_text()
    (tmp_path / "over.TextGrid").write_text(text.replace('"See him"\n1', '"See him"\n0.7'))
    files = ["over.wav", "cut.wav", "empty.wav"]
    (tmp_path / "cut.TextGrid").write_text(text[:120])
    write_grid(tmp_path / "empty.TextGrid", {"anna": [(0.0, 3.0, "")]}, "binary")
    (tmp_path / "phones.TextGrid").unlink()
    problems = find_transcripts(tmp_path, files).problems
    assert "over.TextGrid:" in str(problems["over.wav"]) and "overlap" in str(problems["over.wav"])
    assert "cut.TextGrid:" in str(problems["cut.wav"]) and "cut off" in str(problems["cut.wav"])
    assert "is empty" in str(problems["empty.wav"])
    with pytest.raises(CorpusError, match="one TextGrid for 2 recordings"):
        find_transcripts(tmp_path / "over.TextGrid", files[:2])


def test_kaldi_folders_with_segments(tmp_path):
    (tmp_path / "text").write_text("u1 SEE HIM\nu2 NOW\nu3 THE SEA\nu4 GONE\n")
    (tmp_path / "segments").write_text("u1 r1 0.5 1.5\nu3 r2 0 -1\nu2 r1 2 1\nu4 r1\n")
    (tmp_path / "utt2spk").write_text("u1 anna\nu3 bo\n")
    (tmp_path / "wav.scp").write_text("r1 some/where/a.wav\nr2 sox b.wav -t wav - |\n")
    for where in (tmp_path, tmp_path / "text"):
        found = find_transcripts(where, ["x/a.wav", "r2.wav"])
        assert said(found.texts["x/a.wav"]) == [("anna", "SEE HIM", 0.5, 1.5)]
        assert said(found.texts["r2.wav"]) == [("bo", "THE SEA", 0.0, math.inf)]
        assert [note.partition(": ")[0] for note in found.notes] == [
            f"{tmp_path / 'segments'}:3", f"{tmp_path / 'segments'}:4",
            f"{tmp_path / 'text'}:2", f"{tmp_path / 'text'}:4",
        ]  # fmt: skip


def test_a_quotation_mark_that_is_not_closed_is_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('file,text\na,"see ""him"""\nb,"two\nlines"\nc,"open\nd,see\n')
    found = find_transcripts(path, ["a.wav", "b.wav", "c.wav", "d.wav"])
    assert [found.texts[name].text for name in ("a.wav", "b.wav")] == ['see "him"', "two lines"]
    assert set(found.problems) == {"c.wav", "d.wav"}
    (note,) = found.notes
    assert note.startswith(f"{path}:5: a quotation mark opens here, and none closes it; left out")


def test_tables_with_times(tmp_path):
    (tmp_path / "t.csv").write_text(
        "file,speaker,start,end,text\na,anna,0.5,1.5,see him\na,bo,1.2,,now\n"
        "a,bo,3,2,never\nb,anna,,,the sea\nc,anna,0,1,see\nc,anna,,,all of it\n"
    )
    found = find_transcripts(tmp_path / "t.csv", ["a.wav", "b.wav", "c.wav"])
    assert said(found.texts["a.wav"]) == [
        ("anna", "see him", 0.5, 1.5), ("bo", "now", 1.2, math.inf)
    ]  # fmt: skip
    assert found.texts["b.wav"].text == "the sea" and not found.texts["b.wav"].utterances
    assert found.notes == [f"{tmp_path / 't.csv'}:4: 3 to 2 s is no stretch of time; left out"]
    assert "c.wav has a text in" in str(found.problems["c.wav"])
    different = {found.texts[name].content for name in ("a.wav", "b.wav")}
    assert len(different) == 2
