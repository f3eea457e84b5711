"""Kaldi data folders with segments, and the real corpora in that form."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.published import labels, write_text, write_tone

from speechattn.audio.features import FrontEnd, FrontEndConfig
from speechattn.audio.load import read_audio
from speechattn.corpora.prepared import PreparedSet, prepare_set
from speechattn.corpora.readers import detect_format, read_published
from speechattn.phones import arpabet

FILES = {
    "wav.scp": "r1 audio/r1.flac\nr2 audio/r2.wav\n",
    "segments": "u1 r1 0.50 1.50\nu2 r1 1.50 2.25\nu3 r2 0 -1\n",
    "text": "u1 A CAT\nu2 CATS\nu3 A\n",
    "utt2spk": "u1 ann\nu2 bob\nu3 ann\n",
    "phones.ctm": (
        "u1 1 0.00 0.40 AH\nu1 1 0.40 0.60 K\nu2 1 0.00 0.75 K\nu3 1 0.00 0.50 AH\nu3 1 0.50 0.50 SIL\n"
    ),
    "words.ctm": ";; words\nu1 1 0.00 0.40 A\nu1 1 0.40 0.60 CAT\nu3 1 0.00 0.50 A 0.9\nu3 1 0.5 0.5 SIL\n",
    "splits/train": "u1\nu2\n",
    "splits/dev": "u3\n",
}


def make(root: Path, **changes: str | bytes) -> Path:
    write_tone(root / "audio" / "r1.flac", 3.0)
    write_tone(root / "audio" / "r2.wav", 1.0)
    names = {"scp": "wav.scp", "ctm": "phones.ctm", "words": "words.ctm", "train": "splits/train"}
    for name, text in {**FILES, **{names.get(k, k): v for k, v in changes.items()}}.items():
        data = text if isinstance(text, bytes) else text.encode()
        write_text(root / name, "").write_bytes(data)
    return root


def test_segments(tmp_path):
    assert detect_format(make(tmp_path)) == "kaldi"
    corpus = read_published(tmp_path)
    assert (corpus.problems, corpus.notes) == ((), ())
    assert [(u.id, u.path.name, u.start, u.end, u.duration, u.speaker) for u in corpus] == [
        ("u1", "r1.flac", 0.5, 1.5, 1.0, "ann"), ("u2", "r1.flac", 1.5, 2.25, 0.75, "bob"),
        ("u3", "r2.wav", 0.0, None, 1.0, "ann"),
    ]  # fmt: skip
    assert [labels(u) for u in corpus] == [["AH", "K"], ["K"], ["AH", "SIL"]]
    assert [[(w.label, w.start, w.end) for w in u.words] for u in corpus] == [
        [("A", 0.0, 0.4), ("CAT", 0.4, 1.0)], [], [("A", 0.0, 0.5)]
    ]  # fmt: skip
    assert corpus.splits == {"dev": ("u3",), "train": ("u1", "u2")}


def test_a_corpus_with_segments_is_prepared_for_training(tmp_path):
    """The frames of an utterance are those of its part of the recording, alone."""
    corpus = read_published(make(tmp_path / "c"))
    config = FrontEndConfig(num_mel_bins=24)
    assert prepare_set(tmp_path / "set", [corpus], phones=arpabet(), front_end=config) == []
    prepared = PreparedSet(tmp_path / "set")
    assert [(e.id, e.frames, e.start, e.end) for e in prepared.entries] == [
        ("u1", 100, 0.5, 1.5), ("u2", 75, 1.5, 2.25), ("u3", 100, 0.0, None)
    ]  # fmt: skip
    samples, _ = read_audio(tmp_path / "c" / "audio" / "r1.flac")
    stream = FrontEnd(config)
    for entry, (start, end) in zip(prepared.entries, [(8000, 24000), (24000, 36000)]):
        expected = stream(__import__("torch").from_numpy(samples[start:end])).half().float().numpy()
        assert prepared.frames(entry) == pytest.approx(expected)
    names = arpabet().names
    assert [names[p] for p in prepared.labels(prepared.entries[0])[[0, 39, 40, 99]]] == [
        "AH",
        "AH",
        "K",
        "K",
    ]


@pytest.mark.parametrize(
    ("changes", "left", "said"),
    [
        ({"scp": "r1 sox x |\nr2 audio/r2.wav\n"}, ["u3"], "wav.scp:1: r1: a pipe is never executed"),
        ({"scp": "r2 audio/r2.wav\n"}, ["u3"], "segments:1: u1: 'r1' is not"),
        ({"scp": "r1 audio/no.wav\nr2 audio/r2.wav\n"}, ["u3"], "u1: no file"),
        ({"segments": FILES["segments"].replace("2.25", "9.25")}, ["u1", "u3"],
         "u2: 1.5 to 9.25 s does not lie in"),
        ({"segments": FILES["segments"].replace("0.50 1.50", "1.50 0.50")}, ["u2", "u3"],
         "segments:1: u1: 1.5 to 0.5 s is no stretch of time"),
        ({"segments": FILES["segments"].replace("0.50 1.50", "0.50")}, ["u2", "u3"], "segments:1: "),
        ({"segments": FILES["segments"].replace("0.50 1.50", "0.50 1.50 1")}, ["u2", "u3"],
         "segments:1: u1: channel 1"),
        ({"ctm": FILES["phones.ctm"].replace("0.60 K", "0.60 K7")}, ["u2", "u3"],
         "phones.ctm:2: u1: unknown phone 'K7'"),
        ({"ctm": FILES["phones.ctm"].replace("0.40 0.60", "0.30 0.60")}, ["u2", "u3"],
         "u1: K at 0.30-0.90 s has no length or begins before"),
        ({"utt2dur": "u1 1.0\nu2 1.0\n"}, ["u1", "u3"], "u2: 1 s in utt2dur or segments, 0.75 s in"),
        ({"train": "u1\nu2\nu9\n"}, ["u1", "u2", "u3"], "splits/train:3: 'u9' is not listed"),
        ({"words": "u1 1 0 A\n"}, ["u1", "u2", "u3"], "words.ctm:1: 'u1 1 0 A'"),
        ({key: value.encode() for key, value in FILES.items() if key == "text"}
         | {"text": ("\ufeff" + FILES["text"]).replace("\n", "\r\n")}, ["u1", "u2", "u3"], ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_and_the_others_go_on(tmp_path, changes, left, said):
    corpus = read_published(make(tmp_path, **changes))
    assert [u.id for u in corpus] == left
    found = (*corpus.problems, *corpus.notes)
    assert any(said in problem for problem in found) or (not said and not found), found
    assert corpus.utterances[-1].text == "A"


@pytest.mark.corpora
def test_librispeech_in_this_form_is_what_its_files_say(corpora):
    """Every utterance, word and phone, against the lines of the files."""
    import gzip

    folder = corpora / "librispeech"
    corpus = read_published(folder)
    assert (corpus.problems, corpus.notes) == ((), ())
    texts = dict(line.split(" ", 1) for line in (folder / "text").read_text().splitlines())
    assert {u.id: u.text for u in corpus} == texts
    words: dict[str, list[str]] = {}
    with gzip.open(folder / "words.ctm.gz", "rt") as lines:
        for line in lines:
            name, _, _, _, word = line.split()
            if word != "SIL":
                words.setdefault(name, []).append(word)
    assert {u.id: [w.label for w in u.words] for u in corpus} == words
    assert all(u.speaker == u.id.split("-")[0] for u in corpus)
    for utterance in corpus:
        edges = [s.start for s in utterance.alignment] + [utterance.alignment[-1].end]
        assert all(a < b for a, b in zip(edges, edges[1:])) and edges[0] == 0
        assert abs(utterance.duration - edges[-1]) < 0.05
    assert sorted(name for ids in corpus.splits.values() for name in ids) == sorted(texts)
