"""Scores: how well recognised phones agree with reference alignments.

Everything is counted on the 10 ms frame grid, in integers. Counts are added before a rate is
computed, so that a rate over several utterances weights them by their length. A rate is None, not
0, if there is nothing to count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from speechattn.errors import CorpusError
from speechattn.evaluation.calibration import Calibration
from speechattn.evaluation.metrics import (
    BOUNDARY_TOLERANCE_FRAMES,
    boundaries,
    confusion_matrix,
    frame_labels_of,
    match_boundaries,
    phone_errors,
    phones_right,
    ratio,
    top_confusions,
)
from speechattn.phones import PhoneSet
from speechattn.segments import FRAMES_PER_SECOND, FrameSegment


@dataclass
class Counts:
    """Counts over utterances; the sum of two pools their utterances.

    Attributes:
        utterances: scored.
        frames: 100 a second, silence is a class like the others.
        path_correct: frames on which the decoded path agrees with the reference.
        speech_frames: frames whose reference is not silence.
        path_speech: of those, the ones the decoded path has right.
        classified_frames: frames for which the classifier's own labels were given.
        classifier_correct: of those, the ones it has right.
        classified_speech: classified frames whose reference is not silence.
        classifier_speech: of those, the ones it has right.
        phones: reference phones, silence dropped.
        substitutions, insertions, deletions: at the least number of errors.
        folded_substitutions, folded_insertions, folded_deletions: after folding (AO = AA ...).
        reference_boundaries: borders between reference segments, the two ends excluded.
        found_boundaries: the same of the recognised segments.
        matched_boundaries: one-to-one pairs within ``BOUNDARY_TOLERANCE_FRAMES``.
    """

    utterances: int = 0
    frames: int = 0
    path_correct: int = 0
    speech_frames: int = 0
    path_speech: int = 0
    classified_frames: int = 0
    classifier_correct: int = 0
    classified_speech: int = 0
    classifier_speech: int = 0
    phones: int = 0
    substitutions: int = 0
    insertions: int = 0
    deletions: int = 0
    folded_substitutions: int = 0
    folded_insertions: int = 0
    folded_deletions: int = 0
    reference_boundaries: int = 0
    found_boundaries: int = 0
    matched_boundaries: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            *(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)),
        )

    def rates(self) -> dict[str, float | None]:
        """Return the scores as fractions (0.25 is 25 %); None if there is nothing to count."""
        errors = self.substitutions + self.insertions + self.deletions
        folded = self.folded_substitutions + self.folded_insertions + self.folded_deletions
        both = self.reference_boundaries + self.found_boundaries
        return {
            "frame_accuracy": ratio(self.classifier_correct, self.classified_frames),
            "frame_accuracy_speech": ratio(self.classifier_speech, self.classified_speech),
            "path_accuracy": ratio(self.path_correct, self.frames),
            "path_accuracy_speech": ratio(self.path_speech, self.speech_frames),
            "per": ratio(errors, self.phones),
            "per_folded": ratio(folded, self.phones),
            "boundary_precision": ratio(self.matched_boundaries, self.found_boundaries),
            "boundary_recall": ratio(self.matched_boundaries, self.reference_boundaries),
            # 2PR / (P + R), written so that it needs neither P nor R to exist
            "boundary_f1": ratio(2 * self.matched_boundaries, both),
        }


def count_utterance(
    reference: Sequence[FrameSegment],
    hypothesis: Sequence[FrameSegment],
    frame_labels: np.ndarray | None,
    phones: PhoneSet,
) -> Counts:
    """Count one utterance; the arguments are those of :meth:`Scores.add`."""
    silence = phones.silence_index
    expected, path = frame_labels_of(reference), frame_labels_of(hypothesis)
    speech, right = expected != silence, path == expected
    spoken = [run.phone for run in reference if run.phone != silence]
    recognised = [run.phone for run in hypothesis if run.phone != silence]
    errors = phone_errors(spoken, recognised)
    fold = [phones.index.get(phones.folded(name), i) for i, name in enumerate(phones.names)]
    folded = phone_errors([fold[p] for p in spoken], [fold[p] for p in recognised])
    borders, found = boundaries(reference), boundaries(hypothesis)
    classifier = (0, 0, 0, 0)
    if frame_labels is not None:
        hits = np.asarray(frame_labels) == expected
        classifier = (len(hits), int(hits.sum()), int(speech.sum()), int(hits[speech].sum()))
    return Counts(
        1,
        len(expected),
        int(right.sum()),
        int(speech.sum()),
        int(right[speech].sum()),
        *classifier,
        len(spoken),
        *errors,
        *folded,
        len(borders),
        len(found),
        match_boundaries(borders, found),
    )


class Scores:
    """Scores of utterances by corpus, by speaker and over everything.

    Args:
        phones: classes of the labels.
    """

    def __init__(self, phones: PhoneSet) -> None:
        self.phones = phones
        self._speakers: dict[tuple[str, str], Counts] = {}
        self._confusions: dict[str, np.ndarray] = {}
        self._calibrations: dict[str, Calibration] = {}

    def add(
        self,
        reference: Sequence[FrameSegment],
        hypothesis: Sequence[FrameSegment],
        frame_labels: np.ndarray | None = None,
        *,
        speaker: str,
        corpus: str = "corpus",
    ) -> Counts:
        """Score one utterance and return its own counts.

        Args:
            reference: segments that cover the utterance; equal neighbours are separate phones.
            hypothesis: decoded path with its confidences, over the same frames.
            frame_labels: most probable label of each frame by the classifier, shape (frames,);
                None for a system that gives segments only.
            speaker: speaker of the utterance.
            corpus: corpus of the utterance.

        Raises:
            ValueError: if these do not cover the same frames without gaps, or a confidence or
                label is out of range.
        """
        frames = _check_runs("reference", reference, len(self.phones))
        found = _check_runs("hypothesis", hypothesis, len(self.phones))
        if frames != found or (frame_labels is not None and np.shape(frame_labels) != (frames,)):
            raise ValueError(
                f"reference of {frames} frames, hypothesis of {found}, frame labels of shape "
                f"{None if frame_labels is None else np.shape(frame_labels)}: they must agree"
            )
        counts = count_utterance(reference, hypothesis, frame_labels, self.phones)
        key = corpus, speaker
        self._speakers[key] = self._speakers.get(key, Counts()) + counts
        expected = frame_labels_of(reference)
        matrix = confusion_matrix(expected, frame_labels_of(hypothesis), len(self.phones))
        self._confusions[corpus] = self._confusions.get(corpus, 0) + matrix
        # Silence is easy to recognise; it would make the confidences look better than they are.
        spoken = [run for run in hypothesis if run.phone != self.phones.silence_index]
        calibration = self._calibrations.setdefault(corpus, Calibration())
        calibration.add([run.confidence for run in spoken], phones_right(spoken, expected))
        return counts

    def corpora(self) -> list[str]:
        """Return the names of the corpora, in the order in which they were first added."""
        return list(self._confusions)

    def counts(self, corpus: str | None = None) -> Counts:
        """Return the counts of one corpus, or of all of them together."""
        self._check_not_empty()
        rows = [c for (name, _), c in self._speakers.items() if corpus in (None, name)]
        return sum(rows, start=Counts())

    def confusions(self, corpus: str | None = None) -> np.ndarray:
        """Return frames of the decoded path by reference (row) and recognised phone (column)."""
        self._check_not_empty()
        matrices = [m for name, m in self._confusions.items() if corpus in (None, name)]
        return np.sum(matrices, axis=0)

    def calibration(self, corpus: str | None = None) -> Calibration:
        """Return the calibration of the recognised phones' confidences, without silence."""
        self._check_not_empty()
        rows = [c for name, c in self._calibrations.items() if corpus in (None, name)]
        return sum(rows, start=Calibration())

    def to_dict(self) -> dict:
        """Return everything as JSON values; rates are fractions, None if nothing was counted."""
        return {
            "frames_per_second": FRAMES_PER_SECOND,
            "boundary_tolerance_frames": BOUNDARY_TOLERANCE_FRAMES,
            "fold": dict(self.phones.fold),
            "overall": self._summary(None),
            "corpora": {name: self._summary(name) for name in self.corpora()},
            "speakers": [
                {"corpus": corpus, "speaker": speaker, **counts.rates(), **vars(counts)}
                for (corpus, speaker), counts in self._speakers.items()
            ],
        }

    def table(self, by: str = "corpus") -> str:
        """Format a Markdown table in per cent.

        Args:
            by: ``"corpus"`` or ``"speaker"``, one row each; a last row is for all of them.

        Raises:
            ValueError: if ``by`` is neither ``"corpus"`` nor ``"speaker"``.
            CorpusError: if nothing was scored.
        """
        if by not in ("corpus", "speaker"):
            raise ValueError(f"by = {by!r}; it is 'corpus' or 'speaker'")
        self._check_not_empty()
        if by == "corpus":
            rows = {name: self.counts(name) for name in self.corpora()}
        else:
            rows = {f"{corpus} {name}": c for (corpus, name), c in self._speakers.items()}
        if len(rows) > 1:
            rows["all"] = self.counts()
        return markdown_table(rows)

    def _summary(self, corpus: str | None) -> dict:
        counts, calibration = self.counts(corpus), self.calibration(corpus)
        return {
            **counts.rates(),
            "calibration_error": calibration.error(),
            **vars(counts),
            "reliability": [vars(row) for row in calibration.table()],
            "top_confusions": top_confusions(self.confusions(corpus), self.phones.names),
        }

    def _check_not_empty(self) -> None:
        if not self._speakers:
            raise CorpusError("no utterance was scored; check the problems of the corpus")


