"""AH or IH: weak vowels by their sound alone.

A model that was trained on the dictionary's labels knows words by their sound, and hears in
"wanted" the AH that the dictionary has there. Realignment with its posteriors can therefore not
say which of the two a weak vowel was. Here two phones are told apart by a logistic regression on
the vowel's own frames, which knows no word: it learns from words of one syllable, where the
dictionary is right ("but", "come"; "big", "this"), and judges all the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from speechattn.errors import CorpusError
from speechattn.segments import FrameSegment

SPAN = 3  # frames that are averaged, centred on the one that is judged; 30 ms
RIDGE = 3.0  # of the weights, in units of their standard deviations
ITERATIONS = 15  # of Newton's method, which has converged by then
LEAST_EXAMPLES = 50  # of either vowel
SPEECH = 0.5  # least probability of speech in frames that an utterance's mean is taken of


@dataclass(frozen=True)
class VowelEvidence:
    """Log odds of one vowel against another in a frame.

    Attributes:
        phones: classes of both; log odds are of the second.
        weights: of a frame less the mean over the utterance's speech, shape (bins,).
        offset: is added.
    """

    phones: tuple[int, int]
    weights: np.ndarray
    offset: float

    @classmethod
    def learn(
        cls, phones: tuple[int, int], examples: Iterable[tuple[np.ndarray, int]]
    ) -> VowelEvidence:
        """Fit it; both vowels count alike, however many examples each has.

        Args:
            phones: classes of both.
            examples: as :func:`vowel_frames` gives them, and the class of each.

        Raises:
            CorpusError: if there are too few of either.
        """
        pairs = [(frame, phone) for frame, phone in examples if phone in phones]
        second = np.array([phone == phones[1] for _, phone in pairs], dtype=np.float64)
        least = int(min(second.sum(), len(second) - second.sum())) if pairs else 0
        if least < LEAST_EXAMPLES:
            raise CorpusError(
                f"reductions: {least} examples of a vowel in words of one syllable, and "
                f"{LEAST_EXAMPLES} are needed; realign more speech, or leave reductions out"
            )
        frames = np.stack([frame for frame, _ in pairs]).astype(np.float64)
        mean, deviation = frames.mean(0), frames.std(0) + 1e-3
        columns = np.hstack([(frames - mean) / deviation, np.ones((len(frames), 1))])
        share = second.mean()
        count = np.where(second > 0, 0.5 / share, 0.5 / (1 - share))
        penalty = np.append(np.full(frames.shape[1], RIDGE), 0.0)
        solution = np.zeros(columns.shape[1])
        for _ in range(ITERATIONS):
            chance = 1 / (1 + np.exp(-np.clip(columns @ solution, -30, 30)))
            slope = columns.T @ (count * (chance - second)) + penalty * solution
            curve = (columns * (count * chance * (1 - chance))[:, None]).T @ columns
            solution -= np.linalg.solve(curve + np.diag(penalty + 1e-6), slope)
        weights = solution[:-1] / deviation
        return cls(phones, weights, float(solution[-1] - weights @ mean))

    def log_odds(self, frames: np.ndarray, log_posteriors: np.ndarray, silence: int) -> np.ndarray:
        """Of the second phone against the first in every frame, shape (frames,).

        Args:
            frames: log-mel energies, shape (frames, bins).
            log_posteriors: shape (frames, phones).
            silence: its class.
        """
        centred = _centred(frames, np.exp(log_posteriors[:, silence]) < SPEECH)
        return _averaged(centred @ self.weights) + self.offset

    def applied(
        self, log_posteriors: np.ndarray, frames: np.ndarray, silence: int, threshold: float
    ) -> np.ndarray:
        """Log posteriors in which the two vowels share what they had together by these odds.

        Args:
            log_posteriors: shape (frames, phones).
            frames: log-mel energies, shape (frames, bins).
            silence: its class.
            threshold: log odds at which both are as probable.

        Returns:
            Shape (frames, phones), float32.
        """
        first, second = self.phones
        odds = self.log_odds(frames, log_posteriors, silence) - threshold
        both = np.logaddexp(log_posteriors[:, first], log_posteriors[:, second])
        changed = log_posteriors.astype(np.float32, copy=True)
        changed[:, first] = both - np.logaddexp(0, odds)
        changed[:, second] = both - np.logaddexp(0, -odds)
        return changed


def vowel_frames(
    frames: np.ndarray, speech: np.ndarray, runs: Sequence[FrameSegment]
) -> list[np.ndarray]:
    """What is known of the middle of some vowels, shape (bins,) each.

    Args:
        frames: log-mel energies of an utterance, shape (frames, bins).
        speech: whether there is speech in each frame, shape (frames,).
        runs: the vowels.
    """
    centred = _centred(frames, speech)
    found = []
    for run in runs:
        middle = (run.start + run.end) // 2
        start = max(run.start, middle - SPAN // 2)
        found.append(centred[start : min(run.end, start + SPAN)].mean(0))
    return found


def _centred(frames: np.ndarray, speech: np.ndarray) -> np.ndarray:
    """Frames less their mean where there is speech."""
    chosen = frames[speech] if speech.any() else frames
    return frames.astype(np.float32) - chosen.mean(0, dtype=np.float32)


def _averaged(values: np.ndarray) -> np.ndarray:
    """The mean over ``SPAN`` frames around each, shape (frames,)."""
    padded = np.pad(values, SPAN // 2, mode="edge")
    return np.convolve(padded, np.full(SPAN, 1 / SPAN), mode="valid")
