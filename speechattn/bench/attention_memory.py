"""How much memory our attention needs: a process that computes it once, and nothing else.

As a program, ``python -m speechattn.bench.attention_memory LENGTH LEFT RIGHT HEADS DIM DTYPE
BACKWARD THREADS`` is that process.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch

from speechattn.attention import truncated_attention
from speechattn.bench.attention_peers import Case
from speechattn.bench.process import run_process, usable_cores


def peak_memory(case: Case) -> int | None:
    """Largest resident memory in bytes of a process that computes a case once, interpreter,
    libraries and inputs included; None where it cannot be known. On Linux it is never less than
    what the caller holds (see :class:`speechattn.bench.process.Usage`).

    Raises:
        SpeechattnError: if the process fails.
    """
    dtype = str(case.dtype).removeprefix("torch.")
    numbers = case.length, case.left, case.right, case.heads, case.dim
    words = [*map(str, numbers), dtype, str(int(case.backward)), str(torch.get_num_threads())]
    command = [sys.executable, "-m", "speechattn.bench.attention_memory", *words]
    return run_process(command, usable_cores(), "memory of attention").peak_rss


def main(words: Sequence[str]) -> None:
    """Compute once what the arguments say."""
    length, left, right, heads, dim = map(int, words[:5])
    dtype, backward, threads = getattr(torch, words[5]), words[6] == "1", int(words[7])
    torch.set_num_threads(threads)
    # Of numbers that are no special case for a kernel, and made without float32 copies.
    q, k, v = (
        torch.empty(1, length, heads, dim, dtype=dtype).uniform_(-1, 1).requires_grad_(backward)
        for _ in range(3)
    )
    out = truncated_attention(q, k, v, left, right)
    if backward:
        torch.autograd.grad(out, (q, k, v), torch.ones_like(out))


if __name__ == "__main__":
    main(sys.argv[1:])
