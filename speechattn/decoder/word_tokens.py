"""How the decoder's tokens enter phones where it knows words (:mod:`speechattn.decoder.lm.word_lm`).

States are those of the phone n-grams and, numbered after them, those of the words. A token in a
word goes on in it or, where one ends, into the next one or a pause. Whatever is no word that the
network has may be spelled as well, in the states of the n-grams, at a price for its beginning; it
may end after any of its phones. A pause is spelled, and free.
"""

from __future__ import annotations

import numpy as np

from speechattn.decoder.lm.word_lm import ANY_CONTEXT, SENTENCE
from speechattn.decoder.token_passing import (
    ENTRY,
    LACKS,
    NO_TOKEN,
    NODE,
    SPOKEN,
    STATE,
    best_ready,
    clear_entries,
)
from speechattn.jit import jit_inline

# Settings of the words: weight of their log probabilities, price of what is none, the phone of
# silence, the first state, and the most jumps that leave a state.
SCALE, UNKNOWN, SILENCE, FIRST, MOST = 0, 1, 2, 3, 4
LONGEST_FALL = 2  # roots on the way from one to root ANY, itself among them


@jit_inline
def put(target, phone, value, source, end, token, score, slot):
    """Make an entry into a state, or better the one that is there.

    Args:
        target, phone, value: the state, its phone, and the score of the entry.
        source: the token that enters, or ``NONE``.
        end: tokens and entries so far.
        token, score, slot: as in :func:`speechattn.decoder.viterbi.advance`.

    Returns:
        Tokens and entries; ``NONE`` if there is no room.
    """
    e = slot[target, ENTRY]
    if e == NO_TOKEN:
        if end == len(score):
            return NO_TOKEN
        e = end
        slot[target, ENTRY] = e
        token[e, STATE] = target
        token[e, SPOKEN] = phone
        end += 1
    elif value <= score[e]:
        return end
    score[e] = value
    token[e, NODE] = source
    return end


@jit_inline
def start_words(arc_first, arcs, arc_score, words, initial, token, score, slot, tokens):
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
    for root in (SENTENCE, ANY_CONTEXT):
        for a in range(arc_first[root], arc_first[root + 1]):
            phone = arcs[a, 0]
            if initial[phone] > -np.inf:
                target = int(words[FIRST]) + arcs[a, 1]
                value = words[SCALE] * arc_score[a]
                end = put(target, phone, value, NO_TOKEN, end, token, score, slot)
                if end == NO_TOKEN:
                    return clear_entries(token, slot, tokens, len(score))
    clear_entries(token, slot, tokens, end)
    return end


@jit_inline
def expand_words(
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
    slot,
    tokens,
):
    """Let the ready tokens enter the phones that may follow, in words and outside them.

    First it is written down where they may go on, and where many meet, only the best of them; then
    entries are made from there.

    Args:
        arc_first ... jump_score: see :class:`speechattn.decoder.lm.word_lm.Network`.
        words: scale, price of the unknown (not below 0), silence, first state and most jumps,
            shape (5,).
        the others: as in :func:`speechattn.decoder.token_passing.expand`.

    Returns:
        Tokens and entries; ``NONE`` if there is no room for all.
    """
    lead, bound = best_ready(stay, emission, beam, token, score, tokens)
    if lead == NO_TOKEN:
        return tokens
    silence, first, most = int(words[SILENCE]), int(words[FIRST]), int(words[MOST])
    num_phones, loudest = len(emission), emission.max()
    # Places in the network: which, at which score, and the token that is there. The first two are
    # the roots ANY and SENTENCE.
    places = 2
    room = places + tokens * (1 + LONGEST_FALL * most)
    place, value, source = np.empty(room, np.int64), np.empty(room), np.empty(room, np.int64)
    # After which states something may be spelled; a pause has a score of its own. The first are
    # those of the phones alone, after a word that ends in them.
    spellings = num_phones
    room = spellings + tokens
    after, by = np.empty(room, np.int64), np.empty(room, np.int64)
    spelled, pause = np.empty(room), np.empty(room)
    for root in range(places):
        place[root], value[root], source[root] = root, -np.inf, NO_TOKEN
    for phone in range(spellings):
        after[phone], spelled[phone], pause[phone] = phone, -np.inf, -np.inf
    for turn in range(-1, tokens):
        k = turn if turn >= 0 else lead
        if token[k, LACKS] > 0 or turn == lead:
            continue
        state, spoken = token[k, STATE], token[k, SPOKEN]
        out = score[k] + leave[spoken]
        if out + loudest < bound:
            continue
        if state < first:
            begun = out
            after[spellings], by[spellings] = state, k
            spelled[spellings] = pause[spellings] = out
            if spoken == silence:
                spelled[spellings] -= words[UNKNOWN]
                if out > value[SENTENCE]:
                    value[SENTENCE], source[SENTENCE] = out, k
            spellings += 1
        else:
            begun, state = -np.inf, state - first
            place[places], value[places], source[places] = state, out, k
            places += 1
            for j in range(jump_first[state], jump_first[state + 1]):
                root, there = jumps[j], out + words[SCALE] * jump_score[j]
                while root != ANY_CONTEXT:
                    place[places], value[places], source[places] = root, there, k
                    places += there + loudest >= bound
                    there += words[SCALE] * jump_score[jump_first[root]]
                    root = jumps[jump_first[root]]
                begun = max(begun, there)
            if begun > pause[spoken]:
                pause[spoken], spelled[spoken], by[spoken] = begun, begun - words[UNKNOWN], k
        if begun > value[ANY_CONTEXT]:
            value[ANY_CONTEXT], source[ANY_CONTEXT] = begun, k
    end = tokens
    for i in range(places):
        for a in range(arc_first[place[i]], arc_first[place[i] + 1]):
            phone, there = arcs[a, 0], value[i] + words[SCALE] * arc_score[a]
            if there + loudest < bound:
                break  # nor will those after it be of use
            if there + emission[phone] >= bound:
                end = put(first + arcs[a, 1], phone, there, source[i], end, token, score, slot)
                if end == NO_TOKEN:
                    return clear_entries(token, slot, tokens, len(score))
    for i in range(spellings):
        row = after[i]
        if max(spelled[i], pause[i]) + scale * best[row] + loudest < bound:
            continue
        for phone in range(num_phones):
            there = pause[i] if phone == silence else spelled[i]
            there += scale * log_prob[row, phone]
            if there + emission[phone] >= bound:
                end = put(following[row, phone], phone, there, by[i], end, token, score, slot)
                if end == NO_TOKEN:
                    return clear_entries(token, slot, tokens, len(score))
    clear_entries(token, slot, tokens, end)
    return end
