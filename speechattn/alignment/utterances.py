"""Texts whose utterances have times and speakers: each is aligned within its own stretch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from speechattn.alignment.network import Doubt
from speechattn.alignment.pronunciations import ReadText, TimedWords
from speechattn.alignment.squeezed import align_said
from speechattn.alignment.text_aligner import (
    OtherSpeech,
    SpokenWord,
    TextAligner,
    TextAlignment,
    merged,
)
from speechattn.alignment.transcripts import AlignmentError
from speechattn.errors import UNSUITABLE
from speechattn.inference.transcription import Transcription
from speechattn.segments import (
    FRAMES_PER_SECOND,
    FrameSegment,
    frame_to_seconds,
    seconds_to_frame,
)

TOLERANCE = 5  # frames that utterances of a speaker may overlap, or the last reach past the end


def align_parts(
    aligner: TextAligner,
    read: ReadText,
    log_posteriors: np.ndarray,
    free: np.ndarray,
    doubt: Doubt | None,
) -> TextAlignment | None:
    """Find how the utterances of a speaker were said, each in its stretch of the recording.

    The words of an utterance that is too short for them are taken as not said.

    Args:
        aligner: finds one utterance.
        read: the text, with ``parts``.
        log_posteriors: shape (frames, phones).
        free: phone of each frame without a text, shape (frames,).
        doubt: what it costs to leave the text; None to force it upon the recording.

    Returns:
        None if all utterances are too short for their words.

    Raises:
        AlignmentError: if an utterance does not lie in the recording, or in another one.
    """
    silence = aligner.lexicon.phones.silence_index
    runs: list[FrameSegment] = []
    words: list[SpokenWord] = []
    others: list[OtherSpeech] = []
    score, frames, aligned = 0.0, 0, False
    for part, start, end in _stretches(read.parts, len(log_posteriors)):
        found = align_said(
            aligner,
            " ".join(word.key for word in read.words[part.first : part.last]),
            log_posteriors[start:end],
            read.ways,
            doubt,
            free[start:end],
        )
        if found is None:
            words += [
                SpokenWord(word.key, (), (), (), ()) for word in read.words[part.first : part.last]
            ]
            continue
        aligned = True
        _fill(runs, start, silence)
        runs += [_later(run, start) for run in found.runs]
        words += [
            replace(word, phones=tuple(_later(run, start) for run in word.phones))
            for word in found.words
        ]
        others += [
            OtherSpeech(each.start + start, each.end + start, each.word + part.first)
            for each in found.others
        ]
        if math.isfinite(found.score):
            score, frames = score + found.score * (end - start), frames + end - start
    if not aligned:
        return None
    _fill(runs, len(log_posteriors), silence)
    whole = score / frames if frames else -math.inf
    return TextAlignment(words, merged(runs, silence), whole, tuple(others))


def within(
    times: np.ndarray, runs: Sequence[FrameSegment], parts: Sequence[TimedWords]
) -> np.ndarray:
    """Keep boundaries within the stretch that they were found in.

    Args:
        times: starts of the runs and the end of the last, in frames.
        runs: of the best path.
        parts: stretches of the recording.
    """
    kept = times.copy()
    starts = np.array([run.start for run in runs])
    for part in parts:
        start, end = FRAMES_PER_SECOND * part.start, FRAMES_PER_SECOND * part.end
        inside = slice(np.searchsorted(starts, start), np.searchsorted(starts, end, side="right"))
        kept[inside] = kept[inside].clip(start, end)
    return kept


def together(speakers: Sequence[Transcription]) -> Transcription:
    """A transcription of several speakers: that of the first, which has all of them.

    What was assumed about words, and what else is known, is that of all of them together.
    """
    if len(speakers) == 1:
        return speakers[0]
    assumed = {word: how for one in speakers for word, how in one.assumed.items()}
    more: dict[str, list[Any]] = {}
    for one in speakers:
        for key, values in one.more.items():
            more.setdefault(key, []).extend(values)
    return replace(speakers[0], speakers=tuple(speakers), assumed=assumed, more=more)


def _stretches(parts: Sequence[TimedWords], frames: int) -> list[tuple[TimedWords, int, int]]:
    """First frame, and the frame after the last, of each part.

    Raises:
        AlignmentError: if one lies outside the recording, or begins before the one before it ends.
    """
    found: list[tuple[TimedWords, int, int]] = []
    for part in parts:
        start = seconds_to_frame(part.start)
        end = frames if math.isinf(part.end) else seconds_to_frame(part.end)
        if start >= frames or end > frames + TOLERANCE:
            raise AlignmentError(
                f"{part.source}: {part.start:g} to {part.end:g} s, and the recording has only "
                f"{frame_to_seconds(frames):.2f} s; correct the times",
                UNSUITABLE,
            )
        if found and start < found[-1][2]:
            before, first, last = found[-1]
            if start < last - TOLERANCE or start <= first:
                raise AlignmentError(
                    f"{part.source}: begins at {part.start:g} s, before the utterance of "
                    f"{before.source} ends ({before.end:g} s); utterances of a speaker may not "
                    "overlap",
                    UNSUITABLE,
                )
            found[-1] = before, first, start
        found.append((part, start, min(end, frames)))
    return found


def _later(run: FrameSegment, frames: int) -> FrameSegment:
    return replace(run, start=run.start + frames, end=run.end + frames)


def _fill(runs: list[FrameSegment], end: int, silence: int) -> None:
    """Add silence up to a frame."""
    last = runs[-1].end if runs else 0
    if last < end:
        runs.append(FrameSegment(silence, last, end))
