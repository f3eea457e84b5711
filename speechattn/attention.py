"""Truncated self-attention: every frame looks at a window around it.

    out_i = sum_j softmax_j(q_i . k_j / sqrt(d)) v_j      for  i - left <= j <= i + right

(scaled dot product: Vaswani et al., 2017; truncated to a window: Povey et al., "A time-restricted
self-attention layer for ASR", 2018).

How it is made fast: queries are taken in blocks of ``b`` frames. All queries of a block together see
``b + left + right`` keys, and the keys of neighbouring blocks overlap, so they are *views* into one
tensor, with a stride of ``b`` rows; nothing is copied. Within a block the window is a band, the same
for every interior block: one fused attention call with one small mask does them all. The blocks that
touch an end of the sequence become small calls of their own. A batch of sequences of different
lengths is laid end to end, and every block gets its own mask, which keeps the sequences apart.
Time and memory are linear in the number of frames times the window; a window without limits costs
the square of the frames, as it must.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from speechattn.blocks import Call, run_calls

HIDDEN = float("-inf")  # added to the score of a key that a query must not see


def truncated_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    left: int | None,
    right: int | None,
    *,
    offset: int = 0,
    lengths: torch.Tensor | None = None,
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

    Returns:
        Shape (batch, queries, heads, d).

    Raises:
        ValueError: for shapes, windows, offsets or lengths that do not fit each other.
    """
    _check(q, k, v, left, right, offset, lengths)
    batch, queries = q.shape[:2]
    keys = k.shape[1]
    if queries == 0 or batch == 0:
        return q * 0
    left = keys if left is None else min(left, keys)
    right = keys if right is None else min(right, keys)
    if batch == 1 and lengths is None:
        calls = sequence_calls(queries, keys, left, right, offset, q.device, q.dtype)
        return run_calls(q[0], k[0], v[0], calls)[None]
    if offset or queries != keys:
        raise ValueError(
            f"offset {offset}, {queries} queries, {keys} keys in a batch of {batch}: "
            "a batch has as many queries as keys and no offset; stream one sequence at a time"
        )
    run = _padded if left + right >= keys else _packed
    if lengths is None:
        return run(q, k, v, left, right, None)
    valid = valid_frames(lengths.to(q.device), keys)
    beyond = ~valid[:, :, None, None]
    q, k, v = (x.masked_fill(beyond, 0) for x in (q, k, v))  # NaN in padding must not spread
    return run(q, k, v, left, right, valid) * ~beyond


def valid_frames(lengths: torch.Tensor, frames: int) -> torch.Tensor:
    """True where a frame lies within its sequence, shape (batch, frames)."""
    return torch.arange(frames, device=lengths.device) < lengths[:, None]


def block_rows(left: int, right: int) -> int:
    """Queries in a block: about as many as half the keys they see, a power of two."""
    widest = max(left, right)
    return 32 if widest <= 32 else 64 if widest <= 64 else 128


