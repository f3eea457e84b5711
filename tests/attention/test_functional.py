"""Truncated attention against masked attention written straight from the equation, in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.references.attention import brute_force, check_gradients, tensors
from torch.utils._python_dispatch import TorchDispatchMode

from speechattn.attention.functional import truncated_attention
from speechattn.attention.kernels import autograd, runtime
from speechattn.attention.kernels.llvm import LANES
from speechattn.attention.kernels.window import KEYS, STRETCH

WINDOW = st.one_of(st.none(), st.integers(0, 8), st.integers(0, 200))


def check(q, k, v, left, right, **options):
    out = truncated_attention(q, k, v, left, right, **options)
    expected = brute_force(q, k, v, left, right, **options)
    assert out.shape == q.shape and out.dtype == q.dtype
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=1e-5)


# --- against brute force --------------------------------------------------------------------------


@given(
    frames=st.integers(1, 300),
    left=WINDOW,
    right=WINDOW,
    heads=st.integers(1, 3),
    d=st.sampled_from([1, 2, 3, 8, 20]),
    seed=st.integers(0, 999),
)
@example(frames=1, left=0, right=0, heads=1, d=1, seed=0)
@example(frames=300, left=None, right=None, heads=2, d=8, seed=0)
@example(frames=300, left=None, right=0, heads=2, d=8, seed=0)
@settings(max_examples=60)
def test_one_sequence(frames, left, right, heads, d, seed):
    check(*tensors(1, frames, heads=heads, d=d, seed=seed), left, right)


@given(
    queries=st.integers(0, 200),
    before=st.integers(0, 150),
    after=st.integers(0, 150),
    left=WINDOW,
    right=WINDOW,
    seed=st.integers(0, 999),
)
@settings(max_examples=60)
def test_queries_in_the_middle_of_the_keys(queries, before, after, left, right, seed):
    q, k, v = tensors(1, queries, before + queries + after, seed=seed)
    check(q, k, v, left, right, offset=before)


@given(
    lengths=st.lists(st.integers(0, 140), min_size=1, max_size=5),
    padding=st.integers(0, 9),
    left=WINDOW,
    right=WINDOW,
    seed=st.integers(0, 999),
)
@example(lengths=[0, 0], padding=3, left=2, right=2, seed=0)
@example(lengths=[0, 140, 0, 1], padding=0, left=64, right=1, seed=0)
@settings(max_examples=60)
def test_a_batch_with_lengths(lengths, padding, left, right, seed):
    q, k, v = tensors(len(lengths), max(lengths) + padding, seed=seed)
    check(q, k, v, left, right, lengths=torch.tensor(lengths))


@given(batch=st.integers(0, 4), frames=st.integers(0, 100), left=WINDOW, right=WINDOW)
@settings(max_examples=50)
def test_a_batch_of_equal_lengths(batch, frames, left, right):
    check(*tensors(batch, frames), left, right)


@pytest.mark.parametrize("window", [(0, 0), (31, 32), (32, 33), (64, 5), (65, 0), (3, 129)])
def test_around_the_boundaries_of_groups_and_stretches(window):
    for size in (LANES, STRETCH):
        for frames in (found * size + n for found in (1, 2) for n in (-1, 0, 1)):
            check(*tensors(1, frames, d=2), *window)


@pytest.mark.parametrize("window", [(None, None), (None, 0), (KEYS + 3, 2), (5, 2 * KEYS)])
def test_more_keys_than_are_met_at_a_time(window):
    for frames in (KEYS - 1, KEYS, KEYS + 1, 2 * KEYS + STRETCH + 5):
        check(*tensors(1, frames, d=2), *window)
    q, k, v = tensors(1, 150, 3 * KEYS, d=2)
    check(q, k, v, *window, offset=KEYS + 7)


def test_every_query_of_every_small_case():
    for frames in range(1, 7):
        for left in (0, 1, 2, 5, 9, None):
            for right in (0, 1, 2, 5, 9, None):
                check(*tensors(1, frames, d=2), left, right)
                check(*tensors(2, frames, d=2), left, right, lengths=torch.tensor([frames, 1]))


@pytest.mark.parametrize("window", [(16, 8), (200, 200), (300, 0)])
def test_five_minutes_on_sampled_rows(window):
    left, right = window
    frames = 30_000
    q, k, v = tensors(1, frames)
    out = truncated_attention(q, k, v, left, right)
    rows = {0, 1, 31, 127, 128, 255, 256, 14_999, 15_000, 29_567, 29_823, 29_951, 29_998, 29_999}
    for i in sorted(rows):
        low, high = max(0, i - left), min(frames, i + right + 1)
        expected = brute_force(q[:, i : i + 1], k[:, low:high], v[:, low:high], None, None)
        torch.testing.assert_close(out[:, i : i + 1].double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.bfloat16, 0.05)])
def test_other_number_types(dtype, tolerance):
    q, k, v = tensors(1, 150, dtype=dtype)
    out = truncated_attention(q, k, v, 20, 10)
    assert out.dtype == dtype
    expected = brute_force(q, k, v, 20, 10)
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=tolerance)


def test_inputs_that_are_views_of_one_tensor():
    # As the encoder makes them: q, k and v interleaved in one projection, sequences transposed.
    together = torch.randn(2, 90, 3, 2, 4)
    check(*together.unbind(2), 7, 40, lengths=torch.tensor([90, 50]))
    check(*together[1:].unbind(2), 7, 40)
    late = torch.randn(90, 1, 2, 12).transpose(0, 1)
    check(late[..., :4], late[..., 4:8], late[..., 8:], 33, 2)


# --- properties -----------------------------------------------------------------------------------


@given(frames=st.integers(1, 200), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_a_window_of_one_frame_gives_its_value(frames, seed):
    q, k, v = tensors(1, frames, seed=seed)
    torch.testing.assert_close(truncated_attention(q, k, v, 0, 0), v)


@given(lengths=st.lists(st.integers(1, 90), min_size=2, max_size=4), seed=st.integers(0, 99))
@settings(max_examples=40)
def test_padding_and_neighbours_in_the_batch_leave_no_trace(lengths, seed):
    q, k, v = tensors(len(lengths), max(lengths) + 5, seed=seed)
    options = {"left": 12, "right": 20, "lengths": torch.tensor(lengths)}
    before = truncated_attention(q, k, v, **options)
    padded = torch.arange(q.shape[1]) >= options["lengths"][:, None]
    for x in (q, k, v):
        x[padded] = 1e6
        x[1:] = torch.where(padded[1:, :, None, None], x[1:], 3 * x[1:])
    after = truncated_attention(q, k, v, **options)
    torch.testing.assert_close(after[0], before[0], rtol=0, atol=1e-6)
    assert (after[padded] == 0).all()


@given(i=st.integers(0, 149), left=st.integers(0, 40), right=st.integers(0, 40))
@settings(max_examples=40)
def test_what_lies_outside_the_window_has_no_effect_and_what_lies_inside_has(i, left, right):
    q, k, v = tensors(1, 150, dtype=torch.float64)
    v.requires_grad_()
    truncated_attention(q, k, v, left, right)[0, i].sum().backward()
    reached = v.grad[0].abs().sum((1, 2)).nonzero().flatten().tolist()
    assert reached == list(range(max(0, i - left), min(150, i + right + 1)))


def test_a_batch_with_fewer_queries_than_keys():
    q, k, v = tensors(3, 90)
    lengths = torch.tensor([90, 70, 40])
    whole = truncated_attention(q, k, v, 9, 4, lengths=lengths)
    part = truncated_attention(q[:, 30:60], k, v, 9, 4, lengths=lengths, offset=30)
    torch.testing.assert_close(part, whole[:, 30:60], rtol=0, atol=1e-6)


# --- gradients ------------------------------------------------------------------------------------


@given(frames=st.integers(1, 300), left=WINDOW, right=WINDOW, d=st.sampled_from([1, 4, 7]))
@example(frames=257, left=32, right=32, d=4)
@settings(max_examples=35)
def test_gradients_of_one_sequence(frames, left, right, d):
    check_gradients(*tensors(1, frames, d=d, dtype=torch.float64), left, right)


@given(
    lengths=st.lists(st.integers(0, 120), min_size=1, max_size=4),
    left=WINDOW,
    right=WINDOW,
)
@settings(max_examples=35)
def test_gradients_of_a_batch(lengths, left, right):
    q, k, v = tensors(len(lengths), max(lengths) + 1, dtype=torch.float64)
    check_gradients(q, k, v, left, right, lengths=torch.tensor(lengths))


def test_gradients_with_an_offset():
    q, k, v = tensors(1, 130, 230, dtype=torch.float64)
    check_gradients(q, k, v, 45, 20, offset=60)


def test_gradients_in_float32():
    check_gradients(*tensors(1, 300), 32, 16, atol=2e-5)


@pytest.mark.parametrize("lengths", [None, [40, 7]])
def test_gradients_by_finite_differences(lengths):
    batch = 1 if lengths is None else 2
    inputs = [x.requires_grad_() for x in tensors(batch, 40, heads=1, d=2, dtype=torch.float64)]
    lengths = None if lengths is None else torch.tensor(lengths)

    def function(q, k, v):
        return truncated_attention(q, k, v, 2, 1, lengths=lengths)

    assert torch.autograd.gradcheck(function, inputs, fast_mode=True)


# --- PyTorch's operations, for other devices and types of number --------------------------------------------------------------------


def through_torch(*arguments, **options):
    """Truncated attention as other devices do it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(autograd, "is_offered", lambda *tensors: False)
        return truncated_attention(*arguments, **options)