def markdown_table(rows: dict[str, Counts]) -> str:
    """Format counts by name as a Markdown table; frame accuracies as classifier / path."""
    head = (
        "| | utterances | minutes | frame accuracy | without silence | PER | folded PER "
        "| S / I / D | boundary P / R | F1 at 20 ms |"
    )
    lines = [head, "|---|" + "---:|" * (head.count("|") - 2)]
    for name, counts in rows.items():
        r = counts.rates()
        cells = [
            name.replace("|", "\\|"),
            str(counts.utterances),
            f"{counts.frames / FRAMES_PER_SECOND / 60:.1f}",
            f"{_percent(r['frame_accuracy'])} / {_percent(r['path_accuracy'])}",
            f"{_percent(r['frame_accuracy_speech'])} / {_percent(r['path_accuracy_speech'])}",
            _percent(r["per"]),
            _percent(r["per_folded"]),
            f"{counts.substitutions} / {counts.insertions} / {counts.deletions}",
            f"{_percent(r['boundary_precision'])} / {_percent(r['boundary_recall'])}",
            _percent(r["boundary_f1"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _check_runs(name: str, runs: Sequence[FrameSegment], num_phones: int) -> int:
    """Check that segments cover frames from 0 on without gaps; return the number of frames."""
    end = 0
    for run in runs:
        if run.start != end or run.end <= run.start:
            raise ValueError(f"{name}: {run} should begin at frame {end} and have a length")
        if not (0 <= run.phone < num_phones and 0 <= run.confidence <= 1 + 1e-6):
            raise ValueError(f"{name}: {run}: phone or confidence out of range")
        end = run.end
    return end


def _percent(fraction: float | None) -> str:
    return "–" if fraction is None else f"{100 * fraction:.1f}"
