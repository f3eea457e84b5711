"""Mixtures of Gaussians over cepstra, one for each phone: what a flat start hears with at first.

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
LEAST_FRAMES = 50  # of a phone, for each part of its mixture
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


class PhoneMixtures:
    """The mixtures of all phones.

    Args:
        num_phones: number of phones, silence included.
    """

    def __init__(self, num_phones: int) -> None:
        self._mixtures: list[_Mixture | None] = [None] * num_phones
        self._whole: _Mixture | None = None

    def learn(self, frames: Sequence[np.ndarray], labels: Sequence[np.ndarray], parts: int) -> None:
        """Fit the mixtures to labelled frames; they begin with those of the round before.

        Args:
            frames: of utterances, shape (frames, dim) each.
            labels: phone of each frame, shape (frames,) each.
            parts: of each mixture, at most.
        """
        every, label = np.concatenate(frames), np.concatenate(labels)
        floor = LEAST_VARIANCE * every.var(0)
        self._whole = _Mixture(every.mean(0)[None], every.var(0)[None], np.ones(1))
        for phone, before in enumerate(self._mixtures):
            own = every[label == phone]
            if len(own) < LEAST_FRAMES:
                continue
            if before is None:
                before = _Mixture(
                    own.mean(0)[None], np.maximum(own.var(0), floor)[None], np.ones(1)
                )
            while len(before.weights) < min(parts, len(own) // LEAST_FRAMES):
                before = before.split()
            for _ in range(ITERATIONS):
                before = before.fitted(own, floor)
            self._mixtures[phone] = before

    def scores(self, frames: np.ndarray) -> np.ndarray:
        """Log likelihoods of frames, less that of the best phone of each frame.

        Args:
            frames: shape (frames, dim).

        Returns:
            float32, shape (frames, phones); a phone that was never seen is as likely as any frame.
        """
        from scipy.special import logsumexp

        assert self._whole is not None
        mixtures = (mixture or self._whole for mixture in self._mixtures)
        scores = np.stack([logsumexp(mixture.parts(frames), axis=1) for mixture in mixtures], 1)
        return (scores - scores.max(1, keepdims=True)).astype(np.float32)


class _Mixture:
    """Gaussians with diagonal covariances: means and variances (parts, dim), weights (parts,)."""

    def __init__(self, means: np.ndarray, variances: np.ndarray, weights: np.ndarray) -> None:
        self.means, self.variances, self.weights = means, variances, weights

    def parts(self, frames: np.ndarray) -> np.ndarray:
        """Log likelihoods of the weighted parts, shape (frames, parts)."""
        inverse = 1 / self.variances
        constant = np.log(2 * np.pi * self.variances).sum(1) + (self.means**2 * inverse).sum(1)
        squares = frames**2 @ inverse.T - 2 * frames @ (self.means * inverse).T
        return np.log(self.weights) - 0.5 * (squares + constant)

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
