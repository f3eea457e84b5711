"""The report of ``speechattn bench conditions``: Markdown for people, CSV, JSON, pictures."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from speechattn.audio import codecs
from speechattn.bench.conditions_measure import ADULT, CLEAN, GROUP_NAMES, SURE, Found
from speechattn.bench.sounds import DIRECT_DB, ROOM_SECONDS, SNR_DB
from speechattn.evaluation.charts import reliability_picture
from speechattn.evaluation.metrics import BOUNDARY_TOLERANCE_FRAMES
from speechattn.evaluation.scores import Counts
from speechattn.segments import SHIFT_MS
from speechattn.text import table

UNKNOWN = "–"
RATES = tuple(Counts().rates())
COLUMNS = (
    *("set", "condition", "group", "speakers", "per_to_clean", "calibration_error"),
    *(*RATES, *vars(Counts())),
)
DESCRIPTIONS = {
    CLEAN: "as recorded",
    "noise": f"recorded noise at {SNR_DB:g} dB SNR (mean powers over the utterance)",
    "room": f"a made-up room an utterance: T60 {ROOM_SECONDS:g} s, direct sound {DIRECT_DB:g} dB "
    "above the echo",
    "8khz": "sampled at 8 kHz",
    "telephone": "300 to 3400 Hz, 8 kHz, 8-bit mu-law",
    **codecs.DESCRIPTIONS,
}
NOTE = f"""\
In per cent. PER is the phone error rate with silence dropped (folded: AO counts as AA, ZH as SH),
*x clean* the PER relative to that of the same utterances as recorded. Frame accuracy: the
classifier's own, then the decoded path's. Boundaries count as found within
{BOUNDARY_TOLERANCE_FRAMES * SHIFT_MS:g} ms. *ECE* is the expected calibration error of the
recognised phones' confidences."""
GROUP_NOTE = f"""\
From the recordings as they are. Adults are {ADULT} years and older; female and male are of any age,
women, men, girls and boys where both are known."""
CLAIM_NOTE = f"""\
What the model claims to hear: the share of time given to phones, their mean confidence, and how
many a minute there are, all of them and those with a confidence of at least {SURE:g}."""


def markdown_report(found: Found, facts: dict[str, str]) -> str:
    """The whole report.

    Args:
        found: all that was measured.
        facts: what with.
    """
    parts = ["# How the model holds up", table(("", ""), facts.items())]
    parts += ["## Conditions", NOTE]
    parts.append(table(("condition", ""), [(n, DESCRIPTIONS[n]) for n in found.scores]))
    header = ["set", "condition", "utterances", "minutes", "PER", "folded PER", "x clean"]
    header += ["frame accuracy", "boundary F1", "ECE"]
    parts.append(table(header, [row for name in found.sets for row in _set_rows(found, name)]))
    if found.groups:
        header = ["set", "group", "speakers", "utterances", "minutes", "PER", "folded PER"]
        header += ["frame accuracy", "boundary F1"]
        parts += ["## Groups of speakers", GROUP_NOTE, table(header, _group_rows(found))]
    parts += ["## Where nobody speaks English", CLAIM_NOTE, _claims_table(found)]
    return "\n\n".join(parts) + "\n"


def _set_rows(found: Found, name: str) -> list[tuple[str, ...]]:
    rows = []
    for condition, scores in found.scores.items():
        counts = found.counts(name, condition)
        cells = _cells(counts)
        error = _percent(scores.calibration(name).error())
        times = UNKNOWN if condition == CLEAN else _number(per_to_clean(found, name, condition))
        label = name if condition == CLEAN else ""
        rows.append((label, condition, *cells[:4], times, *cells[4:], error))
    return rows


def _group_rows(found: Found) -> list[tuple[str, ...]]:
    rows = []
    for name, groups in found.groups.items():
        for group in GROUP_NAMES:
            if group in groups:
                of = groups[group]
                rows.append((name, group, str(len(of.speakers)), *_cells(of.counts)))
    return rows


