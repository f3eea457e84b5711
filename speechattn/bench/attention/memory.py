"""How much memory our attention needs: a process that computes it once, and nothing else.

As a program, ``python -m speechattn.bench.attention.memory LENGTH LEFT RIGHT HEADS DIM DTYPE
BACKWARD THREADS`` is that process.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence

import torch

from speechattn.attention.functional import truncated_attention
from speechattn.bench.attention.peers import Case
from speechattn.bench.process import own_peak, peak_of_module


def peak_memory(case: Case) -> int | None:
    """Measure the peak memory in bytes of a process that computes a case once.

    Interpreter, libraries and inputs are included. None if the system does not say.

    Raises:
        SpeechattnError: if the process fails.
    """
    dtype = str(case.dtype).removeprefix("torch.")
    _compile(case.backward)
    numbers = case.length, case.left, case.right, case.heads, case.dim
    words = [*map(str, numbers), dtype, str(int(case.backward)), str(torch.get_num_threads())]
    return _peak(words)


@functools.cache
def _compile(backward: bool) -> None:
    """Have such a process compile what is not yet in the disk cache, which takes memory itself."""
    _peak(["1", "0", "0", "1", "16", "float32", str(int(backward)), "1"])


def _peak(words: Sequence[str]) -> int | None:
    return peak_of_module(
        "speechattn.bench.attention.memory",
        words,
        "attention",
        "give it more memory, or shorter --lengths",
    )


def main(words: Sequence[str]) -> None:
    """Compute once what the arguments say, and print the peak memory in bytes."""
    length, left, right, heads, dim = map(int, words[:5])
    dtype, backward, threads = getattr(torch, words[5]), words[6] == "1", int(words[7])
    torch.set_num_threads(threads)
    # Numbers that are no special case for a kernel, made without float32 copies.
    q, k, v = (
        torch.empty(1, length, heads, dim, dtype=dtype).uniform_(-1, 1).requires_grad_(backward)
        for _ in range(3)
    )
    out = truncated_attention(q, k, v, left, right)
    if backward:
        torch.autograd.grad(out, (q, k, v), torch.ones_like(out))
    print(own_peak() or 0)


if __name__ == "__main__":
    main(sys.argv[1:])
