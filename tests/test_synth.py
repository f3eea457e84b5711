from __future__ import annotations

import gzip
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn import synth
from speechattn.corpus import read_corpus
from speechattn.errors import CorpusError, UsageError
from speechattn.espeak import VOWELS, PhonemeTable, PhoneSpan, espeak, phone_spans
from speechattn.phones import arpabet
from speechattn.segments import check_tiling
from speechattn.synth import VARIANTS, frame_spans, plan, read_prompts, speakers, synthesize_corpus

SIZES = {"utterances": 12, "dev_utterances": 2, "test_utterances": 4}
SIZES |= {"progress": False, "seed": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return synthesize_corpus(tmp_path_factory.mktemp("synth") / "corpus", **SIZES)


def test_prompts_are_short_sentences_in_one_split_each():
    prompts = read_prompts()
    assert list(prompts) == ["train", "dev", "test"]
    lines = [line for split in prompts.values() for line in split]
    assert len(lines) == len(set(lines)) == 600
    assert all(4 <= len(line.split()) <= 12 and line.isascii() for line in lines)


def test_every_phone_occurs_in_every_split():
    table, missing = PhonemeTable(), {}
    for split, lines in read_prompts().items():
        found = Counter()
        for line in lines[:110]:
            speech = espeak().synthesize(line, "en-us", "m3", rate=200)
            found.update(s.phone for s in phone_spans(speech, "en-us", table))
        missing[split] = set(arpabet().names) - set(found)
    assert missing == {"train": set(), "dev": set(), "test": set()}


@pytest.mark.parametrize("text", ["Hello there.\n", "# test:\nTwice.\nTwice.\n"])
def test_bad_prompts(tmp_path, text):
    path = tmp_path / "prompts.txt"
    path.write_text(text)
    with pytest.raises(CorpusError, match="prompts.txt:"):
        read_prompts(path)


def test_speakers_are_real_voices_in_one_split_each():
    everyone = [p for split in VARIANTS for p in speakers(split, 3)]
    assert len({p.id for p in everyone}) == len(everyone) == 2 * sum(map(len, VARIANTS.values()))
    variants = [v for split in VARIANTS.values() for v in split]
    assert len(set(variants)) == len(variants) and set(variants) <= set(espeak().variants())
    american = [p for p in everyone if p.accent == "en-us"]
    assert len(american) == len(everyone) / 2
    assert speakers("test", 3) != speakers("test", 4)


@settings(max_examples=25, deadline=None)
@given(
    train=st.integers(1, 300), dev=st.integers(0, 440), test=st.integers(0, 60), seed=st.integers(0)
)
def test_plan(train, dev, test, seed):
    jobs = plan({"train": train, "dev": dev, "test": test}, seed)
    assert Counter(j.split for j in jobs) == Counter({"train": train, "dev": dev, "test": test})
    assert len({j.id for j in jobs}) == len(jobs)
    assert len({(j.speaker.id, j.text) for j in jobs}) == len(jobs)
    assert all(j.id.startswith(j.speaker.id + "_") for j in jobs)
    for a, b in (("train", "dev"), ("train", "test"), ("dev", "test")):
        one, other = ([j for j in jobs if j.split == split] for split in (a, b))
        assert not {j.text for j in one} & {j.text for j in other}
        assert not {j.speaker.variant for j in one} & {j.speaker.variant for j in other}
    uses = Counter(j.text for j in jobs if j.split == "train")
    assert max(uses.values()) <= 1 + train // len(read_prompts()["train"]) + 1


def test_plan_can_be_exhausted():
    most = len(speakers("dev", 0)) * len(read_prompts()["dev"])
    assert len(plan({"dev": most}, 0)) == most
    with pytest.raises(UsageError, match=str(most)):
        plan({"dev": most + 1}, 0)
    with pytest.raises(UsageError, match="-1"):
        plan({"dev": -1}, 0)


@settings(max_examples=200, deadline=None)
@given(
    pieces=st.lists(
        st.tuples(st.sampled_from(["SIL", "AA", "T", "S"]), st.floats(0, 0.3)),
        min_size=1,
        max_size=20,
    ),
    offset=st.integers(1, 30),
    after=st.integers(1, 30),
)
def test_frame_spans(pieces, offset, after):
    spans, at = [], 0.0
    for phone, length in pieces:
        spans.append(PhoneSpan(phone, at, at + length))
        at += length
    frames = offset + int(np.ceil(at * 100)) + len(pieces) + after
    found = frame_spans(spans, offset, frames, "SIL")
    assert found[0][1] == 0 and found[-1][2] == frames
    assert all(a[2] == b[1] for a, b in pairwise(found))
    assert all(end > start for _, start, end in found)
    assert [p for p, _, _ in found if p != "SIL"] == [p for p, _ in pieces if p != "SIL"]
    assert found[0][0] == found[-1][0] == "SIL"
    if all(length >= 0.02 for _, length in pieces):  # nothing needed to be pushed
        starts = {round(s.start * 100) + offset for s in spans}
        assert all(s in starts for p, s, _ in found[1:] if p != "SIL")


def test_frame_spans_that_do_not_fit():
    with pytest.raises(CorpusError, match="do not fit"):
        frame_spans([PhoneSpan("AA", 0.0, 0.01)] * 9, 1, 5, "SIL")


def test_corpus_reads_without_problems(folder):
    assert not list(folder.parent.glob(".*"))
    phones = arpabet()
    for split, count in (("train", 12), ("dev", 2), ("test", 4), (None, 18)):
        corpus = read_corpus(folder, phones=phones, split=split, strict=True)
        assert len(corpus) == count and not corpus.problems
    texts = {line.split()[0]: line for line in (folder / "text").read_text().splitlines()}
    for utterance in corpus:
        info = soundfile.info(utterance.path)
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
        assert info.frames / 16000 == pytest.approx(utterance.duration, abs=1e-9)
        check_tiling(utterance.alignment, utterance.alignment[-1].end)
        assert utterance.alignment[-1].end == pytest.approx(utterance.duration)
        assert utterance.alignment[0].label == utterance.alignment[-1].label == "SIL"
        assert texts[utterance.id].split(" ", 1)[1] == utterance.text == utterance.text.upper()
    for name in ("wav.scp", "text", "utt2spk", "utt2dur"):
        ids = [line.split()[0] for line in (folder / name).read_text().splitlines()]
        assert ids == sorted(ids) and len(ids) == 18
    paths = [line.split()[1] for line in (folder / "wav.scp").read_text().splitlines()]
    assert all(p.startswith("audio/") for p in paths)
    with gzip.open(folder / "phones.ctm.gz", "rt") as file:
        assert all(len(line.split()) == 5 and line.split()[1] == "1" for line in file)


def test_labels_agree_with_the_audio(folder):
    phones = arpabet()
    vowel, silence, hiss, plain = [], [], [], []
    for utterance in read_corpus(folder, phones=phones):
        samples, _ = soundfile.read(utterance.path)
        assert 0.09 < np.abs(samples).max() < 0.9
        for s in utterance.alignment:
            piece = samples[round(s.start * 16000) : round(s.end * 16000)]
            spectrum = np.abs(np.fft.rfft(piece * np.hanning(len(piece)))) ** 2
            high = spectrum[len(spectrum) // 2 :].sum() / spectrum.sum()  # above 4 kHz
            if s.label == "SIL":
                assert np.abs(piece).max() > 0  # no digital silence
                silence.append((piece**2).mean())
            elif s.label in VOWELS:
                vowel.append((piece**2).mean())
                plain.append(high)
            elif s.label == "S":
                hiss.append(high)
    assert 10 * np.log10(np.median(vowel) / np.median(silence)) > 20
    assert np.median(hiss) > 0.6 and np.median(plain) < 0.05


def test_same_seed_same_bytes(folder, tmp_path):
    variants = (folder / "utt2spk").read_text()
    assert any(f"_{breathy}\n" in variants for breathy in ("f2", "f3", "f5", "victor"))  # use noise
    again = synthesize_corpus(tmp_path / "again", **SIZES)
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(again) for p in again.rglob("*") if p.is_file())
    assert [f for f in files if (folder / f).read_bytes() != (again / f).read_bytes()] == []


def test_other_seed_other_corpus():
    one, other = (plan({"train": 12}, seed) for seed in (0, 1))
    assert {j.id for j in one} != {j.id for j in other}


def test_existing_folder_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("keep")
    with pytest.raises(CorpusError, match="mine: exists already"):
        synthesize_corpus(tmp_path / "mine", **SIZES)
    assert (tmp_path / "mine" / "notes").read_text() == "keep"


@pytest.mark.parametrize("sizes", [{"utterances": 0}, {"seed": -1}, {"test_utterances": 10**6}])
def test_impossible_sizes(tmp_path, sizes):
    with pytest.raises(UsageError):
        synthesize_corpus(tmp_path / "corpus", **{**SIZES, **sizes})
    assert list(tmp_path.iterdir()) == []


def test_failure_leaves_nothing(tmp_path, monkeypatch):
    def fail(folder, *_):
        (folder / "half").write_text("written")
        raise OSError("disk full")

    monkeypatch.setattr(synth, "_run", lambda *_: ({}, ""))
    monkeypatch.setattr(synth, "_write_manifests", fail)
    with pytest.raises(OSError, match="disk full"):
        synthesize_corpus(tmp_path / "corpus", **SIZES)
    assert list(tmp_path.iterdir()) == []
