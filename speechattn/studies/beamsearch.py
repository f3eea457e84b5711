"""Beam search over label strings that are made one label at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from speechattn.checks import whole_number


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
    whole_number("beam", beam, 1)
    whole_number("limit", limit, 1)
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
