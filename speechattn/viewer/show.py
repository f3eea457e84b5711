"""One page for some recordings: what is heard in them, seen and played.

For each recording: read it, draw what needs no model in threads while the model transcribes it,
then add what the model says. Everything is put into one :class:`~speechattn.viewer.page.Page`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechattn.audio.load import audio_info
from speechattn.errors import UsageError, cannot_write
from speechattn.files import atomic_path, path_list
from speechattn.machine import num_usable_cores
from speechattn.progress import Progress
from speechattn.segments import Segment
from speechattn.text import counted
from speechattn.viewer import pictures, results
from speechattn.viewer.attention import LONGEST, MOST_VALUES, Room, attention_part, check_head
from speechattn.viewer.page import LIBRARY, OWN, Page
from speechattn.viewer.recording import Shower, Shown, ShowOptions, Span, find_shown, results_of
from speechattn.viewer.results import PHONES
from speechattn.viewer.sound import SILENT, encode_sound

if TYPE_CHECKING:
    from speechattn.inference.recognizer import Recognizer

MOST_SECONDS = 3600.0  # of all recordings of a page; an hour makes some 40 MB
SCRIPTS = (
    "core.js", "stretch.js", "sound.js", "tape.js", "tiles.js", "tiers.js", "waveform.js",
    "attention.js", "compare.js", "edit.js", "layout.js", "input.js", "words.js", "actions.js",
    "draw.js", "show.js",
)  # fmt: skip
NO_ATTENTION = "none"
AT_ONCE = "-0", "-overview"  # ends of the names of the tiles that are seen first


def show_page(
    inputs: str | Path | Sequence[str | Path],
    output: str | Path,
    options: ShowOptions | None = None,
    on_status: Callable[[str], None] = lambda line: None,
    recognizer: Recognizer | None = None,
    *,
    progress: bool = False,
) -> list[Shown]:
    """Write a page of recordings, whole or not at all.

    Args:
        inputs: one or several, as for :func:`~speechattn.viewer.recording.find_shown`.
        output: HTML file.
        options: how they are shown; the default ones if None.
        on_status: called with a line for people when something that takes long begins.
        recognizer: the model of the options, loaded; None to load it.
        progress: show on standard error how many of several recordings are done, instead of a
            line for each.

    Returns:
        What is shown of each recording.

    Raises:
        AudioError: if a recording cannot be read or trusted.
        UsageError: if inputs, results or references do not fit, the recordings or their attention
            are too long for a page, the model has no such head, or the file cannot be written.
    """
    options, inputs = options or ShowOptions(), path_list(inputs)
    recordings = find_shown(inputs, options)
    check_length(recordings, options.span, options.attention)
    several = progress and len(recordings) > 1
    on_each = (lambda line: None) if several else on_status
    shower = Shower(options, results_of(inputs, options), on_each, recognizer)
    shower.check([file for _, file in recordings])
    if options.head is not None:
        check_head(shower.recognizer.checkpoint, options.head)
    title = Path(recordings[0][1]).name if len(recordings) == 1 else f"{len(recordings)} recordings"
    page = Page(
        f"{title}{OWN}",
        scripts=(LIBRARY[0], *SCRIPTS),
        styles=(LIBRARY[1], "page.css", "show.css"),
    )
    page.add_html('<div id="app"></div>\n')
    names, all_shown, room = [], [], Room(MOST_VALUES)
    bar = Progress("show", len(recordings), unit="recording", shown=several)
    with ThreadPoolExecutor(max(2, num_usable_cores())) as executor, bar:
        for number, (path, file) in enumerate(recordings):
            shown = shower.read(path, file)
            drawn = _Drawn(shown, options, executor)
            shower.fill(shown)
            _add(page, number, shown, drawn, shower, executor, room)
            names.append({"name": file, "seconds": shown.duration})
            all_shown.append(shown)
            bar.update()
    if room.left_out:
        on_status(
            f"attention: the page has room for that of {len(recordings) - room.left_out} of "
            f"{counted(len(recordings), 'recording')}; show one of the others alone to see its own"
        )
    page.add_data("show", {"title": title, "recordings": names})
    try:
        with atomic_path(output) as temporary:
            page.write(temporary)
    except OSError as error:
        raise UsageError(cannot_write(Path(output), error)) from error
    return all_shown


def check_length(
    recordings: Sequence[tuple[Path, str]], span: Span | None, attention: Span | str | None = None
) -> None:
    """Refuse recordings, or stretches whose attention is asked for, too long for one page.

    Raises:
        AudioError: if one cannot be read.
        UsageError: if they are too long; the message says what to do.
    """
    start, end = span or (0.0, math.inf)
    ends = [min(end, audio_info(path).duration) for path, _ in recordings]
    if isinstance(attention, tuple):
        first, last = attention
        seconds = sum(max(0.0, min(last, end) - max(first, start)) for end in ends)
        if seconds > LONGEST:
            which = " of all recordings together" if len(ends) > 1 else ""
            raise UsageError(
                f"--attention {first:g}-{last:g}: {seconds:.0f} s{which}; a page holds "
                f"{LONGEST:g} s of attention: name a shorter stretch"
                + (", or show fewer of them" if which else "")
            )
    total = sum(max(0.0, end - start) for end in ends)
    if total <= MOST_SECONDS:
        return
    what = f"{recordings[0][1]}: {total / 60:.0f} minutes"
    way_out = "show a stretch of it, such as --span 0-1800"
    if len(recordings) > 1:
        what = f"{len(recordings)} recordings: {total / 60:.0f} minutes together"
        way_out = "show fewer of them, or stretches with --span"
    raise UsageError(f"{what}; a page holds {MOST_SECONDS / 60:.0f} minutes: {way_out}")


class _Drawn:
    """What needs no model, drawn in threads while the model works."""

    def __init__(self, shown: Shown, options: ShowOptions, executor: ThreadPoolExecutor) -> None:
        samples = shown.samples
        rate = pictures.by_duration(pictures.ENVELOPE_RATES, shown.duration)
        self.rate = rate
        # Threads that wait for the tiles they ordered must not take all threads of the executor.
        self._own = ThreadPoolExecutor(2)
        self.envelope = self._own.submit(pictures.envelope, samples, rate)
        self.spectrogram = self._own.submit(pictures.spectrogram_tiles, samples, executor)
        self.sound: Future | None = None
        if options.sound != SILENT:
            self.sound = self._own.submit(encode_sound, samples, options.sound, executor)
        self._own.shutdown(wait=False)


def _add(
    page: Page,
    number: int,
    shown: Shown,
    drawn: _Drawn,
    shower: Shower,
    executor: Executor,
    room: Room,
) -> None:
    """Add a recording to a page; what the first picture needs comes before the rest."""
    key, late = f"r{number}", number > 0
    values: dict[str, Any] = {
        "name": shown.file,
        "duration": shown.duration,
        "origin": shown.origin,
        "silence": shown.silence,
        "warnings": list(shown.warnings),
        "model": shower.recognizer.checkpoint.name,
    }
    assert shown.posteriors is not None
    tiles = {
        "posteriors": pictures.posterior_tiles(shown.posteriors, executor),
        "spectrogram": drawn.spectrogram.result(),
    }
    attention = None
    if shower.options.attention != NO_ATTENTION:
        before = room.left_out
        attention = attention_part(
            shower.recognizer, shown, shower.options.attention, executor, room
        )
        values["attentionLeftOut"] = room.left_out > before
    if attention is not None:
        values["attention"], tiles["attention"] = attention
        values["attention"]["first"] = shower.options.head
    values["tiles"] = {}
    for name, each in tiles.items():
        values["tiles"][name] = each.describe(f"{key}-{name}")
        for file, data in each.files(f"{key}-{name}"):
            at_once = file.endswith(AT_ONCE)
            page.add_bytes(file, data, late or not at_once)
    high, low = drawn.envelope.result()
    values["envelope"] = {"name": f"{key}-envelope", "rate": drawn.rate, "points": len(high)}
    page.add_bytes(f"{key}-envelope", high.tobytes() + low.tobytes(), late)
    if drawn.sound is not None:
        sound = drawn.sound.result()
        values["sound"] = sound.describe(f"{key}-sound")
        for file, data in sound.files(f"{key}-sound"):
            page.add_bytes(file, data, late=True)
    values["labels"] = list(shown.labels)
    values["tiers"] = [_tier(name, tier, shown) for name, tier in shown.tiers.items()]
    values["reference"] = [_tier(name, tier, shown) for name, tier in shown.reference.items()]
    if shown.comparison is not None:
        _add_partners(values, shown)
    page.add_data(key, values, late)


def _tier(name: str, segments: Sequence[Segment], shown: Shown) -> dict[str, Any]:
    """Return a tier without gaps: ends (s), labels, confidences, number of the given segment."""
    ends: list[float] = []
    labels: list[str] = []
    confidences: list[float | None] = []
    numbers: list[int] = []
    end = 0.0
    for number, segment in enumerate(segments):
        if segment.start > end:
            ends.append(segment.start)
            labels.append("")
            confidences.append(None)
            numbers.append(-1)
        silent = segment.label == shown.silence or segment.label.casefold() in results.SILENCES
        ends.append(segment.end)
        labels.append("" if silent else segment.label)
        confidences.append(round(float(segment.confidence), 3))
        numbers.append(number)
        end = segment.end
    if end < shown.duration:
        ends.append(shown.duration)
        labels.append("")
        confidences.append(None)
        numbers.append(-1)
    return {
        "name": name,
        "ends": ends,
        "labels": labels,
        "confidences": confidences,
        "numbers": numbers,
    }


def _add_partners(values: dict[str, Any], shown: Shown) -> None:
    """Add to the tiers of phones what they were compared with, and the list of differences."""
    comparison = shown.comparison
    assert comparison is not None
    sides = ("tiers", comparison.recognised), ("reference", comparison.reference)
    places: dict[str, dict[int, int]] = {}
    for side, _ in sides:
        tier = next((each for each in values[side] if each["name"] == PHONES), None)
        numbers = [] if tier is None else tier["numbers"]
        places[side] = {number: i for i, number in enumerate(numbers) if number >= 0}
    for (side, partners), (other, _) in zip(sides, reversed(sides)):
        for tier in values[side]:
            if tier["name"] == PHONES:
                tier["partners"] = [
                    -2 if n < 0 else places[other].get(partners[n], partners[n])
                    for n in tier["numbers"]
                ]
    values["keys"] = shown.keys
    values["differences"] = [[time, text] for time, text in comparison.differences]
