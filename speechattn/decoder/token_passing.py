"""The decoder's tokens, and what becomes of them in a frame: they enter phones, and hear.

Functions over NumPy arrays, compiled by Numba when this module is imported, which the decoder does
only when it is first used: importing Numba takes longer than everything else in the package.

A *token* is the best way to be in one state of the automaton whose phone began in one frame
(Young, Russell and Thornton 1989, "Token passing"). A phone that lasts at least m frames is a
chain of m links whose last one repeats; a token *lacks* as many frames as there are links before
it. Nothing competes inside a chain. A token that lacks none is *ready*: it may stay, or leave for
another phone, and of the ready tokens of a state only the best is kept. Time goes into tokens
that are there, however large the automaton is.

The segments that lie behind a token are a linked list of *nodes*, shared between tokens. What all
tokens share cannot change any more, and :mod:`speechattn.decoder.viterbi` takes it out.
"""

from __future__ import annotations

import math

import numpy as np

from speechattn.jit import jit_inline

FLOOR = -1000.0  # nats; lower log posteriors, -inf included, count as this, so no token dies of one
NO_TOKEN = -1  # no node, or no token
LOWEST = -1e300  # of scores that are possible

# Columns of a node.
PHONE, START, END, PARENT = 0, 1, 2, 3
# Columns of a token: its state, the phone of that, the frames it lacks, the first frame of the
# phone, its last node, and the node for those that leave it in this frame.
STATE, SPOKEN, LACKS, BEGIN, NODE, LEFT = 0, 1, 2, 3, 4, 5
# Columns of a state's slot: its ready token, and the entry into it in this frame, if any.
HELD, ENTRY = 0, 1
# What the decoder counts: frames, nodes and tokens, and how often there was no room for a token.
FRAME, NODES, TOKENS, SHORT = 0, 1, 2, 3


@jit_inline
def best_ready(stay, emission, beam, token, score, tokens):
    """The best of the ready tokens, and what an entry must reach with the frame to be of use.

    Args:
        emission: log scores of the frame, shape (P,).
        tokens: how many there are.
        the others: as in :func:`speechattn.decoder.viterbi.advance`.

    Returns:
        Token, ``NONE`` if none is ready, and score.
    """
    lead = NO_TOKEN
    bound = -np.inf
    for k in range(tokens):
        p = token[k, SPOKEN]
        after = score[k] + emission[p]
        if token[k, LACKS] == 0:
            after += stay[p]
            if lead == NO_TOKEN or score[k] > score[lead]:
                lead = k
        bound = max(bound, after)
    # What would be below it after the frame need not begin; nor need what is impossible.
    return lead, max(LOWEST, bound - beam)


@jit_inline
def clear_entries(token, slot, tokens, end):
    """Clear the slots of the entries from ``tokens`` to ``end``; gives NONE."""
    for e in range(tokens, end):
        slot[token[e, STATE], ENTRY] = NO_TOKEN
    return NO_TOKEN


@jit_inline
def expand(
    log_prob,
    following,
    best,
    scale,
    leave,
    stay,
    emission,
    beam,
    token,
    score,
    slot,
    values,
    tokens,
):
    """Let the ready tokens enter the phones that may follow.

    The best entry into each state is put behind the tokens, its source in the column ``NODE``.

    Args:
        emission: log scores of the frame, shape (P,).
        values: room for P scores.
        tokens: how many there are.
        the others: as in :func:`speechattn.decoder.viterbi.advance`.

    Returns:
        Tokens and entries; ``NONE`` if there is no room for all.
    """
    num_phones = len(emission)
    lead, bound = best_ready(stay, emission, beam, token, score, tokens)
    if lead == NO_TOKEN:
        return tokens
    end = tokens
    worst = -np.inf
    for turn in range(-1, tokens):
        k = turn if turn >= 0 else lead
        if token[k, LACKS] > 0 or turn == lead:
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
            target = following[state, q]
            e = slot[target, ENTRY]
            if e == NO_TOKEN:
                if end == len(score):
                    return clear_entries(token, slot, tokens, end)
                e = end
                slot[target, ENTRY] = e
                token[e, STATE] = target
                token[e, SPOKEN] = q
                end += 1
            elif value <= score[e]:
                continue
            score[e] = value
            token[e, NODE] = k
        # Where a phone leads to one state whatever was before it, as in a bigram, a token whose
        # best way out is no better than the leading one's worst cannot improve any entry.
        if turn < 0 and len(best) == num_phones and end == tokens + num_phones:
            worst = np.inf
            for e in range(tokens, end):
                worst = min(worst, score[e])
    clear_entries(token, slot, tokens, end)
    return end


@jit_inline
def start_phones(stay, min_frames, token, score, before, slot, seen, nodes, confidence, count, end):
    """Make tokens of the entries behind the tokens, and a node for each token that they follow.

    Args:
        end: tokens and entries.
        the others: as in :func:`speechattn.decoder.viterbi.advance`.

    Returns:
        How many tokens there are now.
    """
    tokens, t = count[TOKENS], count[FRAME]
    kept = tokens
    for e in range(tokens, end):
        state, p, source = token[e, STATE], token[e, SPOKEN], token[e, NODE]
        # An entry that the token already there will beat when it gets ready is none.
        other = slot[state, HELD]
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
        token[kept, STATE] = state
        token[kept, SPOKEN] = p
        token[kept, LACKS] = min_frames[p]
        token[kept, BEGIN] = t
        token[kept, NODE] = k
        token[kept, LEFT] = NO_TOKEN
        score[kept] = score[e]
        before[kept] = seen[p]
        kept += 1
    return kept


@jit_inline
def advance_frame(log_posterior, emission, stay, beam, token, score, before, slot, seen, tokens):
    """Take tokens through a frame; give up those that another one of their state or the beam beats.

    Args:
        log_posterior: of the frame, shape (P,); changed.
        emission: its log scores, shape (P,).
        tokens: how many there are.
        the others: as in :func:`speechattn.decoder.viterbi.advance`.

    Returns:
        How many are left.
    """
    best = best_ready = -np.inf
    for k in range(tokens):
        p = token[k, SPOKEN]
        score[k] += emission[p]
        if token[k, LACKS] == 0:
            score[k] += stay[p]
        if token[k, LACKS] <= 1:
            best_ready = max(best_ready, score[k])
        best = max(best, score[k])

    bound = best - beam
    kept = 0
    for k in range(tokens):
        state, p, lacks = token[k, STATE], token[k, SPOKEN], token[k, LACKS]
        if score[k] < bound and (lacks > 1 or score[k] < best_ready):
            if lacks == 0:
                slot[state, HELD] = NO_TOKEN
            continue
        to = kept
        if lacks == 1:  # gets ready now; another one in its state began earlier and comes before
            other = slot[state, HELD]
            if other != NO_TOKEN and score[k] <= score[other]:
                continue
            if other != NO_TOKEN:
                to = other
        if lacks <= 1:
            slot[state, HELD] = to
        if log_posterior[p] < np.inf:
            seen[p] += min(1.0, math.exp(log_posterior[p]))
            log_posterior[p] = np.inf
        if to != k:
            token[to, STATE] = state
            token[to, SPOKEN] = p
            token[to, BEGIN] = token[k, BEGIN]
            token[to, NODE] = token[k, NODE]
            score[to] = score[k]
            before[to] = before[k]
        token[to, LACKS] = max(0, lacks - 1)
        token[to, LEFT] = NO_TOKEN
        kept += to == kept
    return kept
