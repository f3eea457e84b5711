"""Results of ``speechattn bench windows``: scores and costs of variants, and their differences.

All variants are tested on the same utterances. A draw with repeats of speakers (or of utterances)
is therefore the same for all of them, so that what is hard in it cancels out of a difference. Seeds
are drawn anew for every variant, so that the interval includes the chance of a training (with one
seed it cannot).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speechattn.evaluation.metrics import REPEATS, Rate, bootstrap, interval, resampling_units
from speechattn.studies.windows_costs import Measured
from speechattn.studies.windows_variants import Variant

USEFUL = 0.005  # of frame accuracy: what a wider window must gain
NEAR = 0.1  # look-aheads that differ by less count as equal


class Draws:
    """The frame accuracy of every variant over the test set, and in each of many draws of it.

    Args:
        outcomes: of all variants, tested on the same utterances.
        seed: of the draws.
    """

    def __init__(self, outcomes: Sequence[Outcome], seed: int = 0) -> None:
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
        names = one.variant.name, other.variant.name
        whole = self.whole[names[0]] - self.whole[names[1]]
        return Rate(whole, *interval(self.drawn[names[0]] - self.drawn[names[1]]))

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
    return sorted(found, key=_width)


def _width(outcome: Outcome) -> float:
    """The window to each side, in frames."""
    window = outcome.variant.window
    return float(window) if isinstance(window, int) else float("inf")


def counterpart(outcome: Outcome, windows: Sequence[Outcome]) -> Outcome | None:
    """Return the window of attention that looks as far ahead as another encoder; None if none."""
    look_ahead = outcome.measured.look_ahead_ms
    if look_ahead is None:
        return next((one for one in windows if one.measured.look_ahead_ms is None), None)
    distances = [
        (abs(one.measured.look_ahead_ms - look_ahead), number)
        for number, one in enumerate(windows)
        if one.measured.look_ahead_ms is not None
    ]
    if not distances:
        return None
    distance, number = min(distances)
    return windows[number] if distance <= NEAR * look_ahead else None


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
