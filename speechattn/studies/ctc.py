"""Connectionist temporal classification: label strings without saying where the labels are.

Every vector gets a label or a blank; a string is what remains when repeats are merged and blanks
taken away, and its probability that of all ways to write it so (Graves et al., 2006). Of n labels,
the blank is the last class, n.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from speechattn.checks import whole_number
from speechattn.studies.beamsearch import Hypothesis


def vectors_needed(labels: Sequence[int]) -> int:
    """Fewest vectors that can hold a string: one a label, and a blank between two that are equal."""
    return len(labels) + sum(a == b for a, b in pairwise(labels))


def ctc_loss(log_probs: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
    """Minus the logarithm of the probability of every string.

    Args:
        log_probs: shape (batch, vectors, labels + 1), of the softmax.
        labels: shape (batch, longest string), negative beyond the end of each.
        lengths: vectors of each sequence, shape (batch,).

    Returns:
        Shape (batch,).

    Raises:
        ValueError: if a string needs more vectors than its sequence has: its loss is infinite.
    """
    counts = (labels >= 0).sum(1)
    repeats = ((labels[:, 1:] == labels[:, :-1]) & (labels[:, 1:] >= 0)).sum(1)
    short = lengths.to(labels.device) < counts + repeats
    if short.any():
        which = int(short.nonzero()[0])
        raise ValueError(
            f"labels: {int(counts[which])} of sequence {which} need "
            f"{int(counts[which] + repeats[which])} vectors, and it has {int(lengths[which])}; "
            "leave it out, or make the encoder's stack smaller"
        )
    return F.ctc_loss(
        log_probs.transpose(0, 1),
        labels.clamp(min=0),
        lengths,
        counts,
        blank=log_probs.shape[2] - 1,
        reduction="none",
    )


def ctc_greedy(log_probs: Tensor) -> Hypothesis:
    """The string of the most probable class of every vector; its score is that of this one way.

    Args:
        log_probs: shape (vectors, labels + 1).
    """
    values, classes = log_probs.max(-1)
    return Hypothesis(_collapsed(classes, log_probs.shape[1] - 1), values.sum().item())


class CtcStream:
    """:func:`ctc_greedy` as vectors come in."""

    def __init__(self) -> None:
        self._last: int | None = None

    def push(self, log_probs: Tensor) -> tuple[int, ...]:
        """The labels that new vectors begin; log_probs: shape (new vectors, labels + 1)."""
        classes = log_probs.argmax(-1)
        found = _collapsed(classes, log_probs.shape[1] - 1, self._last)
        if len(classes):
            self._last = int(classes[-1])
        return found


def _collapsed(classes: Tensor, blank: int, before: int | None = None) -> tuple[int, ...]:
    """Classes without repeats and blanks; ``before``: the class of the vector before the first."""
    found, last = [], before
    for label in classes.tolist():
        if label not in (last, blank):
            found.append(label)
        last = label
    return tuple(found)


def ctc_beam_search(log_probs: Tensor, beam: int = 16) -> list[Hypothesis]:
    """The most probable strings, adding up all ways to write each (Hannun et al., 2014).

    Args:
        log_probs: shape (vectors, labels + 1).
        beam: strings that are kept after every vector. With a beam as wide as there are strings, the
            scores are exact; with a narrower one they are lower bounds.

    Returns:
        At most ``beam`` strings, the best first.

    Raises:
        ValueError: for a beam below 1, or probabilities that are NaN.
    """
    whole_number("beam", beam, 1)
    log_p = log_probs.detach().double().cpu().numpy()
    if np.isnan(log_p).any():
        raise ValueError("log_probs: NaN among them")
    labels = log_p.shape[1] - 1
    strings: list[tuple[int, ...]] = [()]
    blank, other = np.zeros(1), np.full(1, -np.inf)  # ways that end in a blank, and in a label
    with np.errstate(invalid="ignore"):
        for frame in log_p:
            blank, other, grown = _extended(strings, blank, other, frame)
            stay = np.logaddexp(blank, other)
            every = np.concatenate([stay, grown.ravel()])
            best = np.argsort(-every, kind="stable")[:beam]
            best = best[every[best] > -np.inf]
            stays, news = best[best < len(stay)], best[best >= len(stay)] - len(stay)
            strings = [strings[i] for i in stays] + [
                (*strings[i // labels], int(i % labels)) for i in news
            ]
            blank = np.concatenate([blank[stays], np.full(len(news), -np.inf)])
            other = np.concatenate([other[stays], grown.ravel()[news]])
    scores = np.logaddexp(blank, other)
    order = np.argsort(-scores, kind="stable")
    return [Hypothesis(strings[i], float(scores[i])) for i in order]


def _extended(
    strings: list[tuple[int, ...]], blank: np.ndarray, other: np.ndarray, frame: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One vector more for every string of the beam.

    Returns:
        Ways that end in a blank and in a label for the strings as they are, shape (strings,), and
        for those with one label more, shape (strings, labels); none of the latter is in the beam.
    """
    total = np.logaddexp(blank, other)
    grown = total[:, None] + frame[:-1]
    stay = np.full(len(strings), -np.inf)
    for i, string in enumerate(strings):
        if string:
            stay[i] = other[i] + frame[string[-1]]
            grown[i, string[-1]] = blank[i] + frame[string[-1]]  # repeated only after a blank
    where = {string: i for i, string in enumerate(strings)}
    for i, string in enumerate(strings):
        parent = where.get(string[:-1]) if string else None
        if parent is not None:
            stay[i] = np.logaddexp(stay[i], grown[parent, string[-1]])
            grown[parent, string[-1]] = -np.inf
    return total + frame[-1], stay, grown


def log_softmax(scores: Tensor) -> Tensor:
    """Logarithms of probabilities in 32 bits, whatever the scores are in."""
    return torch.log_softmax(scores.float(), -1)
