"""The inner loop of the decoder: token passing over an automaton of phones, frame after frame."""

from __future__ import annotations

import numpy as np

from speechattn.decoder.token_passing import (
    BEGIN,
    FLOOR,
    FRAME,
    LACKS,
    NODE,
    NODES,
    NONE,
    SHORT,
    SPOKEN,
    STATE,
    TOKENS,
    begin,
    enter,
    hear,
)
from speechattn.decoder.word_tokens import begin_words, enter_words
from speechattn.jit import (
    FLOATS,
    INT_TABLE,
    INTS,
    SCORES,
    STATE_TABLE,
    STATES,
    TABLES,
    compiled,
    part,
)

REBASE_FRAMES = 256  # frames between subtractions of the best score, against loss of precision


@part
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


@compiled(
    "int64",
    *("float32[:,::1]", TABLES, STATE_TABLE, FLOATS, "float64"),
    *(STATES, STATE_TABLE, SCORES, STATES, STATES, SCORES, FLOATS),
    *(FLOATS, FLOATS, FLOATS, INTS, FLOATS, "float64"),
    *(INT_TABLE, FLOATS, FLOATS, STATE_TABLE, FLOATS, INT_TABLE, FLOATS, INTS),
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
        arc_first ... jump_score: words, as in :class:`speechattn.decoder.lm.wordnetwork.Network`; of no states
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
                end = enter_words(*network, words, *known, *there, tokens)
            else:
                end = enter(*known, *there, values, tokens)
            if end == NONE:
                count[SHORT] += 1
                return i
            tokens = begin(
                stay, min_frames, token, score, before, slot, seen, nodes, confidence, count, end
            )
        else:
            for q in range(num_phones):
                if initial[q] > -np.inf:
                    token[tokens, STATE] = token[tokens, SPOKEN] = q
                    score[tokens] = initial[q]
                    tokens += 1
            if with_words:
                tokens = begin_words(
                    arc_first, arcs, arc_score, words, initial, token, score, slot, tokens
                )
                if tokens == NONE:
                    count[SHORT] += 1
                    return i
            for k in range(tokens):
                token[k, LACKS] = min_frames[token[k, SPOKEN]]
                token[k, BEGIN] = 0
                token[k, NODE] = NONE
                before[k] = 0.0
        count[TOKENS] = hear(
            log_posterior, emission, stay, beam, token, score, before, slot, seen, tokens
        )
        count[FRAME] = t + 1
        if (t + 1) % REBASE_FRAMES == 0:  # at fixed frames, so that chunks do not matter
            rebase(score, count[TOKENS])
    return len(frames)
