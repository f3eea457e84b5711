"""Builder of the network of :mod:`speechattn.decoder.lm.word_network`: lists, then the network.

Its states are the roots, then those of single words, then the branches of the trees that several
words share. Where a branch holds one word only, the rest of that word has states that do not depend
on the way there: one for each phone of the word and root behind it. Words with root ANY_ROOT behind
them share these by *suffix*, the end of a pronunciation, even if the words differ.
"""

from __future__ import annotations

import numpy as np

from speechattn.jit import F32_ARRAY, I32_ARRAY, I32_MATRIX, jit, jit_inline

NO_NODE = -1
ANY_ROOT = 0  # the root of any word
PHONE, REST = 0, 1  # columns of suffixes
LOW, HIGH, DEPTH = 0, 1, 2  # columns of branches: their arrivals, and phones before them


def suffixes(phones: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the ends of pronunciations, in the order in which they are met from end to beginning.

    Args:
        phones: of all pronunciations, one after the other, int32, shape (N,).
        lengths: of each, int32.

    Returns:
        For each phone the number of the suffix that begins with it, int32, shape (N,); and of each
        suffix its first phone and the number of the rest, ``NO_NODE`` after the last phone, int32,
        shape (suffixes, 2).
    """
    ends = lengths.cumsum(dtype=np.int64)
    found = np.empty(len(phones), np.int64)  # suffixes, numbered by their lengths first
    rest = np.full(len(lengths), NO_NODE, np.int64)  # of each pronunciation, already numbered
    suffix, met, count = [], [], 0
    for depth in range(int(lengths.max(initial=0))):
        (ways,) = np.nonzero(lengths > depth)
        at = ends[ways] - 1 - depth
        key = (rest[ways] - NO_NODE) * (int(phones.max()) + 1) + phones[at]
        _, first, which = np.unique(key, return_index=True, return_inverse=True)
        suffix.append(np.stack([phones[at[first]], rest[ways[first]]], 1))
        met.append(ends[ways[first]] - lengths[ways[first]] + depth)
        found[at] = rest[ways] = count + which
        count += len(first)
    number = np.empty(count + 1, np.int32)
    number[np.argsort(np.concatenate([[], *met]))] = np.arange(count)
    number[NO_NODE] = NO_NODE
    table = np.concatenate([np.empty((0, 2), np.int64), *suffix])
    table[:, REST] = number[table[:, REST]]
    ordered = np.empty((count, 2), np.int32)
    ordered[number[:count]] = table
    return number[found], ordered


def roots_behind_triples(
    histories: np.ndarray,
    first_triple: np.ndarray,
    third: np.ndarray,
    first_pair: np.ndarray,
    second: np.ndarray,
    after_pair: np.ndarray,
    after_word: np.ndarray,
) -> np.ndarray:
    """The root behind the last word of each triple: that of its last pair, if that is known.

    Args:
        histories: the pairs that triples begin with.
        first_triple: the first triple of each of these, and last how many there are.
        third: last words.
        first_pair: the first pair of each word, and last how many there are.
        second: second words of the pairs, in order for each first word.
        after_pair, after_word: roots behind these.
    """
    behind = after_word[third]
    first = np.repeat(np.arange(len(first_pair) - 1), np.diff(first_pair))
    pairs = first * len(after_word) + second
    last_pairs = np.repeat(second[histories], np.diff(first_triple)).astype(np.int64)
    last_pairs = last_pairs * len(after_word) + third
    found = np.searchsorted(pairs, last_pairs)
    (known,) = np.nonzero(np.append(pairs, -1)[found] == last_pairs)
    behind[known] = after_pair[found[known]]
    return behind


def arrivals(
    first: np.ndarray,
    word: np.ndarray,
    log_prob: np.ndarray,
    after: np.ndarray,
    log_unigram: np.ndarray,
    after_word: np.ndarray,
    first_way: np.ndarray,
    order: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """List the words that may begin at each root, in all their pronunciations.

    Args:
        first: the first word of each root but ``ANY_ROOT``, and last the number of these words.
        word, log_prob, after: these words, their log probabilities, and the roots behind them.
        log_unigram, after_word: log probability of each word at ``ANY_ROOT``, the root behind it.
        first_way: the first pronunciation of each word, and last how many there are.
        order: all pronunciations, in the order of their phones.

    Returns:
        The first arrival of each root, and behind the last root their number; the pronunciation of
        each arrival, its log probability and the root behind it, in the order of phones at each
        root.
    """
    ways = np.diff(first_way)
    owner = np.repeat(np.arange(len(ways)), ways)[order]
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    # Pronunciations of the words at the other roots, in the order of these words.
    each = np.repeat(np.arange(len(word)), ways[word])
    ends = np.concatenate([[0], ways[word].cumsum(dtype=np.int64)])
    way = first_way[word[each]] + np.arange(len(each)) - ends[each]
    root = np.repeat(np.arange(len(first) - 1), np.diff(ends[first]))
    sort = np.argsort(root * len(order) + place[way], kind="stable")  # few are out of order
    each = each[sort]
    return (
        np.concatenate([[0], len(order) + ends[first]]).astype(np.int32),
        np.concatenate([order, way[sort]]).astype(np.int32),
        np.concatenate([log_unigram[owner], log_prob[each]]),
        np.concatenate([after_word[owner], after[each]]),
    )


@jit_inline
def _single_words(
    spoken,
    phones,
    begins,
    first_way,
    suffix,
    arc_first,
    arcs,
    arc_score,
    jump_first,
    jumps,
    jump_score,
    num_arcs,
    num_jumps,
):
    """Write the states where one word is left: by suffix, and then for every root behind a word.

    Args:
        num_arcs, num_jumps: written so far.
        the others: as in :func:`grow`, which they are written for.

    Returns:
        The state behind them, arcs and jumps written so far.
    """
    roots = len(spoken)
    state = roots
    for rest in range(len(suffix)):
        arc_first[state], jump_first[state] = num_arcs, num_jumps
        state += 1
        left = suffix[rest, REST]
        if left == NO_NODE:
            jumps[num_jumps], jump_score[num_jumps] = ANY_ROOT, 0.0
            num_jumps += 1
        else:
            arcs[num_arcs, 0], arcs[num_arcs, 1] = suffix[left, PHONE], roots + left
            arc_score[num_arcs] = 0.0
            num_arcs += 1
    for root in range(roots):
        if spoken[root] == NO_NODE:
            continue
        for w in range(first_way[spoken[root]], first_way[spoken[root] + 1]):
            for i in range(begins[w], begins[w + 1]):
                arc_first[state], jump_first[state] = num_arcs, num_jumps
                state += 1
                if i + 1 == begins[w + 1]:
                    jumps[num_jumps], jump_score[num_jumps] = root, 0.0
                    num_jumps += 1
                else:
                    arcs[num_arcs, 0], arcs[num_arcs, 1] = phones[i + 1], state
                    arc_score[num_arcs] = 0.0
                    num_arcs += 1
    return state, num_arcs, num_jumps


@jit(
    f"Tuple(({I32_ARRAY}, {I32_MATRIX}, {F32_ARRAY}, {I32_ARRAY}, {I32_ARRAY}, {F32_ARRAY}))",
    *(I32_ARRAY, I32_ARRAY, F32_ARRAY, I32_ARRAY, I32_ARRAY, I32_ARRAY, F32_ARRAY),
    *(I32_ARRAY, I32_ARRAY, I32_ARRAY, I32_ARRAY, I32_MATRIX),
)
def grow(
    arrival_first,
    way,
    score,
    behind,
    spoken,
    back,
    back_score,
    phones,
    begins,
    first_way,
    number,
    suffix,
):
    """Build the network.

    Args:
        arrival_first: the first arrival of each root, and behind the last root their number.
        way, score, behind: pronunciation of each arrival, its log probability, and the root behind
            it; those of a root in the order of their phones.
        spoken: the word that each root is behind, ``NO_NODE`` for none.
        back, back_score: the root that each falls back to, ``NO_NODE`` for none, its log weight.
        phones, begins: of all pronunciations; where each begins, and last where the last one ends.
        first_way: the first pronunciation of each word, and last how many there are.
        number, suffix: see :func:`suffixes`.

    Returns:
        As in :class:`speechattn.decoder.lm.word_network.Network`.
    """
    roots = len(back)
    # Room for all: memory that is never written costs nothing.
    most = 0
    for k in range(len(way)):
        most += begins[way[k] + 1] - begins[way[k]]
    states = roots + len(suffix)
    block = np.full(roots, NO_NODE, np.int32)  # where the states of the word before a root begin
    for root in range(roots):
        if spoken[root] != NO_NODE:
            block[root] = states
            states += begins[first_way[spoken[root] + 1]] - begins[first_way[spoken[root]]]
    first_branch, room = states, states + most
    arc_first, jump_first = np.empty(room + 1, np.int32), np.empty(room + 1, np.int32)
    branch, paid = np.empty((most, 3), np.int32), np.empty(most, np.float32)
    arcs, arc_score = np.empty((room, 2), np.int32), np.empty(room, np.float32)
    jumps, jump_score = np.empty(room, np.int32), np.empty(room, np.float32)
    state, num_arcs, num_jumps = 0, 0, 0
    while state < states:
        if state == roots:  # those of single words lie between the roots and the branches
            state, num_arcs, num_jumps = _single_words(
                *(spoken, phones, begins, first_way, suffix),
                *(arc_first, arcs, arc_score, jump_first, jumps, jump_score, num_arcs, num_jumps),
            )
            continue
        arc_first[state], jump_first[state] = num_arcs, num_jumps
        if state < roots:
            k, high, depth, due = arrival_first[state], arrival_first[state + 1], 0, np.float32(0)
            if back[state] != NO_NODE:
                jumps[num_jumps], jump_score[num_jumps] = back[state], back_score[state]
                num_jumps += 1
        else:
            b = state - first_branch
            k, high, depth, due = branch[b, LOW], branch[b, HIGH], branch[b, DEPTH], paid[b]
        while k < high and begins[way[k]] + depth == begins[way[k] + 1]:  # the shortest come first
            jumps[num_jumps], jump_score[num_jumps] = behind[k], score[k] - due
            num_jumps += 1
            k += 1
        while k < high:
            begin, best = k, score[k]
            at = begins[way[k]] + depth
            phone = phones[at]
            k += 1
            while k < high and phones[begins[way[k]] + depth] == phone:
                best = max(best, score[k])
                k += 1
            if k > begin + 1:
                target, b = states, states - first_branch
                branch[b, LOW], branch[b, HIGH], branch[b, DEPTH] = begin, k, depth + 1
                paid[b] = best
                states += 1
            elif behind[begin] == ANY_ROOT:
                target = roots + number[at]
            else:
                target = block[behind[begin]] + at - begins[first_way[spoken[behind[begin]]]]
            # In the order of scores: the likelier ones move up.
            value, a = best - due, num_arcs
            while a > arc_first[state] and arc_score[a - 1] < value:
                arcs[a, 0], arcs[a, 1] = arcs[a - 1, 0], arcs[a - 1, 1]
                arc_score[a] = arc_score[a - 1]
                a -= 1
            arcs[a, 0], arcs[a, 1], arc_score[a] = phone, target, value
            num_arcs += 1
        state += 1
    arc_first[states], jump_first[states] = num_arcs, num_jumps
    return (
        arc_first[: states + 1],
        arcs[:num_arcs],
        arc_score[:num_arcs],
        jump_first[: states + 1],
        jumps[:num_jumps],
        jump_score[:num_jumps],
    )