def sequence_calls(
    queries: int,
    keys: int,
    left: int,
    right: int,
    offset: int,
    device: torch.device,
    dtype: torch.dtype,
) -> list[Call]:
    """The calls that make up attention over one sequence: first edge, interior, last edge."""
    rows = block_rows(left, right)
    span = rows + left + right
    # Interior: every block whose keys all exist.
    first = max(0, -(-(left - offset) // rows))
    last = min(queries // rows, (keys - offset - right) // rows)
    calls = []
    if last > first:
        band = _band(rows, span, 0, left, right, device, dtype)
        start = first * rows
        calls.append(Call(start, start + offset - left, last - first, rows, span, band))
        edges = [(0, start), (last * rows, queries)]
    else:
        edges = [(0, queries)]
    for begin, end in edges:
        # An edge may be long when the window is (None, None): then it is one full call.
        if end > begin:
            low = max(0, begin + offset - left)
            high = min(keys, end + offset + right)
            size = end - begin, high - low
            if left >= keys and right >= keys:
                mask = None
            else:
                mask = _band(*size, begin + offset - left - low, left, right, device, dtype)
            calls.append(Call(begin, low, 1, *size, mask))
    return calls


def _packed(q, k, v, left, right, valid) -> torch.Tensor:
    """A batch laid end to end as one sequence, with a mask for every block."""
    batch, time, heads, d = q.shape
    rows = block_rows(left, right)
    span = rows + left + right
    count = -(-batch * time // rows)
    extra = count * rows - batch * time

    sequence = torch.arange(batch, device=q.device)[:, None].expand(batch, time)
    if valid is not None:
        sequence = torch.where(valid, sequence, -1)
    sequence = F.pad(sequence.reshape(-1), (left, extra + right), value=-1)
    of_query = sequence[left : left + count * rows].view(count, rows, 1)
    of_key = sequence.as_strided((count, 1, span), (rows, span, 1))
    distance = _distance(rows, span, 0, left, q.device)
    band = (distance >= -left) & (distance <= right)
    # Padding rows see themselves, so that no row is without keys; the caller zeroes them.
    seen = ((of_query == of_key) & (of_query >= 0) & band) | (distance == 0)
    mask = torch.zeros(seen.shape, dtype=q.dtype, device=q.device)
    mask.masked_fill_(~seen, HIDDEN)

    def flat(x, before, after):
        return F.pad(x.reshape(batch * time, heads, d), (0, 0, 0, 0, before, after))

    call = Call(0, 0, count, rows, span, mask[:, None])
    out = run_calls(
        flat(q, 0, extra), flat(k, left, extra + right), flat(v, left, extra + right), [call]
    )
    return out[: batch * time].view(batch, time, heads, d)


def _padded(q, k, v, left, right, valid) -> torch.Tensor:
    """A batch whose window spans most of it: one call with a mask for every sequence."""
    time = q.shape[1]
    distance = _distance(time, time, 0, 0, q.device)
    seen = ((distance >= -left) & (distance <= right))[None]
    if valid is not None:
        # Padding sees itself, so that no row is without keys; the caller zeroes it.
        seen = (seen & valid[:, None]) | (distance == 0)
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None]).transpose(1, 2)


def _distance(rows: int, keys: int, first: int, left: int, device) -> torch.Tensor:
    """Position of key j relative to query i: ``j - i - left - first``, shape (rows, keys).

    ``left + first`` is how far key 0 lies before query 0.
    """
    query = torch.arange(rows, device=device)[:, None]
    key = torch.arange(keys, device=device)
    return key - query - left - first


def _band(rows, keys, first, left, right, device, dtype) -> torch.Tensor:
    distance = _distance(rows, keys, first, left, device)
    hidden = (distance < -left) | (distance > right)
    return torch.zeros(rows, keys, dtype=dtype, device=device).masked_fill_(hidden, HIDDEN)


def _check(q, k, v, left, right, offset, lengths) -> None:
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
    if not q.dtype == k.dtype == v.dtype:
        raise ValueError(f"q: {q.dtype}, k: {k.dtype}, v: {v.dtype}; they must agree")
    for name, value in (("left", left), ("right", right)):
        if value is not None and (type(value) is not int or value < 0):
            raise ValueError(
                f"{name}: {value} frames; a whole number from 0 on, or None for no limit"
            )
    if offset < 0 or q.shape[1] + offset > k.shape[1]:
        raise ValueError(
            f"offset: {offset} with {q.shape[1]} queries and {k.shape[1]} keys; "
            "every query needs a key at its own position"
        )
    if lengths is not None:
        if not isinstance(lengths, torch.Tensor) or lengths.is_floating_point():
            raise ValueError(f"lengths: {lengths!r}; a tensor of whole numbers")
        if lengths.shape != (q.shape[0],):
            raise ValueError(f"lengths: shape {tuple(lengths.shape)}; one for each of {q.shape[0]}")
        if bool((lengths < 0).any()) or bool((lengths > q.shape[1]).any()):
            raise ValueError(f"lengths: {lengths.tolist()}; from 0 to {q.shape[1]} frames")
