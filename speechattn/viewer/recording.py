"""A recording and what is shown of it: sound, phones and words, posteriors, a reference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from speechattn.audio.load import audio_info, read_audio
from speechattn.errors import ConfigError, UsageError
from speechattn.files import is_folder
from speechattn.inference.transcription import TranscribeOptions
from speechattn.options import DEFAULT_MODEL, READINGS
from speechattn.segments import SAMPLE_RATE, Segment
from speechattn.text import natural_order
from speechattn.viewer import results
from speechattn.viewer.differences import Comparison, compare, phone_key
from speechattn.viewer.results import PHONES, REFERENCE_SUFFIXES, WORDS, Labelled, find_labels
from speechattn.viewer.texts import Texts

if TYPE_CHECKING:
    from speechattn.inference.recognizer import Recognizer
    from speechattn.inference.transcription import Transcription

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
        attention: stretch whose attention is shown, seconds; ``"none"`` for none; None for as much
            from the beginning as a page has room for, 21 s with the English model.
        head: layer and head, from 0, whose attention is shown first; None for the last layer's
            first.
        span: stretch of a recording that is shown, seconds; None for all of it.
        reference: file or folder of references; None for none.
        results: file or folder of results; None to transcribe.
        recordings: folder of the recordings of a folder of results.
        words: whether words are shown where the model has them.
        text: file or folder of what is said, which is aligned; None for what the model hears.
        lexicons: files that say how its words are pronounced.
        reading: as for :func:`speechattn.load_model`.
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
    words: bool = True
    text: Path | None = None
    lexicons: tuple[str, ...] = ()
    reading: str = READINGS[0]

    def __post_init__(self) -> None:
        for name in ("reference", "results", "recordings", "text"):
            if isinstance(getattr(self, name), str):
                object.__setattr__(self, name, Path(getattr(self, name)))


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
        found: what the model recognised, or where it found the text.
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
    found: Transcription | None = None


def find_shown(inputs: Sequence[str | Path], options: ShowOptions) -> list[tuple[Path, str]]:
    """Return the recordings of inputs with their paths below their folders.

    Those of a folder, and files in the order in which a shell lists them, come with ``f2`` before
    ``f10``; others as they were given.

    Args:
        inputs: recordings, folders of recordings, and folders that ``transcribe`` wrote.
        options: of which ``recordings`` counts here.

    Raises:
        UsageError: if there is no recording, or one of results is no longer there.
    """
    from speechattn.transcription.inputs import find_recordings

    found: list[tuple[Path, str]] = []
    items = [str(item) for item in inputs]
    if items == sorted(items):
        items.sort(key=natural_order)
    for item in items:
        path = Path(item)
        if is_folder(path) and results.is_results_folder(path):
            found += _in_order(results.recordings_of_results(path, options.recordings))
        elif path.suffix.lower() in (".textgrid", ".json", ".ctm", ".csv", ".eaf"):
            raise UsageError(
                f"{path}: a result without its recording; give the recording, and this file with "
                "--results"
            )
        else:
            local = []
            for recording, file in find_recordings([item]):
                if not isinstance(recording, Path):
                    raise UsageError(f"{item}: a URL; copy the recording to this machine first")
                local.append((recording, file))
            found += _in_order(local) if is_folder(path) else local
    return list(dict.fromkeys(found))


def _in_order(recordings: Iterable[tuple[Path, str]]) -> list[tuple[Path, str]]:
    return sorted(recordings, key=lambda each: natural_order(each[1]))


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
        recognizer: the model of the options, loaded; None to load it.
    """

    def __init__(
        self,
        options: ShowOptions,
        results: Path | None,
        on_status: Callable[[str], None] = lambda line: None,
        recognizer: Recognizer | None = None,
    ) -> None:
        self.options, self.results, self._status = options, results, on_status
        self._recognizer = recognizer
        self._texts: Texts | None = None

    @property
    def recognizer(self) -> Recognizer:
        """The model."""
        if self._recognizer is None:
            from speechattn.inference.recognizer import load_model

            options = self.options
            self._recognizer = load_model(
                options.model,
                options.device,
                window=options.window,
                lm_scale=options.lm_scale,
                reading=options.reading,
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
        # Files first: a model takes long to find out that one is missing.
        warnings: list[str] = []
        given = self._labels(self.results, shown, results.SUFFIXES, "results", warnings)
        reference = self._labels(
            options.reference, shown, REFERENCE_SUFFIXES, "reference", warnings
        )
        recognizer, labels = self.recognizer, options.labels
        if self._texts is not None:
            self._status(f"aligning {shown.file}")
            wanted = TranscribeOptions(options.channel, posteriors=False, labels=labels)
            shown.found, given, differences = self._texts.align(shown, recognizer, wanted)
            warnings += differences
        words = options.words and not given and knows_words(recognizer)
        self._status(f"transcribing {shown.file}")
        if options.span is None:  # with the warnings about its own sample rate and channels
            found = recognizer.transcribe(
                shown.path, channel=options.channel, labels=labels, words=words
            )
            shown.duration = found.duration
        else:
            found = recognizer.transcribe(
                shown.samples, sample_rate=SAMPLE_RATE, labels=labels, words=words
            )
        shown.posteriors, shown.labels = found.posteriors, found.labels
        shown.silence = recognizer.phones.silence
        shown.warnings = (*found.warnings, *warnings)
        shown.found = shown.found or found
        shown.tiers = given or {PHONES: found.phones}
        if not given and found.words is not None:
            shown.tiers = {WORDS: list(found.words), PHONES: found.phones}
        if reference:
            shown.reference = reference
            key = phone_key(recognizer.phones)
            sides = reference.get(PHONES, []), shown.tiers.get(PHONES, [])
            shown.comparison = compare(*sides, key)
            shown.keys = {s.label: key(s.label) for side in sides for s in side}
            phones = recognizer.phones  # whatever a phone is renamed to in the page
            shown.keys |= {label: key(label) for label in (*phones.names, *phones.ipa.values())}
        return shown

    def check(self, files: Sequence[str]) -> None:
        """Check that recordings have results, references and texts, if they are wanted.

        Raises:
            UsageError: if one is missing, or results or a stretch are wanted beside texts.
            CorpusError: if there is no such folder or file of texts.
            AlignmentError: if a text is missing.
        """
        options = self.options
        for file in files:
            if self.results is not None:
                find_labels(self.results, file, results.SUFFIXES, "results")
            if options.reference is not None:
                find_labels(options.reference, file, REFERENCE_SUFFIXES, "reference")
        if options.text is None:
            return
        if self.results is not None:
            raise UsageError(f"--text {options.text}: results have words already; give one of both")
        if options.span is not None:
            raise UsageError(
                f"--text {options.text}: is that of the whole recording; align it with `speechattn "
                "align`, and show a stretch of that with --results and --span"
            )
        self._texts = Texts(options.text, files, options.lexicons)

    def _labels(
        self,
        where: Path | None,
        shown: Shown,
        suffixes: Sequence[str],
        what: str,
        warnings: list[str],
    ) -> Labelled:
        """Return the tiers of a file in the stretch that is shown; add to the warnings."""
        if where is None:
            return {}
        path = find_labels(where, shown.file, suffixes, what)
        whole = self.options.span is None
        duration = shown.duration if whole else audio_info(shown.path).duration
        tiers = results.read_labels(path, shown.file, duration, what)
        if warning := results.early_end(path, tiers, duration):
            warnings.append(f"{what}: {path} {warning}")
        return tiers if whole else {name: _cut(tier, shown) for name, tier in tiers.items()}


def knows_words(recognizer: Recognizer) -> bool:
    """Return whether a model gives words beside the phones."""
    from speechattn.decoder.words import names_of_words

    try:
        names_of_words(recognizer.checkpoint.phone_model, recognizer.checkpoint.decoding)
    except ConfigError:
        return False
    return True


def _cut(tier: Sequence[Segment], shown: Shown) -> list[Segment]:
    """Return the part of a tier in the stretch that is shown, in its times."""
    moved = (
        (s, max(0.0, s.start - shown.origin), min(shown.duration, s.end - shown.origin))
        for s in tier
    )
    return [Segment(s.label, start, end, s.confidence) for s, start, end in moved if end > start]
