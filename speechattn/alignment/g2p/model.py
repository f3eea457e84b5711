"""Pronunciations of words that no dictionary has, from n-grams of graphones.

The most probable sequence of graphones that spells a word says how it is pronounced (Bisani and
Ney 2008, "Joint-sequence models for grapheme-to-phoneme conversion"). Words are read from their
end: in English, what a vowel stands for depends more on what follows it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from speechattn.alignment.g2p.estimate import Order
from speechattn.alignment.g2p.graphones import Graphone

BEAM = 9.0  # nats; what is worse than the best by more is given up
MOST_STATES = 120  # that are kept for each number of letters
MOST_KEPT = 50_000  # continuations of states that are remembered; 1 kB each


class Pronunciation(NamedTuple):
    """One way to say a word.

    Attributes:
        phones: labels.
        probability: among the ways that were found.
    """

    phones: tuple[str, ...]
    probability: float


class _Path(NamedTuple):
    """The best way to spell the last letters of a word that ends in some state."""

    score: float
    before: _Path | None
    graphone: int


class GraphoneModel:
    """N-grams of graphones.

    Args:
        graphones: what each token stands for; the two greatest tokens, for the beginning and the
            end of a word, are not among them.
        orders: the n-grams, as :func:`~speechattn.alignment.g2p.estimate.estimate` returns them.
    """

    def __init__(self, graphones: Sequence[Graphone], orders: Sequence[Order]) -> None:
        self.graphones = list(graphones)
        self.orders = list(orders)
        self._end = len(self.graphones) + 1
        # One numbering of all n-grams, the empty one first; each is a state.
        offsets = np.cumsum([1, *(len(order) for order in orders)])
        empty = Order(*(np.zeros(1, dtype=np.int64) for _ in range(5)))
        both = [empty, *orders]
        self._log_prob = np.concatenate([order.log_prob for order in both]).astype(np.float32)
        self._back_off = np.concatenate([order.back_off for order in both]).astype(np.float32)
        self._token = np.concatenate([order.token for order in both]).astype(np.int32)
        suffix, first = [np.zeros(1 + len(orders[0]), dtype=np.int64)], []
        for n, order in enumerate(orders):
            if n:
                suffix.append(order.suffix + offsets[n - 1])
            histories = np.arange(offsets[n] - (offsets[n - 1] if n else 0))
            first.append(np.searchsorted(order.history, histories) + offsets[n])
        first.append(np.full(len(orders[-1]) + 1, offsets[-1]))
        self._first = np.concatenate(first).astype(np.int32)
        self._suffix = np.concatenate(suffix).astype(np.int32)
        # A state without continuations is as good as the one without its first token.
        self._target = np.arange(len(self._suffix), dtype=np.int32)
        childless = self._first[:-1] == self._first[1:]
        for n in range(1, len(offsets)):
            part = slice(offsets[n - 1], offsets[n])
            shorter = self._target[self._suffix[part]]
            self._target[part] = np.where(childless[part], shorter, self._target[part])
        self._begin_state = int(self._target[1 + len(self.graphones)])
        self._by_letters: dict[str, list[int]] = {}
        for token, (letters, _) in enumerate(self.graphones):
            self._by_letters.setdefault(letters, []).append(token)
        self._candidates: dict[str, dict[int, int]] = {}
        self._next: dict[tuple[int, str], tuple[np.ndarray, np.ndarray]] = {}
        self.letters = frozenset("".join(letters for letters, _ in self.graphones))

    def pronounce(self, word: str, most: int = 1) -> list[Pronunciation]:
        """Return the most probable ways to say a word.

        Args:
            word: in lower case.
            most: how many to return.

        Returns:
            The most probable first; none for a word of other letters than the model's.
        """
        if not word or not set(word) <= self.letters:
            return []
        agenda: list[dict[int, _Path]] = [{} for _ in range(len(word) + 1)]
        agenda[-1][self._begin_state] = _Path(0.0, None, -1)
        for place in range(len(word), 0, -1):
            self._extend(word[:place], agenda)
        return self._best(agenda[0], most)

    def _extend(self, rest: str, agenda: list[dict[int, _Path]]) -> None:
        """Extend all paths that leave the letters of ``rest`` by the next graphone."""
        paths = agenda[len(rest)]
        if not paths:
            return
        ahead = rest[-2:]
        tokens = list(self._tokens(ahead))
        least = max(path.score for path in paths.values()) - BEAM
        kept = sorted(paths.items(), key=lambda item: -item[1].score)[:MOST_STATES]
        for state, path in kept:
            if path.score < least:
                break
            log_probs, states = self._continued(state, ahead)
            scores = path.score + log_probs
            for index in np.flatnonzero(scores > least - BEAM):
                token, score = tokens[index], float(scores[index])
                reached = agenda[len(rest) - len(self.graphones[token][0])]
                target = int(states[index])
                other = reached.get(target)
                if other is None or other.score < score:
                    reached[target] = _Path(score, path, token)

    def _tokens(self, ahead: str) -> dict[int, int]:
        """The tokens that spell the next letter or the next two → their places in a list."""
        found = self._candidates.get(ahead)
        if found is None:
            both = self._by_letters.get(ahead, []) if len(ahead) > 1 else []
            tokens = [*self._by_letters.get(ahead[-1:], []), *both] if ahead else [self._end]
            found = {token: index for index, token in enumerate(tokens)}
            self._candidates[ahead] = found
        return found

    def _continued(self, state: int, ahead: str) -> tuple[np.ndarray, np.ndarray]:
        """Log probability of each of the next tokens after a state, and the states they lead to.

        Args:
            state: a history.
            ahead: the next two letters as they are written, or the only one that is left, or ""
                where all are spelled.
        """
        known = self._next.get((state, ahead))
        if known is not None:
            return known
        tokens = self._tokens(ahead)
        if state:
            log_probs, states = self._continued(int(self._suffix[state]), ahead)
            log_probs, states = log_probs + self._back_off[state], states.copy()
        else:
            log_probs = np.full(len(tokens), -math.inf)
            states = np.zeros(len(tokens), dtype=np.int64)
        begin, end = int(self._first[state]), int(self._first[state + 1])
        for node, token in enumerate(self._token[begin:end].tolist(), begin):
            index = tokens.get(token)
            if index is not None:
                log_probs[index] = self._log_prob[node]
                states[index] = self._target[node]
        if len(self._next) >= MOST_KEPT:
            self._next.clear()
        self._next[state, ahead] = log_probs, states
        return log_probs, states

    def _best(self, ends: dict[int, _Path], most: int) -> list[Pronunciation]:
        """The best of the paths that spell the whole word, those of the same phones together."""
        totals: dict[tuple[str, ...], float] = {}
        for state, path in ends.items():
            score = path.score + float(self._continued(state, "")[0][0])
            phones: list[str] = []
            step: _Path | None = path
            while step is not None and step.before is not None:
                phones += self.graphones[step.graphone][1]
                step = step.before
            if phones:
                way = tuple(phones)
                totals[way] = float(np.logaddexp(totals.get(way, -math.inf), score))
        if not totals:
            return []
        greatest = max(totals.values())
        shares = {way: math.exp(score - greatest) for way, score in totals.items()}
        whole = sum(shares.values())
        ranked = sorted(shares.items(), key=lambda item: -item[1])
        return [Pronunciation(way, share / whole) for way, share in ranked[:most]]
