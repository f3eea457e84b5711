"""Results of ``speechattn bench windows``: scores and costs of variants, and their differences.

Intervals come from bootstrap draws of speakers (or of utterances). All variants are tested on the
same utterances, so every draw is used for all of them, and its difficulty cancels out of a
difference. Seeds are drawn anew for every variant, so that with several seeds the interval includes
the variation between trainings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speechattn.evaluation.metrics import REPEATS, Rate, bootstrap, interval, resampling_units
from speechattn.studies.windows_costs import Measured
from speechattn.studies.windows_variants import Variant

USEFUL = 0.005  # least gain of frame accuracy for which a wider window is useful
NEAR = 0.1  # largest difference of look-aheads that count as equal, as a share


class Draws:
    """Frame accuracy of every variant on the test set, and on many bootstrap draws of it.

    Args:
        outcomes: outcomes of all variants, tested on the same utterances.
        seed: seed of the draws.

    Attributes:
        whole: name of the variant → frame accuracy on the test set, over all seeds.
        drawn: name of the variant → frame accuracy on every draw, shape (draws,).
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
        """Return the frame accuracy of ``one`` less that of ``other``, with its interval."""
        names = one.variant.name, other.variant.name
        whole = self.whole[names[0]] - self.whole[names[1]]
        return Rate(whole, *interval(self.drawn[names[0]] - self.drawn[names[1]]))

    def largest_useful(self, ladder: Sequence[Outcome]) -> tuple[Outcome, Outcome, Outcome] | None:
        """Find the smallest window for which no wider one gains :data:`USEFUL`.

        Args:
            ladder: windows, from the smallest on.

        Returns:
            The window by the whole test set, and both ends of its interval over the draws; None if
            there are fewer than two windows.
        """
        if len(ladder) < 2:
            return None
        names = [outcome.variant.name for outcome in ladder]
        positions = []
        for accuracy in (
            np.array([[self.whole[name]] for name in names]),
            np.array([self.drawn[name] for name in names]),
        ):
            best_from_here = np.maximum.accumulate(accuracy[::-1])[::-1]
            positions.append((best_from_here - accuracy < USEFUL).argmax(0))
        low, high = np.round(interval(positions[1])).astype(int)
        return ladder[positions[0][0]], ladder[low], ladder[high]


def ladder(outcomes: Sequence[Outcome], any_window: bool | None = None) -> list[Outcome]:
    """Return the outcomes in the series of attention windows, from the smallest on.

    Args:
        outcomes: outcomes of all variants.
        any_window: True for the windows of the model for any window, False for models of one
            window, None for both.
    """
    windows = [
        outcome
        for outcome in outcomes
        if outcome.variant.window is not None
        and any_window in (None, bool(outcome.variant.encoder.any_window))
    ]
    return sorted(windows, key=_width)


def _width(outcome: Outcome) -> float:
    """Return the window to each side, in frames."""
    window = outcome.variant.window
    return float(window) if isinstance(window, int) else float("inf")


def counterpart(outcome: Outcome, windows: Sequence[Outcome]) -> Outcome | None:
    """Return the window of attention with the look-ahead of another encoder, or None."""
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
    """Scores and costs of a variant.

    Attributes:
        variant: the variant.
        runs: seed → result of :meth:`speechattn.studies.windows_training.VariantRun.run`.
        measured: costs of the encoder.
    """

    variant: Variant
    runs: dict[int, dict]
    measured: Measured

    def rows(self, seed: int | None = None, corpus: str | None = None) -> list[dict]:
        """Return the rows of test utterances, of one seed or all, of one corpus or all."""
        seeds = self.runs if seed is None else [seed]
        rows = [row for number in seeds for row in self.runs[number]["utterances"]]
        return [row for row in rows if corpus in (None, row["corpus"])]

    @property
    def corpora(self) -> list[str]:
        """Corpora of the test set."""
        return list(dict.fromkeys(row["corpus"] for row in self.rows()))

    def frame_accuracy(self, seed: int | None = None, corpus: str | None = None) -> Rate | None:
        """Return the share of 10 ms frames that the classifier labels correctly."""
        rows = self.rows(seed, corpus)
        parts = [row["classifier_correct"] for row in rows]
        return bootstrap(
            resampling_units(rows)[1], parts, [row["classified_frames"] for row in rows]
        )

    def per(self, seed: int | None = None, corpus: str | None = None) -> Rate | None:
        """Return the phone error rate of the decoded path, without silence."""
        rows = self.rows(seed, corpus)
        parts = [row["substitutions"] + row["insertions"] + row["deletions"] for row in rows]
        return bootstrap(resampling_units(rows)[1], parts, [row["phones"] for row in rows])
