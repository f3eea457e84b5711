"""Agreement of alignments: what share of word and phone boundaries lies near those of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np

from speechattn.corpora.tables import read_lines
from speechattn.errors import CorpusError
from speechattn.segments import Segment

NAMES = ("ctm.gz", "ctm")
NEAR = 0.02  # seconds
PAUSE = 0.004  # seconds between two words from which on there is a pause


def read_spans(folder: Path, kind: str, silence: str) -> dict[str, list[Segment]]:
    """The words or phones of a corpus folder, by utterance; pauses left out.

    Args:
        folder: of the corpus.
        kind: ``words`` or ``phones``.
        silence: label of pauses.

    Raises:
        CorpusError: if there is no such file, it cannot be read, or a line of it is none.
    """
    path = next(
        (folder / f"{kind}.{end}" for end in NAMES if (folder / f"{kind}.{end}").is_file()), None
    )
    if path is None:
        raise CorpusError(f"{folder}: no {kind}.ctm; give a corpus with word and phone times")
    found: dict[str, list[Segment]] = {}
    for number, line in read_lines(path):
        if line.startswith(";;"):  # a comment
            continue
        try:
            name, _, start, length, label, *_ = line.split()
            span = Segment(label, float(start), float(start) + float(length))
        except ValueError:
            raise CorpusError(
                f"{path}:{number}: {line[:60]!r}; write utterance, channel, start, duration, label"
            ) from None
        spans = found.setdefault(name, [])
        if label != silence:
            spans.append(span)
    return found


@dataclass
class Agreement:
    """Differences of boundaries from those of a reference, later ones positive.

    Attributes:
        starts: of labels that both have, seconds.
        ends: of the same.
        after_pause: for each start, whether the reference has a pause before it.
        before_pause: for each end, whether the reference has a pause after it.
        own_after: for each start, whether we have a pause before it.
        own_before: for each end, whether we have a pause after it.
        unmatched: boundaries of the reference without a counterpart.
    """

    starts: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    after_pause: list[bool] = field(default_factory=list)
    before_pause: list[bool] = field(default_factory=list)
    own_after: list[bool] = field(default_factory=list)
    own_before: list[bool] = field(default_factory=list)
    unmatched: int = 0

    def add(self, ours: Sequence[Segment], theirs: Sequence[Segment]) -> None:
        """Compare the labels that both have, in their order."""
        one_labels, other_labels = (
            [span.label.upper() for span in spans] for spans in (ours, theirs)
        )
        matched = 0
        for block in SequenceMatcher(
            None, one_labels, other_labels, autojunk=False
        ).get_matching_blocks():
            for i in range(block.size):
                one, place = ours[block.a + i], block.b + i
                other = theirs[place]
                self.starts.append(one.start - other.start)
                self.ends.append(one.end - other.end)
                self.after_pause.append(_after_pause(theirs, place))
                self.before_pause.append(_after_pause(theirs, place + 1))
                self.own_after.append(_after_pause(ours, block.a + i))
                self.own_before.append(_after_pause(ours, block.a + i + 1))
            matched += block.size
        self.unmatched += 2 * (len(theirs) - matched)

    @property
    def differences(self) -> np.ndarray:
        """Of all boundaries."""
        return np.array(self.starts + self.ends)

    def within(self, seconds: float = NEAR) -> float:
        """Share of the boundaries with a counterpart that lie so near to it."""
        return share_near(self.differences, seconds)

    def beside_pauses(self, seconds: float = NEAR) -> list[float]:
        """The same of starts after a pause, of ends before a pause, and of all others."""
        starts, ends = np.array(self.starts), np.array(self.ends)
        after, before = np.array(self.after_pause, bool), np.array(self.before_pause, bool)
        rest = np.concatenate([starts[~after], ends[~before]])
        return [share_near(part, seconds) for part in (starts[after], ends[before], rest)]

    def by_pauses(self) -> dict[str, np.ndarray]:
        """Differences by who has a pause there: both, the reference alone, we alone, or none."""
        theirs = np.array(self.after_pause + self.before_pause, bool)
        ours = np.array(self.own_after + self.own_before, bool)
        all_of_them = self.differences
        return {
            "a pause in both": all_of_them[theirs & ours],
            "a pause in the reference alone": all_of_them[theirs & ~ours],
            "a pause in ours alone": all_of_them[ours & ~theirs],
            "no pause": all_of_them[~ours & ~theirs],
        }


def _after_pause(spans: Sequence[Segment], place: int) -> bool:
    """Whether a pause, or the beginning or end of all, lies before a place between spans."""
    if place in (0, len(spans)):
        return True
    return spans[place].start - spans[place - 1].end > PAUSE


def share_near(differences: np.ndarray, seconds: float = NEAR) -> float:
    """Share of differences that are at most so large; NaN of none."""
    if not len(differences):
        return float("nan")
    return float((np.abs(differences) <= seconds + 1e-6).mean())
