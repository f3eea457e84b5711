"""Connectionist temporal classification (CTC), and beam search over label strings.

CTC gives every vector a label or a blank. Such an alignment stands for the string that remains when
repeats are merged and blanks removed. The probability of a string is the sum over its alignments
(Graves et al., 2006). With n labels, the blank is class n. :func:`beam_search` is for models that
write strings one label at a time.
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
    """Return the least number of vectors for a string: labels, and blanks between repeats."""
    return len(labels) + sum(a == b for a, b in pairwise(labels))


def ctc_loss(log_probs: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
    """Return the negative log probability of every string.

    Args:
        log_probs: log probabilities of labels and blank, shape (batch, vectors, labels + 1).
        labels: shape (batch, longest string), negative after the end of a string.
        lengths: vectors of each sequence, shape (batch,).

    Returns:
        Losses, shape (batch,).

    Raises:
        ValueError: if a string needs more vectors than its sequence has, which makes its
                loss infinite.
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
    """Decode by the most probable class of every vector; the score is of this alignment.

    Args:
        log_probs: log probabilities of labels and blank, shape (vectors, labels + 1).
    """
    values, classes = log_probs.max(-1)
    return Hypothesis(_collapsed(classes, log_probs.shape[1] - 1), values.sum().item())


def _collapsed(classes: Tensor, blank: int, before: int | None = None) -> tuple[int, ...]:
    """Merge repeats and remove blanks; ``before`` is the class of the preceding vector."""
    found, last = [], before
    for label in classes.tolist():
        if label not in (last, blank):
            found.append(label)
        last = label
    return tuple(found)


def ctc_beam_search(log_probs: Tensor, beam: int = 16) -> list[Hypothesis]:
    """Find the most probable strings by prefix beam search (Hannun et al., 2014).

    Args:
        log_probs: log probabilities of labels and blank, shape (vectors, labels + 1).
        beam: number of strings kept after every vector. Scores are exact if the beam can hold all
            strings; otherwise they are lower bounds.

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
    blank, other = (
        np.zeros(1),
        np.full(1, -np.inf),
    )  # alignments that end in a blank, and in a label
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
    """Extend the alignments of every string of the beam by one vector.

    Args:
        strings: strings of the beam.
        blank: log probability of each string's alignments that end in a blank, shape (strings,).
        other: likewise, of those that end in a label.
        frame: log probabilities of labels and blank at the vector, shape (labels + 1,).

    Returns:
        ``blank`` and ``other`` of the same strings after the vector, and the log probability of
        each string with one more label, shape (strings, labels). Strings of the beam do not appear
        among the latter: their alignments are added to ``other``.
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
    """A label string and its score.

    Attributes:
        labels: classes.
        score: log probability, with that of the end if the string has ended.
        ended: False if the string was cut off at the limit before its end.
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
    """Find the best label strings by beam search.

    At every step the ``beam`` best continuations are kept; the end is one of the possible
    continuations. Ended strings are ranked by score / (labels + 1) ** ``length_power``, where 1 is
    for the end. With power 0 they are ranked by score, which favours short strings; with 1, by the
    mean score of a label (Wu et al., 2016). The search stops when no live string can rank higher
    than the best ended one. It is exact if the beam can hold all strings.

    Args:
        advance: takes the last label of every live string, and the number of the previous step's
            string that each continues, both of shape (strings,). It returns the log probabilities
            of the next label, shape (strings, labels). At first there is one string, whose last
            label is ``end``.
        end: label that stands at the end of every string, and before its first label.
        limit: largest number of labels, without the end. A string of this length may still end; if
            it does not, it is cut off.
        beam: number of strings kept at every step.
        length_power: power of the length in the rank.

    Returns:
        At most ``beam`` ended strings, the best first. If none has ended within the limit, only the
        best unfinished one, with ``ended`` false, so that it is not taken for a finished string.

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
        ends, live = last == end, (last != end) & (scores > -torch.inf)
        for i, score in zip(origin[ends].tolist(), scores[ends].tolist()):
            if score > -torch.inf:
                ended.append(Hypothesis(strings[i], score))
        ended.sort(key=lambda h: rank(h.score, len(h.labels)), reverse=True)
        del ended[beam:]
        scores, origin, last = scores[live], origin[live], last[live]
        if count == limit or not len(scores):
            return ended or [cut]
        # A score can only fall: at best, the string reaches the limit with the score it has now.
        if ended and rank(ended[0].score, len(ended[0].labels)) >= rank(scores[0].item(), limit):
            return ended
        strings = [(*strings[i], label) for i, label in zip(origin.tolist(), last.tolist())]
