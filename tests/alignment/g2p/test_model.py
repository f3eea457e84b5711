"""Pronunciations from graphones: the best of all."""

from __future__ import annotations

import itertools
import math

import pytest
from support.small_lexicon import ENTRIES

from speechattn.alignment.g2p.model import GraphoneModel
from speechattn.alignment.g2p.train import train_graphones


@pytest.fixture(scope="module")
def model() -> GraphoneModel:
    return train_graphones(ENTRIES, order=3)


def log_prob(model: GraphoneModel, tokens: list[int]) -> float:
    """Of a whole word, by looking every n-gram up in the orders."""
    names: list[tuple[int, ...]] = [()]
    tables = []
    for order in model.orders:
        names = [(*names[h], t) for h, t in zip(order.history.tolist(), order.token.tolist())]
        tables.append(dict(zip(names, zip(order.log_prob.tolist(), order.back_off.tolist()))))
    begin = len(model.graphones)

    def after(history: tuple[int, ...], token: int) -> float:
        if (*history, token) in tables[len(history)]:
            return tables[len(history)][(*history, token)][0]
        weight = tables[len(history) - 1].get(history, (0.0, 0.0))[1]
        return weight + after(history[1:], token)

    padded = [begin, *tokens, begin + 1]
    most = len(model.orders) - 1
    return sum(after(tuple(padded[max(0, i - most) : i]), padded[i]) for i in range(1, len(padded)))


@pytest.mark.parametrize("word", ["bat", "tats", "phot", "xap"])
def test_the_best_sequence_of_all_is_found(model, word):
    by_letters = {}
    for token, (letters, _) in enumerate(model.graphones):
        by_letters.setdefault(letters, []).append(token)
    totals: dict[tuple[str, ...], list[float]] = {}
    for cuts in itertools.product((0, 1), repeat=len(word) - 1):
        parts, part = [], word[0]
        for letter, cut in zip(word[1:], cuts):
            part, parts = (letter, [*parts, part]) if cut else (part + letter, parts)
        for tokens in itertools.product(*(by_letters.get(p, []) for p in [*parts, part])):
            phones = tuple(p for token in tokens for p in model.graphones[token][1])
            totals.setdefault(phones, []).append(log_prob(model, list(tokens[::-1])))
    best = max(totals, key=lambda phones: max(totals[phones]))
    found = model.pronounce(word, most=5)
    assert found[0].phones == best
    assert math.isclose(sum(guess.probability for guess in model.pronounce(word, 10**6)), 1.0)


def test_words_of_the_dictionary_and_their_like(model):
    assert model.pronounce("pats")[0].phones == ("P", "AE", "T", "S")
    assert model.pronounce("phate")[0].phones == ("F", "EY", "T")
    assert model.pronounce("") == [] and model.pronounce("katze") == []
