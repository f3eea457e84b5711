"""The inner loop of the decoder: token passing over an automaton of phones, frame after frame.

What lies behind the decoder's tokens: a tree of finished segments, pruned as they come to agree.
"""

from __future__ import annotations

import numpy as np

from speechattn.decoder.token_passing import (
    BEGIN,
    FLOOR,
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
    advance_frame,
    expand,
    start_phones,
)
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
)

REBASE_FRAMES = 256  # frames between subtractions of the best score, against loss of precision


@jit_inline
def rebase(score, tokens):
    """Subtract the best score from all; a recording of hours loses no precision that way.

    Args:
        score: changed in place.
        tokens: how many there are.
    """
    highest = -np.inf
    for k in range(tokens):
        highest = max(highest, score[k])
    for k in range(tokens):
        score[k] -= highest


@jit(
    "int64",
    *("float32[:,::1]", FLOAT_MATRICES, I32_MATRIX, F64_ARRAY, "float64"),
    *(I32_ARRAY, I32_MATRIX, F32_ARRAY, I32_ARRAY, I32_ARRAY, F32_ARRAY, F64_ARRAY),
    *(F64_ARRAY, F64_ARRAY, F64_ARRAY, I64_ARRAY, F64_ARRAY, "float64"),
    *(I64_MATRIX, F64_ARRAY, F64_ARRAY, I32_MATRIX, F64_ARRAY, I64_MATRIX, F64_ARRAY, I64_ARRAY),
)
def advance(
    frames,
    log_prob,
    following,
    best,
    scale,
    arc_first,
    arcs,
    arc_score,
    jump_first,
    jumps,
    jump_score,
    words,
    log_prior,
    leave,
    stay,
    min_frames,
    initial,
    beam,
    token,
    score,
    before,
    slot,
    seen,
    nodes,
    confidence,
    count,
):
    """Pass the tokens through frames until these, or the room for tokens or nodes, come to an end.

    Args:
        frames: log posteriors, float32, shape (frames, P), without NaN.
        log_prob: log probability of each phone after each state, float32 or float64, shape (S, P).
        following: the state it leads to, int32, shape (S, P). A recording that begins with phone p
            begins in state p.
        best: largest value of each row of ``log_prob``, shape (S,).
        scale: of ``log_prob``.
        arc_first ... jump_score: words, as in :class:`speechattn.decoder.lm.word_lm.Network`; of no states
            for none.
        words: their settings, see :mod:`speechattn.decoder.word_tokens`.
        log_prior: what to subtract from each log posterior, scaled, shape (P,).
        leave: log score of leaving a phone for another, without ``log_prob``, shape (P,).
        stay: log score of one more frame past the minimum, not above 0, shape (P,).
        min_frames: shortest duration in frames, int64, shape (P,).
        initial: log score of beginning with a phone, shape (P,).
        beam: tokens whose score is lower than the best one's by more are given up, but for the
            best of those that are ready.
        token: int64, shape (room, 6).
        score: log score of each token, shape (room,).
        before: ``seen`` of its phone when that began, shape (room,).
        slot: the ready token of each state, and ``NONE`` for its entry, int32, shape (S, 2); see
            :mod:`speechattn.decoder.token_passing`.
        seen: sum of each phone's posterior over the frames so far in which a token had that phone,
            shape (P,).
        nodes: phone, start, end and parent of finished segments, int64, shape (room, 4).
        confidence: mean posterior of the finished segments, shape (room,).
        count: frames decoded, nodes and tokens in use, times that the room for tokens was short,
            int64, shape (4,).

    Returns:
        How many of ``frames`` were used: fewer than all if there might not be room for the next.
    """
    num_phones, with_words = len(stay), len(arcs) > 0
    values = np.empty(num_phones)
    log_posterior, emission = np.empty(num_phones), np.empty(num_phones)
    for i in range(len(frames)):
        t, tokens = count[FRAME], count[TOKENS]
        if tokens + count[NODES] > len(nodes):
            return i
        for q in range(num_phones):
            log_posterior[q] = max(FLOOR, float(frames[i, q]))
            emission[q] = log_posterior[q] - log_prior[q]
        if t > 0:
            known = log_prob, following, best, scale, leave, stay
            there = emission, beam, token, score, slot
            if with_words:
                network = arc_first, arcs, arc_score, jump_first, jumps, jump_score
                end = expand_words(*network, words, *known, *there, tokens)
            else:
                end = expand(*known, *there, values, tokens)
            if end == NO_TOKEN:
                count[SHORT] += 1
                return i
            tokens = start_phones(
                stay, min_frames, token, score, before, slot, seen, nodes, confidence, count, end
            )
        else:
            for q in range(num_phones):
                if initial[q] > -np.inf:
                    token[tokens, STATE] = token[tokens, SPOKEN] = q
                    score[tokens] = initial[q]
                    tokens += 1
            if with_words:
                tokens = start_words(
                    arc_first, arcs, arc_score, words, initial, token, score, slot, tokens
                )
                if tokens == NO_TOKEN:
                    count[SHORT] += 1
                    return i
            for k in range(tokens):
                token[k, LACKS] = min_frames[token[k, SPOKEN]]
                token[k, BEGIN] = 0
                token[k, NODE] = NO_TOKEN
                before[k] = 0.0
        count[TOKENS] = advance_frame(
            log_posterior, emission, stay, beam, token, score, before, slot, seen, tokens
        )
        count[FRAME] = t + 1
        if (t + 1) % REBASE_FRAMES == 0:  # at fixed frames, so that chunks do not matter
            rebase(score, count[TOKENS])
    return len(frames)


@jit_inline
def copy_node(nodes, confidence, k, to_nodes, to_confidence, to_k):
    """Copy node ``k`` of one list of nodes to place ``to_k`` of another, or of the same."""
    for column in range(nodes.shape[1]):
        to_nodes[to_k, column] = nodes[k, column]
    to_confidence[to_k] = confidence[k]


@jit("int64", I64_MATRIX, I64_MATRIX, F64_ARRAY, I64_ARRAY, I64_MATRIX, F64_ARRAY)
def collect(token, nodes, confidence, count, final, final_confidence):
    """Take out the segments that all tokens share, and the nodes that no token can reach.

    Args:
        token, nodes, confidence, count: as in :func:`speechattn.decoder.viterbi.advance`; changed in place.
        final, final_confidence: result, like ``nodes`` and ``confidence``, room for those in use:
            the segments which are final, in order of time.

    Returns:
        How many are final.
    """
    used = count[NODES]
    # One place for each node k, at k + 1; place 0 stands for none, the root of the tree.
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

    kept = 0
    moved = uses  # reused: where each node is now
    moved[root + 1] = NO_TOKEN
    for k in range(root + 1, used):
        if uses[k + 1] > 0:
            copy_node(nodes, confidence, k, nodes, confidence, kept)
            nodes[kept, PARENT] = moved[nodes[kept, PARENT] + 1]
            moved[k + 1] = kept
            kept += 1
    for i in range(count[TOKENS]):
        token[i, NODE] = moved[token[i, NODE] + 1]
    count[NODES] = kept
    return num_final
