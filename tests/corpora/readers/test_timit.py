"""TIMIT in its published layout: either case, SPHERE, folds, standard sets, what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.published import labels, write_text, write_tone

from speechattn.corpora.readers import detect_format, read_published, timit
from speechattn.errors import CorpusError

PHN = [
    (0, 1600, "h#"), (1600, 2400, "tcl"), (2400, 2440, "t"), (2440, 6000, "ux"), (6000, 7000, "dcl"),
    (7000, 7600, "jh"), (7600, 11000, "ax-h"), (11000, 12000, "epi"), (12000, 14000, "zh"),
    (14000, 16000, "h#"),
]  # fmt: skip
WRD = [(1600, 7600, "two"), (7000, 14000, "just")]  # words of TIMIT may overlap
PLACES = {"train": "fcjf0", "dev": "faks0", "test": "mdab0", "test_complete": "mabw0"}


def rows(entries) -> str:
    return "".join(f"{start} {end} {label}\n" for start, end, label in entries)


def make(root: Path, upper: bool) -> Path:
    case = str.upper if upper else str.lower
    for place, speaker in PLACES.items():
        part = "train" if place == "train" else "test"
        for sentence in ("sa1", "si648", "sx37"):
            stem = root / case(part) / case("dr1") / case(speaker) / case(sentence)
            write_tone(stem.with_suffix(case(".wav")), format="NIST", subtype="PCM_16")
            write_text(stem.with_suffix(case(".phn")), rows(PHN))
            write_text(stem.with_suffix(case(".wrd")), rows(WRD))
            write_text(stem.with_suffix(case(".txt")), "0 16000 Two, just.\n")
    return root


@pytest.mark.parametrize("upper", [True, False])
def test_either_case(tmp_path, upper):
    root = make(tmp_path / "timit", upper)
    assert detect_format(root) == detect_format(tmp_path) == "timit"
    corpus = read_published(tmp_path)
    assert (corpus.problems, corpus.notes) == ((), ())
    names = [
        f"{s.upper()}_{sentence}" for s in sorted(PLACES.values()) for sentence in ("SI648", "SX37")
    ]
    assert [utterance.id for utterance in corpus] == names  # without SA1
    first = corpus.utterances[0]
    assert (first.speaker, first.text, first.duration) == ("FAKS0", "two just", 1.0)
    assert labels(first) == ["SIL", "T", "UW", "JH", "AH", "SIL", "ZH", "SIL"]
    assert [(s.start, s.end) for s in first.alignment][1:3] == [(0.1, 0.1525), (0.1525, 0.375)]
    assert [(w.label, w.start, w.end) for w in first.words] == [
        ("two", 0.1, 0.4375), ("just", 0.4375, 0.875)
    ]  # fmt: skip
    assert corpus.splits == {
        "dev": ("FAKS0_SI648", "FAKS0_SX37"),
        "test": ("MDAB0_SI648", "MDAB0_SX37"),
        "test_complete": tuple(n for n in names if not n.startswith("FCJF0")),
        "train": ("FCJF0_SI648", "FCJF0_SX37"),
    }


@pytest.mark.parametrize(
    ("phones", "expected"),
    [
        ("timit39", "sil t uw sil jh ah sil sh sil"),
        ("timit48", "sil cl t uw vcl jh ax epi zh sil"),
        ("timit61", "h# tcl t ux dcl jh ax-h epi zh h#"),
    ],
)
def test_folds(tmp_path, phones, expected):
    corpus = read_published(make(tmp_path, True), "timit", phones=phones)
    assert labels(corpus.utterances[0]) == expected.split()


def test_a_phone_of_40_samples_keeps_a_frame(tmp_path):
    first = read_published(make(tmp_path, True), phones="timit61").utterances[0]
    spans = {s.label: (round(100 * s.start), round(100 * s.end)) for s in first.alignment}
    assert spans["t"] == (15, 16) and spans["ux"] == (16, 38)


def test_the_standard_sets():
    speakers = timit.standard_speakers()
    assert (len(speakers["dev"]), len(speakers["test"])) == (50, 24)
    assert not speakers["dev"] & speakers["test"]
    assert sum(name.startswith("f") for name in speakers["test"]) == 8  # one woman a dialect


def test_everything_that_is_wrong_is_named_at_once(tmp_path):
    root = make(tmp_path, True)
    at = root / "TRAIN" / "DR1" / "FCJF0"
    write_text(at / "SI648.PHN", rows(PHN[:4]) + "6000 16000 qq\n")
    write_text(at / "SX37.PHN", rows(PHN[:3]) + "2400 16000 aa\n")
    at = root / "TEST" / "DR1" / "FAKS0"
    (at / "SI648.WAV").unlink()
    write_text(at / "SX37.PHN", "0 900 h#\n900 x aa\n")
    at = root / "TEST" / "DR1" / "MDAB0"
    write_text(at / "SI648.PHN", rows([*PHN[:-1], (14000, 19000, "h#")]))
    write_text(at / "SX37.WRD", "0 1600 caf\xe9\n", "latin-1")
    corpus = read_published(root)
    assert [u.id for u in corpus] == ["MABW0_SI648", "MABW0_SX37"]
    said = "\n".join(corpus.problems)
    assert len(corpus.problems) == 6
    for part in (
        "FCJF0/SI648.PHN:5: unknown phone 'qq'",
        "FCJF0/SX37.PHN:4: 'aa' from sample 2400 to 16000 has no length or begins before",
        "FAKS0/si648: no .WAV of this sentence",
        "FAKS0/SX37.PHN:2: '900 x aa'",
        "MDAB0/SI648.PHN: MDAB0_SI648: SIL ends at 1.188 s, the audio at 1.000 s",
        "MDAB0/SX37.WRD:1: byte 0xe9 is not UTF-8",
    ):
        assert part in said, part


@pytest.mark.parametrize("digits", [400, 5000])
def test_samples_of_many_digits_are_no_samples(tmp_path, digits):
    root = make(tmp_path, True)
    at = root / "TRAIN" / "DR1" / "FCJF0" / "SI648.PHN"
    write_text(at, rows(PHN[:-1]) + f"14000 {'9' * digits} h#\n")
    (problem,) = read_published(root).problems
    assert f"SI648.PHN:10: '14000 {'9' * 54}'; write: first-sample end label" in problem


def test_crlf_and_a_byte_order_mark(tmp_path):
    root = make(tmp_path, False)
    for path in root.rglob("*.phn"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_published(root).problems == ()


def test_a_folder_that_is_no_timit(tmp_path):
    with pytest.raises(CorpusError, match="no folder TRAIN or TEST"):
        read_published(tmp_path, "timit")
