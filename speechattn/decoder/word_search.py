"""Search for the words in a string of phones, compiled; see :mod:`speechattn.decoder.words`.

Between two phones lies a *place*. A *token* is the best way to be at a place in one state: behind a
word, in one of the roots of the word network (:mod:`speechattn.decoder.lm.word_network`), or behind
a phone that is spelled, in a state of the phone n-grams. Words that may begin at a place are
searched in the list of all pronunciations, in which those with the same first phones lie together:
each phone narrows the range that is left. What lies behind the tokens is a tree of nodes, one for
each word and each spelled phone. What all of them share is final.
"""

from __future__ import annotations

import numpy as np

from speechattn.decoder.lm.word_network import ANY_CONTEXT, SENTENCE, Followers
from speechattn.decoder.records import Automaton, WordScores
from speechattn.decoder.word_history import copy_row
from speechattn.decoder.word_records import (
    AFTER,
    BEGIN,
    BEYOND,
    DEPTH,
    ENTRY,
    FIRST,
    HIGH,
    LAST,
    LEAST,
    LOW,
    NODE,
    NODE_COLUMNS,
    NONE,
    PARENT,
    PLACE,
    RANGE_COLUMNS,
    ROOT,
    SOURCE,
    STATE,
    WORD,
    Dictionary,
    FallBack,
    State,
)
from speechattn.jit import (
    F32_ARRAY,
    F64_ARRAY,
    I32_ARRAY,
    I32_MATRIX,
    I64_ARRAY,
    I64_MATRIX,
    jit,
    jit_inline,
    record,
)

_AUTOMATON = record(Automaton, "float32[:,::1]", I32_MATRIX, F64_ARRAY, "float64")
_DICTIONARY = record(Dictionary, I32_ARRAY, I32_ARRAY, I32_ARRAY)
_FOLLOWERS = record(Followers, I32_ARRAY, I32_ARRAY, F32_ARRAY, I32_ARRAY)
_FALL_BACK = record(FallBack, F32_ARRAY, I32_ARRAY, I32_ARRAY, F32_ARRAY)
_WORD_SCORES = record(WordScores, "float64", "float64", "int64", "int64", "int64")
_STATE = record(
    State,
    *(I64_MATRIX, I64_MATRIX, F64_ARRAY, I64_MATRIX, I64_MATRIX, F64_ARRAY, I32_ARRAY, I64_ARRAY),
)


@jit_inline
def narrow(dictionary, low, high, depth, phone):
    """Return the range of those pronunciations from ``low`` to ``high`` that go on with a phone.

    Args:
        depth: phones that all of them have in common.
    """
    phones, begin = dictionary.phones, dictionary.begin
    while low < high and begin[low] + depth == begin[low + 1]:  # those that end here come first
        low += 1
    left, right = low, high
    while left < right:
        middle = (left + right) // 2
        if phones[begin[middle] + depth] < phone:
            left = middle + 1
        else:
            right = middle
    first, right = left, high
    while left < right:
        middle = (left + right) // 2
        if phones[begin[middle] + depth] <= phone:
            left = middle + 1
        else:
            right = middle
    return first, left


@jit_inline
def known_at(followers, root, word):
    """Return the place of a word among what follows at a root, or ``NONE``."""
    low, end = followers.first[root - 1], followers.first[root]
    high = end
    while low < high:
        middle = (low + high) // 2
        if followers.word[middle] < word:
            low = middle + 1
        else:
            high = middle
    return low if low < end and followers.word[low] == word else NONE


@jit_inline
def put(state, value, word, begin, parent, arrivals, scores, count, slot):
    """Note an arrival in a state, unless a better one is noted there; return how many there are."""
    k = slot[state]
    if k == NONE:
        k = count
        slot[state] = k
        count += 1
    elif value <= scores[k]:
        return count
    arrivals[k, 0], arrivals[k, 1], arrivals[k, 2], arrivals[k, 3] = state, word, begin, parent
    scores[k] = value
    return count


