"""The inner loops of the decoder: token passing over an automaton of phones, and its history.

Functions over NumPy arrays, compiled by Numba when this module is imported, which the decoder does
only when it is first used: importing Numba takes longer than everything else in the package.

A *token* is the best way to be in one state of the automaton whose phone began in one frame
(Young, Russell and Thornton 1989, "Token passing"). A phone that lasts at least m frames is a
chain of m links whose last one repeats; a token *lacks* as many frames as there are links before
it. Nothing competes inside a chain. A token that lacks none is *ready*: it may stay, or leave for
another phone, and of the ready tokens of a state only the best is kept. Time goes into tokens
that are there, however large the automaton is.

The segments that lie behind a token are a linked list of *nodes*, shared between tokens. What all
tokens share cannot change any more: :func:`collect` hands it out and frees what none can reach.
"""

from __future__ import annotations

import math

import numba
import numpy as np

FLOOR = -1000.0  # nats; lower log posteriors, -inf included, count as this, so no token dies of one
REBASE_FRAMES = 256  # frames between subtractions of the best score, against loss of precision
NONE = -1  # no node, or no token
LOWEST = -1e300  # of scores that are possible

# Columns of a node.
PHONE, START, END, PARENT = 0, 1, 2, 3
# Columns of a token: its state, the phone of that, the frames it lacks, the first frame of the
# phone, its last node, and the node for those that leave it in this frame.
STATE, SPOKEN, LACKS, BEGIN, NODE, LEFT = 0, 1, 2, 3, 4, 5
# What the decoder counts: frames, nodes and tokens, and how often there was no room for a token.
FRAME, NODES, TOKENS, SHORT = 0, 1, 2, 3

# Numba's names for C-contiguous arrays of one and two dimensions.
_FLOATS, _FLOAT_TABLE = "float64[::1]", "float64[:,::1]"
_INTS, _INT_TABLE = "int64[::1]", "int64[:,::1]"
_STATES, _STATE_TABLE = "int32[::1]", "int32[:,::1]"
_TABLES = _FLOAT_TABLE, "float32[:,::1]"  # of a bigram, of longer n-grams


def _compiled(result: str, *arguments: str | tuple[str, ...]):
    """Decorator: compile for these types now, and keep the machine code on disk if possible.

    Where an argument has a tuple of types, the function is compiled for each of them.
    """
    several = max(len(types) if isinstance(types, tuple) else 1 for types in arguments)
    signatures = []
    for i in range(several):
        types = (types[i] if isinstance(types, tuple) else types for types in arguments)
        signatures.append(f"{result}({','.join(types)})")

    def compile_function(function):
        try:
            return numba.njit(signatures, cache=True, nogil=True)(function)
        # No folder can be written, the disk is full, a cached file is broken: do without. Should
        # the function itself be at fault, the next line raises the same again.
        except Exception:  # noqa: BLE001
            return numba.njit(signatures, nogil=True)(function)

    return compile_function


@_compiled(
    "int64",
    *(_TABLES, _STATE_TABLE, _FLOATS, "float64", _FLOATS, _FLOATS),
    *(_FLOATS, "float64", _INT_TABLE, _FLOATS, _STATES, _FLOATS, "int64"),
)
def enter(
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
    values,
    tokens,
):
    """Let the ready tokens enter the phones that may follow.

    The best entry into each state is put behind the tokens, its source in the column ``NODE``.

    Args:
        emission: log scores of the frame, shape (P,).
        entry: ``NONE``, as it is left behind; int32, shape (S,).
        values: room for P scores.
        tokens: how many there are.
        the others: as in :func:`advance`.

    Returns:
        Tokens and entries; ``NONE`` if there is no room for all.
    """
    num_phones = len(emission)
    lead = NONE
    bound = -np.inf
    for k in range(tokens):
        p = token[k, SPOKEN]
        after = score[k] + emission[p]
        if token[k, LACKS] == 0:
            after += stay[p]
            if lead == NONE or score[k] > score[lead]:
                lead = k
        bound = max(bound, after)
    if lead == NONE:
        return tokens
    # What would be below it after the frame need not begin; nor need what is impossible.
    bound = max(LOWEST, bound - beam)

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
            e = entry[target]
            if e == NONE:
                if end == len(score):
                    for e in range(tokens, end):
                        entry[token[e, STATE]] = NONE
                    return NONE
                e = end
                entry[target] = e
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
    for e in range(tokens, end):
        entry[token[e, STATE]] = NONE
    return end


