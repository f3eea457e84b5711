"""Agreement of alignments: what share of word and phone boundaries lies near those of another.

``python tests/support/boundaries.py CORPUS OUT`` scores what ``speechattn align`` wrote as CTM to
OUT against ``words.ctm.gz`` and ``phones.ctm.gz`` of a corpus.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np

SILENCE = "SIL"
Span = tuple[str, float, float]  # label, start and end in seconds


def read_ctm(path: Path) -> dict[str, list[Span]]:
    """Utterance (the last part of its path) → spans, silence left out."""
    opened = gzip.open(path, "rt") if path.suffix == ".gz" else path.open()
    found: dict[str, list[Span]] = {}
    with opened as lines:
        for line in lines:
            name, _, start, length, label, *_ = line.split()
            spans = found.setdefault(name.rpartition("/")[2], [])
            if label != SILENCE:
                spans.append((label.upper(), float(start), float(start) + float(length)))
    return found


@dataclass
class Agreement:
    """Differences of boundaries, in seconds, and how many of the reference have no counterpart."""

    differences: list[float] = field(default_factory=list)
    unmatched: int = 0

    def add(self, ours: Sequence[Span], theirs: Sequence[Span]) -> None:
        """Compare starts and ends of the labels that both have, in their order."""
        labels = [[label for label, _, _ in spans] for spans in (ours, theirs)]
        matched = 0
        for block in SequenceMatcher(None, *labels, autojunk=False).get_matching_blocks():
            for i in range(block.size):
                _, start, end = ours[block.a + i]
                _, other_start, other_end = theirs[block.b + i]
                self.differences += [start - other_start, end - other_end]
            matched += block.size
        self.unmatched += 2 * (len(theirs) - matched)

    def within(self, seconds: float) -> float:
        """Share of the boundaries with a counterpart that lie so near to it."""
        return float((np.abs(self.differences) <= seconds + 1e-6).mean())

    def __str__(self) -> str:
        values = np.array(self.differences)
        return (
            f"{100 * self.within(0.02):.1f} % of {len(values)} within 20 ms, {self.unmatched} "
            f"without a counterpart; {1000 * np.abs(values).mean():.1f} ms apart on average, "
            f"later by {1000 * np.median(values):.1f} ms in the median"
        )


def agreement(out: Path, corpus: Path) -> tuple[int, Agreement, Agreement]:
    """Score a folder of CTM files; returns how many there are, and words and phones."""
    words, phones = (
        (read_ctm(corpus / f"{kind}.ctm.gz"), Agreement()) for kind in ("words", "phones")
    )
    files = [path for path in sorted(out.rglob("*.ctm")) if not path.name.endswith(".words.ctm")]
    for path in files:
        both = ((path.with_suffix(".words.ctm"), words), (path, phones))
        for file, (theirs, score) in both:
            for name, ours in read_ctm(file).items():
                score.add(ours, theirs[name])
    return len(files), words[1], phones[1]


def main(arguments: Iterable[str]) -> None:
    corpus, out = arguments
    count, words, phones = agreement(Path(out), Path(corpus))
    print(f"{count} utterances\nwords: {words}\nphones: {phones}")


if __name__ == "__main__":
    main(sys.argv[1:])
