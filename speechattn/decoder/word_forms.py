"""The dictionary's form of each word in place of what was heard of it.

Phones that both forms have keep their times. What is missing takes a share of the phone beside it;
what is too much leaves its time to the phone before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from speechattn.decoder.lm.word_lm import WordNgrams
from speechattn.decoder.words import NO_WORD, FrameWord
from speechattn.segments import FrameSegment

Way = tuple[int, ...]


def with_dictionary_forms(
    segments: Sequence[FrameSegment], found: Sequence[FrameWord], words: WordNgrams
) -> tuple[list[FrameSegment], list[FrameWord]]:
    """Give every word the phones that the dictionary lists for it.

    Of several pronunciations in the dictionary the one nearest to what was heard is taken. A word
    with fewer frames than phones in it stays as it was heard. Phones that were not heard have the
    confidence of their word.

    Args:
        segments: phones of a recording, pauses among them.
        found: its words.
        words: all words, with names.

    Returns:
        The same phones and words with other phones; words keep their times.
    """
    forms = _Forms(words)
    result: list[FrameSegment] = []
    changed: list[FrameWord] = []
    place = 0
    for word in found:
        while segments[place] is not word.phones[0]:
            result.append(segments[place])
            place += 1
        phones = word.phones
        if word.word != NO_WORD:
            phones = _placed(forms.nearest(word), word)
        result += phones
        changed.append(replace(word, phones=phones))
        place += len(word.phones)
    return [*result, *segments[place:]], changed


class _Forms:
    """The pronunciations of words that a dictionary lists."""

    def __init__(self, words: WordNgrams) -> None:
        assert words.names is not None
        self._words = words
        self._listed = words.names.listed
        self._first = np.concatenate([[0], np.cumsum(words.ways)])
        self._begin = np.concatenate([[0], np.cumsum(words.lengths)])

    def nearest(self, word: FrameWord) -> Way:
        """The listed pronunciation with the least differences from what was heard."""
        heard = tuple(phone.phone for phone in word.phones)
        first = int(self._first[word.word])
        ways = [self._way(k) for k in range(first, first + int(self._listed[word.word]))]
        return min(ways, key=lambda way: _distances(way, heard)[-1][-1])

    def _way(self, k: int) -> Way:
        return tuple(self._words.phones[self._begin[k] : self._begin[k + 1]].tolist())


def _distances(form: Way, heard: Way) -> list[list[int]]:
    """Edit distances of all beginnings of two strings."""
    rows = [list(range(len(heard) + 1))]
    for i, one in enumerate(form, 1):
        row = [i]
        for j, two in enumerate(heard, 1):
            row.append(min(rows[-1][j - 1] + (one != two), rows[-1][j] + 1, row[-1] + 1))
        rows.append(row)
    return rows


def _pairs(form: Way, heard: Way) -> list[tuple[int | None, int | None]]:
    """Which phone of a form stands for which that was heard, in order; None for no phone."""
    table = _distances(form, heard)
    i, j = len(form), len(heard)
    pairs: list[tuple[int | None, int | None]] = []
    while i or j:
        if i and j and table[i][j] == table[i - 1][j - 1] + (form[i - 1] != heard[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif i and table[i][j] == table[i - 1][j] + 1:
            i -= 1
            pairs.append((i, None))
        else:
            j -= 1
            pairs.append((None, j))
    return pairs[::-1]


def _placed(form: Way, word: FrameWord) -> tuple[FrameSegment, ...]:
    """The phones of a form within the times of a word."""
    heard = word.phones
    if form == tuple(phone.phone for phone in heard):
        return heard
    if word.end - word.start < len(form):
        return heard
    # Blocks of phones of the form that share the time of what was heard at their place.
    blocks: list[tuple[list[int], int]] = []  # phones of the form, last frame
    waiting: list[int] = []
    for i, j in _pairs(form, tuple(phone.phone for phone in heard)):
        if i is not None and j is not None:
            blocks.append(([*waiting, i], heard[j].end))
            waiting = []
        elif i is not None and blocks:
            blocks[-1][0].append(i)
        elif i is not None:
            waiting.append(i)
        elif blocks and j is not None:
            blocks[-1] = (blocks[-1][0], heard[j].end)
    edges = _edges([(len(phones), end) for phones, end in blocks], word)
    same = {
        i: heard[j].confidence
        for i, j in _pairs(form, tuple(phone.phone for phone in heard))
        if i is not None and j is not None and form[i] == heard[j].phone
    }
    return tuple(
        FrameSegment(phone, start, end, same.get(i, word.confidence))
        for i, (phone, start, end) in enumerate(zip(form, edges, edges[1:]))
    )


def _edges(blocks: Sequence[tuple[int, int]], word: FrameWord) -> list[int]:
    """Where the phones of a form begin and end: blocks are shared out evenly.

    Args:
        blocks: number of phones, and the frame after the last.
        word: whose times they have, at least a frame for each phone.
    """
    edges = [word.start]
    for number, end in blocks:
        begin = edges[-1]
        edges += [begin + (end - begin) * k // number for k in range(1, number + 1)]
    total = len(edges) - 1
    if min(np.diff(edges), default=0) < 1 or not blocks:  # too short somewhere: share out evenly
        total = max(total, 1)
        span = word.end - word.start
        return [word.start + span * k // total for k in range(total + 1)]
    return edges
