"""Pronunciations of words that no dictionary has, from their letters and from words like them.

The n-grams of graphones propose pronunciations, and so do known words by analogy. Each proposal is
scored by both, and by a network, in logarithms with weights that were fitted to words left out of a
dictionary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from speechattn.alignment.g2p.analogy import Analogies, Evidence, Lookup, Way
from speechattn.alignment.g2p.model import GraphoneModel, Pronunciation

if TYPE_CHECKING:
    from speechattn.alignment.g2p.network import SpellingNetwork

PROPOSALS = 10  # of the n-grams
LEAST_SHARE = 0.5  # of the probability by an analogy that makes it a proposal
LEAST_LOG_PROB = -8.0  # by the n-grams, of what they did not propose
GRAPHONE_WEIGHT, END_WEIGHT, FRONT_WEIGHT = 0.5, 0.92, 0.63
_WITHOUT = (GRAPHONE_WEIGHT, END_WEIGHT, FRONT_WEIGHT, 0.0)
WITH_NETWORK = (0.46, 1.27, 0.67, 0.66)  # the same beside a network, and its own
# Nats by which the network may prefer one pronunciation to another. With more, it would overrule
# a user's lexicon, whose words may be said as no others are.
MOST_BY_NETWORK = 4.0
SHARPNESS = 8  # how much more analogies count that hold more often
REST_SHARE = 0.3  # of the probability that an analogy leaves, for each pronunciation it lacks
LEAST_PROBABILITY = 0.02  # by an analogy


class Pronouncer:
    """Says how words are pronounced.

    Args:
        graphones: the n-grams.
        ends: rules about the ends of words; none in models of earlier versions.
        fronts: rules about their beginnings.
        network: None for none.
    """

    def __init__(
        self,
        graphones: GraphoneModel,
        ends: Analogies,
        fronts: Analogies,
        network: SpellingNetwork | None = None,
    ) -> None:
        self.graphones = graphones
        self.ends, self.fronts, self.network = ends, fronts, network
        self.letters = graphones.letters

    def pronounce(
        self, word: str, most: int = 1, lookup: Lookup | None = None
    ) -> list[Pronunciation]:
        """Return the most probable ways to say a word.

        Args:
            word: in lower case.
            most: how many to return.
            lookup: finds the pronunciations of known words, none for others.

        Returns:
            The most probable first; none for a word of other letters than the model's.
        """
        proposed = self.graphones.pronounce(word, max(most, PROPOSALS))
        if not proposed:
            return []
        ends: Sequence[Evidence] = ()
        fronts: Sequence[Evidence] = ()
        if lookup is not None:
            ends, fronts = (side.evidence(word, lookup) for side in (self.ends, self.fronts))
        scores = _proposals(proposed, ends, fronts)
        network, ways = self.network, list(scores)
        if network is not None and network.knows(word, ways):
            weights, by_network = WITH_NETWORK, network.log_probs(word, ways)
            least = max(by_network) - MOST_BY_NETWORK
            by_network = [max(least, log_prob) for log_prob in by_network]
        elif ends or fronts:
            weights, by_network = _WITHOUT, [0.0] * len(ways)
        else:
            return proposed[:most]
        for way, log_prob in zip(ways, by_network):
            by_each = scores[way], _mean_log_prob(way, ends), _mean_log_prob(way, fronts), log_prob
            scores[way] = sum(w * each for w, each in zip(weights, by_each))
        return _ranked(scores)[:most]


def _proposals(
    proposed: Sequence[Pronunciation], ends: Sequence[Evidence], fronts: Sequence[Evidence]
) -> dict[Way, float]:
    """What the n-grams and analogies propose, and its log probability by the n-grams."""
    scores = {
        guess.phones: max(LEAST_LOG_PROB, math.log(max(guess.probability, 1e-9)))
        for guess in proposed
    }
    for evidence in (*ends, *fronts):
        for way, share in evidence.ways.items():
            if share > LEAST_SHARE:
                scores.setdefault(way, LEAST_LOG_PROB)
    return scores


def _ranked(scores: Mapping[Way, float]) -> list[Pronunciation]:
    """Pronunciations and their probabilities, the most probable first."""
    greatest = max(scores.values())
    shares = {way: math.exp(score - greatest) for way, score in scores.items()}
    whole = sum(shares.values())
    ranked = sorted(shares.items(), key=lambda item: -item[1])
    return [Pronunciation(way, share / whole) for way, share in ranked]


def _mean_log_prob(way: Way, evidence: Sequence[Evidence]) -> float:
    """Of a pronunciation by all analogies; those count more that hold more often."""
    if not evidence:
        return 0.0
    total = weights = 0.0
    for each in evidence:
        weight = max(each.ways.values()) ** SHARPNESS
        share = each.ways.get(way) or REST_SHARE * each.rest
        total += weight * math.log(max(LEAST_PROBABILITY, share))
        weights += weight
    return total / weights