@pytest.mark.parametrize("window", [(0, 0), (5, 3), (40, 0), (70, 30), (None, 4), (None, None)])
def test_the_path_of_other_devices(window):
    for frames in (1, 63, 64, 130, 300):
        q, k, v = tensors(1, frames, seed=frames)
        expected = brute_force(q, k, v, *window)
        out = through_torch(q, k, v, *window)
        torch.testing.assert_close(out.double(), expected, rtol=0, atol=1e-5)
    q, k, v = tensors(3, 100)
    lengths = torch.tensor([100, 0, 37])
    out = through_torch(q, k, v, *window, lengths=lengths)
    expected = brute_force(q, k, v, *window, lengths=lengths)
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=1e-5)


def test_gradients_of_the_path_of_other_devices():
    q, k, v = tensors(1, 200, 250, dtype=torch.float64)
    check_gradients(q, k, v, 20, 10, offset=30, function=through_torch)
    q, k, v = tensors(2, 90, dtype=torch.float64)
    lengths = torch.tensor([90, 31])
    check_gradients(q, k, v, 20, 10, lengths=lengths, function=through_torch)


# --- linear time and memory -----------------------------------------------------------------------


class LargestTensor(TorchDispatchMode):
    """Notes the bytes of the largest storage that any operation makes."""

    bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for x in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(x, torch.Tensor):
                self.bytes = max(self.bytes, x.untyped_storage().nbytes())
        return result


