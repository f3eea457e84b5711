"""What ``speechattn bench accuracy`` scores: models of ours, read in several ways, and peers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from speechattn.bench.peers import HAMA_PHONES, PEERS, Peer
from speechattn.decoder.decoder import decode
from speechattn.decoder.options import DecoderOptions
from speechattn.decoder.word_forms import with_dictionary_forms
from speechattn.decoder.words import NO_WORD, UNKNOWN, FrameWord, WordReader, names_of_words
from speechattn.errors import UsageError
from speechattn.inference.recognizer import Recognizer, load_model
from speechattn.phones import PhoneSet, arpabet
from speechattn.segments import FrameSegment, Segment, num_frames, seconds_to_frame

DICTIONARY = "dictionary"  # with words, each with the phones that the dictionary lists for it
# Ways to read, and their suffixes.
READINGS = {
    "words": "",
    DICTIONARY: ", --forms dictionary",
    "phones": ", --reading phones",
    "none": ", --reading none",
}


class System(Protocol):
    """A recognizer that is scored.

    Attributes:
        name: in the report.
    """

    name: str

    def recognise(self, samples: np.ndarray) -> tuple[list[FrameSegment], np.ndarray | None]:
        """Recognise the phones of a recording.

        Args:
            samples: 16 kHz, float32, shape (samples,).

        Returns:
            Frame segments from frame 0 to the end, and the classifier's own label of each frame,
            shape (frames,), where there is one.
        """


class Hearing:
    """The encoder of a model, which hears every recording once for all ways to read it.

    Args:
        recognizer: the model.
    """

    def __init__(self, recognizer: Recognizer) -> None:
        self.checkpoint, self._recognizer = recognizer.checkpoint, recognizer
        self._last: tuple[np.ndarray, np.ndarray] | None = None

    def log_posteriors(self, samples: np.ndarray) -> np.ndarray:
        """Log posteriors of a recording, shape (frames, phones).

        Args:
            samples: 16 kHz, float32, shape (samples,); those of the last call are not heard again.
        """
        if self._last is None or self._last[0] is not samples:
            pieces = self._recognizer.log_posteriors(iter([samples]))
            self._last = samples, np.concatenate(list(pieces))
        return self._last[1]


class ModelSystem:
    """A model of ours.

    Args:
        name: in the report.
        hearing: the model.
        reading: of :data:`READINGS`: what its decoder knows about the order of phones. ``words``
            for everything, as the model is shipped; ``dictionary`` for the same with the
            dictionary's form of each word; ``phones`` for n-grams of phones alone; ``none`` for
            nothing.
        lm_scale: as for :func:`speechattn.load_model`.

    Raises:
        UsageError: for the dictionary's forms of a model that knows no words.
    """

    def __init__(
        self, name: str, hearing: Hearing, reading: str, lm_scale: float | None = None
    ) -> None:
        self.name = name + READINGS[reading]
        checkpoint = hearing.checkpoint
        decoding = decoding_of(checkpoint.decoding, reading)
        if lm_scale is not None:
            decoding = decoding.with_lm_scale(lm_scale)
            self.name += f", --lm-scale {lm_scale:g}"
        self._hearing, self._decoding = hearing, decoding
        model = checkpoint.phone_model
        known = model.words is not None and model.words.names is not None
        self._reader = WordReader(model, decoding) if known and decoding.word_scale else None
        self._names = names_of_words(model, decoding) if self._reader else ()
        self._listed = None
        if reading == DICTIONARY:
            if self._reader is None:
                raise UsageError(f"--reading {DICTIONARY}: {name} knows no words; leave it out")
            self._listed = model.words

    def recognise(self, samples: np.ndarray) -> tuple[list[FrameSegment], np.ndarray | None]:
        """See :class:`System`."""
        frames = self._hearing.log_posteriors(samples)
        found = decode(frames, self._hearing.checkpoint.phone_model, self._decoding)
        if self._listed is not None:
            found, _ = with_dictionary_forms(found, self._words(found), self._listed)
        return found, frames.argmax(1)

    def words(self, segments: Sequence[FrameSegment]) -> list[str] | None:
        """Return the words in what was recognised; None if the model knows none.

        None for the dictionary's forms as well, whose words are those of ``words``.
        """
        if self._reader is None or self._listed is not None:
            return None
        found = self._words(segments)
        return [UNKNOWN if one.word == NO_WORD else self._names[one.word] for one in found]

    def _words(self, segments: Sequence[FrameSegment]) -> list[FrameWord]:
        assert self._reader is not None
        return self._reader.push(segments) + self._reader.finish()


def decoding_of(options: DecoderOptions, reading: str) -> DecoderOptions:
    """Change decoder options for a way of reading, see :class:`ModelSystem`."""
    return options.for_reading("words" if reading == DICTIONARY else reading)


class PeerSystem:
    """Another recognizer.

    Args:
        name: of :data:`~speechattn.bench.peers.PEERS`.
        peer: it.
        phones: of the reference, ARPAbet.
    """

    def __init__(self, name: str, peer: Peer, phones: PhoneSet) -> None:
        self.name, self._peer, self._phones = name, peer, phones

    def recognise(self, samples: np.ndarray) -> tuple[list[FrameSegment], np.ndarray | None]:
        """See :class:`System`."""
        return frame_segments(
            self._peer.phones(samples), num_frames(len(samples)), self._phones
        ), None


def frame_segments(
    segments: Sequence[Segment], frames: int, phones: PhoneSet
) -> list[FrameSegment]:
    """Segments of a peer on the 10 ms grid.

    Args:
        segments: that cover the recording, labels in ARPAbet or IPA. Labels that stand for no
            phone, such as ``+SPN+`` or a diacritic by itself, belong to the segment before.
        frames: of the recording.
        phones: classes of the labels.
    """
    result: list[FrameSegment] = []
    for segment in segments:
        label = HAMA_PHONES.get(segment.label, segment.label)
        start = min(seconds_to_frame(segment.start), frames)
        if label not in phones.index and result:
            continue
        phone = phones.index.get(label, phones.silence_index)
        if result and result[-1].start == start:  # it has no frame of its own
            continue
        result.append(FrameSegment(phone, 0 if not result else start, frames))
    result = [segment for segment in result if segment.start < frames]
    ends = [segment.start for segment in result[1:]] + [frames]
    return [replace(segment, end=end) for segment, end in zip(result, ends)]


def load_systems(
    models: Sequence[str],
    readings: Sequence[str],
    peers: Sequence[str],
    window: tuple[int, int] | None,
    precision: str,
    lm_scales: Sequence[float] = (),
) -> tuple[list[System], PhoneSet]:
    """Load all that is scored.

    The arguments are those of :func:`speechattn.bench.accuracy.bench_accuracy`.

    Returns:
        The systems, and the phone set that they have in common.

    Raises:
        UsageError: if their phone sets differ.
        ModelError: if a model cannot be loaded.
    """
    systems: list[System] = []
    phones: PhoneSet | None = None
    for model in models:
        recognizer = load_model(model, "cpu", precision=precision, window=window)
        name = str(recognizer.describe()["name"]) if len(models) == 1 else model
        if phones is not None and recognizer.phones.names != phones.names:
            raise UsageError(f"--model {model}: its phones are not those of {models[0]}")
        phones = recognizer.phones
        hearing = Hearing(recognizer)
        systems += [ModelSystem(name, hearing, reading) for reading in readings]
        systems += [ModelSystem(name, hearing, "words", scale) for scale in lm_scales]
    phones = phones or arpabet()
    if peers and set(phones.names) != set(arpabet().names):
        raise UsageError(f"--peer: peers know ARPAbet, and {models[0]} does not; write --peer none")
    systems += [PeerSystem(name, PEERS[name](), phones) for name in peers]
    return systems, phones
