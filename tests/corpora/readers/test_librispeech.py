"""LibriSpeech in its published layout, with and without TextGrids."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.published import (
    CAT_LABELS,
    CAT_PHONES,
    CAT_WORDS,
    labels,
    textgrid,
    write_text,
    write_tone,
)

from speechattn.corpora.readers import detect_format, read_published
from speechattn.errors import CorpusError, UsageError

NAMES = ("84-121123-0000", "84-121123-0001")
GRID = textgrid({"words": CAT_WORDS, "phones": CAT_PHONES})


def make(root: Path, grids: Path | None = None) -> Path:
    chapter = root / "dev-clean" / "84" / "121123"
    for name in NAMES:
        write_tone(chapter / f"{name}.flac")
        if grids:
            write_text(grids / "dev-clean" / "84" / "121123" / f"{name}.TextGrid", GRID)
    write_text(chapter / "84-121123.trans.txt", "".join(f"{name} THE CAT\n" for name in NAMES))
    write_text(root / "SPEAKERS.TXT", "84 | F | dev-clean | 8.02 | Christie Nowak\n")
    return root


def test_without_textgrids(tmp_path):
    make(tmp_path / "LibriSpeech")
    assert detect_format(tmp_path) == "librispeech"
    corpus = read_published(tmp_path)
    assert (corpus.problems, corpus.notes) == ((), ())
    assert [(u.id, u.speaker, u.text, u.alignment) for u in corpus] == [
        (name, "84", "THE CAT", None) for name in NAMES
    ]
    assert corpus.splits == {"dev-clean": NAMES}


@pytest.mark.parametrize("beside", [True, False])
def test_with_textgrids(tmp_path, beside):
    root = tmp_path / "LibriSpeech"
    grids = root if beside else tmp_path / "grids"
    corpus = read_published(make(root, grids), alignments=None if beside else grids)
    assert (corpus.problems, corpus.notes) == ((), ())
    for utterance in corpus:
        assert labels(utterance) == CAT_LABELS
        assert [(w.label, w.start, w.end) for w in utterance.words] == CAT_WORDS[1:3]


def test_everything_that_is_wrong_is_named_at_once(tmp_path):
    root = make(tmp_path, tmp_path)
    chapter = root / "dev-clean" / "84" / "121123"
    for number in range(2, 8):
        write_tone(chapter / f"84-121123-000{number}.flac")
    extra = "".join(f"84-121123-000{n} THE CAT\n" for n in (2, 3, 4, 5, 9)) + "84-121123-0006\n"
    listed = chapter / "84-121123.trans.txt"
    listed.write_bytes(
        b"\xef\xbb\xbf" + (listed.read_text() + extra).replace("\n", "\r\n").encode()
    )
    spn = [("spn", *p[1:]) if p[0] == "K" else p for p in CAT_PHONES]
    write_text(chapter / "84-121123-0002.TextGrid", textgrid({"words": [], "phones": spn}))
    overlap = [("T", 0, 0.5), ("K", 0.4, 1)]
    write_text(chapter / "84-121123-0003.TextGrid", textgrid({"phones": overlap}))
    write_text(chapter / "84-121123-0004.TextGrid", GRID.replace("the", "th\xe9"), "latin-1")
    corpus = read_published(root)
    assert [u.id for u in corpus] == [*NAMES, "84-121123-0005"]
    assert corpus.utterances[2].alignment is None
    for part in (
        "0002.TextGrid:34: 'spn' stands for a word",
        "0003.TextGrid:20: tier 'phones': 'K': begins at 0.4 s, before",
        "0004.TextGrid:22: byte 0xe9 is not UTF-8",
        "84-121123.trans.txt:7: 84-121123-0009: no recording 84-121123-0009.flac",
        "84-121123.trans.txt:8: 84-121123-0006 has no text",
        "84-121123-0007.flac: no line of a *.trans.txt has its text",
    ):
        assert any(part in problem for problem in corpus.problems), (part, corpus.problems)
    assert len(corpus.problems) == 6
    assert "no TextGrid for 1 utterances (first: 84-121123-0005.TextGrid)" in corpus.notes[0]


def test_alignments_elsewhere_must_be_there_and_make_sense(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        read_published(make(tmp_path), alignments=tmp_path / "no")
    with pytest.raises(UsageError, match="format timit takes no folder of alignments"):
        read_published(tmp_path, "timit", alignments=tmp_path)
    with pytest.raises(UsageError, match="format 'libri' is unknown; choose from speechocean762"):
        read_published(tmp_path, "libri")


def test_what_is_of_no_certain_format(tmp_path):
    with pytest.raises(CorpusError, match="of no format that is certain; name one with --format"):
        read_published(tmp_path)
    with pytest.raises(CorpusError, match="no such folder"):
        read_published(tmp_path / "no")
