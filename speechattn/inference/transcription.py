"""What is asked of a recording and what comes of it: options, the steps between, the result.

Nothing here needs PyTorch, so that the command line can make the options before it is loaded.
"""

from __future__ import annotations

import bisect
import numbers
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechattn.errors import UsageError
from speechattn.options import ALL_CHANNELS, FORMS
from speechattn.phones import LABELS

if TYPE_CHECKING:
    import numpy as np

    from speechattn.audio.load import AudioFile
    from speechattn.segments import Segment


LOW_CONFIDENCE = 0.5  # mean over a recording's phones; the shared corpora are above


@dataclass(frozen=True)
class TranscribeOptions:
    """How recordings are transcribed; the same for all recordings of a run.

    Attributes:
        channel: counted from 0; None mixes all of them; ``"all"`` transcribes each by itself.
        posteriors: whether the frame posteriors are returned as well.
        labels: ``"arpabet"`` for the model's own, ``"ipa"`` for IPA.
        alternatives: how many other phones are given with each, the most probable first.
        words: whether the words are given as well.
        forms: ``"heard"`` for the phones of words as they were said, ``"dictionary"`` for those
            that the dictionary lists for each word.

    Raises:
        UsageError: if ``channel``, ``labels``, ``alternatives`` or ``forms`` are out of range.
    """

    channel: int | str | None = None
    posteriors: bool = True
    labels: str = "arpabet"
    alternatives: int = 0
    words: bool = False
    forms: str = FORMS[0]

    @property
    def needs_words(self) -> bool:
        """Whether the words must be found, be they given or not."""
        return self.words or self.forms == "dictionary"

    @property
    def every_channel(self) -> bool:
        """Whether each channel is transcribed by itself."""
        return self.channel == ALL_CHANNELS

    @property
    def one_channel(self) -> int | None:
        """The channel that is read, from 0; None for the mean of all.

        Raises:
            UsageError: if it is every channel, where only one can be read.
        """
        if isinstance(self.channel, str):
            raise UsageError(f"channel: {self.channel!r}; choose one here, counted from 0")
        return self.channel

    def __post_init__(self) -> None:
        if isinstance(self.channel, str) and self.channel != ALL_CHANNELS:
            raise UsageError(
                f"channel: {self.channel!r} is none; give a number from 0, {ALL_CHANNELS!r}, or "
                "None for the mean of all"
            )
        if self.labels not in LABELS:
            raise UsageError(f"labels: {self.labels!r} is unknown; choose from {', '.join(LABELS)}")
        if self.forms not in FORMS:
            raise UsageError(f"forms: {self.forms!r} is unknown; choose from {', '.join(FORMS)}")
        number = self.alternatives
        if not isinstance(number, numbers.Integral) or isinstance(number, bool) or number < 0:
            raise UsageError(f"alternatives: {number!r} is no number of phones; give 0 or more")


@dataclass
class Prepared:
    """A recording that is ready for the encoder.

    A short recording has been read and framed. A long one is open, and is read, encoded and decoded
    block by block by :meth:`~speechattn.inference.recognizer.Recognizer.finish`.

    Attributes:
        options: how it is transcribed.
        names: label of each phone.
        duration: seconds.
        sample_rate: Hz, of the recording as it was given.
        frames: of a short recording, shape (frames, dimension of the front end); None for a long
            one.
        blocks: of a long recording, 16 kHz mono samples, float32, shape (n,) each.
        file: that the blocks are read from; None for samples in memory.
    """

    options: TranscribeOptions
    names: tuple[str, ...]
    duration: float
    sample_rate: int
    frames: np.ndarray | None
    blocks: Iterator[np.ndarray]
    file: AudioFile | None = None

    @property
    def is_short(self) -> bool:
        """Whether it has frames, so that it can be encoded together with others."""
        return self.frames is not None

    def close(self) -> None:
        """Close its file."""
        if self.file is not None:
            self.file.close()


@dataclass(frozen=True)
class Transcription:
    """What was recognised in one recording.

    Two are equal if they agree in all but posteriors and path.

    Attributes:
        phones: segments that cover 0 to ``duration``, silence included.
        duration: seconds.
        sample_rate: Hz, of the recording as it was given.
        labels: phone of each column of ``posteriors``.
        posteriors: probability of every phone in every 10 ms frame, float32, shape
            (frames, phones); None if they were not requested.
        words: what was said, without the silence between them, where it was asked for or the text
            is known; else None. Phones that are none of the words that the decoder knows are the
            word ``<unk>``, whose confidence is the mean of theirs.
        confidence: mean confidence of the words' phones, between 0 and 1; None without words.
        warnings: what is unusual about the recording, each a line that begins with a key; those of
            :mod:`speechattn.audio.quality` and of :func:`low_confidence`.
        channel: that was transcribed, from 0; None for the mean of all.
        assumed: words of the text that no dictionary has → how they were taken to be said.
        more: what else is known about it, as values for JSON, for outputs in that form.
        speaker: whose words and phones these are, where a text has several speakers.
        speakers: what each of several speakers said, from 0 to the duration; the phones, words and
            confidence beside them are those of the first.
        path: of the file that it was made from; None of samples in memory and of open files.
    """

    phones: list[Segment]
    duration: float
    sample_rate: int
    labels: tuple[str, ...]
    posteriors: np.ndarray | None = field(default=None, compare=False)
    words: list[Segment] | None = None
    confidence: float | None = None
    warnings: tuple[str, ...] = ()
    channel: int | None = None
    assumed: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    speaker: str = ""
    speakers: tuple[Transcription, ...] = ()
    path: Path | None = field(default=None, compare=False)

    def __hash__(self) -> int:
        """Return a number that is the same for equal transcriptions."""
        return hash((tuple(self.phones), self.duration, self.sample_rate, self.labels))

    def phones_of(self, word: Segment) -> list[Segment]:
        """Return the phones of one of the words.

        Args:
            word: one of ``words``.
        """
        return phones_within(self.phones, word)


def phones_within(phones: Sequence[Segment], word: Segment) -> list[Segment]:
    """Return those of some phones that begin within a word; phones are in order of time."""
    first = bisect.bisect_left(phones, word.start, key=lambda phone: phone.start)
    last = bisect.bisect_left(phones, word.end, key=lambda phone: phone.start)
    return list(phones[first:last])


def low_confidence(transcription: Transcription, silence: str) -> list[str]:
    """Return the warning that the recognizer is unsure of a whole recording, or no warning.

    Args:
        transcription: with confidences.
        silence: label that does not count.
    """
    phones = [phone for phone in transcription.phones if phone.label != silence]
    seconds = sum(phone.end - phone.start for phone in phones)
    if not seconds:
        return []
    mean = sum((phone.end - phone.start) * phone.confidence for phone in phones) / seconds
    if mean >= LOW_CONFIDENCE:
        return []
    return [f"low confidence: {mean:.2f} on average; is this clear speech in the model's language?"]


def by_channel(warnings: Sequence[Sequence[str]]) -> list[str]:
    """Return the warnings about channels that were transcribed one by one, without repetition.

    Args:
        warnings: those of each channel.

    Returns:
        First those of all channels, then those of some, which name the channel after their key.
    """
    of_all = [line for line in warnings[0] if all(line in lines for lines in warnings)]
    found = list(of_all)
    for channel, lines in enumerate(warnings):
        for line in lines:
            if line not in of_all:
                key, _, text = line.partition(": ")
                found.append(f"{key}: channel {channel}: {text}")
    return found
