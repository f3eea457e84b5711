"""The audio of utterances, also of those that are a part of a longer recording."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from speechattn.audio.load import AudioFile
from speechattn.corpora.alignment import END_TOLERANCE_FRAMES
from speechattn.corpora.corpus import Utterance
from speechattn.corpora.tables import Span
from speechattn.errors import CorpusError
from speechattn.segments import SAMPLE_RATE, SHIFT_SAMPLES


def read_spans(path: str | Path, spans: Sequence[Span]) -> Iterator[np.ndarray]:
    """Read parts of a recording, which is decoded once and never in memory as a whole.

    Args:
        path: of the audio file.
        spans: start and end in seconds, sorted by their start; they may overlap. The end may lie
            30 ms past that of the recording.

    Yields:
        Samples of each at 16 kHz, float32, shape (samples,).

    Raises:
        CorpusError: if a part does not lie in the recording.
        AudioError: if the recording cannot be decoded.
    """
    with AudioFile(path) as audio:
        yield from cut_blocks(audio.blocks(), spans, str(path))


def cut_blocks(
    blocks: Iterable[np.ndarray], spans: Sequence[Span], name: str
) -> Iterator[np.ndarray]:
    """Parts of a signal that comes in blocks; see :func:`read_spans`.

    Args:
        blocks: samples at 16 kHz, shape (samples,) each.
        spans: as :func:`read_spans`.
        name: what messages call the recording.
    """
    source = iter(blocks)
    kept = np.zeros(0, np.float32)
    first = 0  # sample of the recording that ``kept`` begins with
    ended = False
    for start, end in spans:
        begin = round(start * SAMPLE_RATE)
        stop = None if end is None else round(end * SAMPLE_RATE)
        if begin < first:
            raise ValueError(f"spans must be sorted by their start: {start:g} s comes too late")
        parts = [kept]
        have = first + len(kept)
        while not ended and (stop is None or have < stop):
            block = next(source, None)
            if block is None:
                ended = True
                break
            if have + len(block) <= begin:  # of no use
                parts, first = [], have + len(block)
            else:
                parts.append(block)
            have += len(block)
        kept = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        late = END_TOLERANCE_FRAMES * SHIFT_SAMPLES
        if begin >= have or (stop is not None and stop > have + late):
            raise CorpusError(
                f"{name}: the recording ends at {have / SAMPLE_RATE:.2f} s; there is no utterance "
                f"from {start:g} to {'its end' if end is None else f'{end:g} s'}; correct the times"
            )
        kept = kept[max(begin - first, 0) :]
        first = max(first, begin)
        yield kept[: None if stop is None else stop - first].copy()


def utterance_blocks(utterance: Utterance) -> Iterator[np.ndarray]:
    """The samples of one utterance at 16 kHz, in blocks; see :func:`utterance_audio`.

    One that is a part of a recording is one block.
    """
    if not utterance.is_whole:
        yield utterance_audio(utterance)
        return
    with AudioFile(utterance.path) as audio:
        yield from audio.blocks()


def utterance_audio(utterance: Utterance) -> np.ndarray:
    """The samples of one utterance at 16 kHz, float32, shape (samples,).

    Raises:
        CorpusError: if it does not lie in its recording.
        AudioError: if the recording cannot be decoded.
    """
    return next(read_spans(utterance.path, [(utterance.start, utterance.end)]))
