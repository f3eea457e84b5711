"""Codecs' versions of prepared sets: of the same shape, one codec an utterance, whole or not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from support.commands import PHONES, RATE, make_corpus

from speechattn.audio.codecs import through_drawn_codec
from speechattn.audio.features import FrontEnd, FrontEndConfig
from speechattn.corpora import coded
from speechattn.corpora.coded import add_coded
from speechattn.corpora.corpus import read_corpus
from speechattn.corpora.prepared import CODED, PreparedSet, prepare_set
from speechattn.errors import AudioError, CorpusError

FRONT_END = FrontEndConfig(num_mel_bins=24)
UTTERANCES = {f"u{i}": [("SIL", 20), ("AA", 15 + i), ("B", 8)] for i in range(8)}


@pytest.fixture
def folder(tmp_path) -> Path:
    make_corpus(tmp_path / "beeps", UTTERANCES)
    corpus = read_corpus(tmp_path / "beeps", phones=PHONES)
    prepare_set(tmp_path / "train", [corpus], phones=PHONES, front_end=FRONT_END)
    return tmp_path / "train"


def test_each_utterance_is_what_its_codec_leaves(folder, monkeypatch):
    heard = {}

    def noted(samples, random):
        heard[samples.tobytes()] = through = through_drawn_codec(samples, random)
        return through

    monkeypatch.setattr(coded, "through_drawn_codec", noted)
    add_coded(folder, FRONT_END)
    prepared = PreparedSet(folder)
    for entry in prepared.entries:
        samples, rate = soundfile.read(entry.path, dtype="float32")
        expected = FrontEnd(FRONT_END)(torch.from_numpy(heard[samples.tobytes()])).numpy()
        frames = prepared.coded_frames(entry)
        assert rate == RATE and frames.dtype == np.float32
        np.testing.assert_allclose(frames, expected, rtol=2**-10, atol=1e-5)
        assert np.abs(frames - prepared.frames(entry)).max() > 0.05
    first = (folder / CODED).read_bytes()
    monkeypatch.undo()
    add_coded(folder, FRONT_END)
    assert (folder / CODED).read_bytes() == first
    assert sorted(p.name for p in folder.iterdir()) == [
        CODED, "frames.npy", "index.json", "runs.npy",
    ]  # fmt: skip


def test_parts_of_one_recording(tmp_path):
    make_corpus(tmp_path / "beeps", UTTERANCES)
    corpus = read_corpus(tmp_path / "beeps", phones=PHONES)
    long = np.concatenate([soundfile.read(u.path, dtype="float32")[0] for u in corpus])
    soundfile.write(tmp_path / "long.wav", long, RATE)
    parts, at = [], 0
    for utterance in corpus:
        length = len(soundfile.read(utterance.path)[0])
        span = {"start": at / RATE, "end": (at + length) / RATE}
        parts.append(replace(utterance, path=tmp_path / "long.wav", **span))
        at += length
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder, utterances in ((whole, corpus.utterances), (cut, tuple(parts))):
        one = replace(corpus, utterances=utterances)
        prepare_set(folder, [one], phones=PHONES, front_end=FRONT_END)
        add_coded(folder, FRONT_END)
    assert (whole / CODED).read_bytes() == (cut / CODED).read_bytes()


def test_a_recording_that_changed_leaves_no_file(folder):
    path = Path(PreparedSet(folder).entries[3].path)
    soundfile.write(path, np.zeros(RATE, np.float32), RATE)
    with pytest.raises(CorpusError, match=rf"{path.name}.*u3 has 100 frames, and had \d+"):
        add_coded(folder, FRONT_END)
    path.write_bytes(b"RIFF")
    with pytest.raises(AudioError, match=path.name):
        add_coded(folder, FRONT_END)
    assert sorted(p.name for p in folder.iterdir()) == ["frames.npy", "index.json", "runs.npy"]


def test_a_set_without_them_or_with_others(folder, tmp_path):
    entry = PreparedSet(folder).entries[0]
    with pytest.raises(CorpusError, match=r"coded\.npy.*run stage prepare again"):
        PreparedSet(folder).coded_frames(entry)
    np.save(folder / CODED, np.zeros((3, 24), np.float16))
    with pytest.raises(CorpusError, match=r"coded\.npy has shape \(3, 24\)"):
        PreparedSet(folder).coded_frames(entry)
    (folder / CODED).write_bytes(b"\x93NUMPY")
    with pytest.raises(CorpusError, match=r"coded\.npy"):
        PreparedSet(folder).coded_frames(entry)
