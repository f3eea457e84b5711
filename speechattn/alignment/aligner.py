"""Recordings and their texts to words and phones with times: the aligner that users call."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from speechattn.alignment.network import SpokenWord, TextAligner, TextAlignment
from speechattn.alignment.pronunciations import PronouncingDictionary, Ways
from speechattn.alignment.reductions import Reductions
from speechattn.alignment.transcripts import AlignmentError
from speechattn.errors import EMPTY, TOO_SHORT
from speechattn.inference.transcription import TranscribeOptions, Transcription
from speechattn.segments import FrameSegment, Segment, frame_to_seconds, segments_from_frames

if TYPE_CHECKING:
    from speechattn.audio.sndfile import AudioInfo
    from speechattn.inference.recognizer import Recognizer

TOO_LONG = "too long"  # kind of failure
MOST_BYTES_A_WORD = 1000  # and frame, at most; a usual text takes 60
MOST_BYTES = 1_500_000_000  # that the search may take for one recording


@dataclass(frozen=True)
class AlignedRecording:
    """A recording with the times of its words and phones.

    Attributes:
        transcription: phones, words and confidences.
        score: mean log posterior of the frames of its words.
        assumed: words that the dictionary lacks → phones that were assumed.
    """

    transcription: Transcription
    score: float
    assumed: dict[str, str]


class Aligner:
    """Finds when the words of known texts are said.

    Args:
        recognizer: gives the posteriors.
        dictionary: says how words are pronounced, in the phones of the recognizer.
        reductions: what may be said instead; None for the dictionary's forms alone.
        most_bytes: memory that the search may take for one recording.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        dictionary: PronouncingDictionary,
        reductions: Reductions | None = None,
        *,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.recognizer, self.dictionary, self.most_bytes = recognizer, dictionary, most_bytes
        self._text_aligner = TextAligner(dictionary.lexicon, reductions)

    def align(
        self,
        audio: str | Path | np.ndarray,
        text: str,
        options: TranscribeOptions | None = None,
        *,
        sample_rate: int | None = None,
        on_samples: Callable[[AudioInfo, np.ndarray], None] | None = None,
    ) -> AlignedRecording:
        """Align one recording.

        Args:
            audio: a file, or samples of shape (n,) or (channels, n).
            text: what is said in it.
            options: channel and labels.
            sample_rate: Hz; needed with samples, refused with a file.
            on_samples: of a file; as for :class:`~speechattn.audio.load.AudioFile`.

        Raises:
            AlignmentError: if the text has no words, or some that have no pronunciation; if the
                recording is too short for them, or takes more memory than it may.
            AudioError: if the recording cannot be read or trusted.
            UsageError: if ``sample_rate`` is missing, or given with a file.
            ConfigError: if the model has no IPA for its phones.
        """
        words = self.dictionary.words(text)
        if not words:
            raise AlignmentError("its text has no words; write what is said in it", EMPTY)
        assumed = self.dictionary.assumed(words)
        options = options or TranscribeOptions(posteriors=False)
        prepared = self.recognizer.prepare(
            audio, options, sample_rate=sample_rate, on_samples=on_samples
        )
        try:
            log_posteriors = self.recognizer.encode_short(prepared)
            if log_posteriors is None:
                with contextlib.closing(self.recognizer.log_posteriors(prepared.blocks)) as pieces:
                    log_posteriors = np.concatenate(list(pieces))
        finally:
            prepared.close()
        found = self._search(words, log_posteriors, assumed)
        runs = _with_confidence(found.runs, log_posteriors)
        phones = segments_from_frames(runs, prepared.names, prepared.duration)
        silence = self.recognizer.phones.silence_index
        spoken = [_spoken(word, silence) for word in found.words]
        posteriors = [_posteriors(parts, log_posteriors) for parts in spoken]
        segments = [
            Segment(
                word.word,
                frame_to_seconds(parts[0].start),
                min(frame_to_seconds(parts[-1].end), prepared.duration)
                if parts[-1].end < runs[-1].end
                else prepared.duration,
                float(each.mean()),
            )
            for word, parts, each in zip(found.words, spoken, posteriors)
        ]
        transcription = Transcription(
            phones,
            prepared.duration,
            prepared.sample_rate,
            prepared.names,
            words=segments,
            confidence=float(np.concatenate(posteriors).mean()),
            channel=options.channel,
        )
        names = self.dictionary.lexicon.phones.names
        as_text = {
            word: " or ".join(" ".join(names[phone] for phone in way) for way in ways)
            for word, ways in assumed.items()
        }
        return AlignedRecording(transcription, found.score, as_text)

    def _search(self, words: list[str], log_posteriors: np.ndarray, assumed: Ways) -> TextAlignment:
        text, frames = " ".join(words), len(log_posteriors)
        minutes = frame_to_seconds(frames) / 60
        needed = 0
        if frames * len(words) * MOST_BYTES_A_WORD > self.most_bytes:  # counting takes its time
            needed = self._text_aligner.bytes_needed(text, frames, assumed)
        if needed > self.most_bytes:
            parts = int(np.ceil(np.sqrt(needed / self.most_bytes)))
            raise AlignmentError(
                f"{minutes:.1f} minutes with {len(words)} words take {needed / 1e9:.1f} GB of "
                f"memory, more than the {self.most_bytes / 1e9:.1f} GB allowed; cut the recording "
                f"and its text into {parts} parts",
                TOO_LONG,
            )
        found = self._text_aligner.align(text, log_posteriors, assumed)
        if found is None:
            raise AlignmentError(
                f"{minutes * 60:.2f} s are too short for its {len(words)} words; check that the "
                "text belongs to the recording",
                TOO_SHORT,
            )
        return found


def _spoken(word: SpokenWord, silence: int) -> list[FrameSegment]:
    """The phones of a word, without silence."""
    return [run for run in word.phones if run.phone != silence]


def _posteriors(runs: Sequence[FrameSegment], log_posteriors: np.ndarray) -> np.ndarray:
    """The posterior of the label of each frame of some runs, one after the other."""
    return np.exp(np.concatenate([log_posteriors[r.start : r.end, r.phone] for r in runs]))


def _with_confidence(
    runs: Sequence[FrameSegment], log_posteriors: np.ndarray
) -> list[FrameSegment]:
    """Runs with the mean posterior of their phones."""
    return [
        FrameSegment(
            run.phone,
            run.start,
            run.end,
            min(1.0, float(_posteriors([run], log_posteriors).mean())),
        )
        for run in runs
    ]
