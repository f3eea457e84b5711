"""How tokens enter phones where the decoder knows words (:mod:`speechattn.decoder.lm.word_lm`).

States are those of the phone n-grams and, numbered after them, those of the words. A token in a
word goes on in it or, where one ends, into the next one or a pause. Whatever is no word of the
network may be *spelled*: its phones follow each other in the states of the n-grams, at a price for
its beginning; it may end after any of its phones. A pause is spelled, and free.
"""

from __future__ import annotations

import numpy as np

from speechattn.decoder.lm.word_network import ANY_CONTEXT, SENTENCE
from speechattn.decoder.records import ARRIVAL, LACKS, NO_TOKEN, NODE, SPOKEN, STATE
from speechattn.decoder.token_passing import best_ready, clear_arrivals, put
from speechattn.jit import jit_inline

LONGEST_FALL = 2  # roots on the way from one to root ANY_CONTEXT, itself among them


@jit_inline
def start_words(network, words, initial, tokens, num_tokens):
    """Put the words that may begin a recording behind the tokens that spell its first phone.

    Args:
        network: :class:`~speechattn.decoder.lm.word_network.Network`.
        words: :class:`~speechattn.decoder.records.WordScores`.
        initial: as in :class:`~speechattn.decoder.records.PhoneScores`; a phone that may not begin
            a recording may not begin a word here.
        tokens: :class:`~speechattn.decoder.records.Tokens` of the first phones; what is spelled
            pays its price here.
        num_tokens: how many there are.

    Returns:
        How many tokens there are; ``NO_TOKEN`` if there is no room.
    """
    token, score, _, slot = tokens
    arc_first, arcs, arc_score = network.arc_first, network.arcs, network.arc_score
    for k in range(num_tokens):
        if token[k, SPOKEN] != words.silence:
            score[k] -= words.unknown
    end = num_tokens
    for root in (SENTENCE, ANY_CONTEXT):
        for a in range(arc_first[root], arc_first[root + 1]):
            phone = arcs[a, 0]
            if initial[phone] > -np.inf:
                target = words.first_state + arcs[a, 1]
                value = words.scale * arc_score[a]
                end = put(target, phone, value, NO_TOKEN, end, token, score, slot)
                if end == NO_TOKEN:
                    return clear_arrivals(tokens, num_tokens, len(score))
    clear_arrivals(tokens, num_tokens, end)
    return end


@jit_inline
def expand_words(automaton, network, words, phones, frame, beam, tokens, num_tokens):
    """Let the ready tokens arrive in the phones that may follow, in words and outside them.

    First the places of the network and the states of the n-grams from which to go on are listed;
    where many tokens meet in one, only the best is. Then arrivals are made from there.

    Args:
        network: :class:`~speechattn.decoder.lm.word_network.Network`.
        automaton, words, phones, frame, tokens: see :mod:`speechattn.decoder.records`.
        beam: nats; see :func:`speechattn.decoder.viterbi.advance`.
        num_tokens: how many there are.

    Returns:
        Tokens and arrivals; ``NO_TOKEN`` if there is no room for all.
    """
    arc_first, arcs, arc_score, jump_first, jumps, jump_score = network
    log_prob, following, best, scale = automaton
    token, score, _, slot = tokens
    leave, emission = phones.leave, frame.emission
    word_scale, unknown, silence, first = (
        words.scale,
        words.unknown,
        words.silence,
        words.first_state,
    )
    leader, bound = best_ready(phones.stay, emission, beam, tokens, num_tokens)
    if leader == NO_TOKEN:
        return num_tokens
    num_phones, loudest = len(emission), -np.inf
    for phone in range(num_phones):  # emission.max() takes half a second to compile
        loudest = max(loudest, emission[phone])
    # Places in the network: which, at which score, and the token that is there. The first two are
    # the roots ANY_CONTEXT and SENTENCE.
    places = 2
    room = places + num_tokens * (1 + LONGEST_FALL * words.most_jumps)
    place, value, source = np.empty(room, np.int64), np.empty(room), np.empty(room, np.int64)
    # After which states something may be spelled; a pause has a score of its own. The first are
    # those of the phones alone, after a word that ends in them.
    spellings = num_phones
    room = spellings + num_tokens
    after, by = np.empty(room, np.int64), np.empty(room, np.int64)
    spelled, pause = np.empty(room), np.empty(room)
    for root in range(places):
        place[root], value[root], source[root] = root, -np.inf, NO_TOKEN
    for phone in range(spellings):
        after[phone], spelled[phone], pause[phone] = phone, -np.inf, -np.inf
    for turn in range(-1, num_tokens):
        k = turn if turn >= 0 else leader
        if token[k, LACKS] > 0 or turn == leader:
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
                spelled[spellings] -= unknown
                if out > value[SENTENCE]:
                    value[SENTENCE], source[SENTENCE] = out, k
            spellings += 1
        else:
            begun, state = -np.inf, state - first
            place[places], value[places], source[places] = state, out, k
            places += 1
            for j in range(jump_first[state], jump_first[state + 1]):
                root, fallen = jumps[j], out + word_scale * jump_score[j]
                while root != ANY_CONTEXT:
                    place[places], value[places], source[places] = root, fallen, k
                    places += fallen + loudest >= bound
                    fallen += word_scale * jump_score[jump_first[root]]
                    root = jumps[jump_first[root]]
                begun = max(begun, fallen)
            if begun > pause[spoken]:
                pause[spoken], spelled[spoken], by[spoken] = begun, begun - unknown, k
        if begun > value[ANY_CONTEXT]:
            value[ANY_CONTEXT], source[ANY_CONTEXT] = begun, k
    end = num_tokens
    for i in range(places):
        for a in range(arc_first[place[i]], arc_first[place[i] + 1]):
            phone, entered = arcs[a, 0], value[i] + word_scale * arc_score[a]
            if entered + loudest < bound:
                break  # nor will those after it be of use
            if entered + emission[phone] >= bound:
                # This is put(), spelled out here and below: a call counts references to arrays,
                # which took a fifth of the whole search.
                target = first + arcs[a, 1]
                e = ~slot[target, ARRIVAL]
                if e == NO_TOKEN:
                    if end == len(score):
                        return clear_arrivals(tokens, num_tokens, end)
                    e = end
                    slot[target, ARRIVAL] = ~e
                    token[e, STATE] = target
                    token[e, SPOKEN] = phone
                    end += 1
                elif entered <= score[e]:
                    continue
                score[e] = entered
                token[e, NODE] = source[i]
    for i in range(spellings):
        row = after[i]
        if max(spelled[i], pause[i]) + scale * best[row] + loudest < bound:
            continue
        for phone in range(num_phones):
            entered = pause[i] if phone == silence else spelled[i]
            entered += scale * log_prob[row, phone]
            if entered + emission[phone] >= bound:
                target = following[row, phone]
                e = ~slot[target, ARRIVAL]
                if e == NO_TOKEN:
                    if end == len(score):
                        return clear_arrivals(tokens, num_tokens, end)
                    e = end
                    slot[target, ARRIVAL] = ~e
                    token[e, STATE] = target
                    token[e, SPOKEN] = phone
                    end += 1
                elif entered <= score[e]:
                    continue
                score[e] = entered
                token[e, NODE] = by[i]
    clear_arrivals(tokens, num_tokens, end)
    return end
