"""The recognizer: audio in, time-aligned phones out; the core of the API and of every command."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, overload

import numpy as np

from speechattn.audio.features import as_array
from speechattn.audio.source import LocalSource
from speechattn.decoder.words import names_of_words
from speechattn.inference.checkpoint import Checkpoint, device_name
from speechattn.inference.collector import SegmentCollector
from speechattn.inference.engine import make_engine
from speechattn.inference.host import check_numba, plain_settings, use_one_thread_after_fork
from speechattn.inference.model_files import HEAD_FORMAT, find_model, model_format
from speechattn.inference.reading import (
    Audio,
    OnPosteriors,
    OnSamples,
    PassMonitor,
    open_recording,
    transcribe_each,
    with_frames,
)
from speechattn.inference.streaming import PosteriorStream, RecognizerStream, look_ahead_ms
from speechattn.inference.transcription import Prepared, TranscribeOptions, Transcription
from speechattn.options import DEFAULT_MODEL
from speechattn.phones import PhoneSet
from speechattn.process import import_torch
from speechattn.segments import SAMPLE_RATE

if TYPE_CHECKING:
    import torch


class Recognizer:
    """A loaded model. Make one with :func:`load_model`.

    Args:
        checkpoint: the model.
        device: where its encoder computes.
        precision: of its products; see :func:`load_model`.

    Attributes:
        checkpoint: the model as it was loaded.
        device: name of the device where its encoder computes.
        engine: front end and encoder, ready for use.
        precision: ``"fp32"``, ``"bf16"`` or ``"int8"``.
        gains_by_threads: whether more than one thread makes it faster beside a search, and gives
            the same to the last bit.
    """

    def __init__(
        self, checkpoint: Checkpoint, device: str | torch.device, precision: str = "fp32"
    ) -> None:
        self.checkpoint = checkpoint
        self.engine = make_engine(checkpoint, device, precision)
        self.device, self.precision = self.engine.device, self.engine.precision
        self.gains_by_threads = self.engine.gains_by_threads

    def free_loaded_weights(self) -> None:
        """Free the weights as they were loaded; those in use, in :attr:`precision`, stay.

        For processes that only transcribe. With PyTorch, ``checkpoint.classifier`` is then the one
        in use; without it, none is there until one is asked for.
        """
        self.checkpoint = self.engine.checkpoint()

    @property
    def phones(self) -> PhoneSet:
        """The phones that the model distinguishes."""
        return self.checkpoint.phones

    @overload
    def transcribe(
        self, audio: Audio, *, channel: int | None = None, **options: Any
    ) -> Transcription: ...

    @overload
    def transcribe(
        self, audio: Audio, *, channel: Literal["all"], **options: Any
    ) -> list[Transcription]: ...

    def transcribe(  # type: ignore[misc]  # its other options are named here only
        self,
        audio: Audio,
        *,
        sample_rate: int | None = None,
        channel: int | Literal["all"] | None = None,
        posteriors: bool = True,
        labels: str = "arpabet",
        alternatives: int = 0,
        words: bool = False,
        forms: str = "heard",
        on_posteriors: OnPosteriors | None = None,
        on_samples: OnSamples | None = None,
    ) -> Transcription | list[Transcription]:
        """Recognise the phones of a recording.

        Audio goes through in blocks, so a file of any length needs little more memory than a short
        one; only ``posteriors`` grow with it (14 MB an hour for each 10 phones).

        Args:
            audio: a path or an open binary file, or samples of shape (n,) or (channels, n).
            sample_rate: Hz; needed with samples, refused with a file.
            channel: counted from 0; None mixes all of them; ``"all"`` transcribes each by itself.
            posteriors: whether to return the frame posteriors as well.
            labels: ``"arpabet"`` for the model's own, ``"ipa"`` for IPA.
            alternatives: how many other phones to give with each, the most probable first, with
                their mean probabilities over its frames. These are the encoder's own, while the
                confidence of a phone is calibrated.
            words: whether to give the words as well; the phones stay the same.
            forms: ``"heard"`` for the phones as they were said, ``"dictionary"`` for those that
                the dictionary lists for each word, within the times of the word.
            on_posteriors: called with the posteriors of every block as it comes, float32, shape
                (frames, phones), for callers that cannot keep all of them in memory. Of several
                channels, those of the first come first.
            on_samples: as for :class:`~speechattn.audio.load.AudioFile`.

        Returns:
            The transcription; with ``channel="all"`` a list of them, one for each channel.

        Raises:
            AudioError: if the audio cannot be read or trusted.
            UsageError: if ``sample_rate`` is missing, or given with a file; if ``channel``,
                ``labels`` or ``alternatives`` are out of range.
            ConfigError: if the model has no IPA for its phones, or its decoder knows no words.
        """
        options = TranscribeOptions(channel, posteriors, labels, alternatives, words, forms)
        found = transcribe_each(
            *(self, audio, options, PassMonitor(on_samples=on_samples)),
            sample_rate=sample_rate,
            on_posteriors=on_posteriors,
        )
        return found if options.every_channel else found[0]

    def prepare(
        self,
        audio: Audio | LocalSource,
        options: TranscribeOptions,
        *,
        sample_rate: int | None = None,
        on_samples: OnSamples | None = None,
    ) -> Prepared:
        """Read and frame a recording; the first of the three steps of :meth:`transcribe`.

        A recording of at most ``BLOCK_SECONDS`` is read as a whole. A longer one stays open:
        :meth:`finish` reads it block by block.

        Args:
            audio: as for :meth:`transcribe`, as are ``sample_rate`` and ``on_samples``.
            options: how it is transcribed.

        Raises:
            AudioError: if the audio cannot be read or trusted, as far as it has been read.
            UsageError: if ``sample_rate`` is missing, or given with a file.
            ConfigError: if the model has no IPA for its phones, or its decoder knows no words.
        """
        self.check(options)
        names = self.phones.labels(options.labels)
        prepared = open_recording(audio, options, names, sample_rate, on_samples)
        return with_frames(prepared, self.engine.front_end)

    def check(self, options: TranscribeOptions, *, posteriors: bool = False) -> None:
        """Check that the model can do what is asked.

        Args:
            options: how recordings are to be transcribed.
            posteriors: whether posteriors of frames are wanted, which this kind of model has.

        Raises:
            ConfigError: if it has no IPA for its phones, or its decoder knows no words.
        """
        self.phones.labels(options.labels)
        if options.needs_words:
            names_of_words(self.checkpoint.phone_model, self.checkpoint.decoding)

    def encode_short(self, prepared: Prepared) -> np.ndarray | None:
        """Log posteriors of one short recording, as of :meth:`encode`; None of a long one."""
        return None if prepared.frames is None else self.encode([prepared.frames])[0]

    def finish(
        self,
        prepared: Prepared,
        log_posteriors: np.ndarray | None,
        on_posteriors: OnPosteriors | None = None,
    ) -> Transcription:
        """Decode a recording; the last of the three steps of :meth:`transcribe`.

        A long recording is read and encoded here, block by block.

        Args:
            prepared: from :meth:`prepare`; its file is closed.
            log_posteriors: from :meth:`encode` for a short recording; None for a long one.
            on_posteriors: as for :meth:`transcribe`.

        Raises:
            AudioError: if the rest of a long recording cannot be read or trusted.
        """
        options = prepared.options
        collected: list[np.ndarray] = []
        receivers = [collected.append] if options.posteriors else []
        receivers += [on_posteriors] if on_posteriors else []
        number, words = options.alternatives, options.needs_words
        collector = SegmentCollector(
            self.checkpoint, alternatives=number, on_posteriors=receivers, words=words
        )
        try:
            if log_posteriors is not None:
                collector.push(log_posteriors)
            else:
                with contextlib.closing(self.log_posteriors(prepared.blocks)) as pieces:
                    for piece in pieces:
                        collector.push(piece)
        finally:
            prepared.close()
        return collector.transcription(prepared, collected if options.posteriors else None)

    def stream(
        self,
        *,
        sample_rate: int = SAMPLE_RATE,
        channel: int | None = None,
        labels: str = "arpabet",
        words: bool = False,
        forms: str = "heard",
    ) -> RecognizerStream:
        """Recognise a recording while it is being made.

        Chunks of any size give the posteriors (to rounding) and the phones that :meth:`transcribe`
        gives for the whole. Memory stays constant, unless a window of the encoder has no limit to
        the left.

        Args:
            sample_rate: Hz, of the samples that will be pushed.
            channel: counted from 0; None mixes all of them.
            labels: ``"arpabet"`` for the model's own, ``"ipa"`` for IPA.
            words: whether to give the words as well, each once it is decided.
            forms: as for :meth:`transcribe`; with ``"dictionary"``, phones come with their word.

        Raises:
            AudioError: if the sample rate is invalid.
            UsageError: if ``channel`` is every channel.
            ConfigError: if a window of the encoder has no limit to the right, so that it needs all
                of the recording; if the model has no IPA, or its decoder knows no words.
        """
        options = TranscribeOptions(channel, labels=labels, words=words, forms=forms)
        return RecognizerStream(self.checkpoint, self.engine, sample_rate, options)

    @property
    def look_ahead_ms(self) -> float | None:
        """Audio after the end of a frame that its posteriors wait for; None for no limit."""
        return look_ahead_ms(self.checkpoint.encoder)

    def log_posteriors(self, blocks: Iterable[np.ndarray]) -> Generator[np.ndarray]:
        """Compute the log probability of every phone and frame, block by block.

        Where there are several cores, threads read and encode while the caller uses what there is.
        Close the generator before the file that the blocks come from.

        Args:
            blocks: 16 kHz mono samples, float32, shape (n,) each.

        Yields:
            Shape (frames, phones), float32. The first block has fewer frames than its samples, by
            the look-ahead of the encoder, and the last one has more.
        """
        return PosteriorStream(self.engine).run(blocks)

    def encode(self, recordings: Sequence[np.ndarray | torch.Tensor]) -> list[np.ndarray]:
        """Compute the log posteriors of whole recordings; the second step of :meth:`transcribe`.

        Several together take less time than one by one. The result of each does not depend on the
        others, to the last bit.

        Args:
            recordings: frames of each, float32, shape (frames, dimension of the front end).

        Returns:
            Log posteriors of each, shape (frames, phones), float32.
        """
        return self.engine.log_posteriors([as_array(frames) for frames in recordings])

    def describe(self) -> dict[str, Any]:
        """Describe the model for people: shape, window, look-ahead, phones, training, card."""
        from speechattn.inference.describe import model_summary

        return model_summary(self.checkpoint, self.device)


def load_model(
    name_or_dir: str | Path = DEFAULT_MODEL,
    device: str = "auto",
    *,
    precision: str = "fp32",
    window: tuple[int, int] | None = None,
    lm_scale: float | None = None,
    reading: str = "words",
) -> Recognizer:
    """Load a model.

    A model of one label or a string of labels for each recording is a
    :class:`~speechattn.inference.sequence.SequenceRecognizer`, which transcribes alike.

    Args:
        name_or_dir: a model folder, or the name of a model of the package (default: English).
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` …
        precision: ``"fp32"``, or ``"bf16"`` and ``"int8"`` to multiply matrices in 16 or 8 bits on
            a processor with instructions for it: faster, and probabilities differ in the third
            or second decimal; ``"auto"`` for the fastest on this machine.
        window: ``(left, right)`` in 10 ms frames, the attention window of every block of the
            encoder, for a model trained with any window (``encoder.any_window``); None for its own.
        lm_scale: weight of the model's phone n-grams and words against the acoustic scores, from 0
            on; 0 leaves them out. None for the value chosen in training
            (``decoding.bigram_scale``).
        reading: what the decoder reads into the acoustic scores: ``"words"`` of the language,
            ``"phones"`` for the n-grams of phones alone, ``"none"`` for nothing.

    Raises:
        ModelError: if there is no such model, or it is damaged.
        ConfigError: if the device or the precision is not available, the model was not trained for
            such a window, or the scale or the reading is out of range.
    """
    check_numba()
    use_one_thread_after_fork()
    picked = device_name(device)
    folder = find_model(name_or_dir)
    if model_format(folder) == HEAD_FORMAT:
        import_torch()
        from speechattn.inference.sequence import load_sequence

        with plain_settings():
            sequence = load_sequence(folder, picked, precision, window, lm_scale, reading)
        return cast(Recognizer, sequence)  # which has the same methods
    checkpoint: Checkpoint | None = None
    if picked == "cpu" and precision in ("auto", "int8"):
        from speechattn.inference.stored import StoredCheckpoint

        checkpoint = StoredCheckpoint.open(folder)
    if checkpoint is None:
        import_torch()
        with plain_settings():
            checkpoint = Checkpoint.load(folder, picked)
    if window is not None:
        checkpoint.encoder.check_window(window)
        checkpoint.set_window(window)
    checkpoint.decoding = checkpoint.decoding.for_reading(reading, lm_scale)
    return Recognizer(checkpoint, picked, precision)
