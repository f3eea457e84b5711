"""What lies behind the decoder's tokens: a tree of finished segments, pruned as they come to agree."""

from __future__ import annotations

import numpy as np

from speechattn.decoder.token_passing import NODE, NODES, NONE, PARENT, TOKENS
from speechattn.jit import FLOATS, INT_TABLE, INTS, compiled, part


@part
def copy_node(nodes, confidence, k, to_nodes, to_confidence, to_k):
    """Copy node ``k`` of one list of nodes to place ``to_k`` of another, or of the same."""
    for column in range(nodes.shape[1]):
        to_nodes[to_k, column] = nodes[k, column]
    to_confidence[to_k] = confidence[k]


@compiled("int64", INT_TABLE, INT_TABLE, FLOATS, INTS, INT_TABLE, FLOATS)
def collect(token, nodes, confidence, count, final, final_confidence):
    """Take out the segments that all tokens share, and the nodes that no token can reach.

    Args:
        token, nodes, confidence, count: as in :func:`speechattn.decoder.viterbi.advance`; changed in place.
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
