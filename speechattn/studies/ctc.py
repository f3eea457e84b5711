"""Connectionist temporal classification, and beam search: label strings without the times of labels.

Every vector gets a label or a blank. A string is what remains when repeats are merged and blanks
removed; its probability is that of all ways to write it so (Graves et al., 2006). Of n labels, the
blank is the last class, n. :func:`beam_search` serves any model that makes strings one label at a
time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from speechattn.checks import as_int


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
    as_int("beam", beam, 1)
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


@dataclass(frozen=True)
class Hypothesis:
    """A label string that may have been said.

    Attributes:
        labels: classes.
        score: logarithm of its probability, its end included if it has one.
        ended: False if it was cut off at the limit, without having come to an end.
    """

    labels: tuple[int, ...]
    score: float
    ended: bool = True


def beam_search(
    advance: Callable[[Tensor, Tensor], Tensor],
    end: int,
    *,
    limit: int,
    beam: int = 8,
    length_power: float = 0.0,
) -> list[Hypothesis]:
    """The best strings, of those that the beam keeps.

    At every step the ``beam`` best continuations are kept, the end of a string being one; a string has
    ended only if its end is among them. Strings are ranked by score / (labels + 1) ** ``length_power``, the end counting as one; 0 takes
    scores as they are, which favours short strings, and 1 means of them (Wu et al., 2016, and
    others). The search stops when no live string can rank higher than the best that has ended. With
    a beam as wide as there are strings it finds the best one there is.

    Args:
        advance: takes the last label of every live string, shape (strings,), and which of the
            strings before it continues, shape (strings,); returns logarithms of the probabilities
            of what comes next, shape (strings, labels). At first there is one string, whose last
            label is ``end``.
        end: label that ends a string, and begins it.
        limit: most labels of a string, the end not counted. A string that has as many may still
            end; one that does not is cut off.
        beam: strings that are kept at every step.
        length_power: see above.

    Returns:
        Those that ended, the best first, at most ``beam``. If none did within the limit, the best one that
        was cut off, alone and with ``ended`` false: a decoder that never ends must not pass for one
        that has nothing more to say.

    Raises:
        ValueError: for a beam or a limit below 1, a power below 0, or probabilities that are NaN.
    """
    as_int("beam", beam, 1)
    as_int("limit", limit, 1)
    if not length_power >= 0:
        raise ValueError(f"length_power: {length_power}; 0 or more")

    def rank(score: float, count: int) -> float:
        return score / (count + 1) ** length_power

    strings: list[tuple[int, ...]] = [()]
    scores, origin, last = torch.zeros(1), torch.zeros(1, dtype=torch.long), torch.tensor([end])
    ended: list[Hypothesis] = []
    while True:
        count = len(strings[0])
        log_probs = advance(last, origin).double().cpu()
        if log_probs.isnan().any():
            raise ValueError(f"advance: NaN among the probabilities of label {count + 1}")
        total = scores[:, None] + log_probs
        cut = Hypothesis(strings[0], scores[0].item(), ended=False)
        scores, chosen = total.flatten().topk(min(beam, total.numel()))
        origin, last = chosen // total.shape[1], chosen % total.shape[1]
        ends, goes_on = last == end, (last != end) & (scores > -torch.inf)
        for i, score in zip(origin[ends].tolist(), scores[ends].tolist()):
            if score > -torch.inf:
                ended.append(Hypothesis(strings[i], score))
        ended.sort(key=lambda h: rank(h.score, len(h.labels)), reverse=True)
        del ended[beam:]
        scores, origin, last = scores[goes_on], origin[goes_on], last[goes_on]
        if count == limit or not len(scores):
            return ended or [cut]
        # A live score can only fall; at best it stays as it is until the limit.
        if ended and rank(ended[0].score, len(ended[0].labels)) >= rank(scores[0].item(), limit):
            return ended
        strings = [(*strings[i], label) for i, label in zip(origin.tolist(), last.tolist())]