@pytest.mark.parametrize("batch", [1, 2])
def test_memory_grows_with_the_length_and_no_faster(batch, monkeypatch):
    monkeypatch.setattr(runtime, "_is_watched", lambda: False)  # as it is without the watch
    largest = []
    for frames in (1024, 4096):
        inputs = [x.requires_grad_() for x in tensors(batch, frames)]
        with LargestTensor() as watch:
            truncated_attention(*inputs, 32, 16).sum().backward()
        largest.append(watch.bytes)
    # A matrix of scores would be 1024 * 1024 floats, 128 times the input, and grow sixteenfold.
    assert largest[0] <= 20 * batch * 1024 * 8 * 4
    assert largest[1] <= 4.2 * largest[0]


# --- arguments ------------------------------------------------------------------------------------


def shaped(*shape):
    return torch.zeros(shape)


GOOD = shaped(2, 10, 2, 4)


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        ((shaped(10, 2, 4), GOOD, GOOD, 1, 1), {}, r"q: shape \(10, 2, 4\)"),
        ((GOOD, shaped(10, 2, 4), GOOD, 1, 1), {}, r"k: shape \(10, 2, 4\)"),
        ((GOOD, GOOD, shaped(2, 9, 2, 4), 1, 1), {}, r"v: \(2, 9, 2, 4\)"),
        ((GOOD, shaped(3, 10, 2, 4), shaped(3, 10, 2, 4), 1, 1), {}, "alike but for the positions"),
        ((GOOD, shaped(2, 10, 1, 4), shaped(2, 10, 1, 4), 1, 1), {}, "alike but for the positions"),
        ((GOOD, shaped(2, 10, 2, 5), shaped(2, 10, 2, 5), 1, 1), {}, "alike but for the positions"),
        ((GOOD, GOOD, GOOD, -1, 1), {}, "left: -1; a whole"),
        ((GOOD, GOOD, GOOD, 1, -3), {}, "right: -3; a whole"),
        ((GOOD, GOOD, GOOD, 1.0, 1), {}, "left: 1.0; a whole"),
        ((GOOD, GOOD, GOOD, 1, "3"), {}, "right: '3'; a whole"),
        ((GOOD.int(), GOOD.int(), GOOD.int(), 1, 1), {}, "q: torch.int32"),
        ((GOOD, GOOD.half(), GOOD.half(), 1, 1), {}, "k: torch.float16"),
        ((shaped(1, 9, 2, 0),) * 3 + (1, 1), {}, r"q: shape \(1, 9, 2, 0\); one head"),
        ((GOOD[:1], GOOD[:1], GOOD[:1], 1, 1), {"offset": 0.5}, "offset: 0.5"),
        ((GOOD, GOOD, GOOD, 1, 1), {"lengths": [3, 4]}, r"lengths: \[3, 4\]; a tensor"),
        ((GOOD, GOOD, GOOD, 1, 1), {"lengths": torch.tensor([True] * 2)}, "torch.bool"),
        ((GOOD[:1], GOOD[:1], GOOD[:1], 1, 1), {"offset": -1}, "offset: -1"),
        ((GOOD[:1], GOOD[:1], GOOD[:1], 1, 1), {"offset": 1}, "offset: 1 with 10 queries and 10"),
        ((GOOD[:1], GOOD[:1, :9], GOOD[:1, :9], 1, 1), {}, "10 queries and 9 keys"),
        ((GOOD, GOOD, GOOD, 1, 1), {"lengths": torch.tensor([10])}, r"lengths: shape \(1,\)"),
        ((GOOD, GOOD, GOOD, 1, 1), {"lengths": torch.tensor([[9, 9]])}, r"lengths: shape \(1, 2\)"),
        ((GOOD, GOOD, GOOD, 1, 1), {"lengths": torch.tensor([3, 11])}, r"lengths: \[3, 11\]"),
        ((GOOD, GOOD, GOOD, 1, 1), {"lengths": torch.tensor([-1, 3])}, r"lengths: \[-1, 3\]"),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments, options, message):
    with pytest.raises(ValueError, match=message) as error:
        truncated_attention(*arguments, **options)
    assert "\n" not in str(error.value)
