"""Who sees whom: blocks against the definition, written out pair by pair."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from speechattn.attention.masks import AttentionMask, Block, FullMask, WindowMask
from speechattn.attention.sparse_masks import GraphMask, ImageMask, mask_from_config

SIDE = st.one_of(st.none(), st.integers(0, 200))


def shown(blocks: list[Block], queries: int, keys: int) -> torch.Tensor:
    """How often the blocks show every pair, shape (queries, keys)."""
    counts = torch.zeros(queries, keys, dtype=torch.long)
    for block in blocks:
        count, rows, width = block.allowed.shape
        assert block.queries.shape == (count, rows) and block.keys.shape == (count, width)
        at = block.queries[:, :, None], block.keys[:, None]
        counts.index_put_(at, block.allowed.long(), accumulate=True)
    return counts


def check(visibility: AttentionMask, positions: int, sees) -> None:
    """Blocks, their pieces and the matrix all show the pairs for which ``sees(query, key)``, once."""
    places = range(positions)
    expected = [[int(sees(query, key)) for key in places] for query in places]
    expected = torch.tensor(expected, dtype=torch.long).view(positions, positions)
    blocks = visibility.blocks(positions)
    assert torch.equal(shown(blocks, positions, positions), expected)
    queries = torch.cat([b.queries.flatten() for b in blocks] or [torch.zeros(0)]).tolist()
    assert len(set(queries)) == len(queries)
    pieces = [piece for block in blocks for piece in block.pieces(100)]
    assert torch.equal(shown(pieces, positions, positions), expected)
    assert torch.equal(visibility.matrix(positions).long(), expected)


@given(positions=st.integers(0, 120), left=SIDE, right=SIDE)
@example(positions=120, left=3, right=5)
@example(positions=120, left=0, right=0)
@settings(max_examples=25)
def test_window(positions, left, right):
    def sees(query, key):
        past = left is None or key >= query - left
        return past and (right is None or key <= query + right)

    check(WindowMask(left, right), positions, sees)


@pytest.mark.parametrize("positions", [0, 1, 70])
def test_everything(positions):
    check(FullMask(), positions, lambda query, key: True)


@given(
    positions=st.integers(1, 150), left=SIDE, right=SIDE, start=st.integers(0, 150), data=st.data()
)
@settings(max_examples=25)
def test_window_of_a_stream_is_part_of_the_whole(positions, left, right, start, data):
    offset = min(start, positions)
    queries = data.draw(st.integers(0, positions - offset))
    blocks = WindowMask(left, right).blocks(positions, offset=offset, queries=queries)
    whole = WindowMask(left, right).matrix(positions)[offset : offset + queries]
    assert torch.equal(shown(blocks, queries, positions), whole.long())


@given(nodes=st.integers(1, 25), data=st.data())
@settings(max_examples=25)
def test_edges(nodes, data):
    node = st.integers(0, nodes - 1)
    pairs = data.draw(st.lists(st.tuples(node, node), max_size=80))
    check(GraphMask(pairs, nodes), nodes, lambda query, key: (query, key) in set(pairs))


@given(
    height=st.integers(0, 8),
    width=st.integers(0, 8),
    reach=st.tuples(*[st.one_of(st.none(), st.integers(0, 9))] * 2),
)
@settings(max_examples=25)
def test_grid(height, width, reach):
    rows, columns = (99 if r is None else r for r in reach)

    def sees(query, key):
        down, across = key // width - query // width, key % width - query % width
        return abs(down) <= rows and abs(across) <= columns

    check(ImageMask(height, width, reach), height * width, sees)


def test_coordinates():
    assert FullMask().coordinates(3).tolist() == [[0], [1], [2]]
    assert ImageMask(2, 3).coordinates(6).tolist() == [
        [0, 0],
        [0, 1],
        [0, 2],
        [1, 0],
        [1, 1],
        [1, 2],
    ]


def size(blocks: list[Block]) -> int:
    return sum(block.allowed.numel() for block in blocks)


def test_cost_is_proportional_to_the_pairs():
    for positions in (1_000, 10_000):
        assert size(WindowMask(32, 32).blocks(positions)) <= 1.6 * 65 * positions
        star = [(0, n) for n in range(positions)] + [(n, 0) for n in range(positions)]
        assert size(GraphMask(star, positions).blocks(positions)) <= 2 * len(star)
        assert size(ImageMask(positions // 100, 100, (1, 2)).blocks(positions)) == 15 * positions


def test_pieces_are_small():
    (block,) = FullMask().blocks(50)
    assert {size([piece]) for piece in block.pieces(120)} == {100}
    assert {size([piece]) for piece in block.pieces(1)} == {50}  # a row cannot be divided
    assert len(list(block.pieces(2500))) == 1


def test_blocks_of_a_graph_are_made_once():
    graph = GraphMask([(0, 1)], 2)
    assert graph.blocks(2) is graph.blocks(2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WindowMask(-1, 0), "left: -1"),
        (lambda: WindowMask(0, -3), "right: -3"),
        (lambda: WindowMask(1.5, 0), "left: 1.5"),
        (lambda: WindowMask(True, 0), "left: True"),
        (lambda: GraphMask([(0, 1), (0, 5)], 5), r"pairs: edge 1 is \[0, 5\]; nodes are 0 to 4"),
        (lambda: GraphMask([(-1, 0)], 5), r"edge 0 is \[-1, 0\]"),
        (lambda: GraphMask([(0, 1, 2)], 5), r"pairs: shape \(1, 3\)"),
        (lambda: GraphMask([(0.5, 1.0)], 5), "pairs: of type torch.float32"),
        (lambda: GraphMask([(0, 1), (1,)], 5), r"pairs: \[\(0, 1\), \(1,\)\]"),
        (lambda: GraphMask(["ab"], 5), r"pairs: \['ab'\]"),
        (lambda: GraphMask([], -2), "nodes: -2"),
        (lambda: ImageMask(-2, 2), "height: -2"),
        (lambda: ImageMask(2, 2, (1, -1)), "reach: -1"),
        (lambda: ImageMask(2, 2, 3), "reach: 3"),
        (lambda: ImageMask(2, 3).blocks(5), "image of 2 x 3 pixels for 5 positions"),
        (lambda: GraphMask([], 4).blocks(5), "graph of 4 nodes for 5 positions"),
        (lambda: GraphMask([], 4).blocks(4, offset=1), "offset: 1"),
        (lambda: WindowMask(1, 1).blocks(4, offset=5), "offset: 5"),
        (lambda: WindowMask(1, 1).blocks(4, offset=2, queries=3), "3 queries and 4 keys"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "FullMask()"),
        ("everything", "FullMask()"),
        ([3, None], "WindowMask(3, None)"),
        ({"grid": [2, 3]}, "ImageMask(2, 3, reach=(1, 1))"),
        ({"grid": [2, 3], "reach": [0, None]}, "ImageMask(2, 3, reach=(0, None))"),
        ({"edges": [[0, 1]], "nodes": 2}, "GraphMask(1 edges, 2 nodes)"),
    ],
)
def test_from_configuration(value, expected):
    assert repr(mask_from_config(value)) == expected
    kept = mask_from_config(value)
    assert mask_from_config(kept) is kept


@pytest.mark.parametrize("value", ["all", [1], [1, 2, 3], {"grid": 3}, {"edges": []}, 7])
def test_wrong_configuration(value):
    with pytest.raises(ValueError, match="mask: "):
        mask_from_config(value)
