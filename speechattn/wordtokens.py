"""How the decoder's tokens enter phones where it knows words (:mod:`speechattn.wordnetwork`).

States are those of the phone n-grams and, numbered after them, those of the words. A token in a
word goes on in it or, where one ends, into the next one or a pause. Whatever is no word that the
network has may be spelled as well, in the states of the n-grams, at a price for its beginning; it
may end after any of its phones. A pause is spelled, and free.
"""

from __future__ import annotations

import numpy as np

from speechattn.compiled import FLOATS, INT_TABLE, SCORES, STATE_TABLE, STATES, TABLES, compiled
from speechattn.tokens import LACKS, NODE, NONE, SPOKEN, STATE, foremost
from speechattn.wordnetwork import ANY, SENTENCE

DEEPEST = 64  # jumps that may wait for their turn; a word end and a fallback need a handful
# Settings of the words: weight of their log probabilities, price of what is none, the phone of
# silence, and the first state.
SCALE, UNKNOWN, SILENCE, FIRST = 0, 1, 2, 3


@compiled(
    "int64",
    *("int64", "int64", "float64", "int64", "int64"),
    *(INT_TABLE, FLOATS, STATES),
)
def put(target, phone, value, source, end, token, score, entry):
    """Make an entry into a state, or better the one that is there.

    Args:
        target, phone, value: the state, its phone, and the score of the entry.
        source: the token that enters, or ``NONE``.
        end: tokens and entries so far.
        token, score, entry: as in :func:`speechattn.viterbi.advance`.

    Returns:
        Tokens and entries; ``NONE`` if there is no room.
    """
    e = entry[target]
    if e == NONE:
        if end == len(score):
            return NONE
        e = end
        entry[target] = e
        token[e, STATE] = target
        token[e, SPOKEN] = phone
        end += 1
    elif value <= score[e]:
        return end
    score[e] = value
    token[e, NODE] = source
    return end


@compiled("int64", INT_TABLE, STATES, "int64", "int64")
def forget(token, entry, tokens, end):
    """Leave ``entry`` as it was before there were entries from ``tokens`` to ``end``; gives NONE."""
    for e in range(tokens, end):
        entry[token[e, STATE]] = NONE
    return NONE


@compiled("int64", STATES, STATE_TABLE, SCORES, FLOATS, FLOATS, INT_TABLE, FLOATS, STATES, "int64")
def begin_words(arc_first, arcs, arc_score, words, initial, token, score, entry, tokens):
    """Put the words that a recording may begin with behind the tokens that spell its first phone.

    Args:
        arc_first, arcs, arc_score, words: as in :func:`enter_words`.
        initial: log score of beginning with a phone, shape (P,); what may not begin, may not begin
            a word.
        token, score: of the first phones, changed: what is spelled has its price.
        the others: as in :func:`put`.

    Returns:
        How many tokens there are; ``NONE`` if there is no room.
    """
    for k in range(tokens):
        if token[k, SPOKEN] != int(words[SILENCE]):
            score[k] -= words[UNKNOWN]
    end = tokens
    for root in (SENTENCE, ANY):
        for a in range(arc_first[root], arc_first[root + 1]):
            phone = arcs[a, 0]
            if initial[phone] > -np.inf:
                target = int(words[FIRST]) + arcs[a, 1]
                value = words[SCALE] * arc_score[a]
                end = put(target, phone, value, NONE, end, token, score, entry)
                if end == NONE:
                    return forget(token, entry, tokens, len(score))
    forget(token, entry, tokens, end)
    return end


@compiled(
    "int64",
    *(STATES, STATE_TABLE, SCORES, STATES, STATES, SCORES, FLOATS),
    *(TABLES, STATE_TABLE, FLOATS, "float64", FLOATS, FLOATS),
    *(FLOATS, "float64", INT_TABLE, FLOATS, STATES, "int64"),
)
def enter_words(
    arc_first,
    arcs,
    arc_score,
    jump_first,
    jumps,
    jump_score,
    words,
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
    entry,
    tokens,
):
    """Let the ready tokens enter the phones that may follow, in words and outside them.

    Args:
        arc_first ... jump_score: see :class:`speechattn.wordnetwork.Network`.
        words: scale, price of the unknown (not below 0), silence and first state, shape (4,).
        the others: as in :func:`speechattn.tokens.enter`.

    Returns:
        Tokens and entries; ``NONE`` if there is no room for all.
    """
    lead, bound = foremost(stay, emission, beam, token, score, tokens)
    if lead == NONE:
        return tokens
    silence, first = int(words[SILENCE]), int(words[FIRST])
    loudest = emission.max()
    waiting, sums = np.empty(DEEPEST, np.int64), np.empty(DEEPEST)
    end = tokens
    for turn in range(-1, tokens):
        k = turn if turn >= 0 else lead
        if token[k, LACKS] > 0 or turn == lead:
            continue
        spoken = token[k, SPOKEN]
        out = score[k] + leave[spoken]
        if out + loudest < bound:
            continue
        # What may be spelled: after which state, at which score, and at which one a pause.
        row, spelled, pause = NONE, -np.inf, -np.inf
        waiting[0], sums[0], depth = ANY, out, 1
        if token[k, STATE] >= first:
            waiting[0] = token[k, STATE] - first
        else:
            row, spelled, pause = token[k, STATE], out, out
            if spoken == silence:
                spelled -= words[UNKNOWN]
                waiting[1], sums[1], depth = SENTENCE, out, 2
        while depth > 0:
            depth -= 1
            place, value = waiting[depth], sums[depth]
            if place == ANY and token[k, STATE] >= first:
                row = spoken
                spelled, pause = max(spelled, value - words[UNKNOWN]), max(pause, value)
            for j in range(jump_first[place], jump_first[place + 1]):
                there = value + words[SCALE] * jump_score[j]
                if there + loudest >= bound and depth < DEEPEST:
                    waiting[depth], sums[depth] = jumps[j], there
                    depth += 1
            for a in range(arc_first[place], arc_first[place + 1]):
                phone = arcs[a, 0]
                there = value + words[SCALE] * arc_score[a]
                if there + emission[phone] >= bound:
                    end = put(first + arcs[a, 1], phone, there, k, end, token, score, entry)
                    if end == NONE:
                        return forget(token, entry, tokens, len(score))
        if row == NONE or max(spelled, pause) + scale * best[row] + loudest < bound:
            continue
        for phone in range(len(emission)):
            there = pause if phone == silence else spelled
            there += scale * log_prob[row, phone]
            if there + emission[phone] >= bound:
                end = put(following[row, phone], phone, there, k, end, token, score, entry)
                if end == NONE:
                    return forget(token, entry, tokens, len(score))
    forget(token, entry, tokens, end)
    return end
