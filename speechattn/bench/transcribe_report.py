"""The tables of ``speechattn bench transcribe``: medians for people, every process as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from speechattn.bench.process import Usage

MIB = 2**20  # bytes
UNKNOWN = "–"
COLUMNS = (
    *("part", "system", "repeat", "audio_seconds"),
    *("wall_seconds", "cpu_seconds", "peak_rss_bytes"),
)


@dataclass(frozen=True)
class Run:
    """One measured process.

    Attributes:
        part: ``"short"``, ``"long"`` or ``"start"`` (the one second).
        system: what ran.
        repeat: from 1.
        audio_seconds: length of what it transcribed.
        usage: what it took.
    """

    part: str
    system: str
    repeat: int
    audio_seconds: float
    usage: Usage


def csv_report(runs: Iterable[Run]) -> str:
    """Every process in the order they ran, with the header :data:`COLUMNS`; unknown is empty."""
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow(COLUMNS)
    for run in runs:
        usage = run.usage
        cpu = "" if usage.cpu is None else f"{usage.cpu:.4f}"
        peak = "" if usage.peak_rss is None else usage.peak_rss
        took = f"{usage.wall:.4f}", cpu, peak
        rows.writerow([run.part, run.system, run.repeat, f"{run.audio_seconds:.3f}", *took])
    return buffer.getvalue()


def markdown_report(runs: Sequence[Run], facts: dict[str, str]) -> str:
    """The whole report.

    Args:
        runs: all processes.
        facts: what they ran on.
    """
    parts = ["# Transcription benchmark", table(("", ""), facts.items())]
    parts += short_section([run for run in runs if run.part == "short"])
    starts = [run for run in runs if run.part == "start"]
    longs = [run for run in runs if run.part == "long"]
    if longs:
        parts += long_section(longs, median(run.usage.wall for run in starts), starts[0])
    return "\n\n".join(parts) + "\n"


def short_section(runs: Sequence[Run]) -> list[str]:
    """Whole processes on short files: a table, and the ratio if there is a peer."""
    by_system = _grouped(runs, lambda run: run.system)
    rows = [
        (system, f"{wall:.2f}", f"{group[0].audio_seconds / wall:.1f}", cpu, peak)
        for system, group in by_system.items()
        for wall, cpu, peak in [_medians(group)]
    ]
    repeats = max(run.repeat for run in runs)
    header = ("system", "wall (s)", "x real time", "CPU (s)", "peak memory (MiB)")
    parts = [
        "## Short files",
        f"Whole processes, start and imports included; medians of {repeats}, the largest memory.",
        table(header, rows),
    ]
    if len(by_system) == 2:
        (ours, own), (peer, other) = by_system.items()
        parts.append(f"Of what {peer} takes, pair by pair, {ours} takes:")
        rows = [
            (name, f"{median(ratios):.3f}", f"{1 / median(ratios):.2f}", _spread(ratios))
            for name, ratios in pair_ratios(own, other).items()
        ]
        parts.append(table(("", "median", "times as fast", "pairs"), rows))
    return parts


def pair_ratios(own: Sequence[Run], other: Sequence[Run]) -> dict[str, list[float]]:
    """What each run took over what the run beside it, of the same repeat, took.

    Returns:
        Ratios of wall times and, where they are known, of CPU times: on a machine that does
        other work as well, these are the ones to go by.
    """
    beside = {run.repeat: run.usage for run in other}
    pairs = [(run.usage, beside[run.repeat]) for run in own]
    ratios = {"wall time": [a.wall / b.wall for a, b in pairs]}
    if all(a.cpu and b.cpu for a, b in pairs):
        ratios["CPU time"] = [a.cpu / b.cpu for a, b in pairs]
    return ratios


def _spread(values: Sequence[float]) -> str:
    return f"{min(values):.3f} to {max(values):.3f}"


def long_section(runs: Sequence[Run], start: float, start_run: Run) -> list[str]:
    """Time and memory by length, and how far time is from growing in proportion to it.

    Args:
        runs: of the long files.
        start: median seconds of wall time for the file that is next to nothing.
        start_run: one of its runs.
    """
    rows, shortest = [], None
    for seconds, group in sorted(_grouped(runs, lambda run: run.audio_seconds).items()):
        wall, cpu, peak = _medians(group)
        per_minute = 60 * wall / seconds
        # The recording that tells the start-up has some audio of its own to account for.
        without = 60 * (wall - start) / (seconds - start_run.audio_seconds)
        shortest = shortest or (per_minute, without)
        costs = (f"{per_minute:.3f}", _ratio(per_minute, shortest[0]))
        costs += (f"{without:.3f}", _ratio(without, shortest[1]))
        speed = f"{seconds / wall:.1f}"
        rows.append((f"{seconds / 60:g}", f"{wall:.2f}", speed, cpu, peak, *costs))
    header = ("minutes", "wall (s)", "x real time", "CPU (s)", "peak memory (MiB)")
    header += ("s a minute", "to the shortest", "s a minute, no start-up", "to the shortest")
    repeats = max(run.repeat for run in runs)
    note = (
        f"One WAV file a process; medians of {repeats}, the largest memory. Start-up, taken from "
        f"a recording of {start_run.audio_seconds:g} s: {start:.2f} s."
    )
    return ["## Long files", note, table(header, rows)]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a bar inside a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _grouped(runs: Iterable[Run], key: Callable[[Run], object]) -> dict:
    groups: dict[object, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return groups


def _medians(runs: Sequence[Run]) -> tuple[float, str, str]:
    """Median wall time in seconds, CPU time as text, and the largest peak memory as text."""
    wall = median(run.usage.wall for run in runs)
    cpus = [run.usage.cpu for run in runs if run.usage.cpu is not None]
    peaks = [run.usage.peak_rss for run in runs if run.usage.peak_rss is not None]
    cpu = f"{median(cpus):.2f}" if cpus else UNKNOWN
    return wall, cpu, f"{max(peaks) / MIB:.0f}" if peaks else UNKNOWN


def _ratio(value: float, reference: float) -> str:
    """How many times the reference; unknown if noise made either of them nothing or less."""
    return f"{value / reference:.3f}" if value > 0 and reference > 0 else UNKNOWN
