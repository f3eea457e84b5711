"""Recognition during recording: audio comes in chunks, phones are returned as they are decided.

Each step is a stream with a state of its own: audio, front end, encoder, decoder. The result does
not depend on the size of the chunks.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from speechattn.audio.features import LEAD
from speechattn.audio.quality import beyond_full_scale
from speechattn.audio.stream import AudioStream
from speechattn.decoder.decoder import Decoder
from speechattn.decoder.word_forms import with_dictionary_forms
from speechattn.decoder.words import FrameWord, WordReader, names_of_words, word_segments
from speechattn.encoder.shape import EncoderShape
from speechattn.errors import ConfigError
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.engine import Engine
from speechattn.inference.pipeline import ahead
from speechattn.inference.transcription import TranscribeOptions
from speechattn.machine import num_usable_cores
from speechattn.segments import (
    SAMPLE_RATE,
    SHIFT_MS,
    SHIFT_SAMPLES,
    WINDOW_SAMPLES,
    FrameSegment,
    Segment,
    frame_to_seconds,
)

if TYPE_CHECKING:
    import torch

NO_END = -1  # where the last frame is not known yet
# Part of a frame's 25 ms window that lies after the frame.
WINDOW_AHEAD_MS = 1000 * (WINDOW_SAMPLES - SHIFT_SAMPLES - LEAD) / SAMPLE_RATE


@dataclass(frozen=True, eq=False)
class StreamResult:
    """The result of one chunk; it equals itself only.

    Attributes:
        first_frame: number of the first frame of ``posteriors`` in the stream.
        posteriors: probability of every phone in the new frames, float32, shape (frames, phones).
        segments: phones that are decided now and will not change. They begin where those of the
            chunk before ended, silence included. :meth:`RecognizerStream.partial` guesses what
            follows them.
        words: words that are decided now, likewise, without the pauses between them; None if they
            were not asked for. They come later than their phones.
    """

    first_frame: int
    posteriors: np.ndarray
    segments: list[Segment]
    words: list[Segment] | None = None

    @property
    def start(self) -> float:
        """Seconds from the beginning of the stream to the first of the new frames."""
        return frame_to_seconds(self.first_frame)


def look_ahead_ms(config: EncoderShape) -> float | None:
    """Return the audio after the end of a frame that its posteriors wait for in a stream, at most.

    That is what the front end's window has of it, and the look-ahead of all layers of the encoder.
    Posteriors depend on no later audio. Where a convolution subsamples, they depend on a little
    less than they wait for, because a stream takes whole vectors.

    Returns:
        Milliseconds; None for no limit.
    """
    ahead = config.look_ahead
    return None if ahead is None else ahead * SHIFT_MS + WINDOW_AHEAD_MS


class PosteriorStream:
    """Front end and encoder of one recording: 16 kHz samples in, log posteriors out.

    Args:
        engine: computes both.
    """

    def __init__(self, engine: Engine) -> None:
        self._front_end, self._encoder = engine.front_end.stream(), engine.stream()

    def push(self, samples: np.ndarray, *, last: bool = False) -> np.ndarray:
        """Add samples and return the posteriors of the frames that are complete.

        Args:
            samples: mono, float32, shape (n,).
            last: whether no more samples will come; then all frames are returned.

        Returns:
            Natural logarithms of the posteriors, float32, shape (frames, phones).
        """
        return self.encode(self.frames(samples, last=last), last=last)

    def frames(self, samples: np.ndarray, *, last: bool = False) -> np.ndarray:
        """Add samples and return the complete frames, the first half of :meth:`push`."""
        frames = self._front_end.push(samples)
        # The end of the recording is part of its last block: one pass instead of two.
        return np.concatenate([frames, self._front_end.finish()]) if last else frames

    def encode(self, frames: np.ndarray, *, last: bool = False) -> np.ndarray:
        """Add frames and return the complete posteriors, the second half of :meth:`push`."""
        return self._encoder.push(frames, last)

    def run(self, blocks: Iterable[np.ndarray]) -> Generator[np.ndarray]:
        """Push a whole recording; see :meth:`Recognizer.log_posteriors`.

        Reading, the encoder, and what the caller does with the posteriors run side by side where
        there are several cores. Close the iterator before the file that the blocks come from.
        """
        blocks = iter(blocks)
        first = list(itertools.islice(blocks, 2))
        side_by_side = len(first) > 1 and num_usable_cores() > 1
        framed = self._framed(itertools.chain(first, blocks))
        encoded = self._encoded(ahead(framed) if side_by_side else framed)
        return ahead(encoded) if side_by_side else encoded

    def _framed(self, blocks: Iterator[np.ndarray]) -> Generator[tuple[np.ndarray, bool]]:
        """Yield the frames of each block, and whether it is the last."""
        previous: np.ndarray | None = None
        for block in blocks:
            if previous is not None:
                yield self.frames(previous), False
            previous = block
        if previous is not None:
            yield self.frames(previous, last=True), True

    def _encoded(self, framed: Generator[tuple[np.ndarray, bool]]) -> Generator[np.ndarray]:
        with contextlib.closing(framed):
            for frames, last in framed:
                yield self.encode(frames, last=last)


class RecognizerStream:
    """One recording that comes in chunks.

    See :meth:`speechattn.inference.recognizer.Recognizer.stream`. Memory does not grow with the
    recording if the encoder's windows have a left limit.

    Attributes:
        look_ahead_ms: audio after the end of a frame that its posteriors wait for at most, in
            milliseconds, over front end and encoder. Sample rates other than 16 kHz add the delay
            that :mod:`speechattn.audio.stream` gives. The decoder decides a phone once all
            hypotheses agree on it, mostly one or two phones later.

    Args:
        checkpoint: the model.
        engine: computes its posteriors.
        sample_rate: Hz, of the samples that will be pushed.
        options: which channel, and what is given. A word is decided once all readings of the phones
            agree on it; that takes until after the next word or two, or a pause. Phones in the form
            of the dictionary come with their word.

    Raises:
        AudioError: if the sample rate is invalid.
        UsageError: if the options ask for every channel.
        ConfigError: if the encoder needs the whole recording, the model has no IPA for its
            phones, or its decoder does not know words.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        engine: Engine,
        sample_rate: int,
        options: TranscribeOptions,
    ) -> None:
        ahead = look_ahead_ms(checkpoint.encoder)
        if ahead is None:
            raise ConfigError(
                f"{checkpoint.encoder.endless}, so the model answers only at the end of "
                "a recording; use transcribe, or train a model with a limited look-ahead"
            )
        self.look_ahead_ms = ahead
        self._audio = AudioStream(sample_rate, channel=options.one_channel)
        self._posteriors = PosteriorStream(engine)
        model = checkpoint.phone_model, checkpoint.decoding
        self._decoder = Decoder(*model)
        self._reader: WordReader | None = None
        if options.needs_words:
            self._word_names = names_of_words(*model)
            self._reader = WordReader(*model)
        self._gives_words = options.words
        self._listed = checkpoint.phone_model.words if options.forms == "dictionary" else None
        self._waiting: list[FrameSegment] = []  # phones for whose words the dictionary waits
        self._names = checkpoint.phones.labels(options.labels)
        self._frames = 0  # returned so far

    @property
    def duration(self) -> float:
        """Seconds of audio pushed so far."""
        return self._audio.duration

    def push(self, samples: np.ndarray | torch.Tensor) -> StreamResult:
        """Add the next samples and return the new results.

        Args:
            samples: floats in [-1, 1], shape (n,) or (channels, n); any n, 0 included.

        Raises:
            AudioError: if their type, shape or number of channels is wrong, or one is NaN or
                infinite. Then none of them is added.
            ValueError: if the stream has been finished.
        """
        log_posteriors = self._posteriors.push(self._audio.push(samples))
        decided = self._decoder.push(log_posteriors) if len(log_posteriors) else []
        decided, words = self._with_words(decided)
        return self._result(log_posteriors, self._segments(decided), words)

    def _with_words(
        self, decided: list[FrameSegment], *, last: bool = False
    ) -> tuple[list[FrameSegment], list[FrameWord] | None]:
        """Return the phones and words that can be given now that more phones are decided."""
        if self._reader is None:
            return decided, None
        words = self._reader.push(decided)
        if last:
            words += self._reader.finish()
        if self._listed is not None:
            waiting = [*self._waiting, *decided]
            count = len(waiting)
            if not last:
                end = words[-1].end if words else 0
                count = sum(segment.end <= end for segment in waiting)
            self._waiting = waiting[count:]
            decided, words = with_dictionary_forms(waiting[:count], words, self._listed)
        return decided, words if self._gives_words else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is unusual about the sound so far: samples of another scale than -1 to 1."""
        return tuple(beyond_full_scale(self._audio.peak))

    def partial(self) -> list[Segment]:
        """Return the best guess at the phones after the decided ones, up to the newest frame.

        The next chunk may change it. Empty for the first frames, and at the end of the recording.
        """
        return self._segments(self._decoder.partial())

    def partial_words(self) -> list[Segment]:
        """Return the best guess at the words after the decided ones, up to the newest frame.

        The next chunk may change it, the last word most of all.

        Raises:
            ValueError: if words were not asked for.
        """
        if self._reader is None or not self._gives_words:
            raise ValueError("words: not asked for; make the stream with words=True")
        return self._word_segments(self._reader.partial(self._decoder.partial()), NO_END)

    def finish(self) -> StreamResult:
        """End the recording and return the remaining results; all segments together cover it.

        Raises:
            AudioError: if it is shorter than 5 ms.
            ValueError: if the stream has been finished.
        """
        log_posteriors = self._posteriors.push(self._audio.finish(), last=True)
        decided = self._decoder.push(log_posteriors) + self._decoder.finish()
        decided, words = self._with_words(decided, last=True)
        end = decided[-1].end
        *before, last = self._segments(decided)
        # The last frame may reach up to 5 ms past the end, or stop short of it.
        last = Segment(last.label, last.start, self.duration, last.confidence)
        return self._result(log_posteriors, [*before, last], words, end)

    def _result(
        self,
        log_posteriors: np.ndarray,
        segments: list[Segment],
        words: list[FrameWord] | None,
        last_frame: int = NO_END,
    ) -> StreamResult:
        first = self._frames
        self._frames += len(log_posteriors)
        said = None if words is None else self._word_segments(words, last_frame)
        return StreamResult(first, np.exp(log_posteriors), segments, said)

    def _word_segments(self, words: list[FrameWord], last_frame: int) -> list[Segment]:
        return word_segments(words, self._word_names, last_frame, self.duration)

    def _segments(self, segments: Iterable[FrameSegment]) -> list[Segment]:
        return [
            Segment(
                self._names[segment.phone],
                frame_to_seconds(segment.start),
                frame_to_seconds(segment.end),
                segment.confidence,
            )
            for segment in segments
        ]
