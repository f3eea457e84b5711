"""The inner loops of the decoder: token passing with a minimum duration, and its history.

Functions over NumPy arrays, compiled by Numba when this module is imported, which the decoder does
only when it is first used: importing Numba takes longer than everything else in the package.

A *token* is the best way to be in one state at one time (Young, Russell and Thornton 1989,
"Token passing"). A phone that lasts at least m frames is a chain of m states whose last one
repeats. Nothing competes inside a chain, so its tokens are kept where they were made, in row
``t % M`` for those that entered a phone in frame t (M: the longest minimum), and only their
scores are updated; row M holds the tokens which have reached the repeating state.

The segments that lie behind a token are a linked list of *nodes*, shared between tokens. What all
tokens share cannot change any more: :func:`collect` hands it out and frees what none can reach.
"""

from __future__ import annotations

import math

import numba
import numpy as np

FLOOR = -1000.0  # nats; lower log posteriors, -inf included, count as this, so no token dies of one
REBASE_FRAMES = 256  # frames between subtractions of the best score, against loss of precision
NO_NODE = -1

# Columns of a node.
PHONE, START, END, PARENT = 0, 1, 2, 3
# What the decoder counts.
FRAME, NODES = 0, 1

# Numba's names for C-contiguous arrays of one and two dimensions.
_FLOATS, _FLOAT_TABLE = "float64[::1]", "float64[:,::1]"
_INTS, _INT_TABLE = "int64[::1]", "int64[:,::1]"


def _compiled(result: str, *arguments: str):
    """Decorator: compile for these types now, and keep the machine code on disk if possible."""
    signature = f"{result}({','.join(arguments)})"

    def compile_function(function):
        try:
            return numba.njit(signature, cache=True, nogil=True)(function)
        # No folder can be written, the disk is full, a cached file is broken: do without. Should
        # the function itself be at fault, the next line raises the same again.
        except Exception:  # noqa: BLE001
            return numba.njit(signature, nogil=True)(function)

    return compile_function


@_compiled("void", _FLOAT_TABLE, _FLOAT_TABLE, _FLOATS, _FLOATS, _INTS)
def best_sources(score, transition, best_exit, best, source):
    """For every phone, the best phone to come from: a max-plus vector-matrix product.

    Phones whose best exit is no better than the worst entry found from the leading phone are
    skipped; they cannot improve any, so the result is exact.

    Args:
        score, transition, best_exit: as in :func:`advance`.
        best: result, the score on entering each phone, shape (P,).
        source: result, the phone it comes from, int64, shape (P,).
    """
    held = len(score) - 1
    num_phones = len(best)
    lead = 0
    for p in range(num_phones):
        if score[held, p] > score[held, lead]:
            lead = p
    worst = np.inf
    for q in range(num_phones):
        best[q] = score[held, lead] + transition[lead, q]
        source[q] = lead
        worst = min(worst, best[q])
    for p in range(num_phones):
        if p == lead or score[held, p] + best_exit[p] <= worst:
            continue
        for q in range(num_phones):
            value = score[held, p] + transition[p, q]
            better = value > best[q]
            best[q] = value if better else best[q]
            source[q] = p if better else source[q]


@_compiled("void", _FLOAT_TABLE)
def rebase(score):
    """Subtract the best score from all; a recording of hours loses no precision that way.

    Args:
        score: shape (M + 1, P), changed in place.
    """
    highest = -np.inf
    for r in range(score.shape[0]):
        for q in range(score.shape[1]):
            highest = max(highest, score[r, q])
    for r in range(score.shape[0]):
        for q in range(score.shape[1]):
            score[r, q] -= highest


