from __future__ import annotations

import gzip

import numpy as np
import pytest
import soundfile

from speechattn.corpora.corpus import read_corpus
from speechattn.corpora.synth import corpus
from speechattn.corpora.synth.corpus import synthesize_corpus
from speechattn.corpora.synth.espeak_phones import VOWELS
from speechattn.errors import CorpusError, UsageError
from speechattn.phones import arpabet
from speechattn.segments import check_tiling

SIZES = {"utterances": 12, "dev_utterances": 2, "test_utterances": 4}
SIZES |= {"progress": False, "seed": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return synthesize_corpus(tmp_path_factory.mktemp("synth") / "corpus", **SIZES)


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

    monkeypatch.setattr(corpus, "make_utterances", lambda *_, **__: ({}, ""))
    monkeypatch.setattr(corpus, "_write_manifests", fail)
    with pytest.raises(OSError, match="disk full"):
        synthesize_corpus(tmp_path / "corpus", **SIZES)
    assert list(tmp_path.iterdir()) == []
