"""Realignment by text: what was said is found, where it was said, and no boundary is early."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from speechattn.alignment.reductions import Reductions
from speechattn.audio.features import FrontEnd, FrontEndConfig
from speechattn.corpora.corpus import Corpus, read_corpus
from speechattn.decoder.forced_alignment import force_align
from speechattn.decoder.lm.lexicon import Lexicon
from speechattn.errors import CorpusError
from speechattn.inference.recognizer import load_model
from speechattn.phones import arpabet
from speechattn.segments import SAMPLE_RATE, segments_from_frames
from speechattn.training.realignment.realign_text import VOWELS, TextRealigner, word_times

PHONES = arpabet()
SPOKEN = ("AH", "IH", "AA", "B", "T", "W", "N", "D", "HH", "M", "G")
HERTZ = {name: 300.0 * 1.25**place for place, name in enumerate(SPOKEN)}
DICTIONARY = "bug B AH G\nbit B IH T\nwanted W AA N T AH D\nhim HH IH M\n"


def sound(phones: list[tuple[str, float]], random) -> np.ndarray:
    """Tones that change at once, each for so many seconds; silence is faint noise."""
    edges = np.rint(np.cumsum([0.0, *(seconds for _, seconds in phones)]) * SAMPLE_RATE).astype(int)
    samples = random.normal(0, 1e-4, edges[-1])
    for (phone, _), start, end in zip(phones, edges, edges[1:]):
        if phone != PHONES.silence:
            time = np.arange(end - start) / SAMPLE_RATE
            samples[start:end] += 0.2 * np.sin(2 * np.pi * HERTZ[phone] * time)
    return samples.astype(np.float32)


class Ear:
    """A recognizer that compares each frame with what the tones look like."""

    phones = PHONES
    checkpoint = SimpleNamespace(front_end=FrontEndConfig())

    def __init__(self):
        front_end, random = FrontEnd(self.checkpoint.front_end), np.random.default_rng(0)
        self.names = (PHONES.silence, *SPOKEN)
        self.looks = torch.stack(
            [
                front_end(torch.from_numpy(sound([(n, 0.5)], random)))[20:30].mean(0)
                for n in self.names
            ]
        )

    def encode(self, recordings):
        found = []
        for frames in recordings:
            distance = torch.cdist(torch.as_tensor(frames), self.looks) ** 2 / frames.shape[1]
            logs = torch.full((len(frames), len(PHONES)), -20.0)
            logs[:, [PHONES.index[name] for name in self.names]] = (-distance).log_softmax(1)
            found.append(logs.numpy())
        return found


@pytest.fixture(scope="module")
def ear() -> Ear:
    return Ear()


def write_corpus(folder: Path, utterances: dict[str, tuple[str, str, str]], random) -> Corpus:
    """Utterances: name → text, phones as they are listed, phones as they are said."""
    folder.mkdir()
    scp, texts, ctm = [], [], []
    for name, (text, listed, said) in utterances.items():
        lengths = [(phone, random.uniform(0.06, 0.15)) for phone in said.split()]
        total = sum(seconds for _, seconds in lengths)
        soundfile.write(folder / f"{name}.wav", sound(lengths, random), SAMPLE_RATE)
        scp.append(f"{name} {name}.wav\n")
        texts.append(f"{name} {text}\n")
        share = total / len(listed.split())  # their times do not matter but for short words
        if listed == said:
            starts = np.cumsum([0.0, *(seconds for _, seconds in lengths)])
            spans = list(zip(starts, starts[1:]))
        else:
            spans = [(i * share, (i + 1) * share) for i in range(len(listed.split()))]
        for phone, (start, end) in zip(listed.split(), spans):
            ctm.append(f"{name} 1 {start:.4f} {end - start:.4f} {phone}\n")
    (folder / "wav.scp").write_text("".join(scp))
    (folder / "text").write_text("".join(texts))
    (folder / "phones.ctm").write_text("".join(ctm))
    return read_corpus(folder, phones=PHONES)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    random = np.random.default_rng(1)
    short = "B AH G B IH T B AH G B IH T B AH G B IH T"
    utterances = {f"s{n:02}": ("BUG BIT BUG BIT BUG BIT", short, short) for n in range(20)}
    listed = "SIL W AA N T AH D HH IH M SIL"
    utterances["weak"] = ("WANTED HIM", listed, "SIL W AA N T IH D IH M SIL")
    utterances["full"] = ("WANTED HIM", listed, listed)
    utterances["zebra"] = ("BIT GADBAM", "B IH T G AA D B AH M", "B IH T G AA D B AH M")
    made = write_corpus(tmp_path_factory.mktemp("text") / "tones", utterances, random)
    words = [u for u in made if u.id == "zebra"][0].alignment
    (made.folder / "words.ctm").write_text(
        f"zebra 1 0.0 {words[2].end:.3f} BIT\n"
        f"zebra 1 {words[3].start:.3f} {words[-1].end - words[3].start:.3f} GADBAM\n"
    )
    return made


@pytest.fixture(scope="module")
def realigner(ear, corpus) -> TextRealigner:
    (corpus.folder / "words.dict").write_text(DICTIONARY)
    lexicon = Lexicon([corpus.folder / "words.dict"], PHONES)
    said: list[str] = []
    made = TextRealigner(ear, lexicon, Reductions.read("english", PHONES), said.append)
    made.learn([corpus])
    assert "h_lost" in said[0]
    return made


def test_phones_are_as_they_were_heard(realigner, corpus):
    found = {u.id: " ".join(s.label for s in u.alignment) for u in realigner.realign(corpus)}
    assert found["weak"] == "SIL W AA N T IH D IH M SIL"
    assert found["full"] == "SIL W AA N T AH D HH IH M SIL"
    assert found["zebra"] == "B IH T G AA D B AH M"
    assert {labels for name, labels in found.items() if name[0] == "s"} == {
        "B AH G B IH T B AH G B IH T B AH G B IH T"
    }
    index = PHONES.index
    assert realigner.spoken["HIM", (index["IH"], index["M"])] == 1
    assert realigner.spoken["HIM", (index["HH"], index["IH"], index["M"])] == 1


def test_a_text_that_does_not_fit_is_named(realigner, corpus, tmp_path):
    wrong = {
        "wrong": ("HIM HIM HIM HIM HIM", "B IH T", "B IH T B IH T"),
        "right": ("BIT", "B IH T", "B IH T"),
        "unknown": ("ZYX", "B IH T", "B IH T"),
    }
    made = write_corpus(tmp_path / "wrong", wrong, np.random.default_rng(2))
    found = realigner.realign(made)
    assert [utterance.id for utterance in found] == ["right"]
    assert len(found.problems) == 2 and "ZYX" in found.problems[1]
    only = read_corpus(made.folder, phones=PHONES)
    only = Corpus(only.folder, None, tuple(u for u in only if u.id != "right"))
    with pytest.raises(CorpusError, match="no utterance"):
        realigner.realign(only)


def test_too_few_short_words_are_refused(ear, corpus, realigner):
    alone = Corpus(corpus.folder, None, corpus.utterances[-3:])
    with pytest.raises(CorpusError, match="one syllable"):
        TextRealigner(ear, realigner.lexicon, realigner.reductions).learn([alone])


def test_words_are_found_where_the_corpus_says(corpus):
    assert [word.label for word in word_times(corpus)["zebra"]] == ["BIT", "GADBAM"]
    assert VOWELS == ("AH", "IH")


def test_lines_of_words_that_are_none_are_noted(realigner, tmp_path):
    made = write_corpus(
        tmp_path / "c", {"a": ("BIT", "B IH T", "B IH T")}, np.random.default_rng(5)
    )
    lines = [";; a comment of five words", "a 1 0 many BIT", "a 1 nan 1 BIT", "a 1 0 0.3 bit"]
    (made.folder / "words.ctm").write_text("".join(f"{line}\n" for line in lines))
    assert [word.label for word in word_times(made)["a"]] == ["BIT"]
    found = realigner.realign(made)
    assert len(found) == 1 and [note.split(": ")[0] for note in found.notes] == [
        f"{made.folder}/words.ctm:{number}" for number in (2, 3)
    ]
    (made.folder / "words.ctm").write_bytes(b"a 1 0 0.3 caf\xe9\n")
    with pytest.raises(CorpusError, match=r"words\.ctm:1: byte 0xe9 is not UTF-8"):
        realigner.realign(made)


def test_parts_of_recordings_are_heard_alone(realigner, tmp_path):
    """Each utterance of ``segments`` has the phones of its part, in its own time."""
    said = {"a": ("BIT BUG", "B IH T B AH G"), "b": ("BUG BIT", "B AH G B IH T")}
    random = np.random.default_rng(6)
    single = {name: (text, phones, phones) for name, (text, phones) in said.items()}
    made = write_corpus(tmp_path / "c", single, random)
    parts = [soundfile.read(made.folder / f"{name}.wav", dtype="float32")[0] for name in said]
    soundfile.write(made.folder / "both.wav", np.concatenate(parts), SAMPLE_RATE)
    (made.folder / "wav.scp").write_text("both both.wav\n")
    edge, end = len(parts[0]) / SAMPLE_RATE, sum(map(len, parts)) / SAMPLE_RATE
    (made.folder / "segments").write_text(f"a both 0 {edge}\nb both {edge} {end}\n")
    corpus = read_corpus(made.folder, phones=PHONES)
    found = realigner.realign(corpus)
    assert found.problems == ()
    for before, after in zip(made, found):
        assert [s.label for s in after.alignment] == said[after.id][1].split()
        edges = [[s.end for s in utterance.alignment] for utterance in (before, after)]
        assert np.abs(np.subtract(*edges)).max() <= 0.021


def test_one_bad_alignment_does_not_stop_what_is_learnt(ear, corpus, realigner):
    first, *others = corpus.utterances
    late = [dataclasses.replace(s, start=s.start + 9, end=s.end + 9) for s in first.alignment]
    bad = dataclasses.replace(first, alignment=tuple(late))
    said: list[str] = []
    made = TextRealigner(ear, realigner.lexicon, Reductions.read("english", PHONES), said.append)
    made.learn([dataclasses.replace(corpus, utterances=(bad, *others))])
    assert len(said) == 2 and "h_lost" in said[1]
    assert said[0].startswith("  nothing is learnt from tones: s00: alignment: CTM past the end")


def test_a_text_without_words_is_named(realigner, corpus):
    first, second, *_ = corpus.utterances
    empty = [dataclasses.replace(first, text=text) for text in (None, "")]
    found = realigner.realign(dataclasses.replace(corpus, utterances=(*empty, second)))
    assert [utterance.id for utterance in found] == [second.id]
    assert len(found.problems) == 2


def test_no_boundary_is_early_or_late(ear):
    """Tones that change at any sample, through frames, labels and segments to seconds."""
    random, front_end = np.random.default_rng(4), FrontEnd(Ear.checkpoint.front_end)
    shifts = []
    for _ in range(20):
        names = [SPOKEN[i] for i in random.permutation(len(SPOKEN))]
        lengths = [(name, random.uniform(0.06, 0.15)) for name in names]
        samples = sound(lengths, random)
        logs = ear.encode([front_end(torch.from_numpy(samples))])[0]
        spoken = [PHONES.index[name] for name in names]
        runs = force_align(logs, spoken, PHONES.silence_index).segments
        segments = segments_from_frames(runs, PHONES.names, len(samples) / SAMPLE_RATE)
        assert [segment.label for segment in segments] == names
        truth = np.cumsum([seconds for _, seconds in lengths])[:-1]
        shifts += (np.array([segment.end for segment in segments[:-1]]) - truth).tolist()
    assert abs(np.mean(shifts)) < 0.002, "seconds; 0.0078 is what PocketSphinx is early by"
    assert abs(np.median(shifts)) < 0.002
    assert np.abs(shifts).max() < 0.02


def test_the_english_model_is_neither_early_nor_late(corpora):
    """On synthetic speech whose synthesiser says its own times, by the string that it said."""
    model = load_model("english", device="cpu")
    corpus = read_corpus(corpora / "kokoro", phones=PHONES, split="test")
    shifts = []
    for utterance in corpus.utterances[:40]:
        with_times = [s for s in utterance.alignment if s.label != PHONES.silence]
        samples, rate = soundfile.read(utterance.path, dtype="float32")
        front_end = FrontEnd(model.checkpoint.front_end)
        logs = model.encode([front_end(torch.from_numpy(samples))])[0]
        assert rate == SAMPLE_RATE
        spoken = [PHONES.index[segment.label] for segment in with_times]
        runs = [
            run
            for run in force_align(logs, spoken, PHONES.silence_index).segments
            if run.phone != PHONES.silence_index
        ]
        shifts += [run.start / 100 - segment.start for run, segment in zip(runs, with_times)]
    assert abs(np.median(shifts)) <= 0.005, "seconds"
