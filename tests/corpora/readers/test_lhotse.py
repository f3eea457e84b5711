"""Cuts of Lhotse in JSON lines, in and out."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.published import labels, write_text, write_tone

from speechattn.corpora.corpus import Corpus
from speechattn.corpora.readers import detect_format, read_published
from speechattn.corpora.readers.lhotse import write_cuts


def supervision(name: str, start: float, duration: float, **more) -> dict:
    phones = [["HH", start, 0.2, None], ["AY1", start + 0.2, duration - 0.2, None]]
    words = [["hi", start, duration, None]]
    return {
        "id": name, "recording_id": "r", "start": start, "duration": duration, "channel": 0,
        "text": "hi", "speaker": "ann", "alignment": {"phone": phones, "word": words}, **more,
    }  # fmt: skip


def cut(name: str, start: float, duration: float, supervisions: list, **more) -> dict:
    recording = {
        "id": "r", "sources": [{"type": "file", "channels": [0], "source": "r.flac"}],
        "sampling_rate": 16000, "num_samples": 64000, "duration": 4.0, "channel_ids": [0],
    }  # fmt: skip
    return {
        "id": name, "start": start, "duration": duration, "channel": 0, "supervisions": supervisions,
        "recording": recording | more.pop("recording", {}), "type": "MonoCut", **more,
    }  # fmt: skip


def make(folder: Path, cuts: list, name: str = "r_cuts_train.jsonl.gz") -> Path:
    write_tone(folder / "r.flac", 4.0)
    text = "".join((c if isinstance(c, str) else json.dumps(c)) + "\n" for c in cuts)
    (folder / name).write_bytes(
        gzip.compress(text.encode()) if name.endswith("gz") else text.encode()
    )
    return folder


@pytest.mark.parametrize("name", ["r_cuts_train.jsonl", "r_cuts_train.jsonl.gz"])
def test_times_that_count_from_the_start_of_the_cut(tmp_path, name):
    cuts = [
        cut("a", 1.0, 1.0, [supervision("sa", 0.0, 1.0)]),
        cut("b", 2.0, 2.0, [supervision("s1", 0.5, 0.5), supervision("s2", 1.0, 1.0)]),
        cut("c", 0.0, 4.0, []),
    ]
    assert detect_format(make(tmp_path, cuts, name)) == "lhotse"
    corpus = read_published(tmp_path)
    assert (corpus.problems, corpus.notes) == ((), ())
    assert [(u.id, u.start, u.end, u.speaker, u.text) for u in corpus] == [
        ("a", 1.0, 2.0, "ann", "hi"), ("c", 0.0, None, "c", None),
        ("s1", 2.5, 3.0, "ann", "hi"), ("s2", 3.0, 4.0, "ann", "hi"),
    ]  # fmt: skip
    first, whole, second, _ = corpus
    assert whole.alignment is None and whole.is_whole
    assert labels(first) == labels(second) == ["HH", "AY"]
    assert [(s.start, s.end) for s in second.alignment] == [(0.0, 0.2), (0.2, 0.5)]
    assert [(w.label, w.start, w.end) for w in second.words] == [("hi", 0.0, 0.5)]
    assert corpus.splits == {"train": ("a", "c", "s1", "s2")}
    assert len(read_published(tmp_path / name, "lhotse")) == 4


def test_alignments_in_the_time_of_the_recording(tmp_path):
    """As Lhotse itself leaves them when it cuts a recording."""
    moved = supervision("s", 1.0, 1.0)["alignment"]
    cuts = [cut("a", 0.5, 2.0, [supervision("s", 0.5, 1.0, alignment=moved)])]
    (utterance,) = read_published(make(tmp_path, cuts))
    assert [(s.label, s.start, s.end) for s in utterance.alignment] == [
        ("SIL", 0.0, 0.5), ("HH", 0.5, 0.7), ("AY", 0.7, 1.5)
    ]  # fmt: skip


def test_names_that_are_not_utf_8_go_out_and_in(tmp_path):
    (utterance,) = read_published(make(tmp_path, [cut("a", 0, 4.0, [])]))
    path = utterance.path.rename(tmp_path / "r\udcff.flac")
    corpus = Corpus(tmp_path, None, (replace(utterance, path=path, text="\ud800"),))
    write_cuts(corpus, tmp_path / "out" / "cuts.jsonl")
    (again,) = read_published(tmp_path / "out")
    assert (again.path, again.text) == (path.resolve(), "\ud800")


def test_out_and_in_again(tmp_path):
    corpus = read_published(make(tmp_path, [cut("a", 1.0, 1.0, [supervision("s", 0, 1.0)])]))
    write_cuts(corpus, tmp_path / "out" / "cuts_train.jsonl.gz")
    again = read_published(tmp_path / "out")
    assert again.utterances == tuple(
        type(u)(u.id, u.path.resolve(), *[getattr(u, f) for f in list(u.__dataclass_fields__)[2:]])
        for u in corpus
    )
    assert again.splits == corpus.splits
    write_cuts(corpus, tmp_path / "one.jsonl", split="train")
    (line,) = (tmp_path / "one.jsonl").read_text().splitlines()
    written = json.loads(line)
    assert written["supervisions"][0]["alignment"]["phone"] == [
        ["HH", 1.0, 0.2, None], ["AY", 1.2, 0.8, None]
    ]  # fmt: skip
    assert written["recording"]["num_samples"] == 64000


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("{", ":1: no JSON"),
        ("[1]", ":1: no MonoCut"),
        ({"id": "x", "recording": {}}, ":1: no MonoCut ('sources')"),
        (cut("x", 10**400, 1, []), ":1: no MonoCut (int too large to convert to float)"),
        (cut("x", "soon", 1, []), ":1: no MonoCut (could not convert string to float: 'soon')"),
        (cut("x", 0, 1, [supervision("s", 0, 1.0, alignment={"phone": [["HH"]]})]), ":1: no MonoCut"),
        (cut("x", 0, 1, [], recording={"sources": [{"type": "file", "source": "a" * 300}]}),
         "a: no such file"),
        (cut(" ", 0, 1, []), ": an utterance without an id; give it a name"),
        (cut("x", 0, 1, [supervision("s", 0, 1.0, speaker="\t")]), ": utterance x: no speaker; give"),
        (cut("x", 0, 1, [], recording={"sources": [{"type": "command", "channels": [0], "source": "rm x"}]}),
         ":1: x: audio of type command from 1 sources; one file is read, and no command is ever"),
        (cut("x", 0, 1, [], recording={"sources": [{"type": "file", "channels": [0, 1], "source": "r.flac"}]}),
         ":1: x: a recording of several channels"),
        (cut("x", 0, 1, [], recording={"transforms": [{"name": "Speed"}]}), "is to be transformed"),
        (cut("x", 0, 1, []) | {"type": "MixedCut"}, ":1: x: a MixedCut is not read"),
        (cut("x", 0, 1, []) | {"recording": None}, ":1: x: has no recording"),
        (cut("x", 3.5, 1, []), "utterance x: 3.5 to 4.5 s does not lie in its recording of 4.00 s"),
        (cut("x", 0, 1, [supervision("s", 0, 1.0, alignment={"phone": [["XY", 0, 1.0, None]]})]),
         ":1: unknown phone 'XY'"),
        (cut("x", 0, 1, [], recording={"sources": [{"type": "file", "channels": [0], "source": "no.wav"}]}),
         "no.wav: no such file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_and_the_others_go_on(tmp_path, bad, said):
    good = cut("good", 1.0, 1.0, [supervision("s", 0, 1.0)])
    corpus = read_published(make(tmp_path, [bad, good]))
    assert [u.id for u in corpus] == ["good"]
    assert len(corpus.problems) == 1 and said in corpus.problems[0]


def test_a_damaged_archive(tmp_path):
    make(tmp_path, [cut("a", 1.0, 1.0, [])])
    write_text(tmp_path / "b_cuts.jsonl.gz", "no gzip")
    corpus = read_published(tmp_path)
    assert len(corpus) == 1 and "b_cuts.jsonl.gz: not a whole gzip file" in corpus.problems[0]
