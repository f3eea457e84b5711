"""Truncated self-attention: every frame looks at a window around it.

    out_i = sum_j softmax_j(q_i . k_j / sqrt(d) + b_(j-i)) v_j      for  i - left <= j <= i + right

(scaled dot product: Vaswani et al., 2017; truncated to a window: Povey et al., "A time-restricted
self-attention layer for ASR", 2018).

How it is made fast: queries are taken in blocks of ``b`` frames. All queries of a block together
see ``b + left + right`` keys, and the keys of neighbouring blocks overlap, so they are *views* into
one tensor, with a stride of ``b`` rows; nothing is copied. Within a block the window is a band, the
same for every interior block: one attention call with one small mask does them all. The blocks that
touch an end of the sequence become small calls of their own. A batch of sequences of different
lengths is laid end to end, and every block gets its own mask, which keeps the sequences apart. A
bias by distance (Shaw et al., 2018; Raffel et al., 2020) goes into the masks. How a call is computed
is in :mod:`speechattn.kernels`; on CUDA, :mod:`speechattn.flex` does all of it instead. Time and
memory are linear in the number of frames times the window; a window without limits costs the square
of the frames, as it must.

NaN and infinity are not looked for here, but in :func:`speechattn.family.attend` and in the layers:
they would spread from a key to queries that share a block with those that see it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from speechattn import flex
from speechattn.blocks import Call
from speechattn.checks import check_lengths, check_vectors, whole_number
from speechattn.kept import keep
from speechattn.kernels import run_calls
from speechattn.packing import lay_end_to_end, take_apart

HIDDEN = float("-inf")  # added to the score of a key that a query must not see
LARGEST_KEPT = 1 << 14  # numbers in a mask that is kept for the next call


def truncated_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    left: int | None,
    right: int | None,
    *,
    offset: int = 0,
    lengths: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """Attention in which query i sees keys ``i + offset - left`` to ``i + offset + right``.

    Args:
        q: queries, shape (batch, queries, heads, d).
        k: keys, shape (batch, keys, heads, d).
        v: values, like ``k``.
        left: frames of the past a query sees; None for all.
        right: frames of the future a query sees; None for all.
        offset: position of query 0 among the keys (streaming: keys kept from earlier chunks).
        lengths: frames of each sequence, shape (batch,), when they differ; beyond its length a
            sequence has no keys, and its outputs are zero.
        bias: numbers b added to the scores, shape (heads, left + right + 1): column ``n`` is for
            keys ``n - left`` frames after the query. Gradients reach it.

    Returns:
        Shape (batch, queries, heads, d).

    Raises:
        ValueError: for shapes, types, windows, offsets or lengths that do not fit each other.
    """
    _check(q, k, v, left, right, offset, lengths, bias)
    batch, queries = q.shape[:2]
    keys = k.shape[1]
    if queries == 0 or batch == 0:
        return q * 0
    if bias is not None:
        bias = bias[:, left - min(left, keys) : left + min(right, keys) + 1]
    left = keys if left is None else min(left, keys)
    right = keys if right is None else min(right, keys)
    if batch == 1 and lengths is None:
        if flex.is_offered(q):
            return flex.attend(q, k, v, left, right, offset=offset, bias=bias)
        calls = sequence_calls(queries, keys, left, right, offset, q.device, q.dtype, bias)
        return run_calls(q[0], k[0], v[0], calls)[None]
    if offset or queries != keys:
        raise ValueError(
            f"offset {offset}, {queries} queries, {keys} keys in a batch of {batch}: "
            "a batch has as many queries as keys and no offset; stream one sequence at a time"
        )
    if not flex.is_offered(q) and left + right < keys:
        return _packed(q, k, v, left, right, lengths, bias)
    run = flex.attend if flex.is_offered(q) else _padded
    if lengths is None:
        return run(q, k, v, left, right, bias=bias)
    lengths = lengths.to(q.device)
    beyond = ~valid_frames(lengths, keys)[:, :, None, None]
    q, k, v = (x.masked_fill(beyond, 0) for x in (q, k, v))  # NaN in padding must not spread
    return run(q, k, v, left, right, lengths=lengths, bias=bias).masked_fill(beyond, 0)


def valid_frames(lengths: torch.Tensor, frames: int) -> torch.Tensor:
    """True where a frame lies within its sequence, shape (batch, frames)."""
    return torch.arange(frames, device=lengths.device) < lengths[:, None]


def block_rows(left: int, right: int, dtype: torch.dtype = torch.float32) -> int:
    """Queries in a block. Few compute few scores outside the window, many make products fast."""
    window = left + right
    if window <= 32 and dtype is not torch.bfloat16:
        return 16
    return 32 if window <= 128 else 64


def sequence_calls(
    queries: int,
    keys: int,
    left: int,
    right: int,
    offset: int,
    device: torch.device,
    dtype: torch.dtype,
    bias: torch.Tensor | None = None,
) -> list[Call]:
    """The calls that make up attention over one sequence: first edge, interior, last edge."""
    rows = block_rows(left, right, dtype)
    span = rows + left + right
    # Interior: every block whose keys all exist.
    first = max(0, -(-(left - offset) // rows))
    last = min(queries // rows, (keys - offset - right) // rows)
    calls = []
    if last > first:
        start = first * rows
        mask = _shared_mask(rows, span, left, left, right, device, dtype, bias)
        calls.append(Call(start, start + offset - left, last - first, rows, span, mask))
        edges = [(0, start), (last * rows, queries)]
    else:
        edges = [(0, queries)]
    for begin, end in edges:
        # An edge may be long when the window is (None, None): then it is one full call.
        if end > begin:
            low = max(0, begin + offset - left)
            high = min(keys, end + offset + right)
            size = end - begin, high - low
            if left >= keys and right >= keys and bias is None:
                mask = None
            else:
                mask = _shared_mask(*size, begin + offset - low, left, right, device, dtype, bias)
            calls.append(Call(begin, low, 1, *size, mask))
    return calls


def _packed(q, k, v, left, right, lengths, bias) -> torch.Tensor:
    """A batch laid end to end as one sequence, without padding, with a mask for every block."""
    batch, time = q.shape[:2]
    sizes = [time] * batch if lengths is None else lengths.tolist()
    total = sum(sizes)
    rows = block_rows(left, right, q.dtype)
    span = rows + left + right
    count = max(1, -(-total // rows))
    extra = count * rows - total

    number = torch.arange(batch, dtype=torch.int32).repeat_interleave(torch.tensor(sizes))
    number = F.pad(number, (left, extra + right), value=-1).to(q.device)
    of_query = number[left : left + count * rows].view(count, 1, rows, 1)
    of_key = number.as_strided((count, 1, 1, span), (rows, span, span, 1))
    mask = _mask(_distance(rows, span, left, q.device), left, right, q.dtype, bias)
    mask = mask.expand(count, -1, -1, -1).masked_fill(of_query != of_key, HIDDEN)

    q = lay_end_to_end(q, sizes, 0, extra)
    k, v = (lay_end_to_end(x, sizes, left, extra + right) for x in (k, v))
    return take_apart(run_calls(q, k, v, [Call(0, 0, count, rows, span, mask)]), sizes, time)


def _padded(q, k, v, left, right, *, lengths=None, bias=None) -> torch.Tensor:
    """A batch whose window spans most of it: one call with a mask for every sequence."""
    time = q.shape[1]
    distance = _distance(time, time, 0, q.device)
    mask = _mask(distance, left, right, q.dtype, bias)[None]
    if lengths is not None:
        # Padding sees itself, so that no row is without keys; the caller zeroes it.
        apart = ~valid_frames(lengths, time)[:, None] & (distance != 0)
        mask = mask.expand(len(q), -1, -1, -1).masked_fill(apart[:, None], HIDDEN)
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)


def _distance(rows: int, keys: int, before: int, device) -> torch.Tensor:
    """Position of key j relative to query i, shape (rows, keys); key 0 lies ``before`` query 0."""
    query = torch.arange(rows, device=device)[:, None]
    key = torch.arange(keys, device=device)
    return key - query - before


def _shared_mask(rows, keys, before, left, right, device, dtype, bias) -> torch.Tensor:
    """The mask of blocks in which key 0 lies ``before`` query 0; small ones are kept.

    To make a mask takes longer than the attention of a streamed chunk of 100 ms.
    """
    if bias is None and rows * keys <= LARGEST_KEPT:
        return _kept_mask(rows, keys, before, left, right, device, dtype)
    return _mask(_distance(rows, keys, before, device), left, right, dtype, bias)


@keep(64)
def _kept_mask(rows, keys, before, left, right, device, dtype) -> torch.Tensor:
    return _mask(_distance(rows, keys, before, device), left, right, dtype, None)


def _mask(distance, left, right, dtype, bias) -> torch.Tensor:
    """What is added to scores at distances: the bias, and minus infinity outside the window.

    Shape (1 or heads, rows, keys).
    """
    hidden = (distance < -left) | (distance > right)
    if bias is None:
        mask = torch.zeros(distance.shape, dtype=dtype, device=distance.device)
        return mask.masked_fill_(hidden, HIDDEN)[None]
    column = (distance + left).clamp(0, left + right)
    return bias[:, column].masked_fill(hidden, HIDDEN).to(dtype)


def _check(q, k, v, left, right, offset, lengths, bias) -> None:
    if q.ndim != 4 or k.ndim != 4:
        raise ValueError(
            f"q: shape {tuple(q.shape)}, k: shape {tuple(k.shape)}; "
            "both are (batch, frames, heads, d)"
        )
    if k.shape != v.shape:
        raise ValueError(f"k: shape {tuple(k.shape)}, v: shape {tuple(v.shape)}; they must agree")
    if (q.shape[0], *q.shape[2:]) != (k.shape[0], *k.shape[2:]):
        raise ValueError(
            f"q: shape {tuple(q.shape)}, k: shape {tuple(k.shape)}; batch, heads and d must agree"
        )
    check_vectors(q, k, v)
    for name, value in (("left", left), ("right", right)):
        if value is not None and (type(value) is not int or value < 0):
            raise ValueError(
                f"{name}: {value!r} frames; a whole number from 0 on, or None for no limit"
            )
    if whole_number("offset", offset) + q.shape[1] > k.shape[1]:
        raise ValueError(
            f"offset: {offset} with {q.shape[1]} queries and {k.shape[1]} keys; "
            "every query needs a key at its own position"
        )
    if lengths is not None:
        check_lengths(lengths, q.shape[0], q.shape[1])
    if bias is not None:
        _check_bias(bias, q, left, right)


def _check_bias(bias, q, left, right) -> None:
    if left is None or right is None:
        raise ValueError(f"bias: given for a window of left={left}, right={right}; it needs limits")
    shape = q.shape[2], left + right + 1
    if not isinstance(bias, torch.Tensor) or bias.shape != shape:
        found = tuple(bias.shape) if isinstance(bias, torch.Tensor) else repr(bias)
        raise ValueError(f"bias: {found}; a tensor of shape (heads, left + right + 1) = {shape}")
    if not bias.is_floating_point() or not bool(torch.isfinite(bias).all()):
        raise ValueError(f"bias: {bias.dtype} with NaN or infinity, or whole; finite numbers only")
