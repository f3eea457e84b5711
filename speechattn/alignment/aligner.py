"""Recordings and their texts to words and phones with times: the aligner that users call."""

from __future__ import annotations

import bisect
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from speechattn.alignment.boundaries import refine
from speechattn.alignment.encodings import Encoding
from speechattn.alignment.network import Doubt
from speechattn.alignment.pause_edges import LevelMeter, levels, move_edges
from speechattn.alignment.pronunciations import PronouncingDictionary, ReadText
from speechattn.alignment.reductions import Reductions
from speechattn.alignment.run_means import RunMeans, labels_of
from speechattn.alignment.squeezed import align_said
from speechattn.alignment.text_aligner import TextAligner, TextAlignment
from speechattn.alignment.text_faults import DOUBTFUL, TextFault, find_faults
from speechattn.alignment.transcript_files import Transcript
from speechattn.alignment.transcripts import AlignmentError, find_transcripts
from speechattn.alignment.utterances import align_parts, together, within
from speechattn.decoder.words import UNKNOWN
from speechattn.errors import EMPTY, TOO_SHORT, UsageError
from speechattn.inference.reading import path_of
from speechattn.inference.transcription import Prepared, TranscribeOptions, Transcription
from speechattn.segments import FRAMES_PER_SECOND, FrameSegment, Segment, frame_to_seconds

if TYPE_CHECKING:
    from speechattn.inference.reading import Audio, OnPosteriors, OnSamples
    from speechattn.inference.recognizer import Recognizer

TIME_DECIMALS = 3  # of seconds
DIFFERENCES = "differences"  # key of the faults in JSON
OTHER_TEXT = "other text"  # kind of failure
DOUBT = Doubt()
LEAST_WORDS = 4  # of a text that is refused because all of them are doubtful
LEAST_SECONDS = 0.001  # of a phone


@dataclass(frozen=True)
class AlignedRecording:
    """A recording with the times of its words and phones.

    Attributes:
        transcription: phones, words, confidences, and what was assumed about words that no
            dictionary has. Speech that the text does not have is the word ``<unk>``; words that
            were not said are not in it. ``more["differences"]`` has the faults.
        score: mean log posterior of the frames of its words.
        faults: where the text and the recording differ.
    """

    transcription: Transcription
    score: float
    faults: tuple[TextFault, ...] = ()


