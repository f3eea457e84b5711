"""Babble: the noise of many people who talk at once, mixed from training utterances.

Recorded noises seldom hold voices, and those of the recipe ``english`` none. In a café or a class,
though, the noise is speech. Here each noise is the sum of the energies of several utterances, which
begin at random places and have the same mean energy: with six talkers nobody can say whose words to
write, and the model learns to listen to the one in front (as MUSAN's babble does, Snyder et al.
2015).
"""

from __future__ import annotations

import numpy as np

from speechattn.training.updates.inputs import LabelledSet

TALKERS = 6
FRAMES = 500  # of 10 ms, of each noise


def babble(train: LabelledSet, count: int, seed: int) -> list[np.ndarray]:
    """Mix noises of :data:`TALKERS` talkers each.

    Args:
        train: training set, of log-mel frames.
        count: number of noises.
        seed: of the draws.

    Returns:
        Log-mel frames, float16, shape (:data:`FRAMES`, bins) each.
    """
    rng = np.random.default_rng([seed, count])
    noises = []
    for _ in range(count):
        chosen = rng.integers(len(train.entries), size=TALKERS)
        talkers = [_looped(train.frames(train.entries[i]), rng) for i in chosen]
        noises.append(np.logaddexp.reduce(talkers).astype(np.float16))
    return noises


def _looped(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Repeat an utterance from a random frame on; its mean energy is 1."""
    start = rng.integers(len(frames))
    looped = frames[(start + np.arange(FRAMES)) % len(frames)].astype(np.float64)
    return looped - np.log(np.exp(looped).mean())
