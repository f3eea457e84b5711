"""The tables of ``speechattn bench transcribe``: medians for people, every process as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TypeVar

from speechattn.bench.process import Usage
from speechattn.text import table

OURS = "speechattn"
MODEL = "the encoder alone"
TARGET = 0.9  # of the encoder's own speed, that the whole command is to reach on many short files
MIB = 2**20  # bytes
UNKNOWN = "–"
Key = TypeVar("Key", bound=Hashable)
COLUMNS = (
    *("part", "system", "cores", "repeat", "audio_seconds"),
    *("wall_seconds", "cpu_seconds", "peak_rss_bytes"),
)


@dataclass(frozen=True)
class Run:
    """One measured process.

    Attributes:
        part: ``"short"``, ``"start"`` (one second, beside the short files), ``"few"`` (of the short
            files), ``"parts"`` (with a stopwatch inside), ``"first"`` (one second, with empty
            caches), ``"long"`` or ``"long start"`` (one second, beside the long files).
        system: what ran.
        cores: on how many it was kept.
        repeat: from 1.
        audio_seconds: length of what it transcribed.
        usage: time and memory that it took.
        seconds: by part, of ``"parts"``.
    """

    part: str
    system: str
    cores: int
    repeat: int
    audio_seconds: float
    usage: Usage
    seconds: dict[str, float] = field(default_factory=dict)


def csv_report(runs: Iterable[Run]) -> str:
    """Every process in the order they ran, with the header :data:`COLUMNS`; unknown is empty.

    After a process with a stopwatch inside, a line for each of its parts: ``parts: NAME``.
    """
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow(COLUMNS)
    for run in runs:
        usage = run.usage
        cpu = "" if usage.cpu is None else f"{usage.cpu:.4f}"
        peak = "" if usage.peak_rss is None else usage.peak_rss
        first = run.system, run.cores, run.repeat, f"{run.audio_seconds:.3f}"
        rows.writerow([run.part, *first, f"{usage.wall:.4f}", cpu, peak])
        for name, seconds in run.seconds.items():
            rows.writerow([f"{run.part}: {name}", *first, f"{seconds:.4f}", "", ""])
    return buffer.getvalue()


def markdown_report(runs: Sequence[Run], facts: dict[str, str]) -> str:
    """The whole report.

    Args:
        runs: all processes.
        facts: what they ran on.
    """
    sections = ["# Transcription benchmark", table(("", ""), facts.items())]
    for cores, group in _grouped(_of(runs, "short", "start", "few"), lambda run: run.cores).items():
        sections += short_section(group, cores)
        sections += start_section(group)
    for run in _of(runs, "first"):
        sections.append(
            f"The first run after installation, with empty caches, on {_cores(run.cores)}: "
            f"{run.usage.wall:.1f} s for a recording of {run.audio_seconds:g} s."
        )
    if parts := _of(runs, "parts"):
        sections += parts_section(parts)
    for cores, group in _grouped(_of(runs, "long", "long start"), lambda run: run.cores).items():
        starts, longs = _of(group, "long start"), _of(group, "long")
        sections += long_section(longs, median(run.usage.wall for run in starts), starts[0], cores)
    return "\n\n".join(sections) + "\n"


def _of(runs: Iterable[Run], *parts: str) -> list[Run]:
    return [run for run in runs if run.part in parts]


def short_section(runs: Sequence[Run], cores: int) -> list[str]:
    """Whole processes on short files: a table, the encoder's share, the ratio to each peer."""
    by_system = _grouped(_of(runs, "short"), lambda run: run.system)
    rows = [
        (system, f"{wall:.2f}", *_speeds(group[0].audio_seconds, wall), cpu, peak)
        for system, group in by_system.items()
        for wall, cpu, peak in [_medians(group)]
    ]
    repeats = max(run.repeat for run in runs)
    header = ("system", "wall (s)", "x real time", "hours a minute", "CPU (s)", "peak memory (MiB)")
    parts = [
        f"## Short files, {_cores(cores)}",
        (
            f"Whole processes, start and imports included; medians of {repeats}, the largest "
            "memory, of all processes of a system together."
        ),
        table(header, rows),
    ]
    own = by_system[OURS]
    if MODEL in by_system:
        starts = _of(runs, "start")
        parts += model_share(own, by_system[MODEL], starts)
    for peer, other in by_system.items():
        if peer not in (OURS, MODEL):
            parts.append(f"Of what {peer} takes, pair by pair, {OURS} takes:")
            shares = [
                (name, f"{median(ratios):.3f}", f"{1 / median(ratios):.2f}", _spread(ratios))
                for name, ratios in pair_ratios(own, other).items()
            ]
            parts.append(table(("", "median", "times as fast", "pairs"), shares))
    return parts


def start_section(runs: Sequence[Run]) -> list[str]:
    """What one second of sound and a few files take, where starting up matters most."""
    rows = []
    starts = _of(runs, "start")
    if starts:
        wall, cpu, peak = _medians(starts)
        rows.append((OURS, f"{starts[0].audio_seconds:g} s of sound", f"{wall:.2f}", "", cpu, peak))
    by_system = _grouped(_of(runs, "few"), lambda run: run.system)
    for system, group in by_system.items():
        wall, cpu, peak = _medians(group)
        ratio = _ratio(wall, _medians(by_system[OURS])[0])
        rows.append((system, "a few files", f"{wall:.2f}", ratio, cpu, peak))
    if not rows:
        return []
    header = ("system", "input", "wall (s)", f"to {OURS}", "CPU (s)", "peak memory (MiB)")
    return ["Start to end, medians:", table(header, rows)]


