"""The report of ``speechattn bench accuracy``: Markdown for people, CSV, and a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from speechattn.bench.accuracy import Results, Row
from speechattn.bench.conditions_measure import ADULT, GROUP_NAMES
from speechattn.evaluation.metrics import (
    BOUNDARY_TOLERANCE_FRAMES,
    Rate,
    bootstrap,
    resampling_units,
)
from speechattn.evaluation.pictures import DPI, save_figure
from speechattn.evaluation.scores import Counts
from speechattn.segments import SHIFT_MS
from speechattn.text import table

UNKNOWN = "–"
ALL = "all"  # sets together


class Metric(NamedTuple):
    """A rate: what is counted, of how many.

    Attributes:
        label: in tables and pictures.
        part: counted in an utterance.
        whole: to be counted in it.
    """

    label: str
    part: Callable[[Row], float]
    whole: Callable[[Row], float]


def _errors(row: Row) -> int:
    c = row.counts
    return c.substitutions + c.insertions + c.deletions


def _folded_errors(row: Row) -> int:
    c = row.counts
    return c.folded_substitutions + c.folded_insertions + c.folded_deletions


METRICS = {
    "per": Metric("PER", _errors, lambda row: row.counts.phones),
    "per_folded": Metric("folded PER", _folded_errors, lambda row: row.counts.phones),
    "substitutions": Metric(
        "S", lambda row: row.counts.folded_substitutions, lambda row: row.counts.phones
    ),
    "insertions": Metric(
        "I", lambda row: row.counts.folded_insertions, lambda row: row.counts.phones
    ),
    "deletions": Metric(
        "D", lambda row: row.counts.folded_deletions, lambda row: row.counts.phones
    ),
    "feature_error": Metric(
        "feature errors", lambda row: row.feature_errors, lambda row: row.feature_segments
    ),
    "wer": Metric("WER", lambda row: row.word_errors, lambda row: row.words),
    "path_accuracy": Metric(
        "frames", lambda row: row.counts.path_correct, lambda row: row.counts.frames
    ),
    "frame_accuracy": Metric(
        "frames, classifier",
        lambda row: row.counts.classifier_correct,
        lambda row: row.counts.classified_frames,
    ),
    "boundary_precision": Metric(
        "boundary precision",
        lambda row: row.counts.matched_boundaries,
        lambda row: row.counts.found_boundaries,
    ),
    "boundary_recall": Metric(
        "boundary recall",
        lambda row: row.counts.matched_boundaries,
        lambda row: row.counts.reference_boundaries,
    ),
    "boundary_f1": Metric(
        "boundary F1",
        lambda row: 2 * row.counts.matched_boundaries,
        lambda row: row.counts.reference_boundaries + row.counts.found_boundaries,
    ),
}
PICTURED = ("per_folded", "feature_error", "path_accuracy", "boundary_f1")
COLUMNS = (
    *("set", "group", "system", "speakers", "resampled"),
    *(f"{name}{end}" for name in METRICS for end in ("", "_low", "_high")),
    *("feature_errors", "feature_segments", "word_errors", "words"),
    # Counts; some have the name of a rate above.
    *(f"{name}_count" if name in METRICS else name for name in vars(Counts())),
)
NOTE = f"""\
In per cent, with intervals of 95 % from drawing the speakers anew (the utterances, where there is
one speaker). PER is the phone error rate with silence dropped; *folded*: as the phone set says, of
ARPAbet AO counts as AA and ZH as SH; S, I and D are its substitutions, insertions and deletions.
*Feature errors*: edit distance over segments of IPA in which a substitution costs the share of
articulatory features (panphon) that differ; a diphthong is two segments. *WER*: word error rate
against the text, in letters, digits and apostrophes; a word that the model does not know counts as
an error. *Frames*: 10 ms frames
that the decoded path has right, silence included. Boundaries count as found within
{BOUNDARY_TOLERANCE_FRAMES * SHIFT_MS:g} ms."""
GROUP_NOTE = f"""\
Adults are {ADULT} years and older; female and male are of any age, women, men, girls and boys where
both are known."""


def rate_of(rows: Sequence[Row], metric: Metric) -> Rate | None:
    """A rate over utterances with its interval; None where there is nothing to count."""
    return bootstrap(
        _units(rows)[1], [metric.part(r) for r in rows], [metric.whole(r) for r in rows]
    )


def _units(rows: Sequence[Row]) -> tuple[str, list[str]]:
    """What is drawn anew, and that of every row."""
    return resampling_units(
        [{"corpus": r.set, "speaker": r.speaker, "utterance": r.utterance} for r in rows]
    )


def _parts(results: Results) -> Iterator[tuple[str, str, str, list[Row]]]:
    """Every part of the results that has rates of its own.

    Yields:
        Set (or :data:`ALL`), group (or nothing), system, and their rows; by set, group and system.
    """
    sets = [*results.sets, *([ALL] if len(results.sets) > 1 else [])]
    for name in sets:
        for group in ("", *(GROUP_NAMES if name != ALL else ())):
            for system in results.systems:
                rows = [
                    row
                    for row in results.rows
                    if row.system == system
                    and name in (ALL, row.set)
                    and group in ("", *row.groups)
                ]
                if rows:
                    yield name, group, system, rows


def markdown_report(results: Results, facts: dict[str, str]) -> str:
    """The whole report.

    Args:
        results: all that was scored.
        facts: what was scored, and where.
    """
    parts = ["# Accuracy", table(("", ""), facts.items()), NOTE]
    header = ("set", "system", "speakers", "utterances", "PER", "folded PER", "S / I / D")
    header_end = ("feature errors", "WER", "frames", "boundary P / R", "boundary F1")
    sets, groups = [], []
    last = ""
    for name, group, system, rows in _parts(results):
        rates = {key: rate_of(rows, metric) for key, metric in METRICS.items()}
        counted = (str(len({(row.set, row.speaker) for row in rows})), str(len(rows)))
        cells = (
            _with_interval(rates["per"]),
            _with_interval(rates["per_folded"]),
            _plain(rates, "substitutions", "insertions", "deletions"),
            _with_interval(rates["feature_error"]),
            _with_interval(rates["wer"]),
            _with_interval(rates["path_accuracy"]),
            _plain(rates, "boundary_precision", "boundary_recall"),
            _with_interval(rates["boundary_f1"]),
        )
        if group:
            groups.append((name, group, system, *counted, *cells))
        else:
            sets.append(("" if name == last else name, system, *counted, *cells))
            last = name
    parts.append(table((*header, *header_end), sets))
    if groups:
        parts += ["## Groups of speakers", GROUP_NOTE]
        parts.append(table(("set", "group", *header[1:], *header_end), groups))
    return "\n\n".join(parts) + "\n"


def csv_report(results: Results) -> str:
    """Every set, group and system, with the header :data:`COLUMNS`; unknown is empty.

    Rates are fractions; ``resampled`` says what the intervals come from.
    """
    buffer = io.StringIO()
    lines = csv.writer(buffer, lineterminator="\n")
    lines.writerow(COLUMNS)
    for name, group, system, rows in _parts(results):
        speakers = len({(row.set, row.speaker) for row in rows})
        cells: list[object] = [name, group, system, speakers, _units(rows)[0]]
        for metric in METRICS.values():
            rate = rate_of(rows, metric)
            cells += ["", "", ""] if rate is None else [f"{value:.6g}" for value in rate]
        counts = sum((row.counts for row in rows), start=Counts())
        cells.append(f"{sum(row.feature_errors for row in rows):.6g}")
        cells.append(sum(row.feature_segments for row in rows))
        cells += [sum(row.word_errors for row in rows), sum(row.words for row in rows)]
        lines.writerow([*cells, *vars(counts).values()])
    return buffer.getvalue()


def picture(path: str | Path, results: Results) -> None:
    """Draw four rates of every set and system as bars with their intervals.

    Raises:
        UsageError: if the file cannot be written.
    """
    parts = {(name, system): rows for name, group, system, rows in _parts(results) if not group}
    sets = list(dict.fromkeys(name for name, _ in parts))
    width = 0.8 / len(results.systems)
    figure = Figure(figsize=(max(8, 1.6 * len(sets) + 5), 7), dpi=DPI, layout="constrained")
    axes = figure.subplots(2, 2).flat
    for axis, key in zip(axes, PICTURED):
        for number, system in enumerate(results.systems):
            rates = [rate_of(parts.get((name, system), []), METRICS[key]) for name in sets]
            drawn = [(place, rate) for place, rate in enumerate(rates) if rate is not None]
            places = np.array([place for place, _ in drawn]) + width * (number + 0.5) - 0.4
            heights = [rate.rate for _, rate in drawn]
            below = [max(0.0, rate.rate - rate.low) for _, rate in drawn]
            above = [max(0.0, rate.high - rate.rate) for _, rate in drawn]
            style = {"color": f"C{number}", "ecolor": "#444444", "capsize": 2}
            axis.bar(places, heights, width, yerr=[below, above], **style)
        axis.set_xticks(range(len(sets)), sets, fontsize=8)
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))
        axis.set_title(METRICS[key].label, fontsize=10)
        axis.grid(axis="y", color="#e5e5e5", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    handles = [Patch(color=f"C{number}") for number in range(len(results.systems))]
    figure.legend(handles, results.systems, loc="outside lower center", ncols=4, fontsize=8)
    save_figure(path, figure)


def _with_interval(rate: Rate | None) -> str:
    if rate is None:
        return UNKNOWN
    return f"{100 * rate.rate:.1f} ({100 * rate.low:.1f} to {100 * rate.high:.1f})"


def _plain(rates: dict[str, Rate | None], *names: str) -> str:
    chosen = [rates[name] for name in names]
    return " / ".join(UNKNOWN if rate is None else f"{100 * rate.rate:.1f}" for rate in chosen)
