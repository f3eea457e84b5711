"""Corpus folders: what is read, what is left out and said, what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from speechattn.corpora.corpus import Corpus, read_corpus
from speechattn.errors import CorpusError
from speechattn.phones import PhoneSet
from speechattn.segments import Segment, check_tiling

PHONES = PhoneSet(("SIL", "AA", "B", "SH"))


def write(folder: Path, **changes: str | bytes | None) -> Path:
    """A corpus of two utterances; ``changes`` replace files, None leaves one out."""
    files: dict[str, str | bytes | None] = {
        "wav.scp": "u1 audio/u1.wav\nu2 audio/u2.wav\n",
        "text": "u1 BAA BAA\nu2 BAH\n",
        "utt2spk": "u1 ann\nu2 bob\n",
        "utt2dur": "u1 0.5000\nu2 0.3000\n",
        "phones.ctm": (
            "u1 1 0.00 0.10 SIL\nu1 1 0.10 0.20 B\nu1 1 0.30 0.19 AA\n"
            "u2 1 0.00 0.10 B\nu2 1 0.10 0.10 B\nu2 1 0.20 0.09 AA\n"
        ),
        "splits/train": "u2\n",
        "splits/dev": "u1\n",
    }
    names = {"scp": "wav.scp", "ctm": "phones.ctm", "train": "splits/train"}
    files.update({names.get(key, key): value for key, value in changes.items()})
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    for audio in ("u1", "u2"):
        (folder / "audio").mkdir(exist_ok=True)
        (folder / "audio" / f"{audio}.wav").write_bytes(b"RIFF")
    return folder


def read(folder: Path, **options) -> Corpus:
    return read_corpus(folder, phones=PHONES, **options)


def test_reads_everything_in_order(tmp_path):
    corpus = read(write(tmp_path / "cows"))
    assert corpus.name == "cows" and corpus.problems == ()
    first, second = corpus
    assert (first.id, first.speaker, first.duration, first.text) == ("u1", "ann", 0.5, "BAA BAA")
    assert first.path == tmp_path / "cows" / "audio" / "u1.wav" and first.path.is_file()
    assert first.alignment == (
        Segment("SIL", 0.0, 0.1),
        Segment("B", 0.1, 0.3),
        Segment("AA", 0.3, 0.49),
    )
    assert [s.label for s in second.alignment] == ["B", "B", "AA"]


def test_gzipped_ctm_crlf_and_byte_order_mark(tmp_path):
    plain = read(write(tmp_path / "a"))
    write(tmp_path / "b", scp="\ufeffu1 audio/u1.wav\r\nu2 audio/u2.wav\r\n", ctm=None)
    ctm = (tmp_path / "a" / "phones.ctm").read_bytes()
    (tmp_path / "b" / "phones.ctm.gz").write_bytes(gzip.compress(b";; a comment\n" + ctm))
    packed = read(tmp_path / "b")
    assert [u.alignment for u in packed] == [u.alignment for u in plain]
    assert packed.problems == ()


def test_split_chooses(tmp_path):
    corpus = read(write(tmp_path), split="train")
    assert [u.id for u in corpus] == ["u2"] and corpus.split == "train"


def test_optional_files_may_be_absent(tmp_path):
    folder = write(tmp_path, text=None, utt2spk=None, utt2dur=None, ctm=None)
    first = read(folder, alignments=False).utterances[0]
    assert (first.speaker, first.duration, first.text, first.alignment) == ("u1", None, None, None)


def test_absolute_paths_and_spaces_are_plain_paths(tmp_path):
    other = tmp_path / "my audio.wav"
    other.write_bytes(b"RIFF")
    folder = write(tmp_path / "c", scp=f"u1 {other}\nu2 ../my audio.wav\n")
    assert [u.path.resolve() for u in read(folder)] == [other, other]


@pytest.mark.parametrize(
    ("changes", "left", "said"),
    [
        ({"scp": "u1 audio/u1.wav\nu2 audio/no.wav\n"}, ["u1"], "wav.scp: u2: no file"),
        ({"scp": "u1 touch pwned |\nu2 audio/u2.wav\n"}, ["u2"], "wav.scp:1: u1: a pipe is never"),
        ({"scp": "u1\nu2 audio/u2.wav\n"}, ["u2"], "wav.scp:1: 'u1' has no path"),
        (
            {"scp": "u1 audio/u1.wav\nu1 audio/u2.wav\nu2 audio/u2.wav\n"},
            ["u2"],
            "wav.scp:2: u1 is listed more than once",
        ),
        ({"ctm": "u1 1 0 0.48 AA\n"}, ["u1"], "u2: no alignment"),
        ({"ctm": "u1 1 0 0.48 AA\nu2 1 0 0.29 B1\n"}, ["u1"], ":2: u2: unknown phone 'B1'"),
        ({"ctm": "u1 1 0 0.48 AA\nu2 1 0 0.29 spn\n"}, ["u1"], "silence is SIL here"),
        ({"ctm": "u1 1 0 0.48 AA\nu2 1 0 0.34 B\n"}, ["u1"], "past the end of its audio"),
        ({"ctm": "u1 1 0 0.48 AA\nu2 1 0.3 0.01 B\n"}, ["u1"], "past the end of its audio"),
        ({"ctm": "u1 1 0 0.48 AA\nu2 0 0.29 B\n"}, ["u1"], ":2: 4 columns in 'u2 0 0.29 B'"),
        ({"ctm": "u1 1 0 0.48 AA\nu2 1 x 0.29 B\n"}, ["u1"], "start 'x' and duration '0.29'"),
        ({"ctm": "u1 1 0 0.48 AA\nu2 1 0 nan B\n"}, ["u1"], "duration 'nan'"),
        ({"ctm": "u1 1 0 0.48 AA\nu2 1 -1 0.2 B\n"}, ["u1"], "start '-1'"),
        ({"ctm": "u1 1 0 0.48 AA\nu2 1 1e308 0.2 B\n"}, ["u1"], "start '1e308'"),
        ({"ctm": "u1 1 0 0.48 AA\nu2 1 0 0.002 B\n"}, ["u1"], "has no length"),
        (
            {"ctm": "u1 1 0 0.48 AA\nu2 1 0 0.2 B\nu2 1 0.1 0.1 AA\n"},
            ["u1"],
            "u2: AA at 0.10-0.20 s has no length or begins before the segment before it ends (0.20",
        ),
        ({"utt2dur": "u1 long\nu2 0.3\n"}, ["u2"], "utt2dur: u1: 'long' is no duration"),
        ({"utt2dur": "u1 0.5\nu2 0\n"}, ["u1"], "utt2dur: u2: '0' is no duration"),
        ({"utt2spk": "u1 ann\n"}, ["u1", "u2"], "no speaker for 1 utterances (first: u2)"),
        ({"text": "u1 A\nu1 B\nu2 C\n"}, ["u1", "u2"], "text:2: u1 is listed more than once"),
    ],
)
def test_a_bad_utterance_is_left_out_and_named(tmp_path, monkeypatch, changes, left, said):
    monkeypatch.chdir(tmp_path)
    folder = write(tmp_path / "c", **changes)
    corpus = read(folder)
    assert [u.id for u in corpus] == left
    lines = corpus.problems if len(left) < 2 else corpus.notes
    assert any(said in line for line in lines), lines
    for problem in (*corpus.problems, *corpus.notes):
        assert "\n" not in problem and problem.startswith(str(folder))
    assert not (tmp_path / "pwned").exists()
    with pytest.raises(CorpusError):
        read(folder, strict=True)


def test_split_ids_that_are_not_there_are_named(tmp_path):
    corpus = read(write(tmp_path, train="u2\nu9\nu2\n"), split="train")
    assert [u.id for u in corpus] == ["u2"]
    assert "splits/train:2: 'u9' is not usable" in corpus.problems[0]
    assert "splits/train:3: u2 is listed more than once" in corpus.notes[0]
    assert len(corpus.problems) == len(corpus.notes) == 1


def test_problems_of_other_splits_are_not_those_of_a_split(tmp_path):
    """What leaves an utterance of train out leaves nothing out of dev."""
    scp = "u1 audio/u1.wav\nu2 audio/u2.wav\nu3 cat u3.wav |\nu4\n"
    folder = write(tmp_path, scp=scp, train="u2\nu3\nu4\n")
    dev, train, whole = (read(folder, split=split) for split in ("dev", "train", None))
    assert dev.problems == dev.notes == () and len(dev) == 1
    assert [problem.partition(": ")[2] for problem in train.problems] == [
        "u3: a pipe is never executed ('cat u3.wav |'); convert the audio once and give its path",
        "'u4' has no path; write: utterance path",
    ]
    assert whole.problems == train.problems


def test_segments_of_a_recording_that_is_not_usable_say_why(tmp_path):
    scp = "r1 audio/u1.wav\nr2 cat r2.wav |\n"
    folder = write(tmp_path, scp=scp, segments="u1 r1 0 0.5\nu2 r2 0 0.3\nu1 r1 1 2\n")
    corpus = read(folder)
    assert [(u.id, u.start, u.end) for u in corpus] == [("u1", 0.0, 0.5)]
    pipe, segment = corpus.problems
    assert "wav.scp:2: r2: a pipe is never" in pipe
    assert "segments:2: u2: 'r2' is not usable in wav.scp" in segment
    assert "segments:3: u1 is listed more than once; the first line counts" in corpus.notes[0]


@pytest.mark.parametrize(
    ("changes", "split", "said"),
    [
        ({"scp": None}, None, "wav.scp: no such file"),
        ({"scp": "\n"}, None, "wav.scp: is empty"),
        ({"ctm": None}, None, "no phones.ctm.gz or phones.ctm"),
        ({"phones.ctm.gz": gzip.compress(b"", mtime=0)}, None, "has both"),
        (
            {"ctm": None, "phones.ctm.gz": gzip.compress(b"x" * 99, mtime=0)[:-9]},
            None,
            "not a whole gzip",
        ),
        ({"ctm": None, "phones.ctm.gz": b"u1 1 0 0.1 AA\n"}, None, "not a whole gzip"),
        ({"segments": "u1 r1 0 1\n"}, None, "segments:1: u1: 'r1' is not usable in wav.scp"),
        ({"text": b"u1 A\nu2 caf\xe9\n"}, None, "text:2: byte 0xe9 is not UTF-8"),
        ({}, "tset", "splits/tset: no such split; this corpus has dev, train"),
        ({"train": "\n"}, "train", "the split is empty"),
        ({"scp": "u1 a.wav\nu2 b.wav\n"}, None, "no usable utterance in wav.scp; first of 2"),
        ({"ctm": "u9 1 0 0.1 AA\n"}, "dev", "no usable utterance in dev; first of 1 problems"),
    ],
)
def test_an_unusable_corpus_is_refused(tmp_path, changes, split, said):
    folder = write(tmp_path, **changes)
    with pytest.raises(CorpusError) as caught:
        read(folder, split=split)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="no such folder"):
        read(tmp_path / "nowhere")


def test_gaps_are_silence_and_silences_merge(tmp_path):
    ctm = "u1 1 0.05 0.10 B\nu1 1 0.20 0.10 SIL\nu1 1 0.30 0.10 SIL\nu1 1 0.45 0.05 AA\n"
    folder = write(tmp_path, ctm=ctm, scp="u1 audio/u1.wav\n")
    (utterance,) = read(folder)
    check_tiling(utterance.alignment, 0.5)
    spans = [(s.label, s.start, s.end) for s in utterance.alignment]
    assert spans == [("SIL", 0, 0.05), ("B", 0.05, 0.15), ("SIL", 0.15, 0.45), ("AA", 0.45, 0.5)]


def test_times_off_the_grid_snap_together(tmp_path):
    # 0.005 + 0.100 is a little more than 0.105 in binary: the halves must not part.
    ctm = "u1 1 0.005 0.100 B\nu1 1 0.105 0.040 B\nu1 1 0.145 0.345 AA\n"
    (utterance,) = read(write(tmp_path, ctm=ctm, scp="u1 audio/u1.wav\n"))
    check_tiling(utterance.alignment, utterance.alignment[-1].end)
    assert [s.label for s in utterance.alignment] == ["B", "B", "AA"]
