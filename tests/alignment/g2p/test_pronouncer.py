"""Letters and known words together: scores by the definition."""

from __future__ import annotations

import math

import pytest

from speechattn.alignment.g2p import pronouncer
from speechattn.alignment.g2p.analogy import Analogies
from speechattn.alignment.g2p.model import Pronunciation
from speechattn.alignment.g2p.pronouncer import Pronouncer

ED = {"ed": {"": {"N": [((), ("D",), 90), ((), ("AH", "D"), 5)]}}}
RE = {"er": {"": {"P": [((), ("IY", "R"), 60)]}}}  # "re" and what it adds, from right to left


class Graphones:
    """Proposes what it is told."""

    letters = frozenset("abcdefghijklmnopqrstuvwxyz")

    def __init__(self, **shares: float) -> None:
        self.guesses = [Pronunciation(tuple(w.split("_")), share) for w, share in shares.items()]

    def pronounce(self, word: str, most: int) -> list[Pronunciation]:
        return self.guesses[:most] if set(word) <= self.letters else []


def model(graphones: Graphones, ends=None, fronts=None) -> Pronouncer:
    return Pronouncer(graphones, Analogies(ends or {}), Analogies(fronts or {}, front=True))


def lookup(word: str) -> list[tuple[str, ...]]:
    known = {"plan": [("P", "L", "AE", "N")], "replan": [("R", "IY", "P", "L", "AE", "N")],
             "planed": [("P", "L", "AE", "N", "D")]}  # fmt: skip
    return known.get(word, [])


def test_a_known_word_outweighs_the_letters():
    letters = Graphones(R_EH_P_L_EY_N_D=0.6, R_IY_P_L_AE_N_D=0.3, R_IY_P_L_AE_N_AH_D=0.1)
    found = model(letters, ED).pronounce("replaned", 9, lookup)
    assert found[0].phones == ("R", "IY", "P", "L", "AE", "N", "D")
    odds = {
        0.6: 0.3 * (1 - 0.95),  # the rule does not have it
        0.3: 0.9,
        0.1: 0.05,
    }
    shares = {
        share: share**pronouncer.GRAPHONE_WEIGHT
        * max(pronouncer.LEAST_PROBABILITY, by_rule) ** pronouncer.END_WEIGHT
        for share, by_rule in odds.items()
    }
    whole = sum(shares.values())
    assert sorted(guess.probability for guess in found) == pytest.approx(
        sorted(share / whole for share in shares.values())
    )
    # Without known words, and with a model that has no rules, the letters decide.
    for guesses in (
        model(letters, ED).pronounce("replaned", 9),
        model(letters, ED).pronounce("replaned", 9, lambda word: []),
        model(letters).pronounce("replaned", 9, lookup),
    ):
        assert [guess.probability for guess in guesses] == [0.6, 0.3, 0.1]


def test_known_words_propose_what_the_letters_do_not():
    found = model(Graphones(R_EH_D=1.0), ED, RE).pronounce("replaned", 9, lookup)
    assert found[0].phones == ("R", "IY", "P", "L", "AE", "N", "D")
    assert sum(guess.probability for guess in found) == pytest.approx(1.0)
    assert {guess.phones for guess in found} == {found[0].phones, ("R", "EH", "D")}
    assert len(model(Graphones(R_EH_D=1.0), ED).pronounce("replaned", 1, lookup)) == 1


def test_several_known_words_count_by_how_far_they_are_trusted():
    sure = pronouncer.Evidence({("A",): 0.9}, 0.1)
    unsure = pronouncer.Evidence({("B",): 0.45}, 0.55)
    weights = [0.9**pronouncer.SHARPNESS, 0.45**pronouncer.SHARPNESS]
    logs = [math.log(0.9), math.log(pronouncer.REST_SHARE * 0.55)]
    expected = sum(w * each for w, each in zip(weights, logs)) / sum(weights)
    assert pronouncer._mean_log_prob(("A",), [sure, unsure]) == pytest.approx(expected)
    assert pronouncer._mean_log_prob(("A",), []) == 0.0


class Network:
    """Gives every pronunciation the log probability that it is told, or -9."""

    def __init__(self, letters: str, **log_probs: float) -> None:
        self.letters = letters
        self.told = {tuple(way.split("_")): value for way, value in log_probs.items()}

    def knows(self, word: str, ways: list[tuple[str, ...]]) -> bool:
        return set(word) <= set(self.letters)

    def log_probs(self, word: str, ways: list[tuple[str, ...]]) -> list[float]:
        return [self.told.get(way, -9.0) for way in ways]


def test_a_network_has_its_say():
    graphones = Graphones(R_EH_D=0.7, R_IY_D=0.3)
    with_network = model(graphones)
    with_network.network = Network("read", R_EH_D=-3.0, R_IY_D=-0.1)
    for lookup_ in (None, lookup):  # no known word is like it
        found = with_network.pronounce("read", 2, lookup_)
        assert [guess.phones for guess in found] == [("R", "IY", "D"), ("R", "EH", "D")]
        own, _, _, by_network = pronouncer.WITH_NETWORK
        odds = math.log(found[0].probability / found[1].probability)
        assert odds == pytest.approx(own * math.log(0.3 / 0.7) + by_network * 2.9)
    # It cannot overrule everything.
    with_network.network = Network("read", R_IY_D=-0.1)
    found = with_network.pronounce("read", 2)
    odds = math.log(found[0].probability / found[1].probability)
    most = pronouncer.MOST_BY_NETWORK
    assert odds == pytest.approx(own * math.log(0.3 / 0.7) + by_network * most)
    # Letters that it does not know are the others' business.
    assert [g.probability for g in with_network.pronounce("redo", 2)] == [0.7, 0.3]
    assert with_network.pronounce("тон") == []


def test_a_network_and_known_words_together():
    graphones = Graphones(R_EH_P_L_EY_N_D=1.0)
    both = model(graphones, ED)
    both.network = Network("replaned", R_IY_P_L_AE_N_D=-1.0, R_EH_P_L_EY_N_D=-2.0)
    found = both.pronounce("replaned", 2, lookup)
    letters, ends, _, by_network = pronouncer.WITH_NETWORK
    by_end = math.log(0.9) - math.log(max(pronouncer.LEAST_PROBABILITY, 0.3 * (1 - 0.95)))
    odds = letters * pronouncer.LEAST_LOG_PROB + ends * by_end + by_network
    assert found[0].phones == ("R", "IY", "P", "L", "AE", "N", "D")
    assert math.log(found[0].probability / found[1].probability) == pytest.approx(odds)


def test_other_letters_have_no_pronunciation():
    assert model(Graphones(T_AH_N=1.0)).pronounce("тон", 3, lookup) == []
