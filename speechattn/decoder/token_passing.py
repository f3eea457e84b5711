"""What becomes of the decoder's tokens in a frame: they enter phones, and take in the posteriors.

Functions over the records of :mod:`speechattn.decoder.records`, compiled by Numba when this module
is imported. The decoder imports it when it is first used: importing Numba takes longer than
everything else in the package. Time goes into tokens that exist, however large the automaton is.

Ready tokens *arrive* in the states that may follow theirs (:func:`expand`, or
:func:`speechattn.decoder.word_tokens.expand_words` with words). The best arrival in each state
becomes a token (:func:`start_phones`), and all tokens take in the frame (:func:`advance_frame`).
"""

from __future__ import annotations

import math

import numpy as np

from speechattn.decoder.records import (
    ARRIVAL,
    BEGIN,
    END,
    FRAME,
    FREE,
    LACKS,
    LEFT,
    NO_TOKEN,
    NODE,
    NODES,
    PARENT,
    PHONE,
    READY,
    SPOKEN,
    START,
    STATE,
    TOKENS,
)
from speechattn.jit import jit_inline

FLOOR = -1000.0  # nats; lower log posteriors, -inf included, count as this, so no token dies of one
LOWEST = -1e300  # of scores that are possible


@jit_inline
def best_ready(stay, emission, beam, tokens, num_tokens):
    """Find the best ready token, and the score that an arrival must reach with the frame.

    Args:
        stay: as in :class:`~speechattn.decoder.records.PhoneScores`.
        emission: log scores of the frame, shape (P,).
        beam: nats; see :func:`speechattn.decoder.viterbi.advance`.
        tokens: :class:`~speechattn.decoder.records.Tokens`.
        num_tokens: how many there are.

    Returns:
        Token, ``NO_TOKEN`` if none is ready, and score.
    """
    token, score = tokens.token, tokens.score
    leader = NO_TOKEN
    bound = -np.inf
    for k in range(num_tokens):
        p = token[k, SPOKEN]
        after = score[k] + emission[p]
        if token[k, LACKS] == 0:
            after += stay[p]
            if leader == NO_TOKEN or score[k] > score[leader]:
                leader = k
        bound = max(bound, after)
    # What would be below it after the frame need not begin; nor need what is impossible.
    return leader, max(LOWEST, bound - beam)


@jit_inline
def put(target, phone, value, source, end, token, score, slot):
    """Note an arrival in a state, unless a better one is noted there.

    Args:
        target: the state.
        phone: its phone.
        value: score of the arrival.
        source: the token that arrives, or ``NO_TOKEN``; goes into the column ``NODE``.
        end: tokens and arrivals so far.
        token: of :class:`~speechattn.decoder.records.Tokens`, like ``score`` and ``slot``.

    Returns:
        Tokens and arrivals; ``NO_TOKEN`` if there is no room.
    """
    e = ~slot[target, ARRIVAL]
    if e == NO_TOKEN:
        if end == len(score):
            return NO_TOKEN
        e = end
        slot[target, ARRIVAL] = ~e
        token[e, STATE] = target
        token[e, SPOKEN] = phone
        end += 1
    elif value <= score[e]:
        return end
    score[e] = value
    token[e, NODE] = source
    return end


@jit_inline
def clear_arrivals(tokens, begin, end):
    """Clear the slots of the arrivals from ``begin`` to ``end``; return ``NO_TOKEN``."""
    for e in range(begin, end):
        tokens.slot[tokens.token[e, STATE], ARRIVAL] = FREE
    return NO_TOKEN


@jit_inline
def expand(automaton, phones, frame, beam, tokens, num_tokens):
    """Let the ready tokens arrive in the phones that may follow.

    The best arrival in each state is put behind the tokens, its source in the column ``NODE``.

    Args:
        automaton, phones, frame, tokens: see :mod:`speechattn.decoder.records`.
        beam: nats; see :func:`speechattn.decoder.viterbi.advance`.
        num_tokens: how many there are.

    Returns:
        Tokens and arrivals; ``NO_TOKEN`` if there is no room for all.
    """
    log_prob, following, best, scale = automaton
    token, score, _, slot = tokens
    leave, emission = phones.leave, frame.emission
    num_phones = len(emission)
    values = np.empty(num_phones)
    leader, bound = best_ready(phones.stay, emission, beam, tokens, num_tokens)
    if leader == NO_TOKEN:
        return num_tokens
    end = num_tokens
    worst = -np.inf
    for turn in range(-1, num_tokens):
        k = turn if turn >= 0 else leader
        if token[k, LACKS] > 0 or turn == leader:
            continue
        state = token[k, STATE]
        out = score[k] + leave[token[k, SPOKEN]]
        if worst > -np.inf and out + scale * best[state] <= worst:
            continue
        for q in range(num_phones):  # in a loop of its own, where several are done at once
            values[q] = out + scale * log_prob[state, q]
        for q in range(num_phones):
            value = values[q]
            if value + emission[q] < bound:
                continue
            target = following[state, q]  # what follows is put(), spelled out: a third faster
            e = ~slot[target, ARRIVAL]
            if e == NO_TOKEN:
                if end == len(score):
                    return clear_arrivals(tokens, num_tokens, end)
                e = end
                slot[target, ARRIVAL] = ~e
                token[e, STATE] = target
                token[e, SPOKEN] = q
                end += 1
            elif value <= score[e]:
                continue
            score[e] = value
            token[e, NODE] = k
        # Where a phone leads to one state whatever was before it, as in a bigram, a token whose
        # best way out is no better than the leader's worst cannot improve any arrival.
        if turn < 0 and len(best) == num_phones and end == num_tokens + num_phones:
            worst = np.inf
            for e in range(num_tokens, end):
                worst = min(worst, score[e])
    clear_arrivals(tokens, num_tokens, end)
    return end


