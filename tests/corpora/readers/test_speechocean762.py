"""speechocean762 in its published layout."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.published import write_text, write_tone

from speechattn.corpora.readers import detect_format, read_published
from speechattn.corpora.readers.builder import NothingUsableError


def make(root: Path) -> Path:
    for split, speaker in (("train", "0001"), ("test", "0003")):
        lines = {"wav.scp": "", "text": "", "utt2spk": "", "spk2age": f"{speaker}\t6\n"}
        for number in (1, 2):
            name, path = f"{speaker}0{number}", f"WAVE/SPEAKER{speaker}/{speaker}0{number}.WAV"
            write_tone(root / path)
            lines["wav.scp"] += f"{name}\t{path}\n"
            lines["text"] += f"{name}\tWE CALL IT BEAR\n"
            lines["utt2spk"] += f"{name}\t{speaker}\n"
        for table, text in lines.items():
            write_text(root / split / table, text)
    return root


def test_paths_count_from_the_corpus_folder(tmp_path):
    assert detect_format(make(tmp_path)) == "speechocean762"
    corpus = read_published(tmp_path)
    assert (corpus.problems, corpus.notes) == ((), ())
    assert [(u.id, u.speaker, u.text, u.alignment, u.duration) for u in corpus] == [
        (f"{s}0{n}", s, "WE CALL IT BEAR", None, 1.0) for s in ("0001", "0003") for n in (1, 2)
    ]
    assert corpus.splits == {"train": ("000101", "000102"), "test": ("000301", "000302")}


def test_everything_that_is_wrong_is_named_at_once(tmp_path):
    make(tmp_path)
    scp = "000101 sox a.wav - |\r\n000102 WAVE/no.WAV\r\n000103\r\n000104 WAVE/x.WAV\r\n"
    write_text(tmp_path / "train" / "wav.scp", "\ufeff" + scp)
    write_text(tmp_path / "test" / "text", "000301 caf\xe9\n", "latin-1")
    write_tone(tmp_path / "WAVE" / "x.WAV")
    with pytest.raises(NothingUsableError) as raised:
        read_published(tmp_path)
    problems = raised.value.problems
    said = "\n".join(problems)
    for part in (
        "train/wav.scp:1: 000101: a pipe is never executed",
        "WAVE/no.WAV: no such file",
        "train/wav.scp:3: 000103 has no path",
        "train/text: no line for 000104",
        "test/text:1: byte 0xe9 is not UTF-8",
    ):
        assert part in said, (part, said)
    assert len(problems) == 5
