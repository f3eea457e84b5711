"""The script that writes an English text, on packages made small."""

from __future__ import annotations

import gzip
import importlib.util
import struct
import sys
import zlib
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "make_english_text.py"
GCIDE = """\
Bathe \\\\Bathe\\\\, v. i.
   1. To bathe one's self.

            The lake was
            still. . . . We bathed.               --Walter Scott.
      [1913 Webster]
"""
WORDNET = """\
bleed
    v 1: get money; "They bled me
       dry--I have nothing left!"
bleed dry
    v 1: get money; "They bled me dry--I have nothing left!"
"""


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_english_text", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def r_vector(lines, version):
    """Strings as R serialises them."""
    head = b"X\n" + struct.pack(">iii", version, 0, 0)
    head += struct.pack(">i", 5) + b"UTF-8" if version > 2 else b""
    strings = [struct.pack(">Ii", 0x40009, len(line.encode())) + line.encode() for line in lines]
    return head + struct.pack(">Ii", 16, len(lines)) + b"".join(strings)


@pytest.fixture
def unpacked(tmp_path):
    def write(name, data):
        path = tmp_path / "unpacked" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    write("package/sotu/data/1790.txt", b"We met in 1790. All is well.\n\nThank you.")
    write("package/sotu/data/1790.json", b'{"text": "We met"}')
    write("package/moby-dick/data/chapter_1.txt", b"CHAPTER 1. Loomings.\n\nCall me\nIshmael.")
    novels = [
        ["EMMA", "", "Emma Woodhouse,", "handsome,", "", "Chapter I"],
        ["P\u00e8re sat down."],
    ]
    records = [r_vector(lines, version) for lines, version in zip(novels, (3, 2))]
    records.insert(1, b"X\n" + struct.pack(">iiiIi", 2, 0, 0, 13, 7))  # numbers
    database = b"".join(struct.pack(">I", len(each)) + zlib.compress(each) for each in records)
    write("usr/lib/R/site-library/janeaustenr/data/Rdata.rdb", database)
    write("usr/share/dictd/gcide.dict.dz", gzip.compress(GCIDE.encode()))
    write("usr/share/dictd/wn.dict.dz", gzip.compress(WORDNET.encode()))
    return tmp_path / "unpacked"


def run(script, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["make_english_text.py", *map(str, arguments)])
    return script.main()


def test_a_sentence_a_line_and_each_once(script, unpacked, tmp_path, monkeypatch, capsys):
    assert run(script, monkeypatch, tmp_path / "out.txt", unpacked) == 0
    assert (tmp_path / "out.txt").read_text(encoding="utf-8").splitlines() == [
        "We met in 1790",
        "All is well",
        "Thank you",
        "Call me Ishmael",
        "Emma Woodhouse, handsome,",
        "P\u00e8re sat down",
        "The lake was still",
        "We bathed",
        "They bled me dry--I have nothing left",
    ]
    assert "State of the Union addresses: 9 words" in capsys.readouterr().out


def test_what_is_not_unpacked_is_named(script, unpacked, tmp_path, monkeypatch, capsys):
    next(unpacked.rglob("wn.dict.dz")).unlink()
    assert run(script, monkeypatch, tmp_path / "out.txt", unpacked) == 1
    assert "no examples of WordNet; unpack dict-wn there" in capsys.readouterr().err
    assert not (tmp_path / "out.txt").exists()
