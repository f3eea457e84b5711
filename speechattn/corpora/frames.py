"""Frames of recordings, and frames and labels of the utterances in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import torch

from speechattn.audio.features import FrontEnd
from speechattn.audio.load import AudioFile
from speechattn.corpora.alignment import reference_runs
from speechattn.corpora.corpus import Corpus, Utterance
from speechattn.corpora.spans import read_spans
from speechattn.corpora.tables import Span
from speechattn.errors import CorpusError, SpeechattnError
from speechattn.phones import PhoneSet
from speechattn.segments import FrameSegment
from speechattn.text import one_line

Item = tuple[Corpus, Utterance]
T = TypeVar("T")


class LabelledFrames(NamedTuple):
    """What became of an utterance: frames (frames, dim) and labels, or why it is left out."""

    frames: torch.Tensor | None = None
    runs: list[FrameSegment] | None = None
    problem: str | None = None


def file_frames(path: str | Path, front_end: FrontEnd) -> torch.Tensor:
    """All frames of an audio file, shape (frames, dim)."""
    stream = front_end.stream()
    with AudioFile(path) as audio:
        parts = [stream.push(torch.from_numpy(block)) for block in audio.blocks()]
    return torch.cat([*parts, stream.finish()])


def span_frames(
    path: str | Path, spans: Sequence[Span], front_end: FrontEnd
) -> Iterator[torch.Tensor]:
    """All frames of parts of a recording, shape (frames, dim) each; see :func:`read_spans`."""
    if list(spans) == [(0.0, None)]:
        yield file_frames(path, front_end)
        return
    for samples in read_spans(path, spans):
        stream = front_end.stream()
        yield torch.cat([stream.push(torch.from_numpy(samples)), stream.finish()])


class Located(Protocol):
    """A part of a recording, which says where it begins."""

    @property
    def path(self) -> str | Path:
        """The audio file."""

    @property
    def start(self) -> float:
        """Where it begins there, in seconds."""


def by_recording(items: Sequence[T], place: Callable[[T], Located]) -> list[list[T]]:
    """Group utterances that follow each other, also in time, in one recording.

    Args:
        items: utterances, or what has them.
        place: where an item lies.
    """
    groups: list[list[T]] = []
    for item in items:
        before, here = place(groups[-1][-1]) if groups else None, place(item)
        if before and before.path == here.path and before.start < here.start:
            groups[-1].append(item)
        else:
            groups.append([item])
    return groups


def group_frames(
    group: Sequence[Item], phones: PhoneSet, front_end: FrontEnd
) -> list[LabelledFrames]:
    """Frames and labels of the utterances of one recording, which is decoded once.

    Args:
        group: as :func:`by_recording` makes it.
        phones: classes of the labels.
        front_end: what a frame is.
    """
    results: dict[int, LabelledFrames] = {}
    left = []
    for i, (corpus, utterance) in enumerate(group):
        if utterance.alignment is None:
            name = f"{corpus.name}: {utterance.id}"
            problem = f"{name}: has no phone alignment; align it or leave it out"
            results[i] = LabelledFrames(problem=one_line(problem))
        else:
            left.append(i)
    while left:
        spans = [(group[i][1].start, group[i][1].end) for i in left]
        try:
            for frames in span_frames(group[0][1].path, spans, front_end):
                results[left[0]] = _labelled(*group[left[0]], frames, phones)
                left.pop(0)
        except CorpusError as error:  # this utterance does not lie in it; others may
            results[left.pop(0)] = LabelledFrames(problem=one_line(str(error)))
        except (SpeechattnError, OSError) as error:
            results |= {i: LabelledFrames(problem=one_line(str(error))) for i in left}
            break
    return [results[i] for i in range(len(group))]


def _labelled(
    corpus: Corpus, utterance: Utterance, frames: torch.Tensor, phones: PhoneSet
) -> LabelledFrames:
    """Frames of an utterance and its labels, or what is wrong with them."""
    try:
        name = f"{corpus.name}: {utterance.id}"
        runs = reference_runs(utterance.alignment or (), len(frames), phones, name=name)
    except SpeechattnError as error:
        return LabelledFrames(problem=one_line(str(error)))
    return LabelledFrames(frames, runs)
