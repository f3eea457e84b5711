"""Speaker balance: how often the utterances of each speaker are used in an epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MIN_TURNS, MAX_TURNS = 0.4, 3.0  # of an utterance in an epoch
TURN_ROUNDS = 20  # of scaling and clipping


def turns_in_epoch(
    corpora: Sequence[str], speakers: Sequence[str], lengths: Sequence[int], balance: float
) -> np.ndarray:
    """Compute how often each utterance comes in an epoch, so that many speakers count.

    Args:
        corpora: corpus of each utterance; every corpus keeps its share of the frames.
        speakers: speaker of each utterance, within its corpus.
        lengths: frames of each utterance.
        balance: 0 for once each, 1 for as many frames of every speaker as ``MIN_TURNS`` and
            ``MAX_TURNS`` allow; values between are powers.

    Returns:
        Shape (utterances,).
    """
    turns, sizes = np.ones(len(speakers)), np.array(lengths)
    for corpus in dict.fromkeys(corpora) if balance else ():
        own = np.flatnonzero(np.array(corpora) == corpus)
        names, number = np.unique(np.array(speakers)[own], return_inverse=True)
        frames = np.bincount(number, sizes[own], len(names))
        values = frames[number].clip(1) ** -balance
        for _ in range(TURN_ROUNDS):
            values *= sizes[own].sum() / (values @ sizes[own])
            values = values.clip(MIN_TURNS, MAX_TURNS)
        turns[own] = values
    return turns