def _cells(counts: Counts) -> tuple[str, ...]:
    """Utterances, minutes, PER, folded PER, frame accuracy and boundary F1."""
    r = counts.rates()
    return (
        str(counts.utterances),
        f"{_minutes(counts):.1f}",
        _percent(r["per"]),
        _percent(r["per_folded"]),
        f"{_percent(r['frame_accuracy'])} / {_percent(r['path_accuracy'])}",
        _percent(r["boundary_f1"]),
    )


def _claims_table(found: Found) -> str:
    header = ("sound", "minutes", "time in phones", "confidence", "phones a minute")
    rows = []
    for kind, claims in found.claims.items():
        r = claims.rates()
        rows.append(
            (
                kind,
                f"{r['minutes']:.1f}",
                _percent(r["share_phones"]),
                _percent(r["mean_confidence"]),
                _number(r["phones_per_minute"], ".1f"),
                _number(r["sure_phones_per_minute"], ".1f"),
            )
        )
    return table((*header, "sure phones a minute"), rows)


def per_to_clean(found: Found, name: str, condition: str) -> float | None:
    """PER of a set under a condition, relative to that of the clean recordings."""
    clean = found.counts(name).rates()["per"]
    per = found.counts(name, condition).rates()["per"]
    return None if not clean or per is None else per / clean


def csv_report(found: Found) -> str:
    """Every set, condition and group, with the header :data:`COLUMNS`; unknown is empty."""
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow(COLUMNS)

    def write(name: str, condition: str, group: str, counts: Counts, *rest: object) -> None:
        rates = counts.rates().values()
        cells = [*rest, *rates, *vars(counts).values()]
        rows.writerow([name, condition, group, *("" if c is None else c for c in cells)])

    for name in found.sets:
        for condition, scores in found.scores.items():
            error = scores.calibration(name).error()
            times = per_to_clean(found, name, condition)
            write(name, condition, "", found.counts(name, condition), None, times, error)
    for name, groups in found.groups.items():
        for group in GROUP_NAMES:
            if group in groups:
                of = groups[group]
                write(name, CLEAN, group, of.counts, len(of.speakers), None, None)
    return buffer.getvalue()


def to_dict(found: Found) -> dict:
    """Everything as JSON values; rates are fractions, None where nothing was counted."""
    return {
        "conditions": {
            condition: {
                "description": DESCRIPTIONS[condition],
                **{key: value for key, value in scores.to_dict().items() if key != "speakers"},
                "per_to_clean": {name: per_to_clean(found, name, condition) for name in found.sets},
            }
            for condition, scores in found.scores.items()
        },
        "groups": {
            name: {
                group: {
                    "speakers": len(of.speakers),
                    "minutes": _minutes(of.counts),
                    **of.counts.rates(),
                    **vars(of.counts),
                }
                for group, of in groups.items()
            }
            for name, groups in found.groups.items()
        },
        "no_speech": {kind: {**c.rates(), **vars(c)} for kind, c in found.claims.items()},
        "problems": found.problems,
        "failures": found.failures,
    }


def write_pictures(folder: Path, found: Found) -> None:
    """Reliability of the clean recordings' phones: ``reliability.png``, and one for every set.

    Raises:
        UsageError: if a file cannot be written.
    """
    scores = found.scores[CLEAN]
    for name in (None, *found.sets):
        calibration = scores.calibration(name)
        if calibration.error() is None:  # nothing but silence was recognised
            continue
        suffix = "" if name is None else f"-{name.replace('/', '-')}"
        title = "all sets" if name is None else name
        reliability_picture(folder / f"reliability{suffix}.png", calibration.table(), title=title)


def _minutes(counts: Counts) -> float:
    return counts.frames * SHIFT_MS / 60_000


def _percent(fraction: float | None) -> str:
    return UNKNOWN if fraction is None else f"{100 * fraction:.1f}"


def _number(value: float | None, form: str = ".2f") -> str:
    return UNKNOWN if value is None else format(value, form)
