"""Time attention on arrays in float32, and in bytes with VNNI and with AMX: milliseconds, one core.

    python docs/measure_attention.py [ROUNDS]

Twenty seconds of speech as the encoder of ``english`` sees them: 1,000 rows, 8 heads of 64, 96 rows
to each side. All ways in turn, the shortest time of each.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

from speechattn.attention.kernels import byte_layers
from speechattn.attention.kernels.byte_attention import ByteAttention, suits
from speechattn.attention.kernels.byte_heads import PARTS, byte_row
from speechattn.attention.kernels.window_rows import RowAttention
from speechattn.machine import set_num_threads
from speechattn.text import table

ROWS, HEADS, WIDTH, SIDE = 1000, 8, 512, 96
STEP = 0.02  # what 1 stands for in the bytes


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    set_num_threads(1)
    random = np.random.default_rng(0)
    x = random.standard_normal((ROWS, PARTS * WIDTH)).astype(np.float32)
    q, k, v = x[:, :WIDTH], x[:, WIDTH : 2 * WIDTH], x[:, 2 * WIDTH :]
    rows = random.integers(1, 255, (ROWS, byte_row(WIDTH, HEADS))).astype(np.uint8)
    steps = np.full((ROWS, PARTS * HEADS), STEP, np.float32)
    rows[:, PARTS * WIDTH : PARTS * WIDTH + 4 * PARTS * HEADS] = steps.view(np.uint8)
    sequences = np.array([[0, ROWS, 0, ROWS]], np.int64)
    bias = np.zeros((HEADS, 2 * SIDE + 1), np.float32)

    in_floats = RowAttention(HEADS, WIDTH, SIDE, SIDE, bias)
    ways: dict[str, Callable[[], object]] = {
        "float32": lambda: in_floats(q, k, v, 0, sequences),
    }
    if suits(WIDTH // HEADS, (SIDE, SIDE)):
        in_bytes = ByteAttention(HEADS, WIDTH, SIDE, SIDE, bias)
        ways["bytes, VNNI"] = lambda: in_bytes._computed(rows, rows, 0, sequences, False)
        if byte_layers.uses_amx():
            ways["bytes, AMX"] = lambda: in_bytes._computed(rows, rows, 0, sequences, True)
    shortest = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            shortest[name] = min(shortest[name], time.perf_counter() - start)
    print(table(["attention", "ms"], [[n, f"{1e3 * t:.1f}"] for n, t in shortest.items()]))


if __name__ == "__main__":
    main()