@jit_inline
def start_phones(phones, tokens, history, end):
    """Make tokens of the arrivals, and a node for each token that they leave.

    Args:
        phones, tokens, history: see :mod:`speechattn.decoder.records`.
        end: tokens and arrivals.

    Returns:
        How many tokens there are now.
    """
    stay, min_frames = phones.stay, phones.min_frames
    token, score, before, slot = tokens
    nodes, confidence, seen, count = history
    num_tokens, t = count[TOKENS], count[FRAME]
    new = num_tokens
    for e in range(num_tokens, end):
        state, p, source = token[e, STATE], token[e, SPOKEN], token[e, NODE]
        # Leave out an arrival that the token already there will beat when it gets ready.
        other = ~slot[state, READY]
        if other != NO_TOKEN and score[e] <= score[other] + min_frames[p] * stay[p]:
            continue
        k = token[source, LEFT]
        if k == NO_TOKEN:
            k = count[NODES]
            count[NODES] = k + 1
            token[source, LEFT] = k
            q = token[source, SPOKEN]
            start = token[source, BEGIN]
            nodes[k, PHONE] = q
            nodes[k, START] = start
            nodes[k, END] = t
            nodes[k, PARENT] = token[source, NODE]
            confidence[k] = (seen[q] - before[source]) / (t - start)
        token[new, STATE] = state
        token[new, SPOKEN] = p
        token[new, LACKS] = min_frames[p]
        token[new, BEGIN] = t
        token[new, NODE] = k
        token[new, LEFT] = NO_TOKEN
        score[new] = score[e]
        before[new] = seen[p]
        new += 1
    return new


@jit_inline
def advance_frame(frame, stay, beam, tokens, seen, num_tokens):
    """Take tokens through a frame; drop those that another of their state or the beam beats.

    Args:
        frame: its ``log_posterior`` is changed.
        stay: as in :class:`~speechattn.decoder.records.PhoneScores`.
        beam: nats; see :func:`speechattn.decoder.viterbi.advance`.
        tokens: :class:`~speechattn.decoder.records.Tokens`.
        seen: as in :class:`~speechattn.decoder.records.History`; changed.
        num_tokens: how many there are.

    Returns:
        How many are left.
    """
    log_posterior, emission = frame
    token, score, before, slot = tokens
    best = best_ready = -np.inf
    for k in range(num_tokens):
        p = token[k, SPOKEN]
        score[k] += emission[p]
        if token[k, LACKS] == 0:
            score[k] += stay[p]
        if token[k, LACKS] <= 1:
            best_ready = max(best_ready, score[k])
        best = max(best, score[k])

    bound = best - beam
    left = 0
    for k in range(num_tokens):
        state, p, lacks = token[k, STATE], token[k, SPOKEN], token[k, LACKS]
        if score[k] < bound and (lacks > 1 or score[k] < best_ready):
            if lacks == 0:
                slot[state, READY] = FREE
            continue
        target = left
        if lacks == 1:  # gets ready now; another one in its state began earlier and comes before
            other = ~slot[state, READY]
            if other != NO_TOKEN and score[k] <= score[other]:
                continue
            if other != NO_TOKEN:
                target = other
        if lacks <= 1:
            slot[state, READY] = ~target
        if log_posterior[p] < np.inf:
            seen[p] += min(1.0, math.exp(log_posterior[p]))
            log_posterior[p] = np.inf
        if target != k:
            token[target, STATE] = state
            token[target, SPOKEN] = p
            token[target, BEGIN] = token[k, BEGIN]
            token[target, NODE] = token[k, NODE]
            score[target] = score[k]
            before[target] = before[k]
        token[target, LACKS] = max(0, lacks - 1)
        token[target, LEFT] = NO_TOKEN
        left += target == left
    return left
