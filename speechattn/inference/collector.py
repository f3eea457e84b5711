"""Posteriors of one recording to phones, piece by piece, with alternatives on request.

Alternatives are collected on the way, because the posteriors of a long recording are not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from speechattn.decoder.decoder import Decoder
from speechattn.decoder.word_forms import with_dictionary_forms
from speechattn.decoder.words import FrameWord, WordReader, names_of_words, word_segments
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.transcription import Prepared, Transcription
from speechattn.segments import FrameSegment, segments_from_frames

PIECE_FRAMES = 4096  # frames that are summed up at a time


class SegmentCollector:
    """Decodes one recording, pushed in pieces of any size.

    Memory does not grow with the recording; see :class:`speechattn.decoder.decoder.Decoder`.

    Args:
        checkpoint: the model.
        alternatives: how many other phones to give with each segment, 0 or more; all others if
            there are fewer.
        on_posteriors: each is called with the posteriors of every piece, float32, shape
            (frames, phones).
        words: whether to find the words as well.

    Attributes:
        words: those found so far.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        alternatives: int = 0,
        on_posteriors: Sequence[Callable[[np.ndarray], None]] = (),
        words: bool = False,
    ) -> None:
        self._checkpoint = checkpoint
        model = checkpoint.phone_model, checkpoint.decoding
        self._decoder = Decoder(*model)
        self._reader = WordReader(*model) if words else None
        self.words: list[FrameWord] = []
        self._sums = PosteriorSums(len(checkpoint.phones)) if alternatives else None
        self._alternatives = alternatives
        self._on_posteriors = on_posteriors
        self._segments: list[FrameSegment] = []

    def push(self, log_posteriors: np.ndarray) -> None:
        """Add the next frames: logarithms of their posteriors, float32, (frames, phones)."""
        if self._on_posteriors and len(log_posteriors):
            posteriors = np.exp(log_posteriors)
            for receive in self._on_posteriors:
                receive(posteriors)
        if self._sums is None:
            self._add(self._decoder.push(log_posteriors))
            return
        for start in range(0, len(log_posteriors), PIECE_FRAMES):
            piece = log_posteriors[start : start + PIECE_FRAMES]
            segments = self._decoder.push(piece)  # which refuses NaN
            self._sums.push(np.exp(piece))
            self._add(list(self._ranked(segments, self._sums)))
            self._sums.forget(self._decoder.boundaries())

    def finish(self) -> list[FrameSegment]:
        """End the recording.

        Returns:
            Segments that cover all frames pushed, with their alternatives.
        """
        segments = self._decoder.finish()
        self._add(segments if self._sums is None else list(self._ranked(segments, self._sums)))
        if self._reader is not None:
            self.words += self._reader.finish()
        return self._segments

    def transcription(
        self, prepared: Prepared, posteriors: Sequence[np.ndarray] | None
    ) -> Transcription:
        """End the recording, and return all that was found in it.

        Args:
            prepared: the recording.
            posteriors: all pieces of them, if they are to be returned.
        """
        runs, words = self.finish(), self.words
        model, options, duration = self._checkpoint.phone_model, prepared.options, prepared.duration
        if options.forms == "dictionary":
            assert model.words is not None
            runs, words = with_dictionary_forms(runs, words, model.words)
        found = Transcription(
            segments_from_frames(runs, prepared.names, duration),
            duration,
            prepared.sample_rate,
            prepared.names,
            None if posteriors is None else np.concatenate(posteriors),
            channel=options.one_channel,
        )
        if not options.words:
            return found
        names = names_of_words(model, self._checkpoint.decoding)
        sure = [phone.confidence for word in words for phone in word.phones]
        return replace(
            found,
            words=word_segments(words, names, runs[-1].end, duration),
            confidence=float(np.mean(sure)) if sure else None,
        )

    def _add(self, segments: list[FrameSegment]) -> None:
        self._segments += segments
        if self._reader is not None:
            self.words += self._reader.push(segments)

    def _ranked(self, segments: list[FrameSegment], sums: PosteriorSums) -> Iterator[FrameSegment]:
        for segment in segments:
            means = sums.mean(segment.start, segment.end)
            yield replace(segment, alternatives=rank(means, segment.phone, self._alternatives))


class PosteriorSums:
    """Sums of posteriors from the beginning of a recording, at the frames that may be needed.

    The sums do not depend on how the frames are cut into pieces, to the last bit.

    Args:
        num_phones: number of phones, P.
    """

    def __init__(self, num_phones: int) -> None:
        self._frames = np.zeros(1, np.int64)  # sorted; the last one is the newest
        self._sums = np.zeros((1, num_phones))

    def push(self, posteriors: np.ndarray) -> None:
        """Add the next frames, shape (frames, P)."""
        sums = np.cumsum(np.concatenate([self._sums[-1:], posteriors], dtype=np.float64), axis=0)
        new = self._frames[-1] + 1 + np.arange(len(posteriors))
        self._frames = np.concatenate([self._frames, new])
        self._sums = np.concatenate([self._sums, sums[1:]])

    def forget(self, needed: np.ndarray) -> None:
        """Drop the sums at all frames but these and the newest one."""
        retained = np.isin(self._frames, needed)
        retained[-1] = True
        self._frames, self._sums = self._frames[retained], self._sums[retained]

    def mean(self, start: int, end: int) -> np.ndarray:
        """Return the mean posterior of each phone from ``start`` to before ``end``, shape (P,).

        Args:
            start: frame.
            end: frame.

        Raises:
            ValueError: if the sum at one of the two was dropped, or it was not pushed yet.
        """
        first, last = np.searchsorted(self._frames, (start, end))
        if last >= len(self._frames) or (self._frames[first], self._frames[last]) != (start, end):
            raise ValueError(f"no sums of frames {start} to {end} are kept")
        return np.clip((self._sums[last] - self._sums[first]) / (end - start), 0.0, 1.0)


def rank(probabilities: np.ndarray, phone: int, number: int) -> tuple[tuple[int, float], ...]:
    """Return the most probable phones beside one; ties go to the first of the phone set.

    Args:
        probabilities: of each phone, shape (P,).
        phone: the one that is left out.
        number: how many are returned, at most P - 1.

    Returns:
        Phone and probability, the most probable first.
    """
    order = np.argsort(-probabilities, kind="stable")
    others = order[order != phone][:number]
    return tuple((int(other), float(probabilities[other])) for other in others)
