"""Forced alignment with a network: which of many ways to say a text was taken, and when.

A network is a set of junctions and of arcs between them. An arc takes up frames with a phone, or
none at all. :func:`~speechattn.decoder.network_paths.best_path` finds the path from the first
junction to the last that fits a recording best (Viterbi 1967). :func:`align_network` does so for
arcs in any order; a known string without a choice is the special case of ``force_align``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from speechattn.decoder.forced_alignment import LEAST_PHONE_FRAMES, LEAST_SILENCE_FRAMES
from speechattn.decoder.network_paths import NOTHING, Network, Step, best_path
from speechattn.decoder.scores import check_log_posteriors


class Arc(NamedTuple):
    """A way from one junction to another.

    Attributes:
        source: junction that it leaves.
        target: junction it leads to, greater than ``source``; the same for a silence that may
            be there or not.
        phone: class of the frames that it takes up, or ``NOTHING``.
        cost: nats that it costs to take it, from 0 on.
    """

    source: int
    target: int
    phone: int
    cost: float = 0.0


def align_network(
    log_posteriors: np.ndarray,
    arcs: Sequence[Arc],
    junctions: int,
    silence: int,
    *,
    acoustic_scale: float = 1.0,
) -> list[Step] | None:
    """Find the best path from junction 0 to the last one; see :func:`best_path`.

    A phone has at least ``LEAST_PHONE_FRAMES`` frames, a silence ``LEAST_SILENCE_FRAMES``.

    Args:
        log_posteriors: shape (frames, classes).
        arcs: in any order.
        junctions: how many there are.
        silence: its class.
        acoustic_scale: what log posteriors count against costs; neighbouring frames say much
            the same, so that a value below 1 weighs them more fairly.

    Returns:
        The arcs of the path in their order, or None if there is no path of so many frames.

    Raises:
        ValueError: for an arc between junctions or of a class that does not exist, that leads
            back, or whose cost is negative or NaN; for a scale that is not above 0; for log
            posteriors of another shape, above 0, or NaN.
    """
    frames = np.ascontiguousarray(log_posteriors, dtype=np.float32)
    check_log_posteriors(frames)
    if not acoustic_scale > 0:
        raise ValueError(f"acoustic_scale: {acoustic_scale}; above 0")
    for arc in arcs:
        _check(arc, junctions, frames.shape[1], silence)
    phone = np.array([arc.phone for arc in arcs], dtype=np.int32)
    least = np.where(phone == silence, LEAST_SILENCE_FRAMES, LEAST_PHONE_FRAMES)
    network = Network(
        np.array([arc.source for arc in arcs], dtype=np.int32),
        np.array([arc.target for arc in arcs], dtype=np.int32),
        phone,
        np.array([arc.cost for arc in arcs], dtype=np.float32),
        np.where(phone == NOTHING, 0, least).astype(np.int32),
        np.array([0, len(arcs)]),
        np.array([0, junctions]),
    )
    return best_path(frames * np.float32(acoustic_scale), network)


def _check(arc: Arc, junctions: int, classes: int, silence: int) -> None:
    """Raise a ValueError for an arc that cannot be."""
    loop = arc.source == arc.target and arc.phone == silence
    if not (0 <= arc.source < arc.target < junctions or (loop and 0 <= arc.source < junctions)):
        raise ValueError(f"{arc}: leads forwards among {junctions} junctions, or is a silence")
    if arc.phone != NOTHING and not 0 <= arc.phone < classes:
        raise ValueError(f"{arc}: its phone is a class below {classes}, or {NOTHING}")
    if not arc.cost >= 0:
        raise ValueError(f"{arc}: its cost is from 0 on")
