"""Mixtures of Gaussians over cepstra, one for each state: what a flat start hears with at first.

Cepstra with their first and second differences, less their mean over the utterance (Davis &
Mermelstein, 1980; Furui, 1981). Mixtures grow by splitting the heaviest part (Young et al., The
HTK Book).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CEPSTRA = 13
SPLIT = 0.2  # standard deviations by which the halves of a part move apart
ITERATIONS = 3  # of expectation and maximisation in each round
FEWEST_FRAMES = 15  # of a state, for a mixture of its own
LEAST_FRAMES = 50  # of a state, for each part of its mixture
LEAST_VARIANCE = 0.05  # share of the variance of all frames


def cepstra(log_mel: np.ndarray) -> np.ndarray:
    """Cepstra and their differences.

    Args:
        log_mel: frames of an utterance, shape (frames, bins).

    Returns:
        float32, shape (frames, 3 * CEPSTRA).
    """
    from scipy.fft import dct

    plain = dct(log_mel, axis=1, norm="ortho")[:, :CEPSTRA]
    plain = plain - plain.mean(0)
    first = _differences(plain)
    return np.concatenate([plain, first, _differences(first)], 1).astype(np.float32)


def _differences(x: np.ndarray) -> np.ndarray:
    """Slopes over five frames."""
    padded = np.pad(x, ((2, 2), (0, 0)), mode="edge")
    count = len(x)
    near = padded[3 : 3 + count] - padded[1 : 1 + count]
    far = padded[4 : 4 + count] - padded[:count]
    return (near + 2 * far) / 10


class Mixtures:
    """The mixtures of all states.

    Args:
        num_states: number of states.
    """

    def __init__(self, num_states: int) -> None:
        self._mixtures: list[_Mixture | None] = [None] * num_states
        self._weights = np.zeros((0, 0), np.float32)  # (2 * dim, parts of all states)
        self._constants = np.zeros(0, np.float32)
        self._counts = self._firsts = np.zeros(0, np.int64)  # parts of each state

    def learn(self, frames: np.ndarray, labels: np.ndarray, parts: Sequence[int]) -> None:
        """Fit the mixtures to labelled frames; they begin with those of the round before.

        Args:
            frames: of all utterances, shape (frames, dim).
            labels: state of each frame, shape (frames,).
            parts: of each mixture, at most.
        """
        mean, variance = frames.mean(0, dtype=np.float64), frames.var(0, dtype=np.float64)
        whole = _Mixture(mean[None], variance[None], np.ones(1))
        floor = LEAST_VARIANCE * variance
        order = np.argsort(labels, kind="stable")
        firsts = np.searchsorted(labels[order], np.arange(len(self._mixtures) + 1))
        for state, most in enumerate(parts):
            own = frames[order[firsts[state] : firsts[state + 1]]].astype(np.float64)
            if len(own) >= FEWEST_FRAMES:
                self._mixtures[state] = _learnt(self._mixtures[state], own, floor, most)
        self._for_scores([mixture or whole for mixture in self._mixtures])

    def _for_scores(self, mixtures: Sequence[_Mixture]) -> None:
        """Lay out the parts of all mixtures side by side, for one matrix product."""
        squares, plain, constants = zip(*(mixture.terms() for mixture in mixtures))
        self._counts = np.array([len(each) for each in constants])
        self._firsts = np.cumsum(self._counts) - self._counts
        self._weights = np.concatenate([np.hstack(squares), np.hstack(plain)]).astype(np.float32)
        self._constants = np.concatenate(constants).astype(np.float32)

    def scores(self, frames: np.ndarray) -> np.ndarray:
        """Log likelihoods of frames.

        Args:
            frames: shape (frames, dim).

        Returns:
            float32, shape (frames, states); a state that was never seen fits any frame alike.
        """
        both = np.concatenate([frames**2, frames], 1).astype(np.float32)
        parts = both @ self._weights + self._constants
        best = np.maximum.reduceat(parts, self._firsts, axis=1)
        shares = np.exp(parts - np.repeat(best, self._counts, axis=1))
        return best + np.log(np.add.reduceat(shares, self._firsts, axis=1))


class _Mixture:
    """Gaussians with diagonal covariances: means and variances (parts, dim), weights (parts,)."""

    def __init__(self, means: np.ndarray, variances: np.ndarray, weights: np.ndarray) -> None:
        self.means, self.variances, self.weights = means, variances, weights

    def terms(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What squares of frames, frames and nothing are multiplied by in log likelihoods.

        Returns:
            Arrays of shape (dim, parts), (dim, parts) and (parts,).
        """
        inverse = 1 / self.variances
        constant = np.log(2 * np.pi * self.variances).sum(1) + (self.means**2 * inverse).sum(1)
        return -0.5 * inverse.T, (self.means * inverse).T, np.log(self.weights) - 0.5 * constant

    def parts(self, frames: np.ndarray) -> np.ndarray:
        """Log likelihoods of the weighted parts, shape (frames, parts)."""
        squares, plain, constant = self.terms()
        return frames**2 @ squares + frames @ plain + constant

    def split(self) -> _Mixture:
        """The heaviest part made two."""
        heaviest = int(self.weights.argmax())
        apart = SPLIT * np.sqrt(self.variances[heaviest])
        means = np.concatenate([self.means, self.means[heaviest : heaviest + 1] + apart])
        means[heaviest] -= apart
        variances = np.concatenate([self.variances, self.variances[heaviest : heaviest + 1]])
        weights = np.append(self.weights, self.weights[heaviest] / 2)
        weights[heaviest] /= 2
        return _Mixture(means, variances, weights)

    def fitted(self, frames: np.ndarray, floor: np.ndarray) -> _Mixture:
        """One step of expectation and maximisation; variances stay above a floor."""
        logs = self.parts(frames)
        shares = np.exp(logs - logs.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        counts = shares.sum(0) + 1e-3
        means = (shares.T @ frames) / counts[:, None]
        variances = (shares.T @ frames**2) / counts[:, None] - means**2
        return _Mixture(means, np.maximum(variances, floor), counts / counts.sum())


def _learnt(before: _Mixture | None, frames: np.ndarray, floor: np.ndarray, parts: int) -> _Mixture:
    """A mixture of so many parts, as far as there are frames for them."""
    if before is None:
        variance = np.maximum(frames.var(0), floor)
        before = _Mixture(frames.mean(0)[None], variance[None], np.ones(1))
    while len(before.weights) < min(parts, len(frames) // LEAST_FRAMES):
        before = before.split()
    for _ in range(ITERATIONS):
        before = before.fitted(frames, floor)
    return before
