"""Buckeye in its published layout: conversations cut into utterances."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.published import labels, write_text, write_tone

from speechattn.corpora.readers import detect_format, read_published

HEADER = "signal s0101a\ntype 0\ncolor 121\nfont -misc-*-*-*\nseparator ;\nnfields 1\n#\n"
PHONES = [
    (0.5, "{B_TRANS}"), (1.0, "SIL"), (1.2, "ah"), (1.4, "tq"), (1.6, "SIL"), (1.8, "ihn"),
    (2.0, "NOISE"), (2.5, "IVER"), (2.7, "dx"), (3.0, "el; a note"), (4.0, "SIL"), (4.2, "aa"),
    (5.0, "<EXCLUDE-name>"),
]  # fmt: skip
WORDS = [
    (0.5, "{B_TRANS}"), (1.0, "<SIL>"), (1.4, "uh; ah; ah tq; UH"), (1.6, "<SIL>"),
    (1.8, "in; ih n; ihn; IN"), (2.0, "<NOISE>"), (2.5, "<IVER>"), (3.0, "tall; t ao l; dx el; JJ"),
    (4.0, "<SIL>"), (4.2, "ah; aa; aa; UH"), (5.0, "<EXCLUDE-name>"),
]  # fmt: skip


def track(rows) -> str:
    return HEADER + "".join(f"    {end:.6f}  122 {label}\n" for end, label in rows)


def make(root: Path, phones: str | None = None) -> Path:
    at = root / "s01" / "s0101a"
    write_tone(at / "s0101a.wav", 5.0)
    write_text(at / "s0101a.phones", track(PHONES) if phones is None else phones)
    write_text(at / "s0101a.words", track(WORDS))
    return root


def test_conversations_are_cut(tmp_path):
    assert detect_format(make(tmp_path)) == "buckeye"
    corpus = read_published(tmp_path)
    assert (corpus.problems, corpus.notes) == ((), ())
    assert [(u.id, u.speaker, u.text, labels(u)) for u in corpus] == [
        ("s0101a-00001000", "s01", "uh in", ["SIL", "AH", "T", "SIL", "IH"]),
        ("s0101a-00002500", "s01", "tall", ["T", "L"]),
        ("s0101a-00004000", "s01", "ah", ["SIL", "AA"]),
    ]
    assert [(u.start, u.end) for u in corpus] == [
        pytest.approx((0.85, 1.8)), pytest.approx((2.5, 3.15)), pytest.approx((3.85, 4.2))
    ]  # fmt: skip
    first = corpus.utterances[0]
    assert first.alignment[1].start == pytest.approx(0.15)
    assert [(w.label, w.start, w.end) for w in first.words] == [
        ("uh", 0.15, 0.55),
        ("in", 0.75, 0.95),
    ]
    native = read_published(tmp_path, phones="buckeye").utterances[0]
    assert labels(native) == ["SIL", "ah", "tq", "SIL", "ihn"]


def test_everything_that_is_wrong_is_named_at_once(tmp_path):
    rows = [*PHONES[:3], (1.1, "b"), (1.4, "zz"), *PHONES[4:]]
    make(tmp_path, track(rows) + "    x 122 ah\n")
    write_tone(tmp_path / "s02" / "s0201a.wav")
    write_text(tmp_path / "s03" / "s0301a.phones", track(PHONES))
    write_tone(tmp_path / "s04" / "s0401a.wav")
    write_text(tmp_path / "s04" / "s0401a.phones", "no header\n")
    corpus = read_published(tmp_path)
    assert [u.id for u in corpus] == ["s0101a-00002500", "s0101a-00004000"]
    said = "\n".join(corpus.problems)
    for part in (
        "s0101a.phones:11: 'b' ends at 1.1 s, before the label before it (1.2 s); left out",
        "s0101a.phones:12: unknown phone 'zz'",
        "s0101a.phones:22: 'x 122 ah'",
        "s0201a.wav: no s0201a.phones",
        "s0301a.phones: no recording s0301a.wav",
        "s0401a.phones: no line '#'",
    ):
        assert part in said, (part, said)
    assert len(corpus.problems) == 6
