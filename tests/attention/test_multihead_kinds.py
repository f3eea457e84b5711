"""The attention family against its equations, written out number by number in float64."""

from __future__ import annotations

import copy
import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.attention import blockwise
from speechattn.attention.convolution import AttentionConvolution
from speechattn.attention.functional import SCORES, WEIGHTS, attend
from speechattn.attention.kernels import autograd
from speechattn.attention.masks import FullMask, WindowMask
from speechattn.attention.multihead import MultiHeadAttention
from speechattn.attention.positions import POSITIONS, DistanceBias, rotate, rotation, sinusoids
from speechattn.attention.sparse_masks import GraphMask, ImageMask

N = 12
EDGES = [(0, 3), (0, 0), (0, 7), (1, 1), (5, 11), (11, 5), (7, 7), (7, 2), (7, 3)]
GRAPH = GraphMask(EDGES, N)
VISIBILITIES = [
    FullMask(),
    WindowMask(2, 1),
    WindowMask(0, 0),
    WindowMask(None, 0),
    GRAPH,
    ImageMask(3, 4),
]
KINDS = [
    kind
    for kind in itertools.product(SCORES, WEIGHTS, POSITIONS)
    if kind[::2] != ("additive", "rotary")
]


def sees(visibility, i: int, j: int) -> bool:
    """The definitions, once more."""
    if isinstance(visibility, ImageMask):
        return abs(i // 4 - j // 4) <= 1 and abs(i % 4 - j % 4) <= 1
    if isinstance(visibility, GraphMask):
        return (i, j) in EDGES
    left = math.inf if visibility.left is None else visibility.left
    right = math.inf if visibility.right is None else visibility.right
    return -left <= j - i <= right


def score(q, k, energy) -> float:
    if energy is None:
        return sum(a * b for a, b in zip(q, k)) / math.sqrt(len(q))
    return sum(e * math.tanh(a + b) for e, a, b in zip(energy, q, k))


def equation(q, k, v, see, weights, energy=None, bias=None, length=None):
    """One sequence; q, k, v: (n, heads, d). ``bias(h, i, j)`` is added to the scores."""
    n, heads, _ = q.shape
    out = torch.zeros(n, heads, v.shape[-1], dtype=torch.float64)
    length = n if length is None else length
    q, k, values = q.tolist(), k.tolist(), v.double()
    energy = [None] * heads if energy is None else energy.tolist()
    for i, h in itertools.product(range(length), range(heads)):
        keys = [j for j in range(length) if see(i, j)]
        scores = [score(q[i][h], k[j][h], energy[h]) for j in keys]
        if bias is not None:
            scores = [s + bias(h, i, j) for s, j in zip(scores, keys)]
        if weights == "softmax":
            exps = [math.exp(s) for s in scores]
            shares = [x / sum(exps) for x in exps]
        else:
            shares = [max(0.0, s) / len(keys) for s in scores]
        out[i, h] = torch.tensor(shares, dtype=torch.float64) @ values[keys, h]
    return out


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def layer_of(kind, visibility, **options) -> MultiHeadAttention:
    scores, weights, positions = kind
    torch.manual_seed(1)
    if positions == "distance":
        options.setdefault("reach", (1,) * visibility.axes)
    layer = MultiHeadAttention(
        8,
        2,
        scores=scores,
        weights=weights,
        positions=positions,
        mask=visibility,
        trained_length=N if positions == "learned" else None,
        **options,
    )
    if layer.bias is not None:
        torch.nn.init.normal_(layer.bias.table)
    return layer


def by_hand(layer, x, see, place, length=None):
    """The layer from its weights; x: (n, 8); place: coordinates as lists."""
    x, n, axes = x.double().clone(), len(x), len(place[0])
    if layer.positions == "sinusoidal":
        share = 8 // axes
        for p, axis, c in itertools.product(range(n), range(axes), range(share)):
            angle = place[p][axis] / 10000 ** ((c - c % 2) / share)
            x[p, axis * share + c] += math.cos(angle) if c % 2 else math.sin(angle)
    if layer.positions == "learned":
        x += layer.learned.table.double()[:n]
    matrix, add = layer.project.weight.double(), layer.project.bias.double()
    q, k, v = (x @ matrix.T + add).view(n, 3, 2, 4).unbind(1)
    if layer.positions == "rotary":
        share = 4 // axes
        for vectors in (q, k):
            for p, h, axis, c in itertools.product(
                range(n), range(2), range(axes), range(share // 2)
            ):
                angle = place[p][axis] * 10000 ** (-2 * c / share)
                one, two = axis * share + c, axis * share + c + share // 2
                a, b = vectors[p, h, one].item(), vectors[p, h, two].item()
                vectors[p, h, one] = a * math.cos(angle) - b * math.sin(angle)
                vectors[p, h, two] = a * math.sin(angle) + b * math.cos(angle)

    table = layer.bias.table.tolist() if layer.bias else None

    def bias(h, i, j):
        offset = [b - a for a, b in zip(place[i], place[j])]
        near = [max(-1, min(1, o)) for o in offset]  # reach 1 on every axis
        beyond = sum(abs(o) - abs(c) for o, c in zip(offset, near))
        slope = 2 ** (-8 * (h + 1) / 2)
        number = table[h]
        for c in near:
            number = number[c + 1]
        return number - slope * beyond

    distance = bias if layer.positions == "distance" else None
    out = equation(q, k, v, see, layer.weights, layer.energy, distance, length)
    return out.flatten(1) @ layer.join.weight.double().T + layer.join.bias.double()


@pytest.mark.parametrize("visibility", VISIBILITIES, ids=repr)
@pytest.mark.parametrize("kind", KINDS, ids="-".join)
@torch.no_grad()
def test_every_variant_is_its_equation(kind, visibility):
    layer = layer_of(kind, visibility)
    x = numbers(2, N, 8)
    lengths = torch.tensor([N, 7])
    out = layer(x, lengths)
    place = visibility.coordinates(N).tolist()
    for row, length in enumerate(lengths.tolist()):
        expected = by_hand(layer, x[row], lambda i, j: sees(visibility, i, j), place, length)
        torch.testing.assert_close(out[row].double(), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(layer(x)[0], out[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("heads", [1, 2, 3, 4, 6, 12])
@torch.no_grad()
def test_any_number_of_heads_that_divides_the_width(heads):
    layer = MultiHeadAttention(12, heads, mask=WindowMask(3, 2))
    x = numbers(1, 20, 12)
    q, k, v = layer.project(x[0]).view(20, 3, heads, 12 // heads).unbind(1)
    mixed = equation(q, k, v, lambda i, j: -3 <= j - i <= 2, "softmax")
    expected = mixed.flatten(1) @ layer.join.weight.double().T + layer.join.bias.double()
    torch.testing.assert_close(layer(x)[0].double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
@pytest.mark.parametrize("visibility", [WindowMask(2, 1), GRAPH], ids=repr)
def test_gradients(kind, visibility):
    """Against differences; node 2 of the graph sees nothing, and one sequence is all padding."""
    layer = layer_of(kind, visibility).double()
    x = numbers(2, N, 8).double().requires_grad_()
    lengths = torch.tensor([N - 1, 0])
    target = numbers(2, N, 8, seed=5).double()
    leaves = [x, *layer.parameters()]
    gradients = torch.autograd.grad((layer(x, lengths) * target).sum(), leaves, allow_unused=True)
    assert all(g is not None and bool(torch.isfinite(g).all()) for g in gradients)
    step = 1e-6
    for number, (leaf, gradient) in enumerate(zip(leaves, gradients)):
        way = numbers(*leaf.shape, seed=number).double()
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                leaf += sign * step * way
                values.append((layer(x, lengths) * target).sum())
                leaf -= sign * step * way
        slope = (values[0] - values[1]) / (2 * step)
        torch.testing.assert_close((gradient * way).sum(), slope, rtol=1e-4, atol=1e-6)


@given(
    n=st.integers(1, 90),
    left=st.one_of(st.none(), st.integers(0, 60)),
    right=st.one_of(st.none(), st.integers(0, 60)),
    scores=st.sampled_from(SCORES),
    weights=st.sampled_from(WEIGHTS),
    seed=st.integers(0, 99),
)
@settings(max_examples=40)
def test_windows_of_any_size(n, left, right, scores, weights, seed):
    q, k, v = (numbers(2, n, 2, 3, seed=seed + part) for part in range(3))
    energy = numbers(2, 3) if scores == "additive" else None
    lengths = torch.tensor([n, seed % (n + 1)])
    kind = {"scores": scores, "weights": weights, "score_vector": energy, "lengths": lengths}
    out = attend(q, k, v, WindowMask(left, right), **kind)
    position = torch.arange(n)
    seen = WindowMask(left, right).matrix(n) & (position < lengths[:, None])[:, None]
    seen = (seen & (position < lengths[:, None])[:, :, None])[:, None]
    if energy is None:
        score = torch.einsum("bihd,bjhd->bhij", q, k) / math.sqrt(3)
    else:
        score = torch.einsum("bijhd,hd->bhij", torch.tanh(q[:, :, None] + k[:, None]), energy)
    if weights == "softmax":
        weight = score.masked_fill(~seen, -math.inf).softmax(-1).nan_to_num(0.0)
    else:
        weight = (score.relu() * seen / seen.sum(-1, keepdim=True)).nan_to_num(0.0)
    expected = torch.einsum("bhij,bjhd->bihd", weight, v)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("scores", SCORES)
def test_in_pieces(monkeypatch, scores, weights):
    q, k, v = (numbers(2, 40, 2, 4, seed=part) for part in range(3))
    kind = {"scores": scores, "weights": weights}
    kind["score_vector"] = numbers(2, 4) if scores == "additive" else None
    for visibility in (WindowMask(4, 4), ImageMask(5, 8), FullMask()):
        whole = attend(q, k, v, visibility, **kind)
        monkeypatch.setattr(blockwise, "MAX_ELEMENTS", 500)
        torch.testing.assert_close(attend(q, k, v, visibility, **kind), whole, rtol=0, atol=1e-6)
        monkeypatch.undo()


@pytest.mark.parametrize("visibility", VISIBILITIES, ids=repr)
@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_a_layer_learns_after_it_was_used(kind, visibility):
    """What is kept from inference must be fit for gradients."""
    layer, x = layer_of(kind, copy.copy(visibility)), numbers(1, N, 8)
    with torch.inference_mode():
        used = layer(x)
    learning = layer(x.clone().requires_grad_())
    learning.sum().backward()
    torch.testing.assert_close(learning, used, rtol=0, atol=1e-6)


def test_a_layer_takes_plain_values():
    """Those of a configuration file, in place of the objects."""
    layer, x = MultiHeadAttention(8, 2, mask=[2, 1]), numbers(1, N, 8)
    assert torch.equal(layer(x), layer(x, mask=WindowMask(2, 1)))
    grid = {"grid": [3, 4], "reach": [1, 1]}
    assert torch.equal(layer(x, mask=grid), layer(x, mask=ImageMask(3, 4)))
    edges = {"edges": [list(edge) for edge in EDGES], "nodes": N}
    assert torch.equal(layer(x, mask=edges), layer(x, mask=GRAPH))
    with pytest.raises(TypeError, match=r"mask: \[2, 1\]"):
        attend(*numbers(3, 1, N, 2, 4).unbind(), [2, 1])


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("scores", SCORES)
def test_who_sees_nothing_gets_zeros(scores, weights):
    q, k, v = (numbers(1, 3, 1, 4, seed=part) for part in range(3))
    energy = numbers(1, 4) if scores == "additive" else None
    out = attend(
        q, k, v, GraphMask([(1, 0)], 3), scores=scores, weights=weights, score_vector=energy
    )
    assert out[0, [0, 2]].eq(0).all() and (weights == "relu" or out[0, 1].ne(0).all())
    nothing = torch.tensor([0])
    out = attend(
        q,
        k,
        v,
        WindowMask(1, 1),
        scores=scores,
        weights=weights,
        score_vector=energy,
        lengths=nothing,
    )
    assert out.eq(0).all()


@pytest.mark.parametrize("visibility", [WindowMask(3, 2), FullMask()], ids=repr)
def test_plain_windows_take_the_fast_path(monkeypatch, visibility):
    asked = []
    monkeypatch.setattr(
        autograd,
        "attend",
        lambda q, k, v, left, right, **options: asked.append((left, right)) or torch.zeros_like(q),
    )
    x = numbers(1, N, 8)
    for kind in KINDS:
        asked.clear()
        layer_of(kind, visibility)(x)
        sides = visibility.left, visibility.right
        window = tuple(N if side is None else side for side in sides)
        assert asked == ([window] if kind[:2] == ("dot", "softmax") else [])


@pytest.mark.parametrize("visibility", [WindowMask(2, 1), GRAPH], ids=repr)
@pytest.mark.parametrize("kind", KINDS, ids="-".join)
@torch.no_grad()
def test_padding_may_hold_anything(kind, visibility):
    layer = layer_of(kind, visibility)
    x, lengths = numbers(2, N, 8), torch.tensor([N, 7])
    expected = layer(x, lengths)
    x[1, 7:] = math.nan
    assert torch.equal(layer(x, lengths), expected)
    with pytest.raises(ValueError, match=r"x: nan at \(1, 7, 0\)"):
        layer(x)


def test_function_ignores_padding_and_takes_fewer_queries_than_keys():
    q, k, v = (numbers(2, 9, 2, 4, seed=part) for part in range(3))
    lengths = torch.tensor([9, 5])
    expected = attend(q, k, v, WindowMask(2, 1), lengths=lengths)
    for x in (q, k, v):
        x[1, 5:] = math.nan
    assert torch.equal(attend(q, k, v, WindowMask(2, 1), lengths=lengths), expected)
    part = attend(q[:, 2:6], k, v, WindowMask(2, 1), lengths=lengths, offset=2)
    torch.testing.assert_close(part, expected[:, 2:6], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
@torch.no_grad()
def test_half_precision(kind):
    layer = layer_of(kind, WindowMask(3, 2))
    x = numbers(2, N, 8)
    expected = layer(x)
    out = layer.bfloat16()(x.bfloat16())
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), expected, rtol=0, atol=0.1)


@pytest.mark.parametrize("visibility", [WindowMask(3, 2), FullMask(), GRAPH], ids=repr)
@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_under_autocast(kind, visibility):
    layer = layer_of(kind, visibility)
    x, lengths = numbers(2, N, 8), torch.tensor([N, 7])
    results = []
    for enabled in (False, True):
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            out = layer(x, lengths)
        assert out.dtype == (torch.bfloat16 if enabled else torch.float32)
        out.float().square().sum().backward()
        results.append((out.detach().float(), [p.grad.clone() for p in layer.parameters()]))
    (out, gradients), (rough, rough_gradients) = results
    torch.testing.assert_close(rough, out, rtol=0, atol=0.03)
    for name, (g, r) in zip(dict(layer.named_parameters()), zip(gradients, rough_gradients)):
        assert r.dtype == torch.float32, name
        assert (r - g).norm() <= 0.05 * g.norm() + 0.05, name


# --- streams ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [(4, 2), (3, 0), (None, 1), (2, None)])
@pytest.mark.parametrize("kind", KINDS, ids="-".join)
@torch.no_grad()
def test_streamed_equals_whole(kind, window):
    layer = layer_of(kind, WindowMask(*window))
    x = numbers(1, N, 8)
    for sizes in ([5, 0, 3, 4], [1] * N, [N]):
        state, parts, start = {}, [], 0
        for number, size in enumerate(sizes):
            chunk = x[:, start : start + size]
            start += size
            parts.append(layer.forward_chunk(chunk, state, number == len(sizes) - 1))
            due = 0 if window[1] is None else max(0, start - window[1])
            assert number == len(sizes) - 1 or sum(p.shape[1] for p in parts) == due
            if None not in window:
                assert len(state["keys"]) <= sum(window)
        torch.testing.assert_close(torch.cat(parts, 1), layer(x), rtol=0, atol=1e-5)
        with pytest.raises(ValueError, match="has had its last positions"):
            layer.forward_chunk(x, state, True)


# --- positions -------------------------------------------------------------------------------------


@pytest.mark.parametrize("positions", ["rotary", "distance", "none"])
@torch.no_grad()
def test_relative_positions_do_not_know_where_they_are(positions):
    """Far beyond any length of training, the same input gives the same output anywhere."""
    layer = layer_of(("dot", "softmax", positions), WindowMask(6, 4))
    piece = numbers(1, 30, 8)
    x = torch.zeros(1, 3000, 8)
    x[:, 40:70] = x[:, 2900:2930] = piece
    out = layer(x)
    torch.testing.assert_close(out[:, 46:66], out[:, 2906:2926], rtol=0, atol=1e-4)


def test_distance_bias_is_continuous_and_falls():
    bias = DistanceBias(4, (3,))
    torch.nn.init.normal_(bias.table)
    values = bias(torch.arange(-50, 51)[:, None])
    torch.testing.assert_close(values[:, 47:54], bias.table)
    slopes = torch.tensor([0.25, 0.0625, 0.015625, 0.00390625])  # ALiBi's for four heads
    torch.testing.assert_close(values[:, 54:] - values[:, 53:-1], -slopes[:, None].expand(4, 47))
    torch.testing.assert_close(values[:, :47] - values[:, 1:48], -slopes[:, None].expand(4, 47))


@given(width=st.integers(1, 9), axes=st.integers(1, 3))
@settings(max_examples=20)
def test_sinusoids_tell_positions_apart(width, axes):
    vectors = sinusoids(torch.arange(5)[:, None].expand(5, axes), width)
    assert vectors.shape == (5, width) and vectors.abs().max() <= 1
    assert torch.cdist(vectors, vectors).add(torch.eye(5)).min() > 1e-6


def test_rotation_keeps_lengths():
    x = numbers(1, 6, 2, 8)
    turned = rotate(x, *(t.float() for t in rotation(ImageMask(2, 3).coordinates(6), 8)), axes=2)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert (turned[:, 1:] - x[:, 1:]).abs().max() > 0.1


# --- convolution -----------------------------------------------------------------------------------


@given(
    kernel=st.sampled_from([1, 3, 7]),
    width=st.integers(1, 4),
    out=st.integers(1, 4),
    n=st.integers(1, 80),
    seed=st.integers(0, 99),
)
@settings(max_examples=20)
@torch.no_grad()
def test_convolution_in_time(kernel, width, out, n, seed):
    weight, bias = numbers(out, width, kernel, seed=seed), numbers(out, seed=seed + 1)
    x = numbers(2, n, width, seed=seed + 2)
    expected = F.conv1d(x.mT.double(), weight.double(), bias.double(), padding=kernel // 2).mT
    result = AttentionConvolution(weight, bias)(x)
    torch.testing.assert_close(result.double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kernel", [(3, 3), (1, 5), (5, 3)])
@torch.no_grad()
def test_convolution_of_images(kernel):
    weight, x = numbers(4, 3, *kernel), numbers(2, 9, 7, 3)
    expected = F.conv2d(
        x.permute(0, 3, 1, 2).double(), weight.double(), padding=[k // 2 for k in kernel]
    ).permute(0, 2, 3, 1)
    result = AttentionConvolution(weight)(x)
    torch.testing.assert_close(result.double(), expected, rtol=0, atol=1e-5)


# --- errors ----------------------------------------------------------------------------------------


def broken(value, at=(1, 2, 3)):
    x = numbers(2, N, 8)
    x[at] = value
    return x


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MultiHeadAttention(8, 3), "heads: 3; they must divide the width, 8"),
        (lambda: MultiHeadAttention(8, 0), "heads: 0"),
        (lambda: MultiHeadAttention(8, 2.0), "heads: 2.0; a whole number, 1 or more"),
        (lambda: MultiHeadAttention(0, 2), "width: 0; a whole number, 1 or more"),
        (lambda: MultiHeadAttention(8, 2, head_width=-4), "head_width: -4"),
        (lambda: MultiHeadAttention(8, 2, width_out=0), "width_out: 0"),
        (lambda: MultiHeadAttention(8, 2, reach=3), "reach: 3; distance positions need it"),
        (
            lambda: MultiHeadAttention(8, 2, trained_length=3),
            "trained_length: 3; learned positions",
        ),
        (lambda: MultiHeadAttention(8, 2, mask=(2, -1)), "right: -1"),
        (lambda: MultiHeadAttention(8, 2, mask="near"), "mask: 'near'"),
        (lambda: MultiHeadAttention(8, 2)(torch.ones(1, 4, 8).long()), "x: torch.int64"),
        (lambda: MultiHeadAttention(8, 2)(numbers(1, 4, 8).double()), "x: torch.float64"),
        (lambda: MultiHeadAttention(8, 2)(numbers(1, 2, 8), torch.tensor([True])), "torch.bool"),
        (lambda: MultiHeadAttention(8, 2)(numbers(1, 2, 8), [2]), r"lengths: \[2\]; a tensor"),
        (lambda: MultiHeadAttention(8, 2, scores="cosine"), "scores: 'cosine'; one of dot"),
        (lambda: MultiHeadAttention(8, 2, weights="max"), "weights: 'max'"),
        (lambda: MultiHeadAttention(8, 2, positions="gps"), "positions: 'gps'"),
        (lambda: MultiHeadAttention(8, 2, positions="distance"), "reach: None"),
        (lambda: MultiHeadAttention(8, 2, positions="distance", reach=-1), "reach: -1"),
        (lambda: MultiHeadAttention(8, 2, positions="learned"), "trained_length: None"),
        (lambda: MultiHeadAttention(9, 3, positions="rotary"), "head_width: 3, .* need it even"),
        (
            lambda: MultiHeadAttention(8, 2, positions="rotary", scores="additive"),
            "rotary with add",
        ),
        (lambda: MultiHeadAttention(8, 2)(torch.zeros(4, 8)), r"x: shape \(4, 8\)"),
        (lambda: MultiHeadAttention(8, 2)(torch.zeros(1, 4, 9)), r"x: shape \(1, 4, 9\)"),
        (lambda: MultiHeadAttention(8, 2)(broken(math.nan)), r"x: nan at \(1, 2, 3\)"),
        (lambda: MultiHeadAttention(8, 2)(broken(-math.inf)), r"x: -inf at \(1, 2, 3\)"),
        (lambda: MultiHeadAttention(8, 2)(numbers(2, 5, 8), torch.tensor([5, 6])), r"\[5, 6\]"),
        (lambda: MultiHeadAttention(8, 2)(numbers(2, 5, 8), torch.tensor([-1, 5])), r"\[-1, 5\]"),
        (lambda: MultiHeadAttention(8, 2)(numbers(2, 5, 8), torch.tensor([5])), "lengths: shape"),
        (lambda: MultiHeadAttention(8, 2)(numbers(1, 5, 8), torch.tensor([2.0])), "torch.float32"),
        (lambda: MultiHeadAttention(8, 2, mask=GRAPH)(numbers(1, 5, 8)), "for 5 positions"),
        (
            lambda: MultiHeadAttention(8, 2, mask=GRAPH).forward_chunk(numbers(1, 5, 8), {}, True),
            "streamed",
        ),
        (lambda: AttentionConvolution(numbers(2, 2, 4)), r"weight: shape \(2, 2, 4\)"),
        (lambda: AttentionConvolution(numbers(2, 2, 3), numbers(3)), r"bias: shape \(3,\)"),
        (lambda: AttentionConvolution(numbers(2, 2, 3))(numbers(2, 2)), r"x: shape \(2, 2\)"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_learned_positions_end():
    layer = MultiHeadAttention(8, 2, positions="learned", trained_length=10, mask=WindowMask(2, 0))
    layer(numbers(1, 10, 8))
    with pytest.raises(ValueError, match="x: 11 positions, but vectors were learned for 10"):
        layer(numbers(1, 11, 8))
    state = {}
    layer.forward_chunk(numbers(1, 10, 8), state, False)
    with pytest.raises(ValueError, match="x: 11 positions"):
        layer.forward_chunk(numbers(1, 1, 8), state, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q": numbers(1, 4, 8)}, r"q: shape \(1, 4, 8\)"),
        ({"k": numbers(1, 4, 2, 3)}, r"k: \(1, 4, 2, 3\)"),
        ({"v": numbers(1, 3, 2, 4)}, r"v: \(1, 3, 2, 4\)"),
        ({"v": torch.full((1, 4, 2, 4), math.nan)}, r"v: nan at \(0, 0, 0, 0\)"),
        ({"offset": 1}, "offset: 1 with 4 queries and 4 keys"),
        ({"offset": -1}, "offset: -1"),
        ({"offset": 0.5}, "offset: 0.5"),
        ({name: torch.ones(1, 4, 2, 4).long() for name in "qkv"}, "q: torch.int64"),
        ({"k": numbers(1, 4, 2, 4).double()}, "k: torch.float64"),
        ({name: numbers(1, 4, 2, 0) for name in "qkv"}, r"q: shape \(1, 4, 2, 0\); one head"),
        ({name: numbers(1, 4, 0, 4) for name in "qkv"}, r"q: shape \(1, 4, 0, 4\); one head"),
        ({"lengths": torch.tensor([True])}, "torch.bool"),
        ({"lengths": [4]}, r"lengths: \[4\]; a tensor"),
        ({"scores": "additive"}, "score_vector: missing"),
        ({"score_vector": numbers(2, 4)}, "score_vector: given"),
        ({"scores": "additive", "score_vector": numbers(4)}, r"score_vector: shape \(4,\)"),
        (
            {"scores": "additive", "score_vector": numbers(2, 4).double()},
            "score_vector: .*float64; .*float32",
        ),
        (
            {"scores": "additive", "score_vector": torch.full((2, 4), math.nan)},
            r"score_vector: nan at \(0, 0\)",
        ),
        ({"bias": DistanceBias(2, (1, 1))}, "for 2 axes, the positions have 1"),
    ],
)
def test_errors_of_the_function(change, message):
    options = {name: numbers(1, 4, 2, 4) for name in "qkv"} | change
    with pytest.raises(ValueError, match=message):
        attend(options.pop("q"), options.pop("k"), options.pop("v"), WindowMask(1, 1), **options)
