"""Viterbi search, compiled: token passing frame after frame, and the history behind the tokens.

The segments that lie behind the tokens form a tree of nodes. What all tokens share cannot change
any more: :func:`collect` takes it out.
"""

from __future__ import annotations

import math

import numpy as np

from speechattn.decoder.lm.word_network import Network
from speechattn.decoder.records import (
    BEGIN,
    FRAME,
    LACKS,
    NO_TOKEN,
    NODE,
    NODES,
    PARENT,
    SHORT,
    SPOKEN,
    STATE,
    TOKENS,
    Automaton,
    Frame,
    History,
    PhoneScores,
    Tokens,
    WordScores,
)
from speechattn.decoder.token_passing import FLOOR, advance_frame, expand, start_phones
from speechattn.decoder.word_tokens import expand_words, start_words
from speechattn.jit import (
    F32_ARRAY,
    F64_ARRAY,
    FLOAT_MATRICES,
    I32_ARRAY,
    I32_MATRIX,
    I64_ARRAY,
    I64_MATRIX,
    jit,
    jit_inline,
    record,
)

# The beam is narrower where there are more tokens than FEW_TOKENS, as frames with many take most of
# the time. Chosen on the dev set of the English model (docs/benchmarks.md).
FEW_TOKENS = 80
NARROWING = 3.0  # nats that the beam is narrower by where there are e times as many
LEAST_BEAM = 0.5  # of the whole beam
REBASE_FRAMES = 256  # frames between subtractions of the best score, against loss of precision

_AUTOMATA = tuple(
    record(Automaton, log_prob, I32_MATRIX, F64_ARRAY, "float64") for log_prob in FLOAT_MATRICES
)
_NETWORK = record(Network, I32_ARRAY, I32_MATRIX, F32_ARRAY, I32_ARRAY, I32_ARRAY, F32_ARRAY)
_WORD_SCORES = record(WordScores, "float64", "float64", "int64", "int64", "int64")
_PHONE_SCORES = record(PhoneScores, F64_ARRAY, F64_ARRAY, F64_ARRAY, I64_ARRAY, F64_ARRAY)
_TOKENS = record(Tokens, I64_MATRIX, F64_ARRAY, F64_ARRAY, I32_MATRIX)
_HISTORY = record(History, I64_MATRIX, F64_ARRAY, F64_ARRAY, I64_ARRAY)


@jit_inline
def rebase(score, num_tokens):
    """Subtract the best score from all; a recording of hours loses no precision that way.

    Args:
        score: changed in place.
        num_tokens: how many there are.
    """
    highest = -np.inf
    for k in range(num_tokens):
        highest = max(highest, score[k])
    for k in range(num_tokens):
        score[k] -= highest


@jit_inline
def beam_for(num_tokens, beam):
    """Return the beam of a frame, in nats.

    Args:
        num_tokens: how many there are.
        beam: where there are few.
    """
    if num_tokens <= FEW_TOKENS:
        return beam
    return max(LEAST_BEAM * beam, beam - NARROWING * math.log(num_tokens / FEW_TOKENS))


@jit_inline
def start_tokens(network, words, phones, tokens):
    """Make the tokens of a recording's first frame.

    Returns:
        How many there are; ``NO_TOKEN`` if there is no room.
    """
    token, score = tokens.token, tokens.score
    num_tokens = 0
    for q in range(len(phones.initial)):
        if phones.initial[q] > -np.inf:
            token[num_tokens, STATE] = token[num_tokens, SPOKEN] = q
            score[num_tokens] = phones.initial[q]
            num_tokens += 1
    if len(network.arcs) > 0:
        num_tokens = start_words(network, words, phones.initial, tokens, num_tokens)
    for k in range(num_tokens):
        token[k, LACKS] = phones.min_frames[token[k, SPOKEN]]
        token[k, BEGIN] = 0
        token[k, NODE] = NO_TOKEN
        tokens.before[k] = 0.0
    return num_tokens


