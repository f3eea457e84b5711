"""The network that scores pronunciations: its scores step by step, its file, its training."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from speechattn.alignment.g2p.network import FACTS, LeftOut, SpellingNetwork
from speechattn.alignment.g2p.train_network import train_network
from speechattn.alignment.guesses import NETWORK
from speechattn.errors import ConfigError
from speechattn.files import resource
from speechattn.heads.attention_decoder import DecoderSession

LEFT_OUT = LeftOut(1000, 0.1, 3)


@pytest.fixture
def network() -> SpellingNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = SpellingNetwork("abcd'", ["AA", "B", "K"], left_out=LEFT_OUT)
    made.model.eval()
    return made


@torch.inference_mode()
def one_by_one(network: SpellingNetwork, word: str, way: tuple[str, ...]) -> float:
    """The log probability of a pronunciation, a phone after the other, as a search computes it."""
    letters = torch.zeros(1, len(word), len(network.letters))
    for place, letter in enumerate(word):
        letters[0, place, network.letters.index(letter)] = 1
    decoder = network.model.decoder
    session = DecoderSession(decoder, network.model.vectors(letters))
    total, before = 0.0, decoder.end
    for label in [*(network.phones.index(phone) for phone in way), decoder.end]:
        total += float(session.advance(torch.tensor([before]), torch.tensor([0]))[0, label])
        before = label
    return total


def test_scores_are_those_of_one_phone_after_the_other(network):
    for word in ("a", "abba'd"):
        ways = [("AA",), ("B", "AA", "B", "B"), ("K", "K")]
        found = network.log_probs(word, ways)
        assert found == pytest.approx([one_by_one(network, word, way) for way in ways], abs=1e-4)
        assert network.log_probs(word, ways[1:2]) == pytest.approx(found[1:2], abs=1e-5)


def test_scores_are_probabilities(network):
    """What all pronunciations up to a length have is what their prefixes leave."""
    ways = [w for n in (1, 2, 3) for w in itertools.product(network.phones, repeat=n)]
    total = sum(math.exp(score) for score in network.log_probs("dab", ways))
    assert 0 < total < 1


def test_what_it_knows(network):
    assert network.knows("cab'd", [("AA",), ("B", "K")])
    assert not network.knows("cabé", [("AA",)])
    assert not network.knows("cab", [("AA",), ("ZH",)])


def test_file(network, tmp_path):
    path = tmp_path / "network.safetensors"
    network.save(path)
    again = SpellingNetwork.load(path)
    assert (again.letters, again.phones, again.left_out) == ("abcd'", ("AA", "B", "K"), LEFT_OUT)
    ways = [("AA", "B"), ("K",)]
    assert again.log_probs("bad", ways) == pytest.approx(network.log_probs("bad", ways), abs=0.01)
    assert not again.model.training
    assert not any(weight.requires_grad for weight in again.model.parameters())
    assert path.stat().st_size < 2.2 * network.model.num_weights
    network.left_out = None
    network.save(path)
    assert SpellingNetwork.load(path).left_out is None


@pytest.mark.parametrize("damage", ["missing", "text", "cut", "no facts", "another head", "shape"])
def test_a_damaged_file_is_named(network, tmp_path, damage):
    path = tmp_path / "network.safetensors"
    network.save(path)
    weights = load_file(path)
    facts = {"letters": "abcd'", "phones": ["AA", "B", "K"], "left_out": None}
    facts |= {"encoder": network.model.config.to_dict(), "head": network.model.head.to_dict()}
    if damage == "missing":
        path.unlink()
    elif damage == "text":
        path.write_text("no weights")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "no facts":
        save_file(weights, path)
    elif damage == "another head":
        save_file(weights, path, {FACTS: json.dumps(facts | {"head": {"kind": "ctc"}})})
    else:
        save_file(weights, path, {FACTS: json.dumps(facts | {"letters": "abc"})})
    with pytest.raises(ConfigError, match="network.safetensors: is no network of pronunciations"):
        SpellingNetwork.load(path)


def test_training_learns_a_language_with_a_rule():
    """Of three letters; a c before an a is K, and S before anything else."""
    words = ["".join(w) for n in (1, 2, 3, 4) for w in itertools.product("abc", repeat=n)]
    entries = []
    for word in words:
        pairs = zip(word, word[1:] + "-")
        way = [{"a": "AA", "b": "B"}.get(one) or ("K" if two == "a" else "S") for one, two in pairs]
        entries.append((word, tuple(way)))
    held_out, entries = entries[::7], [e for i, e in enumerate(entries) if i % 7]
    network = train_network(entries, epochs=60, seed=1, left_out=LEFT_OUT)
    assert network.left_out == LEFT_OUT and not network.model.training
    right = 0
    for word, way in held_out:
        others = [w for w in itertools.product(network.phones, repeat=len(way)) if w != way]
        scores = network.log_probs(word, [way, *others])
        right += int(np.argmax(scores)) == 0
    assert right >= 0.8 * len(held_out)
    again = train_network(entries[:20], epochs=1, seed=1).log_probs("ab", [("AA", "B")])
    assert again == train_network(entries[:20], epochs=1, seed=1).log_probs("ab", [("AA", "B")])


def test_what_the_package_brings():
    path = Path(resource("data", NETWORK))
    assert path.stat().st_size < 4_000_000
    network = SpellingNetwork.load(path)
    assert set(network.letters) == set("abcdefghijklmnopqrstuvwxyz'") and len(network.phones) == 39
    assert network.left_out is not None and network.left_out.share == 0.1
    right, wrong = network.log_probs("blorf", [tuple("B L AO R F".split()), ("B", "L", "OW", "R")])
    assert right > -2 and right > wrong + 2