@jit_inline
def enter(root, value, source, entries, values, count, slot):
    """Note that a token may begin words at a root, if none is there that is better."""
    k = slot[root]
    if k == NONE:
        k = count
        slot[root] = k
        count += 1
    elif value <= values[k]:
        return count
    entries[k, ROOT], entries[k, SOURCE], values[k] = root, source, value
    return count


@jit_inline
def spell(phone, automaton, fall_back, words, state, arrivals, scores):
    """Let the tokens arrive where the phone is spelled; return how many arrivals there are."""
    log_prob, following, _, scale = automaton
    tokens, slot, roots = state.tokens, state.slot, len(fall_back.back)
    last = state.counters[LAST]
    paid = 0.0 if phone == words.silence else words.unknown  # by what begins to be spelled here
    count = 0
    for k in range(len(tokens)):
        row, out = tokens[k, STATE] - roots, state.score[k]
        if row >= 0:
            if last == words.silence:
                out -= paid
        else:
            root = row + roots
            while root != ANY_CONTEXT:
                out += words.scale * fall_back.back_score[root]
                root = fall_back.back[root]
            out -= paid
            row = last
        out += max(LEAST, scale * log_prob[row, phone])
        to = roots + following[row, phone]
        count = put(
            to, out, NONE, state.counters[PLACE], tokens[k, NODE], arrivals, scores, count, slot
        )
    return count


@jit_inline
def end_word(word, span, state, followers, fall_back, scale, arrivals, scores, count):
    """Let the entries of a range arrive behind a word; return how many arrivals there are.

    Args:
        span: the range.
    """
    for e in range(span[ENTRY], span[BEYOND]):
        root, source = state.entries[e, ROOT], state.entries[e, SOURCE]
        if root == ANY_CONTEXT:
            log_prob, after = fall_back.log_unigram[word], fall_back.after_word[word]
        else:
            k = known_at(followers, root, word)
            if k == NONE:
                continue
            log_prob, after = followers.log_prob[k], followers.after[k]
        value = state.value[e] + max(LEAST, scale * log_prob)
        begin, slot = span[BEGIN], state.slot
        count = put(after, value, word, begin, source, arrivals, scores, count, slot)
    return count


@jit_inline
def entries_of(tokens, score, roots, fall_back, words, last, slot):
    """Return at which roots words may begin behind some tokens, and the scores of that.

    Args:
        tokens, score: as in :class:`State`.
        roots: number of roots.
        last: the last phone.
    """
    entries, values = np.empty((2 + 3 * len(tokens), 2), np.int64), np.empty(2 + 3 * len(tokens))
    count = 0
    for k in range(len(tokens)):
        root, out, node = tokens[k, STATE], score[k], tokens[k, NODE]
        if root >= roots:  # behind what is spelled nothing is known, but behind a pause
            if last == words.silence:
                count = enter(SENTENCE, out, node, entries, values, count, slot)
            root = ANY_CONTEXT
        while True:
            count = enter(root, out, node, entries, values, count, slot)
            if root == ANY_CONTEXT:
                break
            out += words.scale * fall_back.back_score[root]
            root = fall_back.back[root]
    for e in range(count):
        slot[entries[e, ROOT]] = NONE
    return entries[:count], values[:count]


