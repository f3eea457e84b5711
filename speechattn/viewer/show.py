"""One page for some recordings: what is heard in them, seen and played.

For each recording: read it, draw what needs no model in threads while the model transcribes it,
then add what the model says. Everything is put into one :class:`~speechattn.viewer.page.Page`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speechattn.audio.load import audio_info, read_audio
from speechattn.errors import UsageError, cannot_write
from speechattn.files import atomic_path
from speechattn.machine import num_usable_cores
from speechattn.options import DEFAULT_MODEL
from speechattn.segments import SAMPLE_RATE, Segment
from speechattn.viewer import pictures, results
from speechattn.viewer.attention import attention_part
from speechattn.viewer.differences import Comparison, compare, phone_key
from speechattn.viewer.page import LIBRARY, Page
from speechattn.viewer.results import PHONES, WORDS, Labelled
from speechattn.viewer.sound import SILENT, encode_sound

if TYPE_CHECKING:
    from speechattn.inference.recognizer import Recognizer

MOST_SECONDS = 3600.0  # of all recordings of a page; an hour makes some 40 MB
SCRIPTS = (
    "core.js", "sound.js", "tiles.js", "tiers.js", "waveform.js", "attention.js", "edit.js",
    "layout.js", "input.js", "show.js",
)  # fmt: skip
NO_ATTENTION = "none"
Span = tuple[float, float]


@dataclass(frozen=True)
class ShowOptions:
    """How recordings are shown.

    Attributes:
        model: name or folder.
        device: where it computes.
        window: of its attention, left and right in 10 ms frames; None for its own.
        lm_scale: as for :func:`speechattn.load_model`.
        channel: to take from recordings with several; None for their mean.
        labels: ``"arpabet"`` or ``"ipa"``.
        sound: a key of :data:`speechattn.viewer.sound.FORMATS`, or ``"none"``.
        attention: stretch whose attention is shown, seconds; ``"none"`` for none; None for the
            first minute.
        head: layer and head, from 0, whose attention is shown first; None for the last layer's
            first.
        span: stretch of a recording that is shown, seconds; None for all of it.
        reference: file or folder of references; None for none.
        results: file or folder of results; None to transcribe.
        recordings: folder of the recordings of a folder of results.
    """

    model: str = DEFAULT_MODEL
    device: str = "auto"
    window: tuple[int, int] | None = None
    lm_scale: float | None = None
    channel: int | None = None
    labels: str = "arpabet"
    sound: str = "mp3"
    attention: Span | str | None = None
    head: tuple[int, int] | None = None
    span: Span | None = None
    reference: Path | None = None
    results: Path | None = None
    recordings: Path | None = None


@dataclass
class Shown:
    """A recording, and what is shown of it; times count from the start of the stretch.

    Attributes:
        path: of the recording.
        file: its path below its folder.
        samples: 16 kHz mono, float32.
        duration: of the stretch, seconds.
        origin: where the stretch begins in the recording, seconds.
        tiers: segments of the tiers that may be edited.
        reference: segments to compare with.
        comparison: of the phones with those of the reference.
        keys: what each label is compared as.
        posteriors: shape (frames, phones); None without.
        labels: of the posteriors.
        silence: label of the silence.
        warnings: what is unusual about the recording.
    """

    path: Path
    file: str
    samples: np.ndarray
    duration: float
    origin: float
    tiers: Labelled = field(default_factory=dict)
    reference: Labelled = field(default_factory=dict)
    comparison: Comparison | None = None
    keys: dict[str, str] = field(default_factory=dict)
    posteriors: np.ndarray | None = None
    labels: tuple[str, ...] = ()
    silence: str = "SIL"
    warnings: tuple[str, ...] = ()


def find_shown(inputs: Sequence[str | Path], options: ShowOptions) -> list[tuple[Path, str]]:
    """Return the recordings of inputs with their paths below their folders.

    Args:
        inputs: recordings, folders of recordings, and folders that ``transcribe`` wrote.
        options: of which ``recordings`` counts here.

    Raises:
        UsageError: if there is no recording, or one of results is no longer there.
    """
    from speechattn.transcription.inputs import find_recordings

    found: list[tuple[Path, str]] = []
    for item in inputs:
        path = Path(item)
        if path.is_dir() and results.is_results_folder(path):
            found += results.recordings_of_results(path, options.recordings)
        elif path.suffix.lower() in (".textgrid", ".json", ".ctm", ".csv", ".eaf"):
            raise UsageError(
                f"{path}: a result without its recording; give the recording, and this file with "
                "--results"
            )
        else:
            for recording, file in find_recordings([item]):
                if not isinstance(recording, Path):
                    raise UsageError(f"{item}: a URL; copy the recording to this machine first")
                found.append((recording, file))
    return list(dict.fromkeys(found))


def results_of(inputs: Sequence[str | Path], options: ShowOptions) -> Path | None:
    """Return where results are: those that are given, or the one input that is a folder of them."""
    folders = [Path(item) for item in inputs if results.is_results_folder(Path(item))]
    if options.results or not folders:
        return options.results
    if len(inputs) > 1:
        raise UsageError(f"{folders[0]}: a folder of results beside other inputs; give it alone")
    return folders[0]


class Shower:
    """Reads, transcribes and compares recordings; the model is loaded when it is first needed.

    Args:
        options: how recordings are shown.
        results: file or folder of results; None to transcribe.
        on_status: called with a line for people when something that takes long begins.
    """

    def __init__(
        self,
        options: ShowOptions,
        results: Path | None,
        on_status: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.options, self.results, self._status = options, results, on_status
        self._recognizer: Recognizer | None = None

    @property
    def recognizer(self) -> Recognizer:
        """The model."""
        if self._recognizer is None:
            from speechattn.inference.recognizer import load_model

            options = self.options
            self._recognizer = load_model(
                options.model, options.device, window=options.window, lm_scale=options.lm_scale
            )
        return self._recognizer

    def read(self, path: Path, file: str) -> Shown:
        """Read the samples of a recording.

        Raises:
            AudioError: if it cannot be read.
            UsageError: if the stretch does not lie in it.
        """
        samples, info = read_audio(path, channel=self.options.channel)
        if self.options.span is None:
            return Shown(path, file, samples, info.duration, 0.0)
        start, end = self.options.span
        if not start < min(end, info.duration):
            raise UsageError(
                f"--span {start:g}-{end:g}: {file} has {info.duration:.2f} s; name a stretch of it"
            )
        part = samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
        return Shown(path, file, np.ascontiguousarray(part), len(part) / SAMPLE_RATE, start)

    def fill(self, shown: Shown) -> Shown:
        """Add phones, words, posteriors and the comparison with a reference.

        Raises:
            AudioError: if the recording cannot be trusted.
            UsageError: if results or the reference do not fit.
        """
        options = self.options
        wanted = self.recognizer.phones
        self._status(f"transcribing {shown.file}")
        recognizer, labels = self.recognizer, options.labels
        if options.span is None:  # with the warnings about its own sample rate and channels
            found = recognizer.transcribe(shown.path, channel=options.channel, labels=labels)
            shown.duration = found.duration
        else:
            found = recognizer.transcribe(shown.samples, sample_rate=SAMPLE_RATE, labels=labels)
        shown.posteriors, shown.labels = found.posteriors, found.labels
        shown.silence, shown.warnings = wanted.silence, found.warnings
        shown.tiers = {PHONES: found.phones}
        if found.words is not None:
            shown.tiers = {WORDS: list(found.words), **shown.tiers}
        if self.results is not None:
            shown.tiers = self._labels(self.results, shown, results.SUFFIXES, "results")
        if options.reference is not None:
            suffixes = results.REFERENCE_SUFFIXES
            shown.reference = self._labels(options.reference, shown, suffixes, "reference")
            reference, recognised = (
                side.get(PHONES, []) for side in (shown.reference, shown.tiers)
            )
            key = phone_key(wanted)
            shown.comparison = compare(reference, recognised, key)
            shown.keys = {s.label: key(s.label) for s in (*reference, *recognised)}
            shown.keys |= {label: key(label) for label in found.labels}
        return shown

    def _labels(self, where: Path, shown: Shown, suffixes: Sequence[str], what: str) -> Labelled:
        path = results.find_labels(where, shown.file, suffixes, what)
        whole = self.options.span is None
        duration = shown.duration if whole else audio_info(shown.path).duration
        tiers = results.read_labels(path, shown.file, duration, what)
        return tiers if whole else {k: _cut(tier, shown) for k, tier in tiers.items()}


def _cut(tier: Sequence[Segment], shown: Shown) -> list[Segment]:
    """Return the part of a tier in the stretch that is shown, in its times."""
    moved = (
        (s, max(0.0, s.start - shown.origin), min(shown.duration, s.end - shown.origin))
        for s in tier
    )
    return [Segment(s.label, start, end, s.confidence) for s, start, end in moved if end > start]


def show_page(
    inputs: Sequence[str | Path],
    output: str | Path,
    options: ShowOptions | None = None,
    on_status: Callable[[str], None] = lambda line: None,
) -> list[Shown]:
    """Write a page of recordings, whole or not at all.

    Args:
        inputs: as for :func:`find_shown`.
        output: HTML file.
        options: how they are shown; the default ones if None.
        on_status: called with a line for people when something that takes long begins.

    Returns:
        What is shown of each recording.

    Raises:
        AudioError: if a recording cannot be read or trusted.
        UsageError: if inputs, results or references do not fit, the recordings are too long for a
            page, or the file cannot be written.
    """
    options = options or ShowOptions()
    recordings = find_shown(inputs, options)
    check_length(recordings, options.span)
    shower = Shower(options, results_of(inputs, options), on_status)
    title = Path(recordings[0][1]).name if len(recordings) == 1 else f"{len(recordings)} recordings"
    page = Page(
        f"{title} · speechattn",
        scripts=(LIBRARY[0], *SCRIPTS),
        styles=(LIBRARY[1], "page.css", "show.css"),
    )
    page.add_html('<div id="app"></div>\n')
    names, all_shown = [], []
    with ThreadPoolExecutor(max(2, num_usable_cores())) as executor:
        for number, (path, file) in enumerate(recordings):
            shown = shower.read(path, file)
            drawn = _Drawn(shown, options, executor)
            shower.fill(shown)
            _add(page, f"r{number}", shown, drawn, shower, executor)
            names.append({"name": file, "seconds": shown.duration})
            all_shown.append(shown)
    page.add_data("show", {"title": title, "recordings": names})
    try:
        with atomic_path(output) as temporary:
            page.write(temporary)
    except OSError as error:
        raise UsageError(cannot_write(Path(output), error)) from error
    return all_shown


def check_length(recordings: Sequence[tuple[Path, str]], span: Span | None) -> None:
    """Refuse recordings that are too long for one page.

    Raises:
        AudioError: if one cannot be read.
        UsageError: if they are too long; the message says what to do.
    """
    durations = [audio_info(path).duration for path, _ in recordings]
    if span is not None:
        durations = [max(0.0, min(span[1], d) - span[0]) for d in durations]
    total = sum(durations)
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
    page: Page, key: str, shown: Shown, drawn: _Drawn, shower: Shower, executor: Executor
) -> None:
    """Add a recording to a page."""
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
        attention = attention_part(shower.recognizer, shown, shower.options.attention, executor)
    if attention is not None:
        values["attention"], tiles["attention"] = attention
        values["attention"]["first"] = shower.options.head
    values["tiles"] = {}
    for name, each in tiles.items():
        values["tiles"][name] = each.describe(f"{key}-{name}")
        for file, data in each.files(f"{key}-{name}"):
            page.add_bytes(file, data)
    high, low = drawn.envelope.result()
    values["envelope"] = {"name": f"{key}-envelope", "rate": drawn.rate, "points": len(high)}
    page.add_bytes(f"{key}-envelope", high.tobytes() + low.tobytes())
    if drawn.sound is not None:
        sound = drawn.sound.result()
        values["sound"] = sound.describe(f"{key}-sound")
        for file, data in sound.files(f"{key}-sound"):
            page.add_bytes(file, data)
    values["labels"] = list(shown.labels)
    values["tiers"] = [_tier(name, tier, shown) for name, tier in shown.tiers.items()]
    values["reference"] = [_tier(name, tier, shown) for name, tier in shown.reference.items()]
    if shown.comparison is not None:
        _add_partners(values, shown)
    page.add_data(key, values)


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
