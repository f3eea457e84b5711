"""What ``speechattn bench conditions`` counts beside scores: groups of speakers, claims of phones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from speechattn.corpora.corpus import read_table
from speechattn.evaluation.metrics import ratio
from speechattn.evaluation.scores import Counts
from speechattn.segments import FrameRun
from speechattn.timing import FRAMES_PER_SECOND

ADULT = 18  # years, and older
SURE = 0.7  # confidence from which on a phone counts as claimed
GENDERS = {"f": "female", "m": "male"}
GROUP_NAMES = ("adults", "children", "female", "male", "women", "men", "girls", "boys")
_BOTH = {
    ("adults", "female"): "women",
    ("adults", "male"): "men",
    ("children", "female"): "girls",
    ("children", "male"): "boys",
}


@dataclass
class Group:
    """Utterances of speakers who have something in common.

    Attributes:
        counts: of their utterances.
        speakers: of which there are any.
    """

    counts: Counts = field(default_factory=Counts)
    speakers: set[str] = field(default_factory=set)

    def add(self, counts: Counts, speaker: str) -> None:
        """Count one utterance."""
        self.counts += counts
        self.speakers.add(speaker)


def speaker_groups(
    folder: Path, speakers: Sequence[str], report: Callable[[str], None]
) -> dict[str, list[str]]:
    """The groups each speaker belongs to, from ``spk2age`` and ``spk2gender`` of a corpus.

    Where both age and gender are known the groups are, for a girl of ten, children, female and
    girls. A speaker of whom nothing is known is in no group.

    Args:
        folder: of the corpus; lines are ``speaker value``: years, ``f`` or ``m``.
        speakers: those wanted.
        report: takes one line for each value that is not understood.

    Raises:
        CorpusError: if a file is there and cannot be read.
    """
    ages = read_table(folder / "spk2age", speakers, report)
    genders = read_table(folder / "spk2gender", speakers, report)
    groups: dict[str, list[str]] = {}
    for speaker in speakers:
        age, gender = ages.get(speaker), genders.get(speaker)
        names = []
        if age is not None:
            if age.isascii() and age.isdigit():
                names.append("adults" if int(age) >= ADULT else "children")
            else:
                report(f"{folder / 'spk2age'}: {speaker}: {age!r} is no age; write whole years")
        if gender is not None:
            if gender in GENDERS:
                names.append(GENDERS[gender])
            else:
                report(f"{folder / 'spk2gender'}: {speaker}: {gender!r}; write f or m")
        if both := _BOTH.get(tuple(names)):
            names.append(both)
        groups[speaker] = names
    return groups


@dataclass
class Claims:
    """How much a recognizer claims to have heard; adding recordings pools them.

    Attributes:
        frames: 100 a second.
        phone_frames: of them, given to phones (not silence).
        phones: recognised.
        sure: of them, with a confidence of at least :data:`SURE`.
        confidence: of the phones, summed.
    """

    frames: int = 0
    phone_frames: int = 0
    phones: int = 0
    sure: int = 0
    confidence: float = 0.0

    def add(self, runs: Sequence[FrameRun], silence: int) -> None:
        """Count one recording.

        Args:
            runs: recognised, from frame 0 to the end.
            silence: class of silence.
        """
        said = [run for run in runs if run.phone != silence]
        self.frames += runs[-1].end if runs else 0
        self.phone_frames += sum(run.end - run.start for run in said)
        self.phones += len(said)
        self.sure += sum(run.confidence >= SURE for run in said)
        self.confidence += sum(run.confidence for run in said)

    def rates(self) -> dict[str, float | None]:
        """Share of time given to phones, their mean confidence, and phones a minute."""
        minutes = self.frames / FRAMES_PER_SECOND / 60
        return {
            "minutes": minutes,
            "share_phones": ratio(self.phone_frames, self.frames),
            "mean_confidence": ratio(self.confidence, self.phones),
            "phones_per_minute": ratio(self.phones, minutes),
            "sure_phones_per_minute": ratio(self.sure, minutes),
        }
