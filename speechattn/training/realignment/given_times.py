"""Times that a corpus came with, kept where realignment found the same phones.

A model that aligns its own training texts knows better which phones were said, but each round of
realignment makes the times a little less exact. So a boundary between two phones takes the time
that the corpus has between the same two, if that is near. Where the phones differ, the model's time
stays. Phones that sound nearly alike count as the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from difflib import SequenceMatcher

from speechattn.corpora.corpus import Corpus
from speechattn.segments import Segment

# Phones that may stand for each other: the boundary is at the same place.
ALIKE = {"IH": "AH", "AO": "AA", "D": "T", "Z": "S", "ZH": "SH"}
LEAST = 0.01  # seconds, of a segment


def keep_given_times(realigned: Corpus, given: Corpus, within: float) -> Corpus:
    """Give boundaries of realigned utterances the times that the corpus came with.

    Args:
        realigned: with alignments by a model.
        given: the same corpus as it was read; utterances without an alignment change nothing.
        within: largest distance of a time that is taken, in seconds.

    Returns:
        The realigned corpus with other times.
    """
    known = {utterance.id: utterance.alignment for utterance in given if utterance.alignment}
    return dataclasses.replace(
        realigned,
        utterances=tuple(
            dataclasses.replace(
                utterance,
                alignment=tuple(with_times(utterance.alignment, known[utterance.id], within)),
            )
            if utterance.alignment and utterance.id in known
            else utterance
            for utterance in realigned
        ),
    )


def with_times(found: Sequence[Segment], given: Sequence[Segment], within: float) -> list[Segment]:
    """Return segments with the times of others where the phones on both sides are the same.

    Args:
        found: contiguous segments.
        given: contiguous segments of the same recording.
        within: largest distance of a time that is taken, in seconds.

    Returns:
        As many segments as ``found``, contiguous, each at least :data:`LEAST` long; a time that
        would make one shorter is not taken.
    """
    starts = [segment.start for segment in found]
    ends = [*starts[1:], found[-1].end]
    theirs, ours = ([ALIKE.get(s.label, s.label) for s in each] for each in (given, found))
    matcher = SequenceMatcher(None, theirs, ours, autojunk=False)
    for there, here, size in matcher.get_matching_blocks():
        for place in range(here + 1, here + size):
            time = given[there + place - here].start
            room = starts[place - 1] + LEAST - 1e-9 <= time <= ends[place] - LEAST + 1e-9
            if abs(time - starts[place]) <= within + 1e-9 and room:
                starts[place] = ends[place - 1] = time
    return [
        dataclasses.replace(segment, start=start, end=end)
        for segment, start, end in zip(found, starts, ends)
    ]
