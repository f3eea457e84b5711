"""One page about a run: a recipe with its training and scores, or a batch of recordings.

The page carries counts, not recordings: that of 10,000 recordings is as large as that of a hundred.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechattn.errors import UsageError, cannot_write
from speechattn.evaluation.calibration import RELIABILITY_BINS
from speechattn.evaluation.details import FARTHEST
from speechattn.files import atomic_path, is_folder
from speechattn.phones import PhoneSet
from speechattn.text import counted
from speechattn.viewer.page import LIBRARY, OWN, Page
from speechattn.viewer.phone_order import by_class
from speechattn.viewer.report_batch import batch_data, is_batch_folder
from speechattn.viewer.report_data import ReportData
from speechattn.viewer.report_players import LINK, Players
from speechattn.viewer.report_recipe import is_recipe_folder, recipe_data, window_pictures
from speechattn.viewer.report_utterances import utterance_rows

MOST_SPEAKERS = 200  # those with the most errors
MOST_FAILURES = 200


@dataclass(frozen=True)
class ReportOptions:
    """What a report shows, and how.

    Attributes:
        reference: for a batch; see :func:`speechattn.viewer.report_batch.batch_data`.
        recordings: folder of the recordings of a batch; None for where they were.
        utterances: how many of the worst, and how many of the best, are listed.
        sound: ``"link"``, ``"embed"`` or ``"none"``.
    """

    reference: Path | None = None
    recordings: Path | None = None
    utterances: int = 25
    sound: str = LINK


def report_data(folder: str | Path, options: ReportOptions) -> ReportData:
    """Read the results of a run.

    Raises:
        UsageError: if there is no such folder, it is of no run, has no results, or an option does
            not go with it.
    """
    folder = Path(folder)
    if not is_folder(folder):
        raise UsageError(f"{folder}: no such folder; give that of a recipe or of transcribe")
    if is_batch_folder(folder) and not is_recipe_folder(folder):
        return batch_data(folder, options.reference, options.recordings)
    if options.reference is not None or options.recordings is not None:
        raise UsageError(
            f"{folder}: not an output folder of `speechattn transcribe`, which --reference and "
            "--recordings are for; leave them out"
        )
    if is_recipe_folder(folder):
        return recipe_data(folder)
    pictures = window_pictures(folder)
    if pictures:
        return ReportData(folder.resolve().name, pictures=pictures)
    raise UsageError(
        f"{folder}: neither the work folder of a recipe nor an output folder of `speechattn "
        "transcribe`; give one that holds train/history.json or transcripts.jsonl"
    )


def report_page(
    folder: str | Path,
    output: str | Path,
    options: ReportOptions | None = None,
    on_status: Callable[[str], None] = lambda line: None,
) -> ReportData:
    """Write the page, whole or not at all.

    Args:
        folder: work folder of a recipe, or output folder of a batch.
        output: HTML file.
        options: the default ones if None.
        on_status: called with a line for people.

    Returns:
        What the page shows.

    Raises:
        UsageError: as :func:`report_data`, or if the file cannot be written.
    """
    options, output = options or ReportOptions(), Path(output)
    data = report_data(folder, options)
    page = Page(
        f"{data.title} · report{OWN}",
        scripts=(LIBRARY[0], "core.js", "report_charts.js", "report.js"),
        styles=(LIBRARY[1], "page.css", "report.css"),
        linked_sound=True,
    )
    players = Players(output, options.sound)
    rows = utterance_rows(data, players, options.utterances)
    if players.gone:
        what = counted(players.gone, "recording")
        data.notes.append(
            f"{what} of the listed utterances cannot be found or read any more, so they have no "
            "player; say where the recordings of a batch are with --recordings."
        )
    if players.left_out:
        data.notes.append(
            f"{counted(players.left_out, 'player')} left out, because browsers cannot play such "
            "files and the page would become large; convert the recordings to WAV or FLAC."
        )
    for part in _parts(data, rows):
        page.add_html(part)
    page.add_data("report", _values(data, rows))
    for note in data.notes:
        on_status(f"note: {note}")
    try:
        with atomic_path(output) as temporary:
            page.write(temporary)
    except OSError as error:
        raise UsageError(cannot_write(output, error)) from error
    return data


def _parts(data: ReportData, rows: Sequence[dict[str, Any]]) -> Iterable[str]:
    """Yield the markup: heads, tables of what few there is, and places that the script fills."""
    yield f'<header><h1>{html.escape(data.title)}</h1><div id="theme"></div></header>\n<main>\n'
    if data.notes:
        items = "".join(f"<li>{html.escape(note)}</li>" for note in data.notes)
        yield f'<section class="card notes"><h2>Notes</h2><ul>{items}</ul></section>\n'
    if data.facts:
        items = "".join(
            f"<dt>{html.escape(n)}</dt><dd>{html.escape(v)}</dd>" for n, v in data.facts
        )
        yield f'<section class="card"><h2>The run</h2><dl>{items}</dl></section>\n'
    if data.scores is not None:
        yield _section("scores", "Scores", _score_table(data.scores))
    places = [
        ("training", "Training", bool(data.history)),
        ("confusions", "Which phone is taken for which", data.confusions is not None),
        ("phones", "By phone", data.details is not None),
        ("speakers", "By speaker", data.scores is not None),
        ("durations", "How long phones are", data.details is not None),
        ("boundaries", "Where phones begin", data.scores is not None and data.details is not None),
        ("calibration", "Can the confidences be trusted", data.scores is not None),
        ("confidences", "Confidences", data.details is not None),
        ("utterances", "Utterances", bool(rows)),
    ]
    yield from (_section(name, title) for name, title, shown in places if shown)
    if data.failures:
        yield _section("failures", "Recordings that failed", _failures(data.failures))
    if data.warnings:
        cells = sorted(data.warnings.items(), key=lambda pair: -pair[1])
        yield _section("warnings", "Warnings", _table(("warning", "recordings"), cells))
    for path, title in data.pictures:
        yield _section("picture", f"Window benchmark: {title}", _picture(path, title))
    yield "</main>\n"


def _section(name: str, title: str, content: str = "") -> str:
    return (
        f'<section class="card" data-part="{name}" aria-label="{html.escape(title, quote=True)}">'
        f"<h2>{html.escape(title)}</h2>{content}</section>\n"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table; the first cell of a row is its head."""
    top = "".join(f'<th scope="col">{html.escape(str(cell))}</th>' for cell in head)
    lines = [
        f'<tr><th scope="row">{html.escape(str(first))}</th>'
        + "".join(f'<td class="number">{html.escape(str(cell))}</td>' for cell in rest)
        + "</tr>"
        for first, *rest in rows
    ]
    body = "".join(lines)
    return (
        '<div class="scroll" tabindex="0" role="group" aria-label="table"><table><thead><tr>'
        f"{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _score_table(scores: dict[str, Any]) -> str:
    """Return the table of the scores by corpus."""
    sets = dict(scores["corpora"])
    if len(sets) > 1:
        sets["all"] = scores["overall"]
    head = [
        "test set", "utterances", "minutes", "PER", "folded PER", "S / I / D",
        "frame accuracy", "boundary F1",
    ]  # fmt: skip
    rows = [
        (
            name,
            f"{one['utterances']:,}",
            f"{one['frames'] / scores['frames_per_second'] / 60:.1f}",
            _percent(one["per"]),
            _percent(one["per_folded"]),
            f"{one['substitutions']:,} / {one['insertions']:,} / {one['deletions']:,}",
            _percent(one["path_accuracy"]),
            _percent(one["boundary_f1"]),
        )
        for name, one in sets.items()
    ]
    explained = (
        '<p class="small">PER: phone error rate, silence left out; folded: after phones that the '
        "phone set folds are one. S, I, D: substitutions, insertions, deletions. Frame accuracy: "
        "of the decoded path, 10 ms frames, silence included. Boundary F1: within "
        f"{1000 * scores['boundary_tolerance_frames'] / scores['frames_per_second']:.0f} ms.</p>"
    )
    return _table(head, rows) + explained


def _failures(failures: Sequence[tuple[str, str]]) -> str:
    more = len(failures) - MOST_FAILURES
    text = f'<p class="small">and {more:,} more</p>' if more > 0 else ""
    return _table(("recording", "why"), failures[:MOST_FAILURES]) + text


def _picture(path: Path, title: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{html.escape(title, quote=True)}" src="data:image/png;base64,{data}">'


def _values(data: ReportData, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what the script draws."""
    values: dict[str, Any] = {"history": data.history, "utterances": list(rows)}
    if data.details is not None:
        phones = PhoneSet.from_dict(data.details["phones"])
        values["order"] = [
            {"i": i, "name": phones.names[i], "ipa": phones.ipa.get(phones.names[i], ""), "kind": k}
            for i, k in by_class(phones)
        ]
        names = ("edits", "durations", "phone_frames", "phone_counts", "boundary_errors",
                 "confidence_sums", "confidences", "frames_per_second")  # fmt: skip
        values |= {name: data.details[name] for name in names}
        values["farthest"] = FARTHEST
        values["total"] = len(data.details["utterances"])
    values["confusions"] = data.confusions
    if data.scores is not None:
        values["reliability"] = data.scores["overall"]["reliability"]
        values["calibration_error"] = data.scores["overall"]["calibration_error"]
        values["bins"] = RELIABILITY_BINS
        speakers = sorted(data.scores["speakers"], key=lambda one: -(one["per"] or 0.0))
        values["speakers"] = [
            {
                "name": f"{one['corpus']}: {one['speaker']}",
                **{key: one[key] for key in (
                    "utterances", "phones", "per", "substitutions", "insertions", "deletions",
                    "path_accuracy", "boundary_f1",
                )},
            }
            for one in speakers[:MOST_SPEAKERS]
        ]  # fmt: skip
        values["all_speakers"] = len(speakers)
    return values
