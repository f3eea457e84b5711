"""What the trainings of ``speechattn bench windows`` say together: differences, and the largest useful window.

All variants are tested on the same utterances. A draw of units (speakers, or utterances) with repeats
is therefore the same for all of them, and what is hard in it cancels out of a difference; seeds are
drawn anew for every variant, so that the luck of a training is in the interval as well (with one seed
it cannot be).

What came of a variant in ``speechattn bench windows``: its scores, pooled as asked, and its costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speechattn.evaluation.metrics import REPEATS, Rate, bootstrap, interval, resampling_units
from speechattn.studies.windows_training import Measured
from speechattn.studies.windows_variants import FULL, Variant

USEFUL = 0.005  # of frame accuracy: what a wider window must gain
NEAR = 0.1  # look-aheads that differ by less count as equal


class Draws:
    """The frame accuracy of every variant over the test set, and in each of many draws of it.

    Args:
        outcomes: of all variants, tested on the same utterances.
        seed: of the draws.
    """

    def __init__(self, outcomes: Sequence[Outcome], seed: int = 0):
        random = np.random.default_rng(seed)
        first = next(iter(outcomes[0].runs.values()))["utterances"]
        names = {
            name: number for number, name in enumerate(dict.fromkeys(resampling_units(first)[1]))
        }
        index = np.array([names[name] for name in resampling_units(first)[1]])
        drawn = random.multinomial(len(names), [1 / len(names)] * len(names), REPEATS)

        self.whole: dict[str, float] = {}
        self.drawn: dict[str, np.ndarray] = {}
        for outcome in outcomes:
            right, all_ = (
                np.array(
                    [
                        np.bincount(index, [row[key] for row in run["utterances"]], len(names))
                        for run in outcome.runs.values()
                    ]
                )
                for key in ("classifier_correct", "classified_frames")
            )
            seeds = random.integers(len(right), size=(REPEATS, len(right)))
            of_draw = [np.einsum("rsu,ru->r", part[seeds], drawn) for part in (right, all_)]
            self.whole[outcome.variant.name] = float(right.sum() / all_.sum())
            self.drawn[outcome.variant.name] = of_draw[0] / of_draw[1]

    def difference(self, one: Outcome, other: Outcome) -> Rate:
        """Frame accuracy of one variant less that of another, with its interval."""
        whole, drawn = (
            found[one.variant.name] - found[other.variant.name]
            for found in (self.whole, self.drawn)
        )
        return Rate(whole, *interval(drawn))

    def largest_useful(self, ladder: Sequence[Outcome]) -> tuple[Outcome, Outcome, Outcome] | None:
        """The smallest window to which no wider one adds :data:`USEFUL`, and its interval.

        Args:
            ladder: from the smallest window on.

        Returns:
            For the whole test set, and the ends of the interval over the draws; None where there
            are fewer than two windows.
        """
        if len(ladder) < 2:
            return None
        names = [outcome.variant.name for outcome in ladder]
        places = []
        for accuracy in (
            np.array([[self.whole[name]] for name in names]),
            np.array([self.drawn[name] for name in names]),
        ):
            best_from_here = np.maximum.accumulate(accuracy[::-1])[::-1]
            places.append((best_from_here - accuracy < USEFUL).argmax(0))
        ends = np.round(interval(places[1])).astype(int)
        return tuple(ladder[place] for place in (places[0][0], *ends))


def ladder(outcomes: Sequence[Outcome], any_window: bool | None = None) -> list[Outcome]:
    """The windows of attention from the smallest on.

    Args:
        outcomes: of all variants.
        any_window: whether to take those of the model for any window, or those trained each for
            itself; None for both.
    """
    found = [
        outcome
        for outcome in outcomes
        if outcome.variant.window is not None
        and any_window in (None, bool(outcome.variant.encoder.any_window))
    ]
    return sorted(
        found, key=lambda o: float("inf") if o.variant.window == FULL else o.variant.window
    )


def counterpart(outcome: Outcome, windows: Sequence[Outcome]) -> Outcome | None:
    """The window of attention that looks as far ahead as another encoder; None where there is none."""

    def ahead(one: Outcome) -> float | None:
        return one.measured.look_ahead_ms

    if ahead(outcome) is None:
        return next((one for one in windows if ahead(one) is None), None)
    known = [one for one in windows if ahead(one) is not None]
    if not known:
        return None
    nearest = min(known, key=lambda one: abs(ahead(one) - ahead(outcome)))
    return nearest if abs(ahead(nearest) - ahead(outcome)) <= NEAR * ahead(outcome) else None


@dataclass
class Outcome:
    """A variant, trained with every seed, and what it takes.

    Attributes:
        variant: the encoder.
        runs: seed → what :meth:`speechattn.studies.windows_training.VariantRun.run` gives.
        measured: what it costs.
    """

    variant: Variant
    runs: dict[int, dict]
    measured: Measured

    def rows(self, seed: int | None = None, corpus: str | None = None) -> list[dict]:
        """Test utterances of one seed, or of all; of one corpus, or of all."""
        seeds = self.runs if seed is None else [seed]
        rows = [row for number in seeds for row in self.runs[number]["utterances"]]
        return [row for row in rows if corpus in (None, row["corpus"])]

    @property
    def corpora(self) -> list[str]:
        """Those of the test set."""
        return list(dict.fromkeys(row["corpus"] for row in self.rows()))

    def frame_accuracy(self, seed: int | None = None, corpus: str | None = None) -> Rate | None:
        """Share of 10 ms frames that the classifier has right."""
        rows = self.rows(seed, corpus)
        parts = [row["classifier_correct"] for row in rows]
        return bootstrap(
            resampling_units(rows)[1], parts, [row["classified_frames"] for row in rows]
        )

    def per(self, seed: int | None = None, corpus: str | None = None) -> Rate | None:
        """Phone error rate of the decoded path, silence dropped."""
        rows = self.rows(seed, corpus)
        parts = [row["substitutions"] + row["insertions"] + row["deletions"] for row in rows]
        return bootstrap(resampling_units(rows)[1], parts, [row["phones"] for row in rows])
