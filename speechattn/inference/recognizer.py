"""The recognizer: audio in, time-aligned phones out; what the API and every command stand on."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from speechattn.audio.features import FrontEnd
from speechattn.audio.load import AudioFile, array_blocks
from speechattn.audio.sndfile import AudioInfo
from speechattn.encoder.encoder import check_window, set_window
from speechattn.encoder.precision import fastest_precision, with_packed_linears
from speechattn.encoder.varlen import can_concatenate, forward_varlen
from speechattn.errors import UsageError
from speechattn.inference.checkpoint import Checkpoint, pick_device
from speechattn.inference.collector import SegmentCollector
from speechattn.inference.describe import model_summary
from speechattn.inference.model_files import find_model
from speechattn.inference.streaming import (
    PosteriorStream,
    RecognizerStream,
    log_posteriors_of,
    look_ahead_ms,
)
from speechattn.options import DEFAULT_MODEL
from speechattn.phones import PhoneSet
from speechattn.segments import SAMPLE_RATE, FrameRun, Segment, segments_from_runs

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
        precision: of its products; see :func:`load_model`.

    Attributes:
        device: likewise.
        precision: ``"fp32"``, ``"bf16"`` or ``"int8"``.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, precision: str = "fp32"):
        self.checkpoint = checkpoint
        self.device = device
        if precision == "auto":
            precision = fastest_precision(device, checkpoint.ranges)
        self.precision = precision
        self._front_end = FrontEnd(checkpoint.front_end)
        # For use; the checkpoint keeps its weights as they were saved.
        ready = with_packed_linears(checkpoint.classifier, precision, checkpoint.ranges)
        self._ready = replace(checkpoint, classifier=ready)

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
        labels: str = "arpabet",
        alternatives: int = 0,
        on_posteriors: Callable[[np.ndarray], None] | None = None,
        on_samples: Callable[[AudioInfo, np.ndarray], None] | None = None,
    ) -> Transcription:
        """Recognise the phones of a recording.

        Audio goes through in blocks, so a file of any length needs little more memory than a short
        one; only ``posteriors`` grow with it (14 MB an hour for each 10 phones).

        Args:
            audio: a file, or samples of shape (n,) or (channels, n).
            sample_rate: Hz; needed with samples, refused with a file.
            channel: counted from 0; None mixes all of them.
            posteriors: whether to return the frame posteriors as well.
            labels: ``"arpabet"`` for the model's own, ``"ipa"`` for IPA.
            alternatives: how many other phones to give with each, the most probable first, with
                their mean probabilities over its frames. These are the encoder's own; a phone's
                confidence is bent besides.
            on_posteriors: called with the posteriors of every block as it comes, float32, shape
                (frames, phones), for those who cannot hold all of them.
            on_samples: of a file; as for :class:`~speechattn.audio.load.AudioFile`.

        Raises:
            AudioError: if the audio cannot be read or trusted.
            UsageError: if ``sample_rate`` is missing, or given with a file; if ``labels`` or
                ``alternatives`` are out of range.
            ConfigError: if the model has no IPA for its phones.
        """
        steps = self.transcribing(
            audio,
            sample_rate=sample_rate,
            channel=channel,
            posteriors=posteriors,
            labels=labels,
            alternatives=alternatives,
            on_posteriors=on_posteriors,
            on_samples=on_samples,
        )
        try:
            steps.send(self.encode([next(steps)])[0])
        except StopIteration as end:
            return end.value
        raise AssertionError("the encoder is asked once")

    def transcribing(
        self,
        audio: str | Path | np.ndarray | torch.Tensor,
        *,
        sample_rate: int | None = None,
        channel: int | None = None,
        posteriors: bool = True,
        labels: str = "arpabet",
        alternatives: int = 0,
        on_posteriors: Callable[[np.ndarray], None] | None = None,
        on_samples: Callable[[AudioInfo, np.ndarray], None] | None = None,
    ) -> Generator[torch.Tensor, np.ndarray, Transcription]:
        """:meth:`transcribe`, interrupted where a short recording goes through the encoder.

        So that its caller can send several through together.

        Yields:
            Its frames, once; what :meth:`encode` makes of them is to be sent. Nothing for a
            recording of more than ``BLOCK_SECONDS``.

        Returns:
            What ``transcribe`` does.
        """
        names = self.phones.labels(labels)
        kept: list[np.ndarray] = []

        def see(block: np.ndarray) -> None:
            if posteriors:
                kept.append(block)
            if on_posteriors is not None:
                on_posteriors(block)

        wanted = posteriors or on_posteriors is not None
        collector = SegmentCollector(
            self.checkpoint, alternatives=alternatives, on_posteriors=see if wanted else None
        )
        if isinstance(audio, (str, Path)):
            if sample_rate is not None:
                raise UsageError(
                    f"sample_rate: {sample_rate} given with the file {audio}; a file says its own"
                )
            with AudioFile(audio, channel=channel, on_samples=on_samples) as file:
                runs = yield from self._recognise(file.blocks(BLOCK_SECONDS), collector)
                duration, sample_rate = file.info.duration, file.info.sample_rate
        else:
            if sample_rate is None:
                raise UsageError("sample_rate: missing; samples need their rate in Hz")
            blocks = array_blocks(audio, sample_rate, seconds=BLOCK_SECONDS, channel=channel)
            runs = yield from self._recognise(blocks, collector)
            sample_rate = int(sample_rate)  # a whole number, says array_blocks
            duration = np.shape(audio)[-1] / sample_rate
        phones = segments_from_runs(runs, names, duration)
        frames = np.concatenate(kept) if posteriors else None
        return Transcription(phones, duration, sample_rate, names, frames)

    def stream(
        self,
        *,
        sample_rate: int = SAMPLE_RATE,
        channel: int | None = None,
        labels: str = "arpabet",
    ) -> RecognizerStream:
        """Recognise a recording while it is being made.

        Chunks of any size give the posteriors (to rounding) and the phones that :meth:`transcribe`
        gives for the whole. Memory stays constant, unless a window of the encoder has no limit to
        the left: then it must remember everything.

        Args:
            sample_rate: Hz, of the samples that will be pushed.
            channel: counted from 0; None mixes all of them.
            labels: ``"arpabet"`` for the model's own, ``"ipa"`` for IPA.

        Raises:
            AudioError: if the sample rate makes no sense.
            ConfigError: if a window of the encoder has no limit to the right: it answers only at
                the end of a recording; if the model has no IPA for its phones.
        """
        return RecognizerStream(
            self._ready,
            self._front_end,
            self.device,
            sample_rate=sample_rate,
            channel=channel,
            labels=labels,
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
        stream = PosteriorStream(self._ready, self._front_end, self.device)
        waiting: np.ndarray | None = None
        for block in blocks:
            if waiting is not None:
                yield stream.push(waiting)
            waiting = block
        if waiting is not None:
            yield stream.push(waiting, last=True)

    def encode(self, recordings: Sequence[torch.Tensor]) -> list[np.ndarray]:
        """Log posteriors of whole recordings; several together take less time than one by one.

        What comes of each does not depend on the others, to the last bit.

        Args:
            recordings: frames of each, shape (frames, numbers of the front end).

        Returns:
            Shape (frames, phones) each, float32.
        """
        recordings = [frames.to(self.device) for frames in recordings]
        classifier = self._ready.classifier
        if len(recordings) > 1 and self._can_be_together:
            scores = forward_varlen(classifier, recordings)
        else:
            scores = [classifier.stream().push(frames, last=True) for frames in recordings]
        return [log_posteriors_of(each) for each in scores]

    @functools.cached_property
    def _can_be_together(self) -> bool:
        return can_concatenate(self._ready.classifier)

    def _recognise(
        self, blocks: Iterator[np.ndarray], collector: SegmentCollector
    ) -> Generator[torch.Tensor, np.ndarray, list[FrameRun]]:
        first = list(itertools.islice(blocks, 2))
        if len(first) == 1:
            collector.push((yield self._front_end(torch.from_numpy(first[0]))))
        else:
            for log_posteriors in self.log_posteriors(itertools.chain(first, blocks)):
                collector.push(log_posteriors)
        return collector.finish()

    def describe(self) -> dict:
        """What the model is, for people: shape, window, look-ahead, phones, training, card."""
        return model_summary(self.checkpoint, self.device)


def load_model(
    name_or_dir: str | Path = DEFAULT_MODEL,
    device: str = "auto",
    *,
    precision: str = "fp32",
    window: tuple[int, int] | None = None,
    lm_scale: float | None = None,
) -> Recognizer:
    """Load a model.

    Args:
        name_or_dir: a model folder, or the name of a model that comes with the package; by default
            the English one.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` …
        precision: ``"fp32"``, or ``"bf16"`` and ``"int8"`` to multiply matrices in 16 or 8 bits on
            a processor with instructions for it: faster, and probabilities differ in the third
            or second decimal; ``"auto"`` for whichever is fastest here.
        window: ``(left, right)`` in 10 ms frames that every block of the encoder looks through,
            of a model trained for any (``encoder.any_window``); None for its own.
        lm_scale: what the model's knowledge of the order of phones (n-grams, words) counts
            against what it hears, from 0 on: at 0 it writes what it hears, English or not; None
            for what was best in training (``decoding.bigram_scale``).

    Raises:
        ModelError: if there is no such model, or it is damaged.
        ConfigError: if the device or the precision is not there, or the model was not trained for
            such a window, or the scale is out of range.
    """
    picked = pick_device(device)
    checkpoint = Checkpoint.load(find_model(name_or_dir), picked)
    if window is not None:
        check_window(checkpoint.classifier.config, window)
        set_window(checkpoint.classifier, window)
    if lm_scale is not None:
        decoding = checkpoint.decoding.with_lm_scale(lm_scale)
        checkpoint = replace(checkpoint, decoding=decoding)
    return Recognizer(checkpoint, picked, precision)
