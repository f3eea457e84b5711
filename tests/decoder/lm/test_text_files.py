"""Text files in every encoding that users have: read, or refused with the line and the way out."""

from __future__ import annotations

import codecs
import gzip

import pytest

from speechattn.decoder.lm.text_files import read_text
from speechattn.errors import CorpusError

TEXT = "caf\xe9\nnow\n"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("plain.txt", TEXT.encode()),
        ("marked.txt", codecs.BOM_UTF8 + TEXT.encode()),
        ("windows.txt", TEXT.replace("\n", "\r\n").encode()),
        ("old_mac.txt", TEXT.replace("\n", "\r").encode()),
        ("little.txt", codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le")),
        ("big.txt", codecs.BOM_UTF16_BE + TEXT.replace("\n", "\r\n").encode("utf-16-be")),
        ("packed.gz", gzip.compress(TEXT.encode(), mtime=0)),
    ],
)
def test_what_is_read(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    assert read_text(tmp_path / name) == TEXT


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"one\ncaf\xe9\n", "a.txt:2: byte 0xe9 is not UTF-8, so the file is perhaps"),
        ("a.txt", TEXT.encode("utf-16-le"), "a.txt:1: no text in UTF-8 but perhaps UTF-16"),
        ("a.txt", codecs.BOM_UTF16_LE + b"a", "damaged UTF-16 at byte"),
        ("a.gz", gzip.compress(b"abc", mtime=0)[:-4], "not a whole gzip file"),
        ("a.gz", b"abc", "not a whole gzip file"),
    ],
)
def test_what_is_refused(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CorpusError, match=message):
        read_text(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(CorpusError, match="none.txt: cannot be read"):
        read_text(tmp_path / "none.txt")