@_compiled(
    "int64",
    "float32[:,::1]",
    _FLOATS,
    _FLOAT_TABLE,
    _FLOATS,
    _FLOATS,
    _INTS,
    _FLOATS,
    _FLOAT_TABLE,
    _INT_TABLE,
    _INT_TABLE,
    _FLOAT_TABLE,
    _FLOATS,
    _INT_TABLE,
    _FLOATS,
    _INTS,
)
def advance(
    frames,
    log_prior,
    transition,
    best_exit,
    stay,
    min_frames,
    initial,
    score,
    start,
    node,
    before,
    seen,
    nodes,
    confidence,
    count,
):
    """Pass the tokens through frames until these, or the room for nodes, come to an end.

    Args:
        frames: log posteriors, float32, shape (frames, P), without NaN.
        log_prior: what to subtract from each of them, scaled, shape (P,).
        transition: log score of leaving one phone and entering the next, shape (P, P).
        best_exit: largest value of each row of ``transition``, shape (P,).
        stay: log score of one more frame past the minimum, shape (P,).
        min_frames: shortest duration in frames, int64, shape (P,).
        initial: log score of beginning with a phone, shape (P,).
        score, start, node, before: the tokens, shape (M + 1, P): log score, first frame of the
            phone, last node, and ``seen`` at that first frame.
        seen: sum of each phone's posterior over all frames so far, shape (P,).
        nodes: phone, start, end and parent of finished segments, int64, shape (room, 4).
        confidence: mean posterior of the finished segments, shape (room,).
        count: frames decoded and nodes in use, int64, shape (2,).

    Returns:
        How many of ``frames`` were used: fewer than all if up to P more nodes might not fit.
    """
    num_phones = len(stay)
    held = len(score) - 1  # the row of tokens past their minimum duration, M
    best = initial.copy()
    source = np.empty(num_phones, np.int64)
    made = np.empty(num_phones, np.int64)
    emission = np.empty(num_phones)
    for i in range(len(frames)):
        t = count[FRAME]
        if count[NODES] + num_phones > len(nodes):
            return i
        if t > 0:
            best_sources(score, transition, best_exit, best, source)

        row = t % held
        for p in range(num_phones):
            made[p] = NO_NODE
        for q in range(num_phones):
            # An entry that the token already in q will beat when it arrives needs no node.
            if best[q] == -np.inf or best[q] <= score[held, q] + min_frames[q] * stay[q]:
                score[row, q] = -np.inf
                continue
            score[row, q] = best[q]
            start[row, q] = t
            before[row, q] = seen[q]
            node[row, q] = NO_NODE
            if t > 0:
                p = source[q]
                if made[p] == NO_NODE:
                    k = count[NODES]
                    nodes[k, PHONE] = p
                    nodes[k, START] = start[held, p]
                    nodes[k, END] = t
                    nodes[k, PARENT] = node[held, p]
                    confidence[k] = (seen[p] - before[held, p]) / (t - start[held, p])
                    made[p] = k
                    count[NODES] = k + 1
                node[row, q] = made[p]

        for q in range(num_phones):
            log_posterior = max(FLOOR, float(frames[i, q]))
            emission[q] = log_posterior - log_prior[q]
            seen[q] += min(1.0, math.exp(log_posterior))
        for r in range(held):
            for q in range(num_phones):
                score[r, q] += emission[q]
        for q in range(num_phones):
            score[held, q] += stay[q] + emission[q]
            r = row - min_frames[q] + 1  # the token that reaches the repeating state now
            if r < 0:
                r += held
            if score[r, q] > score[held, q]:
                score[held, q] = score[r, q]
                start[held, q] = start[r, q]
                node[held, q] = node[r, q]
                before[held, q] = before[r, q]
            score[r, q] = -np.inf

        count[FRAME] = t + 1
        if (t + 1) % REBASE_FRAMES == 0:  # at fixed frames, so that chunks do not matter
            rebase(score)
    return len(frames)


@_compiled("void", _INT_TABLE, _FLOATS, "int64", _INT_TABLE, _FLOATS, "int64")
def copy_node(nodes, confidence, k, to_nodes, to_confidence, to_k):
    """Copy node ``k`` of one list of nodes to place ``to_k`` of another, or of the same."""
    for column in range(nodes.shape[1]):
        to_nodes[to_k, column] = nodes[k, column]
    to_confidence[to_k] = confidence[k]


@_compiled("int64", _FLOAT_TABLE, _INT_TABLE, _INT_TABLE, _FLOATS, _INTS, _INT_TABLE, _FLOATS)
def collect(score, node, nodes, confidence, count, final, final_confidence):
    """Take out the segments that all tokens share, and the nodes that no token can reach.

    Args:
        score, node, nodes, confidence, count: as in :func:`advance`; changed in place.
        final, final_confidence: result, like ``nodes`` and ``confidence`` and with as much room:
            the segments which are final, in order of time.

    Returns:
        How many are final.
    """
    used = count[NODES]
    # One place for each node k, at k + 1; place 0 stands for NO_NODE, the root of the tree.
    tokens = np.zeros(used + 1, np.int64)  # tokens that hang on the node
    uses = np.zeros(used + 1, np.int64)  # these and the reachable nodes that do
    child = np.zeros(used + 1, np.int64)  # one of those nodes
    for r in range(score.shape[0]):
        for q in range(score.shape[1]):
            if score[r, q] > -np.inf:
                tokens[node[r, q] + 1] += 1
                uses[node[r, q] + 1] += 1
    for k in range(used - 1, -1, -1):  # parents are always older, hence before their children
        if uses[k + 1] > 0:
            uses[nodes[k, PARENT] + 1] += 1
            child[nodes[k, PARENT] + 1] = k

    num_final = 0
    root = NO_NODE
    while tokens[root + 1] == 0 and uses[root + 1] == 1:
        root = child[root + 1]
        copy_node(nodes, confidence, root, final, final_confidence, num_final)
        num_final += 1

    kept = 0
    moved = uses  # reused: where each node is now
    moved[root + 1] = NO_NODE
    for k in range(root + 1, used):
        if uses[k + 1] > 0:
            copy_node(nodes, confidence, k, nodes, confidence, kept)
            nodes[kept, PARENT] = moved[nodes[kept, PARENT] + 1]
            moved[k + 1] = kept
            kept += 1
    for r in range(score.shape[0]):
        for q in range(score.shape[1]):
            if score[r, q] > -np.inf:
                node[r, q] = moved[node[r, q] + 1]
    count[NODES] = kept
    return num_final
