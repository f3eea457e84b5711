"""What came of a variant in ``speechattn bench windows``: its scores, pooled as asked, and its costs."""

from __future__ import annotations

from dataclasses import dataclass

from speechattn.evaluation.bootstrap import Rate, bootstrap, units
from speechattn.studies.windows_training import Measured
from speechattn.studies.windows_variants import Variant


@dataclass
class Outcome:
    """A variant, trained with every seed, and what it takes.

    Attributes:
        variant: the encoder.
        runs: seed → what :meth:`speechattn.studies.windows_train.VariantRun.run` gives.
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
        return bootstrap(units(rows)[1], parts, [row["classified_frames"] for row in rows])

    def per(self, seed: int | None = None, corpus: str | None = None) -> Rate | None:
        """Phone error rate of the decoded path, silence dropped."""
        rows = self.rows(seed, corpus)
        parts = [row["substitutions"] + row["insertions"] + row["deletions"] for row in rows]
        return bootstrap(units(rows)[1], parts, [row["phones"] for row in rows])
