"""A recording as it is asked for: the mean of its channels, one of them, or each by itself.

Each channel is a pass over the recording of its own, so that memory does not grow with their
number. A call of two channels takes twice the time of one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np

from speechattn.audio.load import AudioFile, array_blocks, num_channels
from speechattn.audio.quality import QualityMonitor
from speechattn.audio.source import AudioSource, LocalSource, is_audio_source, is_path
from speechattn.errors import UsageError
from speechattn.inference.transcription import (
    Prepared,
    TranscribeOptions,
    Transcription,
    low_confidence,
)

if TYPE_CHECKING:
    import torch

    from speechattn.audio.features import FrontEnd
    from speechattn.audio.sndfile import AudioInfo
    from speechattn.inference.recognizer import Recognizer

BLOCK_SECONDS = 20.0  # of audio that are encoded at a time

Audio: TypeAlias = "AudioSource | np.ndarray | torch.Tensor"
OnPosteriors: TypeAlias = "Callable[[np.ndarray], None]"
OnSamples: TypeAlias = "Callable[[AudioInfo, np.ndarray], None]"


class PassMonitor:
    """Measures a recording that is read once, or once for each of its channels.

    Args:
        report: called with the share of all that has been decoded, from 0 to 1.
        on_samples: called with the samples of the first pass, as for
            :class:`~speechattn.audio.load.AudioFile`.

    Attributes:
        passes: the monitor of each pass so far.
    """

    def __init__(
        self,
        report: Callable[[float], None] | None = None,
        on_samples: OnSamples | None = None,
    ) -> None:
        self._report, self._on_samples = report, on_samples
        self.passes: list[QualityMonitor] = []

    def begin(self, channel: int | None, count: int) -> OnSamples:
        """Begin the next pass, and return what takes its samples.

        Args:
            channel: that is transcribed in it, from 0; None for the mean of all.
            count: number of passes in all.
        """
        before, report, on_samples = len(self.passes), self._report, self._on_samples

        def within(share: float) -> None:
            if report is not None:
                report((before + share) / count)

        monitor = QualityMonitor(channel, within)
        self.passes.append(monitor)
        if before or on_samples is None:
            return monitor.add

        def on_chunk(info: AudioInfo, samples: np.ndarray) -> None:
            monitor.add(info, samples)
            on_samples(info, samples)

        return on_chunk

    def warned(self, found: Transcription, silence: str, number: int = -1) -> Transcription:
        """Return a transcription with its warnings.

        Args:
            found: the transcription.
            silence: label that is no phone.
            number: of its pass; by default the newest.
        """
        warnings = self.passes[number].warnings() + low_confidence(found, silence)
        return replace(found, warnings=tuple(warnings))


def open_recording(
    audio: Audio | LocalSource,
    options: TranscribeOptions,
    names: tuple[str, ...],
    sample_rate: int | None,
    on_samples: OnSamples | None,
) -> Prepared:
    """Open a recording, of which nothing is read yet.

    Args:
        audio: as for :meth:`~speechattn.inference.recognizer.Recognizer.transcribe`, as are
            ``sample_rate`` and ``on_samples``.
        options: how it is transcribed.
        names: label of each phone.

    Raises:
        AudioError: if it cannot be opened.
        UsageError: if ``sample_rate`` is missing, or given with a file.
    """
    channel = options.one_channel
    if not (isinstance(audio, LocalSource) or is_audio_source(audio)):
        if sample_rate is None:
            raise UsageError("sample_rate: missing; samples need their rate in Hz")
        samples = cast("np.ndarray", audio)
        blocks = array_blocks(
            samples, sample_rate, seconds=BLOCK_SECONDS, channel=channel, on_samples=on_samples
        )
        sample_rate = int(sample_rate)  # array_blocks has checked that it is a whole number
        duration = np.shape(samples)[-1] / sample_rate
        return Prepared(options, names, duration, sample_rate, None, blocks)
    source = cast("AudioSource | LocalSource", audio)
    if sample_rate is not None:
        raise UsageError(
            f"sample_rate: {sample_rate} given with the file {source!s}; a file says its own"
        )
    file = AudioFile(source, channel=channel, on_samples=on_samples)
    blocks, info = file.blocks(BLOCK_SECONDS), file.info
    return Prepared(options, names, info.duration, info.sample_rate, None, blocks, file)


def with_frames(prepared: Prepared, front_end: FrontEnd) -> Prepared:
    """Read the first two blocks, and compute the frames of a recording that has only one.

    Args:
        prepared: from :func:`open_recording`; its file is closed if this fails.
        front_end: of the model.

    Raises:
        AudioError: if the audio cannot be read or trusted, as far as it has been read.
    """
    try:
        first = list(itertools.islice(prepared.blocks, 2))
        if len(first) == 1:
            prepared.frames = front_end(first[0])
            prepared.close()
        else:
            prepared.blocks = itertools.chain(first, prepared.blocks)
    except BaseException:
        prepared.close()
        raise
    return prepared


def prepare_each(
    recognizer: Recognizer,
    audio: Audio,
    options: TranscribeOptions,
    monitor: PassMonitor,
    *,
    sample_rate: int | None = None,
) -> Iterator[Prepared]:
    """Prepare a recording for the encoder, or each of its channels.

    Args:
        recognizer: whose ``prepare`` is called.
        audio: as for :meth:`~speechattn.inference.recognizer.Recognizer.transcribe`, as is
            ``sample_rate``.
        options: how it is transcribed.
        monitor: gets the samples.

    Yields:
        What ``finish`` takes. That of a long recording must be finished before the next.

    Raises:
        AudioError: if the audio cannot be read or trusted.
        UsageError, ConfigError: as ``prepare``.
    """
    if not options.every_channel:
        on_samples = monitor.begin(options.one_channel, 1)
        yield recognizer.prepare(audio, options, sample_rate=sample_rate, on_samples=on_samples)
        return
    with contextlib.ExitStack() as stack:
        given: Audio | LocalSource = audio
        if is_audio_source(audio):  # an open file is copied only once
            given = stack.enter_context(contextlib.closing(LocalSource(cast(AudioSource, audio))))
        count = num_channels(given)
        for channel in range(count):
            yield recognizer.prepare(
                given,
                replace(options, channel=channel),
                sample_rate=sample_rate,
                on_samples=monitor.begin(channel, count),
            )


def transcribe_each(
    recognizer: Recognizer,
    audio: Audio,
    options: TranscribeOptions,
    monitor: PassMonitor,
    *,
    sample_rate: int | None = None,
    on_posteriors: OnPosteriors | None = None,
) -> list[Transcription]:
    """Transcribe a recording: one transcription, or one for each of its channels.

    Args:
        recognizer: transcribes it.
        audio: as for :meth:`~speechattn.inference.recognizer.Recognizer.transcribe`, as are
            ``sample_rate`` and ``on_posteriors``.
        options: how it is transcribed.
        monitor: gets the samples.

    Raises:
        AudioError: if the audio cannot be read or trusted.
        UsageError, ConfigError: as for
            :meth:`~speechattn.inference.recognizer.Recognizer.transcribe`.
    """
    found = []
    for prepared in prepare_each(recognizer, audio, options, monitor, sample_rate=sample_rate):
        one = recognizer.finish(prepared, recognizer.encode_short(prepared), on_posteriors)
        warned = monitor.warned(one, recognizer.phones.silence)
        found.append(replace(warned, path=path_of(audio)))
    return found


def path_of(audio: Audio | LocalSource) -> Path | None:
    """Return the path that a caller gave; None of samples and of open files."""
    return Path(os.fsdecode(cast("str", audio))) if is_path(audio) else None