@_compiled(
    "int64",
    *(_FLOATS, _INTS, _INT_TABLE, _FLOATS, _FLOATS, _STATES, _FLOATS, _INT_TABLE, _FLOATS),
    *(_INTS, "int64"),
)
def begin(stay, min_frames, token, score, before, held, seen, nodes, confidence, count, end):
    """Make tokens of the entries behind the tokens, and a node for each token that they follow.

    Args:
        end: tokens and entries.
        the others: as in :func:`advance`.

    Returns:
        How many tokens there are now.
    """
    tokens, t = count[TOKENS], count[FRAME]
    kept = tokens
    for e in range(tokens, end):
        state, p, source = token[e, STATE], token[e, SPOKEN], token[e, NODE]
        # An entry that the token already there will beat when it gets ready is none.
        other = held[state]
        if other != NONE and score[e] <= score[other] + min_frames[p] * stay[p]:
            continue
        k = token[source, LEFT]
        if k == NONE:
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
        token[kept, LEFT] = NONE
        score[kept] = score[e]
        before[kept] = seen[p]
        kept += 1
    return kept


@_compiled(
    "int64",
    *(_FLOATS, _FLOATS, _FLOATS, "float64"),
    *(_INT_TABLE, _FLOATS, _FLOATS, _STATES, _FLOATS, "int64"),
)
def hear(log_posterior, emission, stay, beam, token, score, before, held, seen, tokens):
    """Take tokens through a frame; give up those that another one of their state or the beam beats.

    Args:
        log_posterior: of the frame, shape (P,); changed.
        emission: its log scores, shape (P,).
        tokens: how many there are.
        the others: as in :func:`advance`.

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
                held[state] = NONE
            continue
        to = kept
        if lacks == 1:  # gets ready now; another one in its state began earlier and comes before
            other = held[state]
            if other != NONE and score[k] <= score[other]:
                continue
            if other != NONE:
                to = other
        if lacks <= 1:
            held[state] = to
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
        token[to, LEFT] = NONE
        kept += to == kept
    return kept


@_compiled("void", _FLOATS, "int64")
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


@_compiled(
    "int64",
    *("float32[:,::1]", _TABLES, _STATE_TABLE, _FLOATS, "float64"),
    *(_FLOATS, _FLOATS, _FLOATS, _INTS, _FLOATS, "float64"),
    *(_INT_TABLE, _FLOATS, _FLOATS, _STATES, _STATES, _FLOATS, _INT_TABLE, _FLOATS, _INTS),
)
def advance(
    frames,
    log_prob,
    following,
    best,
    scale,
    log_prior,
    leave,
    stay,
    min_frames,
    initial,
    beam,
    token,
    score,
    before,
    held,
    entry,
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
        held: the ready token of each state or ``NONE``, int32, shape (S,).
        entry: ``NONE``, int32, shape (S,).
        seen: sum of each phone's posterior over the frames so far in which a token had that phone,
            shape (P,).
        nodes: phone, start, end and parent of finished segments, int64, shape (room, 4).
        confidence: mean posterior of the finished segments, shape (room,).
        count: frames decoded, nodes and tokens in use, times that the room for tokens was short,
            int64, shape (4,).

    Returns:
        How many of ``frames`` were used: fewer than all if there might not be room for the next.
    """
    num_phones = len(stay)
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
            end = enter(
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
                values,
                tokens,
            )
            if end == NONE:
                count[SHORT] += 1
                return i
            tokens = begin(
                stay, min_frames, token, score, before, held, seen, nodes, confidence, count, end
            )
        else:
            for q in range(num_phones):
                if initial[q] > -np.inf:
                    token[tokens, STATE] = token[tokens, SPOKEN] = q
                    token[tokens, LACKS] = min_frames[q]
                    token[tokens, BEGIN] = 0
                    token[tokens, NODE] = NONE
                    score[tokens] = initial[q]
                    before[tokens] = 0.0
                    tokens += 1
        count[TOKENS] = hear(
            log_posterior, emission, stay, beam, token, score, before, held, seen, tokens
        )
        count[FRAME] = t + 1
        if (t + 1) % REBASE_FRAMES == 0:  # at fixed frames, so that chunks do not matter
            rebase(score, count[TOKENS])
    return len(frames)


@_compiled("void", _INT_TABLE, _FLOATS, "int64", _INT_TABLE, _FLOATS, "int64")
def copy_node(nodes, confidence, k, to_nodes, to_confidence, to_k):
    """Copy node ``k`` of one list of nodes to place ``to_k`` of another, or of the same."""
    for column in range(nodes.shape[1]):
        to_nodes[to_k, column] = nodes[k, column]
    to_confidence[to_k] = confidence[k]


@_compiled("int64", _INT_TABLE, _INT_TABLE, _FLOATS, _INTS, _INT_TABLE, _FLOATS)
def collect(token, nodes, confidence, count, final, final_confidence):
    """Take out the segments that all tokens share, and the nodes that no token can reach.

    Args:
        token, nodes, confidence, count: as in :func:`advance`; changed in place.
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
    root = NONE
    while tokens[root + 1] == 0 and uses[root + 1] == 1:
        root = child[root + 1]
        copy_node(nodes, confidence, root, final, final_confidence, num_final)
        num_final += 1

    kept = 0
    moved = uses  # reused: where each node is now
    moved[root + 1] = NONE
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
