"""The recognizer: audio in, time-aligned phones out; what the API and every command stand on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from speechattn.audio import AudioFile, array_blocks
from speechattn.checkpoint import Checkpoint, find_model, pick_device
from speechattn.decoder import Decoder
from speechattn.errors import UsageError
from speechattn.frontend import FrontEnd
from speechattn.phones import PhoneSet
from speechattn.resources import DEFAULT_MODEL
from speechattn.segments import FrameRun, Segment, segments_from_runs
from speechattn.streaming import PosteriorStream, RecognizerStream, look_ahead_ms
from speechattn.timing import SAMPLE_RATE, SHIFT_MS

BLOCK_SECONDS = 20.0  # of audio that go through the encoder at a time


@dataclass(frozen=True)
class Transcription:
    """What a recognizer heard in one recording.

    Attributes:
        phones: segments that cover 0 to ``duration``, silence included.
        duration: seconds.
        sample_rate: Hz, of the recording as it was given.
        labels: phone of each column of ``posteriors``.
        posteriors: probability of every phone in every 10 ms frame, float32, shape
            (frames, phones); None if they were not asked for.
    """

    phones: list[Segment]
    duration: float
    sample_rate: int
    labels: tuple[str, ...]
    posteriors: np.ndarray | None = None


class Recognizer:
    """A loaded model. Make one with :func:`load_model`.

    Args:
        checkpoint: the model.
        device: where its encoder computes.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device):
        self.checkpoint = checkpoint
        self.device = device
        self._front_end = FrontEnd(checkpoint.front_end)

    @property
    def phones(self) -> PhoneSet:
        """What it can tell apart."""
        return self.checkpoint.phones

    def transcribe(
        self,
        audio: str | Path | np.ndarray | torch.Tensor,
        *,
        sample_rate: int | None = None,
        channel: int | None = None,
        posteriors: bool = True,
    ) -> Transcription:
        """Recognise the phones of a recording.

        Audio goes through in blocks, so a file of any length needs little more memory than a short
        one; only ``posteriors`` grow with it (14 MB an hour for each 10 phones).

        Args:
            audio: a file, or samples of shape (n,) or (channels, n).
            sample_rate: Hz; needed with samples, refused with a file.
            channel: counted from 0; None mixes all of them.
            posteriors: whether to return the frame posteriors as well.

        Raises:
            AudioError: if the audio cannot be read or trusted.
            UsageError: if ``sample_rate`` is missing, or given with a file.
        """
        if isinstance(audio, (str, Path)):
            if sample_rate is not None:
                raise UsageError(
                    f"sample_rate: {sample_rate} given with the file {audio}; a file says its own"
                )
            with AudioFile(audio, channel=channel) as file:
                runs, frames = self._recognise(file.blocks(BLOCK_SECONDS), posteriors)
                duration, sample_rate = file.info.duration, file.info.sample_rate
        else:
            if sample_rate is None:
                raise UsageError("sample_rate: missing; samples need their rate in Hz")
            blocks = array_blocks(audio, sample_rate, seconds=BLOCK_SECONDS, channel=channel)
            runs, frames = self._recognise(blocks, posteriors)
            sample_rate = int(sample_rate)  # a whole number, says array_blocks
            duration = np.shape(audio)[-1] / sample_rate
        phones = segments_from_runs(runs, self.phones.names, duration)
        return Transcription(phones, duration, sample_rate, self.phones.names, frames)

    def stream(
        self, *, sample_rate: int = SAMPLE_RATE, channel: int | None = None
    ) -> RecognizerStream:
        """Recognise a recording while it is being made.

        Chunks of any size give the posteriors (to rounding) and the phones that :meth:`transcribe`
        gives for the whole. Memory stays constant, unless a window of the encoder has no limit to
        the left: then it must remember everything.

        Args:
            sample_rate: Hz, of the samples that will be pushed.
            channel: counted from 0; None mixes all of them.

        Raises:
            AudioError: if the sample rate makes no sense.
            ConfigError: if a window of the encoder has no limit to the right: it answers only at
                the end of a recording.
        """
        return RecognizerStream(
            self.checkpoint,
            self._front_end,
            self.device,
            sample_rate=sample_rate,
            channel=channel,
        )

    @property
    def look_ahead_ms(self) -> float | None:
        """Audio after the end of a frame that its posteriors depend on; None for no limit."""
        return look_ahead_ms(self.checkpoint.classifier.config)

    def log_posteriors(self, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Log probability of every phone and frame, block by block.

        Args:
            blocks: 16 kHz mono samples, float32, shape (n,) each.

        Yields:
            Shape (frames, phones), float32; fewer frames than went in at first, more at the end,
            by what the encoder looks ahead.
        """
        stream = PosteriorStream(self.checkpoint, self._front_end, self.device)
        waiting: np.ndarray | None = None
        for block in blocks:
            if waiting is not None:
                yield stream.push(waiting)
            waiting = block
        if waiting is not None:
            yield stream.push(waiting, last=True)

    def _recognise(
        self, blocks: Iterator[np.ndarray], keep: bool
    ) -> tuple[list[FrameRun], np.ndarray | None]:
        decoder = Decoder(self.checkpoint.phone_model, self.checkpoint.decoding)
        runs: list[FrameRun] = []
        kept: list[np.ndarray] = []
        for log_posteriors in self.log_posteriors(blocks):
            runs += decoder.push(log_posteriors)
            if keep:
                kept.append(np.exp(log_posteriors))
        runs += decoder.finish()
        return runs, np.concatenate(kept) if keep else None

    def describe(self) -> dict:
        """What the model is, for people: shape, window, look-ahead, phones, training, card."""
        checkpoint = self.checkpoint
        encoder = checkpoint.classifier.config
        return {
            "name": checkpoint.name,
            "weights": checkpoint.classifier.num_weights,
            "phones": " ".join(checkpoint.phones.names),
            "front_end": f"{checkpoint.front_end.dim} {checkpoint.front_end.kind}, 100 frames/s",
            "encoder": encoder.to_dict(),
            "window_ms": [[_ms(side) for side in window] for window in encoder.windows],
            "receptive_field_ms": encoder.receptive_field_ms,
            "look_ahead_ms": self.look_ahead_ms,
            "decoding": checkpoint.decoding.to_dict(),
            "training": checkpoint.training,
            "device": str(self.device),
            "card": checkpoint.card,
        }


def _ms(frames: int | None) -> float | None:
    return None if frames is None else frames * SHIFT_MS


def load_model(name_or_dir: str | Path = DEFAULT_MODEL, device: str = "auto") -> Recognizer:
    """Load a model.

    Args:
        name_or_dir: a model folder, or the name of a model that comes with the package; by default
            the English one.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` …

    Raises:
        ModelError: if there is no such model, or it is damaged.
        ConfigError: if the device is not there.
    """
    picked = pick_device(device)
    return Recognizer(Checkpoint.load(find_model(name_or_dir), picked), picked)
