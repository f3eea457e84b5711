"""What lies behind the tokens of the search for words, compiled: which of it is final."""

from __future__ import annotations

import numpy as np

from speechattn.decoder.word_records import NODE, NODE_COLUMNS, NONE, PARENT, SOURCE
from speechattn.jit import I64_MATRIX, jit, jit_inline


@jit_inline
def copy_row(source, k, target, to_k):
    """Copy a row of one table to a row of another, or of the same."""
    for column in range(source.shape[1]):  # slices would take long to compile
        target[to_k, column] = source[k, column]


@jit(I64_MATRIX, I64_MATRIX, I64_MATRIX, I64_MATRIX)
def take_final(nodes, tokens, entries):
    """Take out the nodes that all hypotheses share, and those that none of them reaches.

    Args:
        nodes: of :class:`State`.
        tokens, entries: of :class:`State`; changed in place, for the new numbers of the nodes.

    Returns:
        A row whose first number says how many nodes are final, these in order of time, and then
        the nodes that are left; int64, shape (rows, 4).
    """
    used = len(nodes)
    # Node k is at k + 1; index 0 stands for none, the root of the tree.
    held = np.zeros(used + 1, np.int64)  # by tokens and entries
    uses = np.zeros(used + 1, np.int64)  # these and the reachable nodes behind it
    child = np.zeros(used + 1, np.int64)  # one of those nodes
    for k in range(len(tokens)):
        held[tokens[k, NODE] + 1] += 1
    for k in range(len(entries)):
        held[entries[k, SOURCE] + 1] += 1
    for k in range(used + 1):
        uses[k] = held[k]
    for k in range(used - 1, -1, -1):  # parents are older, hence before their children
        if uses[k + 1] > 0:
            uses[nodes[k, PARENT] + 1] += 1
            child[nodes[k, PARENT] + 1] = k
    result = np.empty((used + 1, NODE_COLUMNS), np.int64)
    final, root = 0, NONE
    while held[root + 1] == 0 and uses[root + 1] == 1:
        root = child[root + 1]
        final += 1
        copy_row(nodes, root, result, final)
    result[0, 0] = final
    moved = np.full(used + 1, NONE, np.int64)  # where each node is now
    left = 0
    for k in range(root + 1, used):
        if uses[k + 1] > 0:
            copy_row(nodes, k, result, 1 + final + left)
            result[1 + final + left, PARENT] = moved[nodes[k, PARENT] + 1]
            moved[k + 1] = left
            left += 1
    for k in range(len(tokens)):
        tokens[k, NODE] = moved[tokens[k, NODE] + 1]
    for k in range(len(entries)):
        entries[k, SOURCE] = moved[entries[k, SOURCE] + 1]
    return result[: 1 + final + left]
