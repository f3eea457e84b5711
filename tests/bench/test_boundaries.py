"""Words and phones of corpus folders, as agreement is measured by: what is read and what is not."""

from __future__ import annotations

import gzip

import pytest

from speechattn.bench.boundaries import read_spans
from speechattn.errors import CorpusError


@pytest.mark.parametrize("packed", [True, False])
def test_lines_are_read_and_comments_are_not(tmp_path, packed):
    data = b";; words of two\n\na 1 0.5 0.25 THE\na 1 0.75 0.25 SIL\nb 1 0 1 CAT 0.9\n"
    path = tmp_path / ("words.ctm.gz" if packed else "words.ctm")
    path.write_bytes(gzip.compress(data) if packed else data)
    found = read_spans(tmp_path, "words", "SIL")
    spans = {name: [(s.label, s.start, s.end) for s in spans] for name, spans in found.items()}
    assert spans == {"a": [("THE", 0.5, 0.75)], "b": [("CAT", 0.0, 1.0)]}


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("words.ctm", b"a 1 0 x THE\n", r"words\.ctm:1: 'a 1 0 x THE'; write utterance"),
        ("words.ctm", b"a 1 0 1 A\na 1 1 1 caf\xe9\n", r"words\.ctm:2: byte 0xe9 is not UTF-8"),
        ("words.ctm.gz", b"no gzip", r"words\.ctm\.gz: not a whole gzip file"),
        ("phones.ctm", b"", r"no words\.ctm; give a corpus with word and phone times"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, data, said):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CorpusError, match=said):
        read_spans(tmp_path, "words", "SIL")
