"""What a report shows, wherever it comes from: a run of the recipe or a batch of recordings."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speechattn.errors import UsageError
from speechattn.text import one_line


@dataclass
class ReportData:
    """What a report shows.

    Attributes:
        title: plain text.
        facts: names and values, for people.
        notes: sentences: what is missing and what to do about it.
        scores: as :meth:`speechattn.evaluation.scores.Scores.to_dict`; None without a reference.
        confusions: frames by reference and recognised phone; None without.
        details: as :meth:`speechattn.evaluation.details.Details.to_dict`; None without.
        history: rows of step, loss and what was measured on dev.
        failures: recording and message of those that failed.
        warnings: kind of warning → number of recordings.
        pictures: PNG files that belong to the run, with their names for people.
    """

    title: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    scores: dict[str, Any] | None = None
    confusions: list[list[int]] | None = None
    details: dict[str, Any] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    warnings: dict[str, int] = field(default_factory=dict)
    pictures: list[tuple[Path, str]] = field(default_factory=list)


def read_json(path: Path) -> Any:
    """Read a JSON file of a run; None if there is none.

    Raises:
        UsageError: if it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{path}: cannot be read ({one_line(str(error))}); run again what wrote it"
        ) from None