def model_share(own: Sequence[Run], model: Sequence[Run], starts: Sequence[Run]) -> list[str]:
    """Compare the speed of the whole command with that of the encoder alone, on the same cores."""
    alone = {run.repeat: run.usage.wall for run in model}
    start = {run.repeat: run.usage.wall for run in starts}
    whole = [alone[run.repeat] / run.usage.wall for run in own]
    rows = [("whole command", *_percent(whole))]
    # A start that takes longer than the whole run says nothing.
    if all(run.usage.wall > start.get(run.repeat, 0) for run in own) and start:
        rest = [alone[r.repeat] / (r.usage.wall - start[r.repeat]) for r in own]
        rows.append(("without start-up", *_percent(rest)))
    verdict = "reached" if median(whole) >= TARGET else "not reached"
    return [
        (
            "Speed of the whole command in per cent of that of the encoder alone, on the same "
            f"frames and cores, pair by pair; the aim is {100 * TARGET:g} %: {verdict}. The "
            "start-up is that of a recording of one second."
        ),
        table(("", "median", "pairs"), rows),
    ]


def _percent(shares: Sequence[float]) -> tuple[str, str]:
    """Median and range."""
    low, high = min(shares), max(shares)
    return f"{100 * median(shares):.1f} %", f"{100 * low:.1f} to {100 * high:.1f} %"


def parts_section(runs: Sequence[Run]) -> list[str]:
    """Where the time goes: medians of the parts of a process on one core."""
    names = list(runs[0].seconds)
    medians = {name: median(run.seconds[name] for run in runs) for name in names}
    total = sum(medians.values())
    rows = [
        (name, f"{seconds:.2f}", f"{100 * seconds / total:.1f} %")
        for name, seconds in medians.items()
    ]
    rest = median(run.usage.wall - sum(run.seconds.values()) for run in runs)
    return [
        "## Where the time goes",
        (
            "One process on one core with a stopwatch inside; medians of "
            f"{len(runs)}. It takes {rest:.2f} s besides, to end most of all."
        ),
        table(("part", "s", "share"), [*rows, ("all parts", f"{total:.2f}", "100.0 %")]),
    ]


def _cores(count: int) -> str:
    return f"{count} core" + "s" * (count > 1)


def _speeds(audio_seconds: float, wall: float) -> tuple[str, str]:
    """Times real time, and hours of audio a minute."""
    return f"{audio_seconds / wall:.1f}", f"{audio_seconds / wall / 60:.2f}"


def pair_ratios(own: Sequence[Run], other: Sequence[Run]) -> dict[str, list[float]]:
    """Divide what each run took by what the run of the same repeat beside it took.

    Returns:
        Ratios of wall times and, where they are known, of CPU times, which mean more on a machine
        that does other work as well.
    """
    beside = {run.repeat: run.usage for run in other}
    pairs = [(run.usage, beside[run.repeat]) for run in own]
    ratios = {"wall time": [a.wall / b.wall for a, b in pairs]}
    cpus = [a.cpu / b.cpu for a, b in pairs if a.cpu and b.cpu]
    if len(cpus) == len(pairs):
        ratios["CPU time"] = cpus
    return ratios


def _spread(values: Sequence[float]) -> str:
    return f"{min(values):.3f} to {max(values):.3f}"


def long_section(runs: Sequence[Run], start: float, start_run: Run, cores: int = 1) -> list[str]:
    """Time and memory by length, and how far time is from growing in proportion to it.

    Args:
        runs: of the long files.
        start: median seconds of wall time for a recording of one second.
        start_run: one of its runs.
        cores: on how many they were kept.
    """
    rows, shortest = [], None
    own = [run for run in runs if run.system == OURS]
    for seconds, group in sorted(_grouped(own, lambda run: run.audio_seconds).items()):
        wall, cpu, peak = _medians(group)
        per_minute = 60 * wall / seconds
        # The recording from which the start-up is known has some audio of its own.
        without = 60 * (wall - start) / (seconds - start_run.audio_seconds)
        shortest = shortest or (per_minute, without)
        costs = [f"{per_minute:.3f}", _ratio(per_minute, shortest[0])]
        costs += [f"{without:.3f}", _ratio(without, shortest[1])]
        speeds = _speeds(seconds, wall)
        rows.append((f"{seconds / 60:g}", f"{wall:.2f}", *speeds, cpu, peak, *costs))
    header = ["minutes", "wall (s)", "x real time", "hours a minute", "CPU (s)"]
    header += ["peak memory (MiB)", "s a minute", "to the shortest", "s a minute, no start-up"]
    repeats = max(run.repeat for run in runs)
    note = (
        f"One WAV file a process; medians of {repeats}, the largest memory. Start-up, taken from "
        f"a recording of {start_run.audio_seconds:g} s: {start:.2f} s."
    )
    parts = [f"## Long files, {_cores(cores)}", note, table((*header, "to the shortest"), rows)]
    peers = _grouped((run for run in runs if run.system != OURS), lambda run: run.system)
    if peers:
        minutes = next(iter(peers.values()))[0].audio_seconds / 60
        others = [
            (peer, f"{wall:.2f}", *_speeds(group[0].audio_seconds, wall), cpu, peak)
            for peer, group in peers.items()
            for wall, cpu, peak in [_medians(group)]
        ]
        header = ["system", "wall (s)", "x real time", "hours a minute", "CPU (s)"]
        parts += [f"Peers, {minutes:g} minutes:", table((*header, "peak memory (MiB)"), others)]
    return parts


def _grouped(runs: Iterable[Run], key: Callable[[Run], Key]) -> dict[Key, list[Run]]:
    groups: dict[Key, list[Run]] = {}
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
    """Return how many times the reference; unknown if noise made either of them 0 or less."""
    return f"{value / reference:.3f}" if value > 0 and reference > 0 else UNKNOWN
