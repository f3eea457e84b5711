"""Common Voice in its published layout."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.published import write_text, write_tone

from speechattn.corpora.readers import detect_format, read_published
from speechattn.errors import CorpusError

HEADER = "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tlocale\n"


def row(speaker: str, clip: str, sentence: str) -> str:
    return f"{speaker}\t{clip}\tx1\t{sentence}\t\t2\ten\n"


def make(root: Path) -> Path:
    tables = {"train": (1, 2), "dev": (3,), "test": (4,), "validated": (1, 2, 3, 4, 5)}
    for name, clips in tables.items():
        rows = [row(f"s{n % 2}", f"cv_en_{n}.mp3", f'He said "{n}", twice.') for n in clips]
        write_text(root / f"{name}.tsv", HEADER + "".join(rows))
    for number in range(1, 6):
        write_tone(root / "clips" / f"cv_en_{number}.mp3")
    return root


def test_the_three_tables(tmp_path):
    assert detect_format(make(tmp_path)) == "commonvoice"
    corpus = read_published(tmp_path)
    assert (corpus.problems, corpus.notes) == ((), ())
    assert [(u.id, u.speaker, u.text) for u in corpus] == [
        (f"cv_en_{n}", f"s{n % 2}", f'He said "{n}", twice.') for n in (1, 2, 3, 4)
    ]
    assert corpus.splits == {
        "train": ("cv_en_1", "cv_en_2"),
        "dev": ("cv_en_3",),
        "test": ("cv_en_4",),
    }
    assert all(u.duration == pytest.approx(1.0, abs=0.1) for u in corpus)


def test_validated_alone_and_clips_without_suffix(tmp_path):
    make(tmp_path)
    for name in ("train", "dev", "test"):
        (tmp_path / f"{name}.tsv").unlink()
    table = tmp_path / "validated.tsv"
    table.write_bytes(
        b"\xef\xbb\xbf" + table.read_bytes().replace(b".mp3", b"").replace(b"\n", b"\r\n")
    )
    corpus = read_published(tmp_path)
    assert (len(corpus), corpus.splits, corpus.problems) == (5, {}, ())


def test_everything_that_is_wrong_is_named_at_once(tmp_path):
    make(tmp_path)
    bad = row("s", "no.mp3", "x") + "one\ttwo\n" + row("", "cv_en_5.mp3", "x")
    (tmp_path / "train.tsv").write_bytes((tmp_path / "train.tsv").read_bytes() + bad.encode())
    write_text(tmp_path / "dev.tsv", "path\tsentence\nx.mp3\tx\n")
    write_text(tmp_path / "test.tsv", HEADER + row("s", "cv_en_4.mp3", "caf\xe9"), "latin-1")
    corpus = read_published(tmp_path)
    assert [u.id for u in corpus] == ["cv_en_1", "cv_en_2"]
    said = "\n".join(corpus.problems)
    for part in (
        "clips/no.mp3: no such file",
        "train.tsv:5: 2 columns of 7",
        "train.tsv:6: no client_id or path or sentence",
        "dev.tsv:1: no column client_id",
        "test.tsv:2: byte 0xe9 is not UTF-8",
    ):
        assert part in said, (part, said)
    assert len(corpus.problems) == 5


def test_no_table(tmp_path):
    with pytest.raises(
        CorpusError, match=r"none of train\.tsv, dev\.tsv, test\.tsv, validated\.tsv"
    ):
        read_published(tmp_path, "commonvoice")