@jit(
    "int64",
    *("float32[:,::1]", _AUTOMATA, _NETWORK, _WORD_SCORES, _PHONE_SCORES, "float64"),
    *(_TOKENS, _HISTORY),
)
def advance(frames, automaton, network, words, phones, beam, tokens, history):
    """Pass the tokens through frames until these, or the room for tokens or nodes, come to an end.

    Args:
        frames: log posteriors, float32, shape (frames, P), without NaN.
        automaton: which phones follow each state.
        network: words, as in :class:`speechattn.decoder.lm.word_network.Network`; without
            states for none.
        words: how they count.
        phones: scores of the phones themselves.
        beam: nats; tokens whose score is lower than the best one's by more are dropped, but for
            the best of those that are ready. See :func:`beam_for`.
        tokens: changed in place.
        history: changed in place.

    Returns:
        How many of ``frames`` were used: fewer than all if there might not be room for the next.
    """
    num_phones, with_words = len(phones.stay), len(network.arcs) > 0
    log_prior, count, num_nodes = phones.log_prior, history.counters, len(history.nodes)
    frame = Frame(np.empty(num_phones), np.empty(num_phones))
    for i in range(len(frames)):
        t, num_tokens = count[FRAME], count[TOKENS]
        near = beam_for(num_tokens, beam)
        if num_tokens + count[NODES] > num_nodes:
            return i
        for q in range(num_phones):
            frame.log_posterior[q] = max(FLOOR, float(frames[i, q]))
            frame.emission[q] = frame.log_posterior[q] - log_prior[q]
        if t == 0:
            num_tokens = start_tokens(network, words, phones, tokens)
            end = num_tokens
        elif with_words:
            end = expand_words(automaton, network, words, phones, frame, near, tokens, num_tokens)
        else:
            end = expand(automaton, phones, frame, near, tokens, num_tokens)
        if end == NO_TOKEN:
            count[SHORT] += 1
            return i
        if t > 0:
            num_tokens = start_phones(phones, tokens, history, end)
        num_tokens = advance_frame(frame, phones.stay, near, tokens, history.seen, num_tokens)
        count[TOKENS] = num_tokens
        count[FRAME] = t + 1
        if (t + 1) % REBASE_FRAMES == 0:  # at fixed frames, so that chunks do not matter
            rebase(tokens.score, num_tokens)
    return len(frames)


@jit_inline
def copy_node(nodes, confidence, k, to_nodes, to_confidence, to_k):
    """Copy node ``k`` of one list of nodes to index ``to_k`` of another, or of the same."""
    for column in range(nodes.shape[1]):
        to_nodes[to_k, column] = nodes[k, column]
    to_confidence[to_k] = confidence[k]


@jit("int64", I64_MATRIX, _HISTORY, I64_MATRIX, F64_ARRAY)
def collect(token, history, final, final_confidence):
    """Take out the segments that all tokens share, and the nodes that no token can reach.

    Args:
        token: as in :class:`~speechattn.decoder.records.Tokens`; changed in place.
        history: changed in place.
        final: result, like ``history.nodes``, with room for those in use: the segments that are
            final, in order of time.
        final_confidence: result, like ``history.confidence``.

    Returns:
        How many are final.
    """
    nodes, confidence, _, count = history
    used = count[NODES]
    # Node k is at k + 1; index 0 stands for none, the root of the tree.
    tokens = np.zeros(used + 1, np.int64)  # tokens that hang on the node
    uses = np.zeros(used + 1, np.int64)  # these and the reachable nodes that do
    child = np.zeros(used + 1, np.int64)  # one of those nodes
    for i in range(count[TOKENS]):
        tokens[token[i, NODE] + 1] += 1
        uses[token[i, NODE] + 1] += 1
    for k in range(used - 1, -1, -1):  # parents are always older, hence before their children
        if uses[k + 1] > 0:
            uses[nodes[k, PARENT] + 1] += 1
            child[nodes[k, PARENT] + 1] = k

    num_final = 0
    root = NO_TOKEN
    while tokens[root + 1] == 0 and uses[root + 1] == 1:
        root = child[root + 1]
        copy_node(nodes, confidence, root, final, final_confidence, num_final)
        num_final += 1

    left = 0
    moved = uses  # reused: where each node is now
    moved[root + 1] = NO_TOKEN
    for k in range(root + 1, used):
        if uses[k + 1] > 0:
            copy_node(nodes, confidence, k, nodes, confidence, left)
            nodes[left, PARENT] = moved[nodes[left, PARENT] + 1]
            moved[k + 1] = left
            left += 1
    for i in range(count[TOKENS]):
        token[i, NODE] = moved[token[i, NODE] + 1]
    count[NODES] = left
    return num_final
