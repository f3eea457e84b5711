"""Transcripts in encodings that a user names, and what helps where none is named."""

from __future__ import annotations

import gzip

import pytest

from speechattn.alignment.encodings import Encoding
from speechattn.alignment.transcripts import find_transcripts
from speechattn.errors import CorpusError, UsageError

TEXT = "see Zo\xeb"
GRID = """File type = "ooTextFile"
Object class = "TextGrid"

0
1
<exists>
1
"IntervalTier"
"anna"
0
1
1
0
1
"see Zo\xeb"
"""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", TEXT),
        ("a.TextGrid", GRID),
        ("text", f"a {TEXT}"),
        ("a.csv", f"file,text\na.wav,{TEXT}\n"),
        ("a.txt.gz", TEXT),
    ],
)
@pytest.mark.parametrize("encoding", ["latin-1", "utf-16-le", "cp1252"])
def test_a_named_encoding(tmp_path, name, content, encoding):
    data = content.encode(encoding)
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    found = find_transcripts(path, ["a.wav"], Encoding(encoding))
    assert found.texts["a.wav"].text == TEXT
    wrong = "utf-16-le" if encoding == "utf-16-le" else "latin-1"
    with pytest.raises(CorpusError, match=rf"save it .*, or give --encoding {wrong}$"):
        find_transcripts(path, ["a.wav"], Encoding(None, "--encoding {}"))
    with pytest.raises(CorpusError, match=r"\.|text") as caught:
        find_transcripts(path, ["a.wav"])
    assert "--encoding" not in str(caught.value)  # where there is no such option


def test_a_mark_counts_more_than_a_name(tmp_path):
    for name, encoding in (("a.txt", "utf-8-sig"), ("b.TextGrid", "utf-16")):
        content = GRID if name.endswith("Grid") else TEXT
        (tmp_path / name).write_bytes(content.encode(encoding))
    found = find_transcripts(tmp_path, ["a.wav", "b.wav"], Encoding("latin-1"))
    assert [text.text for text in found.texts.values()] == [TEXT, TEXT]


def test_no_such_encoding(tmp_path):
    for name in ("klingon", "hex"):
        with pytest.raises(UsageError, match=f"--encoding {name}: no such encoding; give one of"):
            Encoding(name, "--encoding {}")
    (tmp_path / "a.txt").write_bytes(b"one\n\xff")
    with pytest.raises(CorpusError, match=r"a\.txt:2: byte 0xff is not ascii"):
        find_transcripts(tmp_path / "a.txt", ["a.wav"], Encoding("ascii"))
    with pytest.raises(CorpusError, match="no such file"):
        find_transcripts(tmp_path / "b.txt", ["a.wav"], Encoding("ascii"))