@jit(
    _STATE,
    *(I64_ARRAY, _DICTIONARY, _FOLLOWERS, _FALL_BACK, _AUTOMATON, _WORD_SCORES, F64_ARRAY),
    *("float64", _STATE),
)
def read_on(phones, dictionary, followers, fall_back, automaton, words, initial, beam, state):
    """Take in the next phones.

    Args:
        phones: classes, shape (n,).
        dictionary, followers, fall_back: the words.
        automaton: which phones follow each other where they are spelled.
        words: how words count.
        initial: log score of each phone at the beginning of a recording.
        beam: nats; tokens that score lower than the best one of their place by more are dropped.
        state: after the phones before. Its counters are changed in place.

    Returns:
        The state after them.
    """
    roots, slot, counters = len(fall_back.back), state.slot, state.counters
    for phone in phones:
        place = counters[PLACE]
        # Narrow the ranges of the words that were begun; drop those where none is left.
        ranges = state.ranges.copy()
        left, room = 0, len(state.tokens) + 1
        for r in range(len(ranges)):
            low, high = narrow(dictionary, ranges[r, LOW], ranges[r, HIGH], ranges[r, DEPTH], phone)
            if low < high:
                copy_row(ranges, r, ranges, left)
                ranges[left, LOW], ranges[left, HIGH] = low, high
                ranges[left, DEPTH] += 1
                end = low
                depth = ranges[left, DEPTH]
                while end < high and dictionary.begin[end] + depth == dictionary.begin[end + 1]:
                    end += 1
                room += (end - low) * (ranges[left, BEYOND] - ranges[left, ENTRY])
                left += 1
        arrivals, scores = np.empty((room, 4), np.int64), np.empty(room)
        # All ways to arrive behind this phone.
        if place == 0:
            paid = 0.0 if phone == words.silence else words.unknown
            value = max(LEAST, initial[phone]) - paid
            count = put(roots + phone, value, NONE, place, NONE, arrivals, scores, 0, slot)
        else:
            count = spell(phone, automaton, fall_back, words, state, arrivals, scores)
        for r in range(left):
            depth = ranges[r, DEPTH]
            for w in range(ranges[r, LOW], ranges[r, HIGH]):
                if dictionary.begin[w] + depth != dictionary.begin[w + 1]:
                    break
                count = end_word(
                    *(dictionary.word[w], ranges[r], state, followers, fall_back, words.scale),
                    *(arrivals, scores, count),
                )
        best = -np.inf
        for k in range(count):
            slot[arrivals[k, 0]] = NONE
            best = max(best, scores[k])
        # The good ones become tokens, each with a node.
        number = len(state.nodes)
        nodes = np.empty((number + count, NODE_COLUMNS), np.int64)
        for k in range(number):
            copy_row(state.nodes, k, nodes, k)
        tokens, score = np.empty((count, 2), np.int64), np.empty(count)
        kept = 0
        for k in range(count):
            if scores[k] >= best - beam:
                tokens[kept, STATE], tokens[kept, NODE] = arrivals[k, 0], number + kept
                score[kept] = scores[k] - best
                new = number + kept
                nodes[new, WORD], nodes[new, FIRST] = arrivals[k, 1], arrivals[k, 2]
                nodes[new, AFTER], nodes[new, PARENT] = place + 1, arrivals[k, 3]
                kept += 1
        nodes, tokens, score = nodes[: number + kept], tokens[:kept], score[:kept]
        # Where words may begin from now on, behind those of the ranges that are left.
        entries, values = entries_of(tokens, score, roots, fall_back, words, phone, slot)
        used = 0
        for r in range(left):
            used += ranges[r, BEYOND] - ranges[r, ENTRY]
        all_ranges = np.empty((left + 1, RANGE_COLUMNS), np.int64)
        all_entries = np.empty((used + len(entries), 2), np.int64)
        all_values = np.empty(used + len(entries))
        used = 0
        for r in range(left):
            copy_row(ranges, r, all_ranges, r)
            all_ranges[r, ENTRY] = used
            for e in range(ranges[r, ENTRY], ranges[r, BEYOND]):
                copy_row(state.entries, e, all_entries, used)
                all_values[used] = state.value[e] - best
                used += 1
            all_ranges[r, BEYOND] = used
        all_ranges[left, LOW], all_ranges[left, HIGH] = 0, len(dictionary.word)
        all_ranges[left, DEPTH], all_ranges[left, BEGIN] = 0, place + 1
        all_ranges[left, ENTRY], all_ranges[left, BEYOND] = used, used + len(entries)
        for e in range(len(entries)):
            copy_row(entries, e, all_entries, used)
            all_values[used] = values[e]
            used += 1
        counters[PLACE], counters[LAST] = place + 1, phone
        state = State(nodes, tokens, score, all_ranges, all_entries, all_values, slot, counters)
    return state
