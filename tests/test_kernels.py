"""Both ways to carry out calls on a CPU, in every number type, against the equation in float64."""

from __future__ import annotations

import pytest
import torch
from attention_reference import brute_force, check_gradients, tensors
from hypothesis import example, given, settings
from hypothesis import strategies as st

from speechattn import kernels
from speechattn.attention import sequence_calls, truncated_attention

WINDOW = st.one_of(st.integers(0, 8), st.integers(0, 150))
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 0.03, torch.float64: 1e-12}
BOTH = [torch.float32, torch.bfloat16]


@pytest.fixture(params=["products", "flash"])
def way(request, monkeypatch):
    """The products, also where they are slower; the flash kernel, also in bfloat16."""
    chosen = request.param == "products"
    monkeypatch.setattr(kernels, "_products_are_faster", lambda q, calls: chosen)
    return request.param


def random_bias(heads, left, right, dtype=torch.float32, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(heads, left + right + 1, generator=generator).to(dtype)


def check(q, k, v, left, right, **options):
    out = truncated_attention(q, k, v, left, right, **options)
    expected = brute_force(q, k, v, left, right, **options)
    assert out.shape == q.shape and out.dtype == q.dtype
    atol = TOLERANCE[q.dtype]
    if q.dtype == torch.bfloat16 and options.get("bias") is not None:
        atol *= 3  # a score of 8 is rounded by up to 0.03, and so is every weight by 3 %
    torch.testing.assert_close(out.double(), expected, rtol=0.01, atol=atol)


@given(
    frames=st.integers(1, 300),
    left=WINDOW,
    right=WINDOW,
    after=st.integers(0, 100),
    offset=st.integers(0, 100),
    biased=st.booleans(),
    dtype=st.sampled_from(BOTH),
)
@example(frames=1, left=100, right=150, after=0, offset=0, biased=True, dtype=torch.bfloat16)
@example(frames=300, left=32, right=32, after=0, offset=0, biased=False, dtype=torch.bfloat16)
@settings(max_examples=50)
def test_one_sequence_in_both_types(frames, left, right, after, offset, biased, dtype):
    bias = random_bias(2, left, right) if biased else None
    q, k, v = tensors(1, frames, offset + frames + after, d=8, dtype=dtype)
    check(q, k, v, left, right, offset=offset, bias=bias)


@given(
    lengths=st.lists(st.integers(0, 140), min_size=1, max_size=4),
    left=WINDOW,
    right=WINDOW,
    biased=st.booleans(),
    dtype=st.sampled_from(BOTH),
)
@example(lengths=[0, 0], left=2, right=2, biased=True, dtype=torch.bfloat16)
@example(lengths=[133, 0, 1], left=16, right=16, biased=True, dtype=torch.float32)
@settings(max_examples=50)
def test_a_batch_in_both_types(lengths, left, right, biased, dtype):
    q, k, v = tensors(len(lengths), max(lengths) + 2, d=8, dtype=dtype)
    padding = torch.arange(q.shape[1]) >= torch.tensor(lengths)[:, None]
    bias = random_bias(2, left, right) if biased else None
    options = {"lengths": torch.tensor(lengths), "bias": bias}
    check(q, k, v, left, right, **options)
    for x in (q, k, v):
        x[padding] = torch.nan
    assert (truncated_attention(q, k, v, left, right, **options)[padding] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("window", [(0, 0), (16, 16), (40, 3), (70, 70), (300, 200)])
def test_both_ways_and_their_gradients(way, window, dtype):
    q, k, v = tensors(1, 260, 300, d=8, dtype=dtype)
    check(q, k, v, *window, offset=17)
    limits = {"atol": 20 * TOLERANCE[dtype], "rtol": 0.0}
    if dtype == torch.bfloat16:  # 8 bits: 0.4 % in every sum of a few terms
        limits = {"atol": 0.0, "rtol": 0.02}
    check_gradients(q, k, v, *window, offset=17, **limits)
    q, k, v = tensors(3, 133, d=8, dtype=dtype)
    check_gradients(q, k, v, *window, lengths=torch.tensor([133, 50, 0]), **limits)


@pytest.mark.parametrize("window", [(5, 3), (0, 20), (100, 100)])
@pytest.mark.parametrize("lengths", [None, [90, 31]])
def test_gradients_of_a_bias(window, lengths):
    q, k, v = tensors(1 if lengths is None else 2, 90, dtype=torch.float64)
    options = {"bias": random_bias(2, *window, dtype=torch.float64)}
    if lengths is not None:
        options["lengths"] = torch.tensor(lengths)
    check_gradients(q, k, v, *window, **options)
    options["bias"] = options["bias"].float()
    half = [x.bfloat16() for x in (q, k, v)]
    check_gradients(*half, *window, atol=0.0, rtol=0.03, **options)


def test_a_bias_that_learns_alone():
    q, k, v = tensors(1, 90, dtype=torch.float64)
    bias = random_bias(2, 4, 2, dtype=torch.float64).requires_grad_()
    function = lambda b: truncated_attention(q, k, v, 4, 2, bias=b)[:, :40]
    assert torch.autograd.gradcheck(function, [bias], fast_mode=True)


def test_a_constant_bias_changes_nothing_but_a_bias_does():
    q, k, v = tensors(1, 200)
    plain = truncated_attention(q, k, v, 20, 10)
    same = truncated_attention(q, k, v, 20, 10, bias=torch.full((2, 31), 3.0))
    torch.testing.assert_close(same, plain)
    bias = torch.zeros(2, 31)
    bias[0, 20 - 7] = 1e4  # head 0 sees what lies 7 frames back, if there is something
    out = truncated_attention(q, k, v, 20, 10, bias=bias)
    torch.testing.assert_close(out[:, 7:, 0], v[:, :-7, 0])
    torch.testing.assert_close(out[:, :, 1], plain[:, :, 1])


@pytest.mark.parametrize("dtype", BOTH, ids=str)
def test_pieces_change_nothing(way, dtype, monkeypatch):
    inputs = tensors(1, 700, dtype=dtype), tensors(2, 350, dtype=dtype)
    lengths = torch.tensor([350, 170])
    biases = [random_bias(2, 12, 20, dtype=dtype).requires_grad_() for _ in range(2)]

    def results():
        outs = [
            truncated_attention(*inputs[0], 12, 20, bias=biases[0]),
            truncated_attention(*inputs[1], 12, 20, bias=biases[1], lengths=lengths),
        ]
        return *outs, *torch.autograd.grad(sum(out.square().sum() for out in outs), biases)

    whole = results()
    monkeypatch.setattr(kernels, "FUSED_BLOCKS", 3)
    monkeypatch.setattr(kernels, "FUSED_BYTES", 5_000)
    monkeypatch.setattr(kernels, "PRODUCT_BYTES", 50_000)
    calls = sequence_calls(700, 700, 12, 20, 0, torch.device("cpu"), dtype)
    assert 3 * kernels._blocks_at_once(calls[0], inputs[0][0][0]) <= calls[0].count
    rtol = 0.02 if dtype == torch.bfloat16 else 1e-4
    for one, other in zip(results(), whole, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=rtol * other.abs().max().item())


@pytest.mark.parametrize("dtype", BOTH, ids=str)
def test_with_and_without_gradients_the_numbers_are_the_same(way, dtype):
    q, k, v = tensors(1, 300, dtype=dtype)
    learning = truncated_attention(q.requires_grad_(), k, v, 12, 20)
    assert learning.requires_grad
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert torch.equal(truncated_attention(q, k, v, 12, 20), learning)


@pytest.mark.parametrize("dtype", BOTH, ids=str)
def test_inputs_that_are_not_contiguous(way, dtype):
    together = tensors(2, 90, heads=2, d=12)[0].to(dtype)
    parts = together.split(4, -1)
    check(*parts, 7, 40, lengths=torch.tensor([90, 50]))
    check(*(x.transpose(0, 1)[:1] for x in parts), 1, 1)
    assert not parts[0].is_contiguous()
    gradients = [x.transpose(0, 1)[:, :1].transpose(0, 1) for x in parts]
    check_gradients(*gradients, 9, 4, atol=0.0, rtol=TOLERANCE[dtype])


def test_autocast_leaves_the_number_type_alone(way):
    q, k, v = tensors(1, 200, d=8)
    bias = random_bias(2, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        check(q, k, v, 16, 16, bias=bias)
        check_gradients(q, k, v, 16, 16, atol=2e-4, bias=bias)
        check(*(x.bfloat16() for x in (q, k, v)), 16, 16)


def test_attention_to_everything_makes_no_matrix_in_bfloat16(monkeypatch):
    monkeypatch.setattr(kernels, "_products", None)  # would be called, and fail
    monkeypatch.setattr(kernels, "LARGEST_PRODUCT", 200 * 200)
    q, k, v = tensors(1, 201, dtype=torch.bfloat16)
    check(q, k, v, None, None)
    if kernels.fast_bfloat16():
        with pytest.raises(TypeError):
            truncated_attention(*(x[:, :200] for x in (q, k, v)), None, None)


@pytest.mark.parametrize(
    ("bias", "left", "message"),
    [
        (torch.zeros(2, 4), 1, r"bias: \(2, 4\); a tensor of shape .* = \(2, 3\)"),
        (torch.zeros(3, 3), 1, r"bias: \(3, 3\)"),
        (torch.zeros(2, 3), None, "bias: given for a window of left=None, right=1"),
        ("ab", 1, "bias: 'ab'; a tensor"),
        (torch.zeros(2, 3, dtype=torch.long), 1, "bias: torch.int64"),
        (torch.full((2, 3), torch.nan), 1, "bias: torch.float32 with NaN"),
    ],
)
def test_biases_that_do_not_fit_are_named(bias, left, message):
    with pytest.raises(ValueError, match=message) as caught:
        truncated_attention(*tensors(1, 10), left, 1, bias=bias)
    assert "\n" not in str(caught.value)
