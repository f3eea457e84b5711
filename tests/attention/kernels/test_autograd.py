"""Attention as compiled for this processor, in both types of number, against the equation in float64."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.references.attention import brute_force, check_gradients, gradients, tensors
from torch.fx.experimental.proxy_tensor import make_fx

from speechattn.attention.functional import truncated_attention
from speechattn.attention.kernels import autograd, threads
from speechattn.attention.kernels.llvm import LANES
from speechattn.attention.kernels.window import KEYS, STRETCH

WINDOW = st.one_of(st.integers(0, 8), st.integers(0, 150))
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 0.03, torch.float64: 1e-12}
BOTH = [torch.float32, torch.bfloat16]


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


@pytest.mark.parametrize("dtype", BOTH, ids=str)
@pytest.mark.parametrize("window", [(0, 0), (16, 16), (40, 3), (70, 70), (300, 200), (900, 600)])
def test_gradients_in_both_types(window, dtype):
    # 8 bits: 0.4 % in every sum of a few terms.
    limits = dict.fromkeys(("atol", "rtol"), 0.02 if dtype == torch.bfloat16 else 1e-5)
    q, k, v = tensors(1, 260, 300 if window[0] < KEYS else 3 * KEYS, d=8, dtype=dtype)
    check(q, k, v, *window, offset=17)
    check_gradients(q, k, v, *window, offset=17, **limits)
    q, k, v = tensors(3, 133, d=8, dtype=dtype)
    check_gradients(q, k, v, *window, lengths=torch.tensor([133, 50, 0]), **limits)


@given(
    lengths=st.lists(st.integers(0, 2 * STRETCH), min_size=1, max_size=4),
    left=WINDOW,
    right=WINDOW,
    d=st.sampled_from([1, 4, 7, LANES, 3 * LANES]),
    biased=st.booleans(),
)
@example(lengths=[STRETCH + 1], left=32, right=32, d=2 * LANES, biased=True)
@example(lengths=[0, LANES + 1, 1], left=2, right=150, d=LANES, biased=True)
@settings(max_examples=35)
def test_gradients_of_any_batch(lengths, left, right, d, biased):
    q, k, v = tensors(len(lengths), max(lengths) + 1, d=d)
    options = {"lengths": torch.tensor(lengths)}
    if biased:
        options["bias"] = random_bias(2, left, right)
    terms = max(1, sum(lengths))
    check_gradients(q, k, v, left, right, atol=2e-5, rtol=2e-5, terms=terms, **options)


@pytest.mark.parametrize("window", [(5, 3), (0, 20), (100, 100)])
@pytest.mark.parametrize("lengths", [None, [90, 31]])
def test_gradients_of_a_bias(window, lengths):
    q, k, v = tensors(1 if lengths is None else 2, 90, dtype=torch.float64)
    options = {"bias": random_bias(2, *window, dtype=torch.float64)}
    if lengths is not None:
        options["lengths"] = torch.tensor(lengths)
    check_gradients(q, k, v, *window, **options)
    options["bias"] = options["bias"].float()
    check_gradients(*(x.float() for x in (q, k, v)), *window, atol=0.0, rtol=2e-5, **options)
    half = [x.bfloat16() for x in (q, k, v)]
    check_gradients(*half, *window, atol=0.0, rtol=0.03, **options)


def test_a_bias_that_learns_alone():
    q, k, v = tensors(1, 90, dtype=torch.float64)
    bias = random_bias(2, 4, 2, dtype=torch.float64).requires_grad_()

    def function(b):
        return truncated_attention(q, k, v, 4, 2, bias=b)[:, :40]

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
def test_any_number_of_cores_gives_the_same_bits(dtype, monkeypatch):
    monkeypatch.setattr(threads, "WORTHWHILE", 1)
    inputs = tensors(1, 700, dtype=dtype), tensors(5, 350, dtype=dtype)
    lengths = torch.tensor([350, 170, 0, 1, 300])

    def results(cores):
        monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
        bias = random_bias(2, 12, 20, dtype=dtype).requires_grad_()
        found = []
        for qkv, options in zip(inputs, ({}, {"lengths": lengths})):
            leaves = [*(x.clone().requires_grad_() for x in qkv), bias]
            out = truncated_attention(*leaves[:3], 12, 20, bias=bias, **options)
            found += [out, *torch.autograd.grad(out.square().sum(), leaves)]
        return found

    alone = results(1)
    for cores in (2, 3, 64):
        for one, other in zip(results(cores), alone, strict=True):
            assert torch.equal(one, other)


@pytest.mark.skipif(not autograd.DOT_BF16, reason="this processor does not multiply bfloat16")
@pytest.mark.parametrize("case", [(64, 16, 16, 0), (32, 7, 2, 5), (40, 130, 0, 0)], ids=str)
def test_products_of_bfloat16_and_of_what_is_converted_agree(case, monkeypatch):
    d, left, right, offset = case
    q, k, v = tensors(1, 301, 301 + offset, d=d, dtype=torch.bfloat16)
    options = {"offset": offset, "bias": random_bias(2, left, right)}

    def results():
        out = truncated_attention(q, k, v, left, right, **options)
        return [out, *gradients(truncated_attention, q, k, v, left, right, **options)]

    own = results()
    monkeypatch.setattr(autograd, "DOT_BF16", False)
    for mine, converted in zip(own, results(), strict=True):
        assert not torch.equal(mine, converted)  # weights are rounded in one of them only
        apart = (mine.double() - converted.double()).abs()
        assert apart.max() < 0.02 * converted.abs().max()
        assert apart.square().mean().sqrt() < 0.01 * converted.double().square().mean().sqrt()


def test_views_of_single_frames():
    q, k, v = (torch.randn(1, 30, 2, LANES).transpose(0, 1) for _ in range(3))
    assert q.shape[1] == 1 and not torch.empty(1).is_cuda
    check(q, k, v, 3, 3)
    check_gradients(q, k, v, 3, 3, atol=1e-5)


@pytest.mark.parametrize("biased", [False, True])
def test_sequences_laid_end_to_end_and_their_gradients(biased):
    sizes = [40, 0, 7, 90]
    q, k, v = tensors(1, sum(sizes), d=LANES)
    bias = random_bias(2, 9, 4) if biased else None

    def laid(q, k, v, left, right, bias=None):
        return autograd.attend(q, k, v, left, right, again=alone, concatenated=sizes, bias=bias)

    def alone(q, k, v, left, right, bias=None):
        parts = zip(*(x.split(sizes, 1) for x in (q, k, v)))
        return torch.cat([brute_force(*part, left, right, bias=bias) for part in parts], 1)

    options = {} if bias is None else {"bias": bias}
    expected = alone(q, k, v, 9, 4, bias)
    torch.testing.assert_close(laid(q, k, v, 9, 4, **options).double(), expected, rtol=0, atol=1e-5)
    found = gradients(laid, q, k, v, 9, 4, **options)
    for mine, theirs in zip(found, gradients(alone, q, k, v, 9, 4, **options)):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("d", [3, LANES])  # the numbers of a head are filled up, or fill it
@pytest.mark.parametrize("lengths", [None, torch.tensor([30, 17])])
@pytest.mark.parametrize("one", [False, True])  # tensor for queries, keys and values
def test_gradients_of_gradients(d, lengths, one):
    q, k, v = tensors(2, 30, d=d)
    inputs = [q, q, q] if one else [q, k, v]

    def second_order(dtype):
        leaves = {id(x): x.to(dtype).requires_grad_() for x in inputs}
        bias = random_bias(2, 4, 2, dtype).requires_grad_()
        given = [leaves[id(x)] for x in inputs]
        out = truncated_attention(*given, 4, 2, lengths=lengths, bias=bias)
        wanted = [*leaves.values(), bias]
        first = torch.autograd.grad((out + given[0]).square().sum(), wanted, create_graph=True)
        return first, torch.autograd.grad(sum(g.square().sum() for g in first), wanted)

    for mine, theirs in zip(second_order(torch.float32), second_order(torch.float64)):
        for a, b in zip(mine, theirs, strict=True):
            limit = 1e-5 * b.abs().max().item()
            torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=limit)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_defaults_of_pytorch_change_nothing(dtype):
    q, k, v = tensors(2, 60, d=LANES)
    options = {"bias": random_bias(2, 5, 3), "lengths": torch.tensor([60, 31])}
    leaves = [x.requires_grad_() for x in (q, k, v, options["bias"])]

    def results():
        out = truncated_attention(q, k, v, 5, 3, **options)
        return out, *torch.autograd.grad(out.square().sum(), leaves)

    before = results()
    torch.set_default_dtype(dtype)
    try:
        after = results()
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(map(torch.equal, after, before))
    with torch.device("meta"):
        out = truncated_attention(q, k, v, 5, 3)
    assert out.device.type == "cpu"


def test_tensors_elsewhere_are_not_taken_for_numbers_here():
    q, k, v = tensors(1, 30, d=LANES)
    assert autograd.is_offered(q, k, v)
    for wrong in ((q, k.to("meta"), v), (q, k, v.to("meta")), (q.double(), k, v)):
        assert not autograd.is_offered(*wrong)
    with pytest.raises((ValueError, RuntimeError)):
        truncated_attention(q, k.to("meta"), v.to("meta"), 5, 3)


def test_while_pytorch_watches_its_own_operations_are_used():
    q, k, v = tensors(1, 30, d=LANES)
    expected = truncated_attention(q, k, v, 5, 3)

    def function(q, k, v):
        return truncated_attention(q, k, v, 5, 3)

    ways = {
        "trace": lambda: torch.jit.trace(function, (q, k, v))(q, k, v),
        "make_fx": lambda: make_fx(function)(q, k, v)(q, k, v),
        "vmap": lambda: torch.vmap(function)(*(x[None] for x in (q, k, v)))[0],
    }
    for name, way in ways.items():
        torch.testing.assert_close(way(), expected, rtol=1e-5, atol=1e-5, msg=name)
    _, tangent = torch.func.jvp(lambda v: function(q, k, v), (v,), (v,))
    torch.testing.assert_close(tangent, expected, rtol=1e-5, atol=1e-5)  # linear in the values


def test_many_threads_of_a_program_do_not_disturb_each_other():
    inputs = [tensors(1, 200, d=4 * LANES, seed=seed) for seed in range(12)]

    def results(q, k, v):
        return [
            truncated_attention(q, k, v, 40, 10),
            *gradients(truncated_attention, q, k, v, 40, 10),
        ]

    alone = [results(*qkv) for qkv in inputs]
    with ThreadPoolExecutor(len(inputs)) as pool:
        for _ in range(6):
            for found, expected in zip(pool.map(lambda qkv: results(*qkv), inputs), alone):
                assert all(map(torch.equal, found, expected))


def test_nothing_beyond_the_window_or_the_length_is_read():
    q, k, v = tensors(2, 300, d=LANES)
    lengths = torch.tensor([130, 77])
    expected = truncated_attention(q, k, v, 9, 4, lengths=lengths)
    for x in (q, k, v):
        x[0, 130:] = x[1, 77:] = torch.nan
    assert torch.equal(truncated_attention(q, k, v, 9, 4, lengths=lengths), expected)


@pytest.mark.parametrize("of", range(3))
def test_nan_is_not_hidden(of):
    inputs = tensors(1, 300, d=LANES)
    inputs[of][0, 100] = torch.nan
    out = truncated_attention(*inputs, 9, 4)[0]
    touched = range(100, 101) if of == 0 else range(96, 110)
    assert out[touched].isnan().all()
    far = [i for i in range(300) if abs(i - 100) > LANES + 13]
    assert not out[far].isnan().any()


@pytest.mark.parametrize("dtype", BOTH, ids=str)
def test_scores_of_any_size(dtype):
    q, k, v = tensors(1, 100, d=LANES, dtype=dtype)
    for factor in (1e-6, 100.0, 1e8):
        out = truncated_attention(factor * q, k, v, 10, 10)
        assert out.isfinite().all()
        check(factor * q, k, v, 10, 10)


def test_numbers_do_not_depend_on_where_a_query_lies():
    q, k, v = tensors(1, 400, d=2 * LANES)
    whole = truncated_attention(q, k, v, 20, 10)
    for begin, end in ((0, 1), (37, 251), (200, 390), (399, 400)):
        low, high = max(0, begin - 20), min(400, end + 10)
        part = truncated_attention(
            q[:, begin:end], k[:, low:high], v[:, low:high], 20, 10, offset=begin - low
        )
        assert torch.equal(part, whole[:, begin:end])


@pytest.mark.parametrize("dtype", BOTH, ids=str)
def test_with_and_without_gradients_the_numbers_are_the_same(dtype):
    q, k, v = tensors(1, 300, dtype=dtype)
    learning = truncated_attention(q.requires_grad_(), k, v, 12, 20)
    assert learning.requires_grad
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert torch.equal(truncated_attention(q, k, v, 12, 20), learning)


@pytest.mark.parametrize("dtype", BOTH, ids=str)
def test_inputs_that_are_not_contiguous(dtype):
    together = tensors(2, 90, heads=2, d=12)[0].to(dtype)
    parts = together.split(4, -1)
    check(*parts, 7, 40, lengths=torch.tensor([90, 50]))
    check(*(x.transpose(0, 1)[:1] for x in parts), 1, 1)
    assert not parts[0].is_contiguous()
    gradients = [x.transpose(0, 1)[:, :1].transpose(0, 1) for x in parts]
    check_gradients(*gradients, 9, 4, atol=0.0, rtol=TOLERANCE[dtype])


def test_autocast_leaves_the_number_type_alone():
    q, k, v = tensors(1, 200, d=8)
    bias = random_bias(2, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        check(q, k, v, 16, 16, bias=bias)
        check_gradients(q, k, v, 16, 16, atol=2e-4, bias=bias)
        check(*(x.bfloat16() for x in (q, k, v)), 16, 16)


OTHER_PROCESSOR = """
import torch
from support.references.attention import check_gradients, tensors
from speechattn.attention.kernels import llvm
assert llvm.LANES == 8 and not llvm.DOT_BF16
for d, lengths in ((64, [150, 31]), (8, [129, 0]), (24, [7, 64])):
    inputs = tensors(2, max(lengths), d=d)
    options = {"bias": torch.randn(2, 16), "lengths": torch.tensor(lengths)}
    check_gradients(*inputs, 5, 10, atol=2e-5, **options)
    check_gradients(*(x.bfloat16() for x in inputs), 5, 10, atol=0.0, rtol=0.03, **options)
"""


def test_on_a_processor_with_shorter_vectors(tmp_path):
    environment = {**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    environment["NUMBA_CACHE_DIR"] = str(tmp_path)
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESSOR],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


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
