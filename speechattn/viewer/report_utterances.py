"""The worst and the best utterances of a run, as a report lists them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from speechattn.evaluation.details import align_labels
from speechattn.viewer.report_data import ReportData
from speechattn.viewer.report_players import Players

MOST_PHONES = 300  # of an utterance that are written out


def utterance_rows(data: ReportData, players: Players, count: int) -> list[dict[str, Any]]:
    """Return the rows of the worst and the best utterances, the worst first.

    Those with a reference are sorted by their error rate; where none has one, all are sorted by
    the confidence of their phones.

    Args:
        data: of the run.
        players: that find the sound of the rows.
        count: of the worst, and of the best.
    """
    if data.details is None or count == 0:
        return []
    utterances: Sequence[dict[str, Any]] = data.details["utterances"]
    if data.scores is not None:
        ranked = sorted((one for one in utterances if "phones" in one), key=_badness, reverse=True)
    else:
        known = (one for one in utterances if one.get("confidence") is not None)
        ranked = sorted(known, key=lambda one: one["confidence"])
    half = (len(ranked) + 1) // 2  # of a few utterances, the worse half
    worst = ranked[: min(count, half)]
    best = ranked[max(half, len(ranked) - count) :]
    named = [("worst", one) for one in worst] + [("best", one) for one in best]
    return [_row(group, one, players) for group, one in named]


def errors_of(utterance: dict[str, Any]) -> int:
    """Return the number of errors of an utterance with a reference."""
    return utterance["substitutions"] + utterance["insertions"] + utterance["deletions"]


def _badness(utterance: dict[str, Any]) -> tuple[float, int]:
    errors, phones = errors_of(utterance), utterance["phones"]
    rate = errors / phones if phones else float(errors)
    return rate, errors if rate else -phones  # of those without an error the longest are last


def _row(group: str, utterance: dict[str, Any], players: Players) -> dict[str, Any]:
    row = {
        "group": group,
        "name": utterance["utterance"],
        "corpus": utterance["corpus"],
        "speaker": utterance["speaker"],
        "seconds": utterance["duration"],
        "confidence": utterance["confidence"],
        "sound": players.source(utterance),
    }
    found = utterance["recognised"].split()
    if "phones" in utterance:
        errors, phones = errors_of(utterance), utterance["phones"]
        row |= {"errors": errors, "phones": phones, "rate": errors / phones if phones else None}
        pairs = align_labels(utterance["reference"].split(), found)
    else:
        pairs = [(label, label) for label in found]
    row["pairs"] = [list(pair) if pair[0] != pair[1] else pair[0] for pair in pairs[:MOST_PHONES]]
    row["cut"] = len(pairs) > MOST_PHONES
    return row
