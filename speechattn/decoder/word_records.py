"""Records of the search for words in a string of phones, and the columns of its tables.

All of them are NamedTuples of NumPy arrays, which Numba passes to compiled code as they are; see
:mod:`speechattn.decoder.word_search`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

NONE = -1  # no word, no node, no slot
LEAST = -1e4  # nats; what is impossible counts as this, so that some token is always left
# Columns of nodes: the word (NONE for a spelled phone), its first phone, the phone after its last,
# the node before it.
WORD, FIRST, AFTER, PARENT = 0, 1, 2, 3
NODE_COLUMNS = 4
STATE, NODE = 0, 1  # columns of tokens: states of the n-grams are numbered after the roots
# Columns of ranges: pronunciations from LOW to before HIGH have had DEPTH phones since the place
# BEGIN, where the entries from ENTRY to before BEYOND lead to them.
LOW, HIGH, DEPTH, BEGIN, ENTRY, BEYOND = 0, 1, 2, 3, 4, 5
RANGE_COLUMNS = 6
ROOT, SOURCE = 0, 1  # columns of entries: a root, and the node of the token that is there
PLACE, LAST = 0, 1  # counters: phones so far, the last of them
COUNTERS = 2


class Dictionary(NamedTuple):
    """Q pronunciations in the order of their phones, shorter ones first.

    Attributes:
        phones: of all, one after the other, int32.
        begin: the first phone of each, and last their number, int32, shape (Q + 1,).
        word: whose each is, int32, shape (Q,).
    """

    phones: np.ndarray
    begin: np.ndarray
    word: np.ndarray


class FallBack(NamedTuple):
    """What is known of words without those before, for R roots and V words.

    Attributes:
        log_unigram: log probability of each word at the root ``ANY_CONTEXT``, shape (V,).
        after_word: root behind each word there, and one more, int32, shape (V + 1,).
        back: the root that each falls back to, int32, shape (R,).
        back_score: log weight of that, shape (R,).
    """

    log_unigram: np.ndarray
    after_word: np.ndarray
    back: np.ndarray
    back_score: np.ndarray


class State(NamedTuple):
    """Where the search is: its counters and what is left after the last phone.

    Attributes:
        nodes: int64, shape (nodes, 4).
        tokens: int64, shape (tokens, 2).
        score: log score of each token, shape (tokens,).
        ranges: int64, shape (ranges, 6).
        entries: int64, shape (entries, 2).
        value: log score of each entry, shape (entries,).
        slot: for each state, roots first, the arrival or entry there; all ``NONE`` between phones.
        counters: int64, shape (2,).
    """

    nodes: np.ndarray
    tokens: np.ndarray
    score: np.ndarray
    ranges: np.ndarray
    entries: np.ndarray
    value: np.ndarray
    slot: np.ndarray
    counters: np.ndarray
