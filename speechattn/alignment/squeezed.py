"""Words at the edges of a text that nobody said, squeezed in by the search.

To pass over a single word costs the search more than to squeeze it into a few frames. At the edge
of a text there is often a pause that takes it, and in a recording without speech all words find
one. Such a word is doubtful, and its phones have hardly more than the frames that each must have.
It is left out, and the rest is searched again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile

import numpy as np

from speechattn.alignment.network import Doubt
from speechattn.alignment.run_means import RunMeans, labels_of
from speechattn.alignment.text_aligner import Pronunciations, TextAligner, TextAlignment
from speechattn.alignment.text_faults import LEAST_SCORE, word_score
from speechattn.segments import FrameSegment

# Frames a phone that a squeezed word has at most. Of right words in 950 recordings (commands, fsdd,
# commonvoice, asterisk, speechocean762), 3 at the edges are doubtful and as short.
MOST_FRAMES = 2.5
MOST_SEARCHES = 4  # of one text; what is still squeezed in then is doubtful


def align_said(
    aligner: TextAligner,
    text: str,
    log_posteriors: np.ndarray,
    also: Pronunciations,
    doubt: Doubt | None,
    free: np.ndarray,
) -> TextAlignment | None:
    """Find how a text was said, without words at its edges that were not.

    Args:
        aligner: searches.
        text: words, separated by spaces.
        log_posteriors: shape (frames, phones).
        also: words in upper case that the lexicon lacks, and how they are said.
        doubt: what it costs to leave the text; None to force all of it upon the recording.
        free: phone of each frame without a text, shape (frames,).

    Returns:
        None if the recording is too short for the text.

    Raises:
        CorpusError: for a text without words, or words that the lexicon lacks.
    """
    found = aligner.align(text, log_posteriors, also, doubt=doubt, free=free)
    if doubt is None:
        return found
    left_out: set[int] = set()
    silence = aligner.lexicon.phones.silence_index
    for _ in range(MOST_SEARCHES - 1):
        more = set() if found is None else _squeezed(found, log_posteriors, free, silence)
        if not more:
            break
        left_out |= more
        found = aligner.align(text, log_posteriors, also, doubt=doubt, free=free, left_out=left_out)
    return found


def _squeezed(
    found: TextAlignment, log_posteriors: np.ndarray, free: np.ndarray, silence: int
) -> set[int]:
    """Numbers of the words that are squeezed in at the beginning and the end.

    One beside speech that the text does not have is none: another word was said in its place.
    """
    every = np.arange(len(free))
    ratios = RunMeans(log_posteriors[every, labels_of(found.runs)] - log_posteriors[every, free])
    replaced = {number for other in found.others for number in (other.word - 1, other.word)}

    def is_squeezed(number: int) -> bool:
        phones = found.words[number].phones
        return number not in replaced and _is_squeezed(phones, silence, ratios)

    def from_edge(numbers: Sequence[int]) -> Iterator[int]:
        placed = (number for number in numbers if found.words[number].phones)
        return takewhile(is_squeezed, placed)

    numbers = range(len(found.words))
    return {*from_edge(numbers), *from_edge(numbers[::-1])}


def _is_squeezed(phones: Sequence[FrameSegment], silence: int, ratios: RunMeans) -> bool:
    lengths = [run.end - run.start for run in phones if run.phone != silence]
    short = sum(lengths) <= MOST_FRAMES * len(lengths)
    return short and word_score(phones, silence, ratios) < LEAST_SCORE
