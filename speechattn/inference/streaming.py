"""Recognition while the sound is still being made: audio in chunks, phones as they are decided.

Everything on the way is a stream with a state of its own: audio, front end, encoder, decoder. A
recording that is pushed in chunks of any size gives what it gives as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from speechattn.audio.features import LEAD, FrontEnd
from speechattn.audio.stream import AudioStream
from speechattn.decoder.decoder import Decoder
from speechattn.encoder.config import EncoderShape
from speechattn.errors import ConfigError
from speechattn.inference.checkpoint import Checkpoint
from speechattn.segments import (
    SAMPLE_RATE,
    SHIFT_MS,
    SHIFT_SAMPLES,
    WINDOW_SAMPLES,
    FrameRun,
    Segment,
    frame_to_seconds,
)

# Of the window around a frame, what lies after the frame.
WINDOW_AHEAD_MS = 1000 * (WINDOW_SAMPLES - SHIFT_SAMPLES - LEAD) / SAMPLE_RATE


@dataclass(frozen=True)
class StreamResult:
    """What became known with one chunk.

    Attributes:
        first_frame: of ``posteriors``, counted from the beginning of the stream.
        posteriors: probability of every phone in the frames that are new, float32, shape
            (frames, phones).
        segments: phones that are decided now and will not change; they go on where those of the
            chunk before ended, silence included. :meth:`RecognizerStream.partial` guesses what
            follows them.
    """

    first_frame: int
    posteriors: np.ndarray
    segments: list[Segment]

    @property
    def start(self) -> float:
        """Seconds from the beginning of the stream to the first of the new frames."""
        return frame_to_seconds(self.first_frame)


def look_ahead_ms(config: EncoderShape) -> float | None:
    """Audio after the end of a frame that must be there before its posteriors are known.

    Half a window of the front end, and what the encoder looks ahead in all of its layers together.

    Returns:
        Milliseconds; None for no limit.
    """
    ahead = config.look_ahead
    return None if ahead is None else ahead * SHIFT_MS + WINDOW_AHEAD_MS


class PosteriorStream:
    """Front end and encoder of one recording: 16 kHz samples in, log posteriors out.

    Args:
        checkpoint: the model.
        front_end: its front end.
        device: where its encoder computes.
    """

    def __init__(self, checkpoint: Checkpoint, front_end: FrontEnd, device: torch.device):
        self._front_end = front_end.stream()
        self._classifier = checkpoint.classifier.stream()
        self._device = device
        self._nothing = np.empty((0, len(checkpoint.phones)), np.float32)

    def push(self, samples: np.ndarray, *, last: bool = False) -> np.ndarray:
        """Take samples and return what is complete.

        Args:
            samples: mono, float32, shape (n,).
            last: no more samples will come; everything is returned.

        Returns:
            Natural logarithms of the posteriors, float32, shape (frames, phones).
        """
        frames = self._front_end.push(torch.from_numpy(samples))
        if last:
            # The end of the recording is part of its last block: one pass instead of two.
            frames = torch.cat([frames, self._front_end.finish()])
        elif len(frames) == 0:
            return self._nothing
        scores = self._classifier.push(frames.to(self._device), last=last)
        return log_posteriors_of(scores)


def log_posteriors_of(scores: torch.Tensor) -> np.ndarray:
    """Natural logarithms of posteriors from scores before the softmax, float32."""
    return torch.log_softmax(scores.float(), -1).cpu().numpy()


class RecognizerStream:
    """One recording that comes in chunks; see :meth:`speechattn.inference.recognizer.Recognizer.stream`.

    Memory does not grow with the recording if the encoder's windows have a left limit.

    Attributes:
        look_ahead_ms: milliseconds of audio after the end of a frame that must be there before its
            posteriors are returned, over front end and encoder. Sample rates other than 16 kHz add
            what :mod:`speechattn.audio.stream` says. The decoder decides a phone once no other
            reading of what came before is left, mostly one or two phones later.

    Args:
        checkpoint: the model.
        front_end: its front end.
        device: where its encoder computes.
        sample_rate: Hz, of the samples that will be pushed.
        channel: counted from 0; None mixes all of them.
        labels: ``"arpabet"`` for the model's own, ``"ipa"`` for IPA.

    Raises:
        AudioError: if the sample rate makes no sense.
        ConfigError: if the encoder must hear the end before it can say anything, or the model has
            no IPA for its phones.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        front_end: FrontEnd,
        device: torch.device,
        *,
        sample_rate: int = SAMPLE_RATE,
        channel: int | None = None,
        labels: str = "arpabet",
    ):
        ahead = look_ahead_ms(checkpoint.classifier.config)
        if ahead is None:
            raise ConfigError(
                f"{checkpoint.classifier.config.endless}, so the model answers only at the end of "
                "a recording; use transcribe, or train a model with a limited look-ahead"
            )
        self.look_ahead_ms = ahead
        self._audio = AudioStream(sample_rate, channel=channel)
        self._posteriors = PosteriorStream(checkpoint, front_end, device)
        self._decoder = Decoder(checkpoint.phone_model, checkpoint.decoding)
        self._names = checkpoint.phones.labels(labels)
        self._frames = 0  # returned so far

    @property
    def duration(self) -> float:
        """Seconds of audio pushed so far."""
        return self._audio.duration

    def push(self, samples: np.ndarray | torch.Tensor) -> StreamResult:
        """Take the next samples and return what is new.

        Args:
            samples: floats in [-1, 1], shape (n,) or (channels, n); any n, 0 included.

        Raises:
            AudioError: if they have another type or shape than they should or more or fewer
                channels than before, or one is NaN or infinite; none is taken in then.
            ValueError: if the stream has been finished.
        """
        log_posteriors = self._posteriors.push(self._audio.push(samples))
        runs = self._decoder.push(log_posteriors) if len(log_posteriors) else []
        return self._result(log_posteriors, self._segments(runs))

    def partial(self) -> list[Segment]:
        """The best guess at what follows the segments decided so far, up to the newest frame.

        The next chunk may change it. Empty for the first frames, and at the end of the recording.
        """
        return self._segments(self._decoder.partial())

    def finish(self) -> StreamResult:
        """End the recording and return the rest; all segments together now cover it.

        Raises:
            AudioError: if it is shorter than 5 ms.
            ValueError: if the stream has been finished.
        """
        log_posteriors = self._posteriors.push(self._audio.finish(), last=True)
        runs = self._decoder.push(log_posteriors) + self._decoder.finish()
        *before, last = self._segments(runs)
        # The last frame may reach up to 5 ms past the end, or stop short of it.
        last = Segment(last.label, last.start, self.duration, last.confidence)
        return self._result(log_posteriors, [*before, last])

    def _result(self, log_posteriors, segments) -> StreamResult:
        first = self._frames
        self._frames += len(log_posteriors)
        return StreamResult(first, np.exp(log_posteriors), segments)

    def _segments(self, runs: Iterable[FrameRun]) -> list[Segment]:
        return [
            Segment(
                self._names[run.phone],
                frame_to_seconds(run.start),
                frame_to_seconds(run.end),
                run.confidence,
            )
            for run in runs
        ]
