"""Records of the compiled search: what it reads, its tokens, and the history behind them.

All of them are NamedTuples of NumPy arrays and numbers. Python makes them once a recording, and
Numba passes them to compiled code as they are. P is the number of phones, S that of states.

A *token* is the best way to be in one state of the automaton whose phone began in one frame
(Young, Russell and Thornton 1989, "Token passing"). A phone that lasts at least m frames is a
chain of m links, of which the last one repeats; a token *lacks* as many frames as there are links
before it. Nothing competes inside a chain. A token that lacks none is *ready*: it may stay, or
leave for another phone. Of the ready tokens of a state only the best stays.

The segments that lie behind a token are a linked list of *nodes*, which tokens share.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

NO_TOKEN = -1  # also no node

# Columns of a token: its state, the phone of that state, the frames it lacks, the first frame of
# the phone, its last node, and the node for those that leave it in this frame.
STATE, SPOKEN, LACKS, BEGIN, NODE, LEFT = 0, 1, 2, 3, 4, 5
TOKEN_COLUMNS = 6
# Columns of a node: a finished segment and the node of the segment before it.
PHONE, START, END, PARENT = 0, 1, 2, 3
NODE_COLUMNS = 4
# Columns of a state's slot: its ready token, and the arrival in it in this frame.
READY, ARRIVAL = 0, 1
SLOT_COLUMNS = 2
FREE = ~NO_TOKEN  # a slot holds ~k for token k: zeros, which take no memory until one is written
# What is counted: frames decoded, nodes and tokens in use, times the room for tokens was short.
FRAME, NODES, TOKENS, SHORT = 0, 1, 2, 3
COUNTERS = 4


class Automaton(NamedTuple):
    """Which phones may follow each state, from a bigram or from n-grams.

    Attributes:
        log_prob: log probability of each phone after each state, float32 or float64, shape (S, P).
        following: the state it leads to, int32, shape (S, P). A recording that begins with phone p
            begins in state p.
        best: largest value of each row of ``log_prob``, float64, shape (S,).
        scale: weight of ``log_prob``.
    """

    log_prob: np.ndarray
    following: np.ndarray
    best: np.ndarray
    scale: float


class PhoneScores(NamedTuple):
    """Scores of the phones themselves, in nats, with their weights.

    Attributes:
        log_prior: subtracted from each log posterior, shape (P,).
        leave: for leaving a phone for another, without ``Automaton.log_prob``, shape (P,).
        stay: for one more frame past the minimum, not above 0, shape (P,).
        min_frames: shortest duration in frames, int64, shape (P,).
        initial: for beginning a recording with a phone, shape (P,).
    """

    log_prior: np.ndarray
    leave: np.ndarray
    stay: np.ndarray
    min_frames: np.ndarray
    initial: np.ndarray


class WordScores(NamedTuple):
    """How words count beside phones, and where their states are.

    Attributes:
        scale: weight of the words' log probabilities.
        unknown: nats that it costs to begin what is none of the words, not below 0.
        silence: the phone of pauses.
        first_state: number of the first state of the network among all states.
        most_jumps: the most jumps that leave a state of the network.
    """

    scale: float
    unknown: float
    silence: int
    first_state: int
    most_jumps: int


class Frame(NamedTuple):
    """The frame that the tokens pass through.

    Attributes:
        log_posterior: of each phone, not below ``FLOOR``, shape (P,).
        emission: the same without the prior, shape (P,).
    """

    log_posterior: np.ndarray
    emission: np.ndarray


class Tokens(NamedTuple):
    """The tokens, and behind them the arrivals of a frame, which become tokens.

    Attributes:
        token: int64, shape (room, 6); see ``STATE`` and the columns after it.
        score: log score of each, shape (room,).
        before: ``History.seen`` of its phone when that began, shape (room,).
        slot: for each state its ready token and the arrival in it, ``~k`` for token k and ``FREE``
            for none, int32, shape (S, 2).
    """

    token: np.ndarray
    score: np.ndarray
    before: np.ndarray
    slot: np.ndarray


class History(NamedTuple):
    """What was decoded: finished segments, sums of posteriors and counters.

    Attributes:
        nodes: phone, start, end and parent of finished segments, int64, shape (room, 4).
        confidence: mean posterior of each, shape (room,).
        seen: sum of each phone's posterior over the frames in which a token had that phone,
            shape (P,).
        counters: int64, shape (4,); see ``FRAME`` and the counters after it.
    """

    nodes: np.ndarray
    confidence: np.ndarray
    seen: np.ndarray
    counters: np.ndarray
