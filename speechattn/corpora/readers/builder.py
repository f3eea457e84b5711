"""What every reader does with an utterance that it has found: check it and add it to a corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from speechattn.audio.load import audio_info
from speechattn.corpora.alignment import END_TOLERANCE_FRAMES
from speechattn.corpora.corpus import Corpus, Utterance
from speechattn.corpora.readers.labels import LabelMap, Piece
from speechattn.corpora.readers.textgrid import Interval
from speechattn.errors import AudioError, CorpusError
from speechattn.segments import (
    FRAMES_PER_SECOND,
    SAMPLE_RATE,
    Segment,
    frame_to_seconds,
    num_frames,
    seconds_to_frame,
)
from speechattn.text import one_line

DECIMALS = 4  # of seconds, in alignments
LONGEST_PAUSE = 0.5  # seconds within an utterance that is cut out of a long recording
MARGIN = 0.15  # seconds of the pause around it that such an utterance keeps


class NothingUsableError(CorpusError):
    """A corpus has no utterance that can be used.

    Attributes:
        problems: one line each, all of them.
    """

    def __init__(self, message: str, problems: Sequence[str]) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class CorpusBuilder:
    """Collects the utterances of a corpus, and what is wrong with the others.

    Args:
        folder: of the corpus.
        labels: how its phones are renamed.
    """

    def __init__(self, folder: Path, labels: LabelMap | None = None) -> None:
        self.folder = folder
        self._labels = labels or LabelMap()
        self._utterances: dict[str, Utterance] = {}
        self._problems: list[str] = []
        self._notes: list[str] = []
        self._splits: dict[str, list[str]] = {}
        self._durations: dict[Path, float | None] = {}
        self._present: dict[Path, frozenset[str]] = {}

    def report(self, problem: str) -> None:
        """Add a line about something that is left out."""
        self._problems.append(one_line(problem))

    def note(self, text: str) -> None:
        """Add a line about an error that leaves nothing out."""
        self._notes.append(one_line(text))

    def add(
        self,
        name: str,
        audio: Path,
        speaker: str,
        *,
        text: str | None = None,
        phones: Sequence[Interval] | None = None,
        words: Iterable[Interval] = (),
        labels_from: Path | None = None,
        span: tuple[float, float | None] | None = None,
        splits: Iterable[str] = (),
    ) -> None:
        """Add an utterance, or a problem if something is wrong with it.

        Args:
            name: its id; white space in it becomes an underscore.
            audio: its recording.
            speaker: id; white space as above.
            text: transcript; None without one.
            phones, words: in seconds of the recording; those without a label are pauses.
            labels_from: file that they come from, for messages.
            span: start and end in the recording in seconds; None for all of it.
            splits: names of the splits that it belongs to.
        """
        name, speaker = "_".join(name.split()), "_".join(speaker.split())
        source = labels_from or audio
        try:
            if not name or not speaker:
                what = f"utterance {name}: no speaker" if name else "an utterance without an id"
                raise CorpusError(f"{source}: {what}; give it a name that is not white space")
            if name in self._utterances:
                other = self._utterances[name].path
                raise CorpusError(f"{source}: utterance {name} exists already, from {other}")
            length = self._duration(audio)
            start, end = span or (0.0, None)
            if not 0 <= start < (length if end is None else end) <= length + 0.03:
                raise CorpusError(
                    f"{source}: utterance {name}: {start:g} to {end or length:g} s does not lie in "
                    f"its recording of {length:.2f} s; correct the times"
                )
            end = None if span is None else min(length if end is None else end, length)
            duration = length if end is None else end - start
            alignment = None
            if phones is not None:
                pieces = self._labels.convert(phones, source)
                own = [(label, s - start, e - start) for label, s, e in pieces]
                silence = self._labels.phones.silence
                alignment = tile(own, duration, silence, f"{source}: {name}")
            found = tuple(_spoken_words(words, start, duration))
        except CorpusError as error:
            self.report(str(error))
            return
        text = None if text is None else " ".join(text.split())
        self._utterances[name] = Utterance(
            name, audio, speaker, duration, text, alignment, found, start, end
        )
        for split in splits:
            self._splits.setdefault(split, []).append(name)

    def corpus(self) -> Corpus:
        """The corpus, sorted by utterance id.

        Raises:
            NothingUsableError: if there is no usable utterance.
        """
        if not self._utterances:
            count = len(self._problems)
            why = f"first of {count} problems: {self._problems[0]}" if count else "none was found"
            raise NothingUsableError(f"{self.folder}: no usable utterance; {why}", self._problems)
        utterances = tuple(self._utterances[name] for name in sorted(self._utterances))
        splits = {name: tuple(sorted(ids)) for name, ids in sorted(self._splits.items())}
        return Corpus(
            self.folder, None, utterances, tuple(self._problems), splits, tuple(self._notes)
        )

    def _duration(self, audio: Path) -> float:
        """Seconds of a recording, looked up once."""
        if audio not in self._durations:
            self._durations[audio] = None
            if audio.name not in self._names(audio.parent):
                raise CorpusError(f"{audio}: no such file; put it there or remove its labels")
            try:
                self._durations[audio] = audio_info(audio).duration
            except AudioError as error:
                raise CorpusError(str(error)) from None
        duration = self._durations[audio]
        if duration is None:
            raise CorpusError(f"{audio}: cannot be used, as the first message about it says")
        return duration

    def _names(self, folder: Path) -> frozenset[str]:
        """The names of the files of a folder, listed once."""
        if folder not in self._present:
            try:
                self._present[folder] = frozenset(path.name for path in folder.iterdir())
            except OSError:
                self._present[folder] = frozenset()
        return self._present[folder]


def _spoken_words(words: Iterable[Interval], start: float, duration: float) -> Iterable[Segment]:
    """Words that lie in an utterance, in its own time; where two overlap the first one is cut."""
    found: list[Segment] = []
    for word in words:
        begin = max(round(word.start - start, DECIMALS), 0.0)
        stop = min(round(word.end - start, DECIMALS), round(duration, DECIMALS))
        if not word.label or not begin < stop:  # NaN as well
            continue
        if found and found[-1].end > begin:
            before = found.pop()
            if begin > before.start:
                found.append(Segment(before.label, before.start, begin))
        found.append(Segment(word.label, begin, stop))
    return found


def tile(pieces: Sequence[Piece], duration: float, silence: str, name: str) -> tuple[Segment, ...]:
    """Phones as an alignment from 0 s on, without gaps or overlaps.

    Times are rounded to 0.1 ms. What lies between two phones is silence. Every phone gets at least
    one frame of the 10 ms grid: where one would have none, boundaries move by as little as that
    takes. A silence without a frame becomes part of the phone before it.

    Args:
        pieces: label, start and end in seconds.
        duration: of the utterance in seconds.
        silence: the silence label.
        name: what messages call the utterance.

    Raises:
        CorpusError: if phones overlap, reach more than 30 ms past the end, or are more than there
            are frames.
    """
    end = round(duration, DECIMALS)
    labels: list[str] = []
    edges = [0.0]

    def add(label: str, stop: float) -> None:
        if label == silence and seconds_to_frame(stop) <= seconds_to_frame(edges[-1]):
            edges[-1] = stop if labels else 0.0
        elif label == silence and labels and labels[-1] == silence:
            edges[-1] = stop
        elif stop > edges[-1]:
            labels.append(label)
            edges.append(stop)

    for label, begin, stop in pieces:
        start, stop = round(begin, DECIMALS), round(stop, DECIMALS)
        if not edges[-1] - 2 * 10**-DECIMALS <= start < stop:  # NaN as well
            raise CorpusError(
                f"{name}: {label} at {begin:.3f}-{stop:.3f} s has no length or begins before the "
                f"phone before it ends ({edges[-1]:.3f} s); correct the labels"
            )
        late = END_TOLERANCE_FRAMES / FRAMES_PER_SECOND
        if stop > end + late or (start >= end and label != silence):
            raise CorpusError(
                f"{name}: {label} ends at {stop:.3f} s, the audio at {end:.3f} s; correct the "
                "labels or give the recording they belong to"
            )
        if start > edges[-1]:
            add(silence, start)
        add(label, min(stop, end))
    _give_frames(edges, num_frames(round(duration * SAMPLE_RATE)), len(labels), name)
    return tuple(Segment(labels[i], edges[i], edges[i + 1]) for i in range(len(labels)))


def _give_frames(edges: list[float], frames: int, count: int, name: str) -> None:
    """Move boundaries, in place, so that every segment has a frame."""
    if count > frames:
        raise CorpusError(f"{name}: {count} phones in {frames} frames of 10 ms; correct the labels")
    for i in range(1, len(edges)):
        if seconds_to_frame(edges[i]) <= (low := seconds_to_frame(edges[i - 1])):
            edges[i] = frame_to_seconds(low + 1)
    for back, i in enumerate(range(len(edges) - 1, 0, -1)):
        if seconds_to_frame(edges[i]) <= frames - back:
            break
        edges[i] = frame_to_seconds(frames - back)


def cut(
    intervals: Sequence[Interval],
    silent: Callable[[str], bool],
    outside: Callable[[str], bool],
) -> list[tuple[float, float, list[Interval]]]:
    """Cut the labels of a long recording into utterances, at long pauses and at what is no speech.

    Args:
        intervals: of one speaker, sorted.
        silent: whether a label is a pause.
        outside: whether it is something that belongs to no utterance: noise, another speaker.

    Returns:
        Of each utterance start and end in seconds, up to ``MARGIN`` of a pause around it included,
        and its intervals.
    """
    found: list[tuple[float, float, list[Interval]]] = []
    spoken: list[Interval] = []
    before = after = 0.0  # seconds of pause around it

    def close() -> None:
        while spoken and silent(spoken[-1].label):
            spoken.pop()
        if spoken:
            start = spoken[0].start - min(before, MARGIN)
            found.append((start, spoken[-1].end + min(after, MARGIN), list(spoken)))
        spoken.clear()

    end = 0.0
    for interval in intervals:
        gap, end = interval.start - end, interval.end
        quiet = silent(interval.label)
        if spoken and gap > LONGEST_PAUSE:
            after = gap
            close()
            before = gap
        if outside(interval.label):
            if not (spoken and silent(spoken[-1].label)):
                after = 0.0
            close()
            before = 0.0
        elif quiet and interval.end - interval.start > LONGEST_PAUSE:
            after = (interval.end - interval.start) / 2
            close()
            before = after
        elif quiet and not spoken:
            before = interval.end - interval.start
        elif quiet:
            after = interval.end - interval.start
            spoken.append(interval)
        else:
            after = 0.0
            spoken.append(interval)
    close()
    return found
