"""Where a recognizer errs: by phone, by utterance, in time. What the report of a run shows.

:class:`~speechattn.evaluation.scores.Scores` says how many errors there are; this says which.
Recognised phones without a reference are counted too, as far as that goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from speechattn.evaluation.scores import Counts
from speechattn.phones import PhoneSet
from speechattn.segments import FRAMES_PER_SECOND, FrameSegment

LONGEST = 40  # frames; longer phones are in the last bin of the durations
FARTHEST = 15  # frames, either side; larger errors of boundaries are in the outermost bins
CONFIDENCE_BINS = 20  # of equal width between 0 and 1
NOTHING = "*"  # stands for no phone in an alignment


def align_labels(reference: Sequence[Any], found: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Align two sequences by the fewest edits: pairs, None where one side has nothing."""
    import kaldialign

    numbers: dict[Any, str] = {}
    names: list[Any] = []

    def coded(labels: Sequence[Any]) -> list[str]:
        for label in labels:
            if label not in numbers:
                numbers[label] = str(len(names))
                names.append(label)
        return [numbers[label] for label in labels]

    pairs = kaldialign.align(coded(reference), coded(found), NOTHING)
    return [
        (None if a == NOTHING else names[int(a)], None if b == NOTHING else names[int(b)])
        for a, b in pairs
    ]


class Details:
    """Errors of utterances by phone and in time, and a row for each utterance.

    Args:
        phones: classes of the labels.
    """

    def __init__(self, phones: PhoneSet) -> None:
        self.phones = phones
        size = len(phones)
        # The last row is for what is inserted, the last column for what is deleted.
        self._edits = np.zeros((size + 1, size + 1), dtype=np.int64)
        self._durations = np.zeros((2, LONGEST), dtype=np.int64)  # reference, recognised
        self._frames = np.zeros((2, size), dtype=np.int64)
        self._phones = np.zeros((2, size), dtype=np.int64)
        self._boundary_errors = np.zeros(2 * FARTHEST + 1, dtype=np.int64)
        self._confidence = np.zeros(size)  # sums
        self._confidences = np.zeros(CONFIDENCE_BINS, dtype=np.int64)
        self.utterances: list[dict[str, Any]] = []

    def add(
        self,
        reference: Sequence[FrameSegment] | None,
        recognised: Sequence[FrameSegment],
        counts: Counts | None,
        **row: Any,
    ) -> None:
        """Count an utterance.

        Args:
            reference: its segments; None without one.
            recognised: likewise.
            counts: its own, from :meth:`~speechattn.evaluation.scores.Scores.add`; None without a
                reference.
            row: what identifies the utterance: ``corpus``, ``speaker``, ``utterance``, ``path``,
                ``start`` and ``end`` in seconds.
        """
        silence, names = self.phones.silence_index, self.phones.names
        found = [run for run in recognised if run.phone != silence]
        self._count(1, found)
        classes = np.array([run.phone for run in found], dtype=np.int64)
        values = np.array([run.confidence for run in found], dtype=np.float64)
        self._confidence += np.bincount(classes, values, minlength=len(names))
        bins = np.clip((values * CONFIDENCE_BINS).astype(np.int64), 0, CONFIDENCE_BINS - 1)
        self._confidences += np.bincount(bins, minlength=CONFIDENCE_BINS)
        frames = recognised[-1].end if recognised else 0
        row |= {
            "duration": frames / FRAMES_PER_SECOND,
            "confidence": round(float(values.mean()), 4) if len(values) else None,
            "recognised": " ".join(names[run.phone] for run in found),
        }
        if reference is not None and counts is not None:
            expected = [run for run in reference if run.phone != silence]
            self._count(0, expected)
            self._compare(expected, found)
            row["reference"] = " ".join(names[run.phone] for run in expected)
            for name in ("phones", "substitutions", "insertions", "deletions"):
                row[name] = getattr(counts, name)
        self.utterances.append(row)

    def _count(self, side: int, runs: Sequence[FrameSegment]) -> None:
        size = len(self.phones)
        lengths = np.array([run.end - run.start for run in runs], dtype=np.int64)
        classes = np.array([run.phone for run in runs], dtype=np.int64)
        bins = np.clip(lengths, 1, LONGEST) - 1
        self._durations[side] += np.bincount(bins, minlength=LONGEST)
        self._phones[side] += np.bincount(classes, minlength=size)
        self._frames[side] += np.bincount(classes, lengths, minlength=size).astype(np.int64)

    def _compare(self, expected: Sequence[FrameSegment], found: Sequence[FrameSegment]) -> None:
        """Align the phones; count the edits, and how far apart equal phones begin."""
        i = j = 0
        pairs = align_labels([run.phone for run in expected], [run.phone for run in found])
        for one, other in pairs:
            self._edits[-1 if one is None else one, -1 if other is None else other] += 1
            if one is not None and one == other:
                late = found[j].start - expected[i].start
                place = min(max(late, -FARTHEST), FARTHEST) + FARTHEST
                self._boundary_errors[place] += 1
            i += one is not None
            j += other is not None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values.

        ``edits`` has a row for each reference phone and one for insertions, and a column for each
        recognised phone and one for deletions. ``durations`` counts phones by length in frames,
        from 1 on, the longest ones together. ``boundary_errors`` counts phones that are right by
        how many frames too late they begin, from ``-FARTHEST`` on.
        """
        sides = ("reference", "recognised")
        return {
            "frames_per_second": FRAMES_PER_SECOND,
            "phones": self.phones.to_dict(ipa=True),
            "edits": self._edits.tolist(),
            "durations": {side: self._durations[n].tolist() for n, side in enumerate(sides)},
            "phone_frames": {side: self._frames[n].tolist() for n, side in enumerate(sides)},
            "phone_counts": {side: self._phones[n].tolist() for n, side in enumerate(sides)},
            "boundary_errors": self._boundary_errors.tolist(),
            "confidence_sums": [round(float(value), 4) for value in self._confidence],
            "confidences": self._confidences.tolist(),
            "utterances": self.utterances,
        }