class Aligner:
    """Finds when the words of known texts are said.

    Args:
        recognizer: gives the posteriors.
        dictionary: says how words are pronounced, in the phones of the recognizer.
        reductions: what may be said instead; None for the dictionary's forms alone.
        doubt: what it costs to leave the text; None to force every word of it upon the recording.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        dictionary: PronouncingDictionary,
        reductions: Reductions | None = None,
        *,
        doubt: Doubt | None = DOUBT,
    ) -> None:
        self.recognizer, self.dictionary, self.doubt = recognizer, dictionary, doubt
        self._text_aligner = TextAligner(dictionary.lexicon, reductions)
        front_end = recognizer.checkpoint.front_end
        self._log_mel = front_end if front_end.kind == "fbank" else None

    def align(
        self,
        audio: Audio,
        text: str | Path,
        *,
        sample_rate: int | None = None,
        channel: int | None = None,
        labels: str = "arpabet",
        on_samples: OnSamples | None = None,
        encoding: str | None = None,
    ) -> AlignedRecording:
        """Align one recording.

        Args:
            audio: a file, or samples of shape (n,) or (channels, n).
            text: what is said in it; or a file or folder that says so, as for ``--text`` of the
                command.
            sample_rate: Hz; needed with samples, refused with a file.
            channel: counted from 0; None for the mean of all.
            labels: ``"arpabet"`` for the model's own, ``"ipa"`` for IPA.
            on_samples: of a file; as for :class:`~speechattn.audio.load.AudioFile`.
            encoding: of a file of text (default: UTF-8, or UTF-16 with a byte order mark).

        Raises:
            AlignmentError: if the text has no words, or some that have no pronunciation; if the
                recording is too short for them.
            CorpusError: if there is no such file of text, or it cannot be read or decoded.
            AudioError: if the recording cannot be read or trusted.
            UsageError: if ``sample_rate`` is missing, or given with a file; if ``channel`` or
                ``labels`` are out of range; if ``text`` is of another type.
            ConfigError: if the model has no IPA for its phones.
        """
        read = self._read_any(text, audio, encoding)
        options = TranscribeOptions(channel, posteriors=False, labels=labels)
        prepared = self.recognizer.prepare(
            audio, options, sample_rate=sample_rate, on_samples=on_samples
        )
        found = self.finish(read, prepared, self.recognizer.encode_short(prepared))
        return replace(found, transcription=replace(found.transcription, path=path_of(audio)))

    def _read_any(
        self, text: str | Path, audio: Audio, encoding: str | None
    ) -> ReadText | list[ReadText]:
        """Read a text, or the file that has it."""
        if isinstance(text, str):
            return self.read(text)
        if not isinstance(text, Path):
            raise UsageError(
                f"text: a {type(text).__name__}; give what is said as a str, or the Path of a file "
                "that says so"
            )
        name = Path(audio).name if isinstance(audio, (str, Path)) else "the recording"
        found = find_transcripts(text, [name], Encoding(encoding, "encoding={!r}"))
        if name in found.problems:
            raise found.problems[name]
        return self.read_transcript(found.texts[name])

    def read(self, text: str) -> ReadText:
        """Read a text.

        Raises:
            AlignmentError: if it has no words, or some that have no pronunciation.
        """
        read = self.dictionary.read(text)
        if not read.words:
            raise AlignmentError("its text has no words; write what is said in it", EMPTY)
        return read

    def read_transcript(self, transcript: Transcript) -> list[ReadText]:
        """Read the text of each speaker of a recording; one text if it has no utterances.

        Raises:
            AlignmentError: if it has no words, or some that have no pronunciation.
        """
        if not transcript.utterances:
            return [self.read(transcript.text)]
        speakers = self.dictionary.read_speakers(transcript)
        with_words = [read for read in speakers if read.words]
        if not with_words:
            raise AlignmentError("its text has no words; write what is said in it", EMPTY)
        return with_words

    def finish(
        self,
        read: ReadText | Sequence[ReadText],
        prepared: Prepared,
        log_posteriors: np.ndarray | None,
        on_posteriors: OnPosteriors | None = None,
    ) -> AlignedRecording:
        """Align a recording that was read; it is closed.

        Args:
            read: the text, from :meth:`read`, or of each speaker, from :meth:`read_transcript`.
            prepared: the recording.
            log_posteriors: of a short recording, shape (frames, phones); None for a long one, which
                is encoded here.
            on_posteriors: called with the posteriors of every block, shape (frames, phones).

        Raises:
            AlignmentError: if the recording is too short for the text.
            AudioError: if the rest of a long recording cannot be read or trusted.
        """
        try:
            if log_posteriors is None:
                log_posteriors, level = self._encode_long(prepared)
            else:
                frames = prepared.frames if self._log_mel else None
                level = None if frames is None else levels(np.asarray(frames))
        finally:
            prepared.close()
        if on_posteriors is not None:
            on_posteriors(np.exp(log_posteriors))
        free = self._text_aligner.free(log_posteriors)
        reads = [read] if isinstance(read, ReadText) else read
        found = [self._aligned(each, prepared, log_posteriors, level, free) for each in reads]
        return AlignedRecording(
            together([each.transcription for each in found]),
            found[0].score,
            tuple(fault for each in found for fault in each.faults),
        )

    def _encode_long(self, prepared: Prepared) -> tuple[np.ndarray, np.ndarray | None]:
        """The log posteriors of a recording that is read block by block, and its levels."""
        meter = LevelMeter(self._log_mel) if self._log_mel else None
        blocks = meter.passing(prepared.blocks) if meter else prepared.blocks
        with contextlib.closing(self.recognizer.log_posteriors(blocks)) as pieces:
            log_posteriors = np.concatenate(list(pieces))
        return log_posteriors, meter.levels() if meter else None

    def _aligned(
        self,
        read: ReadText,
        prepared: Prepared,
        log_posteriors: np.ndarray,
        level: np.ndarray | None,
        free: np.ndarray,
    ) -> AlignedRecording:
        """Align the text of one speaker."""
        found = self._search(read, log_posteriors, free)
        faults: list[TextFault] = []
        silence = self.recognizer.phones.silence_index
        times = refine(found.runs, log_posteriors)
        if level is not None:
            times = move_edges(times, found.runs, level, silence)
        times = within(times, found.runs, read.parts)
        edges = _seconds(times, prepared.duration)
        if self.doubt is not None:
            written = [word.written for word in read.words]
            arpabet = self.recognizer.phones.names
            faults = find_faults(found, written, log_posteriors, free, edges, arpabet, silence)
            _check_found(found, faults)
        transcription = _transcription(found, read, prepared, log_posteriors, edges, silence)
        if faults:
            records = [fault.record() for fault in faults]
            transcription = replace(transcription, more={DIFFERENCES: records})
        return AlignedRecording(transcription, found.score, tuple(faults))

    def _search(
        self, read: ReadText, log_posteriors: np.ndarray, free: np.ndarray
    ) -> TextAlignment:
        if read.parts:
            found = align_parts(self._text_aligner, read, log_posteriors, free, self.doubt)
        else:
            found = align_said(
                self._text_aligner, read.text, log_posteriors, read.ways, self.doubt, free
            )
        if found is None:
            seconds = frame_to_seconds(len(log_posteriors))
            raise AlignmentError(
                f"{seconds:.2f} s are too short for its {len(read.words)} words; check that the "
                "text belongs to the recording",
                TOO_SHORT,
            )
        return found


def _check_found(found: TextAlignment, faults: Sequence[TextFault]) -> None:
    """Refuse a text of which nothing was found in the recording.

    Raises:
        AlignmentError: if no word was said, or all of at least ``LEAST_WORDS`` are doubtful.
    """
    placed = sum(bool(word.phones) for word in found.words)
    doubtful = sum(fault.kind == DOUBTFUL for fault in faults)
    if placed and (doubtful < placed or len(found.words) < LEAST_WORDS):
        return
    count = len(found.words)
    none = "its word was not" if count == 1 else f"none of its {count:,} words were"
    raise AlignmentError(
        f"{none} found in the recording; check that the text belongs to it, or give every word a "
        "time (every_word=True in Python, --every-word of `speechattn align`)",
        OTHER_TEXT,
    )


def _transcription(
    found: TextAlignment,
    read: ReadText,
    prepared: Prepared,
    log_posteriors: np.ndarray,
    edges: Sequence[float],
    silence: int,
) -> Transcription:
    """Words and phones with their confidences; ``edges`` are of the runs, in seconds."""
    runs = found.runs
    labels = labels_of(runs)
    means = RunMeans(np.exp(log_posteriors[np.arange(len(labels)), labels]))
    phones = [
        Segment(prepared.names[run.phone], start, end, _confidence(means, [run]))
        for run, start, end in zip(runs, edges, edges[1:])
    ]
    starts = [run.start for run in runs]

    def word(label: str, said: Sequence[FrameSegment], spoken: str = "") -> Segment:
        first, last = (bisect.bisect_left(starts, run.start) for run in (said[0], said[-1]))
        times = edges[first], edges[last + 1]
        return Segment(label, *times, _confidence(means, said), spoken=spoken)

    words = []
    for number, (one, as_read) in enumerate(zip(found.words, read.words)):
        said = [run for run in one.phones if run.phone != silence]
        if said:
            words.append(word(as_read.written, said, read.spoken(number, one.dictionary)))
    for other in found.others:
        first, last = (bisect.bisect_left(starts, frame) for frame in (other.start, other.end))
        said = [run for run in runs[first:last] if run.phone != silence]
        if said:
            words.append(word(UNKNOWN, said))
    words.sort(key=lambda word: word.start)
    return Transcription(
        phones,
        prepared.duration,
        prepared.sample_rate,
        prepared.names,
        words=words,
        confidence=_confidence(means, [run for run in runs if run.phone != silence]),
        channel=prepared.options.one_channel,
        assumed=read.assumed,
        speaker=read.speaker,
    )


def _confidence(means: RunMeans, runs: Sequence[FrameSegment]) -> float:
    """The mean posterior of the labels of some runs' frames."""
    return min(1.0, max(0.0, means.of(*runs))) if runs else 0.0


def _seconds(frames: np.ndarray, duration: float) -> list[float]:
    """Boundaries in seconds, each later than the one before, the last at the duration."""
    edges = [0.0]
    for frame in frames[1:-1].tolist():
        seconds = round(frame / FRAMES_PER_SECOND, TIME_DECIMALS)
        edges.append(max(seconds, round(edges[-1] + LEAST_SECONDS, TIME_DECIMALS)))
    return [*edges, duration]
