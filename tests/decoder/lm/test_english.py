"""The trigram out of pocketsphinx's file, against what pocketsphinx says of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from speechattn.decoder.lm.english import WordTrigram, read_trigram
from speechattn.decoder.lm.lexicon import packaged_file
from speechattn.errors import ConfigError

pocketsphinx = pytest.importorskip("pocketsphinx")


@pytest.fixture(scope="module")
def path():
    return packaged_file("en-us.lm.bin", "language model")


@pytest.fixture(scope="module")
def trigram(path) -> WordTrigram:
    return read_trigram(path)


@pytest.fixture(scope="module")
def log_prob(path):
    logarithms = pocketsphinx.LogMath()
    model = pocketsphinx.NGramModel(pocketsphinx.Config(), logarithms, str(path))
    return lambda newest_first: model.prob(newest_first) / logarithms.log(math.e)


def test_numbers_are_those_that_pocketsphinx_gives(trigram, log_prob):
    random, words = np.random.default_rng(0), trigram.words
    for i in random.integers(len(words), size=300):
        assert trigram.log_unigram[i] == pytest.approx(log_prob([words[i]]), abs=2e-3)
    for i in random.integers(len(trigram.first), size=300):
        first, second = words[trigram.first[i]], words[trigram.second[i]]
        assert trigram.log_pair[i] == pytest.approx(log_prob([second, first]), abs=2e-3)
    for i in random.integers(len(trigram.third), size=300):
        pair = trigram.pair[i]
        told = trigram.third[i], trigram.second[pair], trigram.first[pair]
        newest_first = [words[j] for j in told]
        assert trigram.log_triple[i] == pytest.approx(log_prob(newest_first), abs=2e-3)


def test_back_off_is_that_of_pocketsphinx(trigram, log_prob):
    random, words = np.random.default_rng(1), trigram.words
    pairs = set(zip(trigram.first.tolist(), trigram.second.tolist()))
    there = np.unique(trigram.pair)
    tried = 0
    for pair in random.choice(there, 200):
        first, second = int(trigram.first[pair]), int(trigram.second[pair])
        third = int(random.integers(len(words)))
        if (second, third) in pairs:
            continue
        expected = trigram.pair_back_off[pair] + trigram.back_off[second]
        expected += trigram.log_unigram[third]
        found = log_prob([words[third], words[second], words[first]])
        assert found == pytest.approx(expected, abs=2e-3)
        tried += 1
    assert tried > 100


def test_pairs_and_triples_are_in_order_and_their_probabilities_sum_to_one(trigram):
    keys = trigram.first * len(trigram.words) + trigram.second
    assert (np.diff(keys) > 0).all()
    assert (np.diff(trigram.pair * len(trigram.words) + trigram.third) > 0).all()
    assert np.exp(trigram.log_unigram).sum() == pytest.approx(1, abs=1e-3)
    size = len(trigram.words)
    kept = np.bincount(trigram.first, np.exp(trigram.log_pair), size)
    known = np.bincount(trigram.first, np.exp(trigram.log_unigram[trigram.second]), size)
    total = kept + np.exp(trigram.back_off) * (1 - known)
    begins = np.unique(trigram.first)
    assert np.quantile(abs(total[begins] - 1), 0.99) < 0.01


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    "change",
    [
        _cut,
        lambda data: b"",
        lambda data: data[:30],
        lambda data: b"x" + data[1:],
        lambda data: data[:19] + b"\x02" + data[20:],
        lambda data: data[:20] + b"\xff" * 12 + data[32:],
        lambda data: data[: 1 << 20] + b"\xff" * (1 << 20) + data[2 << 20 :],
        lambda data: data[: 12 << 20] + b"\xff" * (1 << 20) + data[13 << 20 :],
    ],
)
def test_other_files_are_refused_by_name(path, tmp_path, change):
    other = tmp_path / "other.bin"
    other.write_bytes(change(path.read_bytes()))
    with pytest.raises(ConfigError, match="other.bin: is no word trigram of pocketsphinx"):
        read_trigram(other)
    with pytest.raises(ConfigError, match="none.bin: cannot be read"):
        read_trigram(tmp_path / "none.bin")
