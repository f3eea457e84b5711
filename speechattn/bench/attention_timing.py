"""Timing of attention methods: in turn, in one process, with their errors beside their times."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

import torch
from torch import Tensor

from speechattn.bench.attention_peers import METHODS, OURS, Case, Compute, Method, NotOffered
from speechattn.text import one_line

SHORTEST_SAMPLE = 0.02  # s; what is quicker is repeated within a sample
MOST_CALLS = 200  # within a sample
CHECKED_ROWS = 256  # frames of a stretch that is compared with the reference
CHECKED_STRETCHES = 12  # at most, the ends among them
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1}  # of errors; beyond, an answer is wrong
FAILURES = (RuntimeError, ValueError, TypeError, AssertionError, ImportError, OSError, MemoryError)
GEMM_SHAPES = ((512, 512, 512), (1024, 1024, 1024), (2048, 1024, 256))  # rows, columns, inner


@dataclass
class Measurement:
    """One method on one case.

    Attributes:
        case: what was computed.
        method: its name.
        samples: seconds a call, one for every round; empty if it was not run.
        setup: seconds of the first call, with compilation.
        error: largest difference from the reference, of the outputs and the gradients; NaN if it
            computes something else.
        memory: bytes at most in a process that computes it alone; None if not measured.
        note: why it was not run, or what it computes instead.
    """

    case: Case
    method: str
    samples: list[float] = field(default_factory=list)
    setup: float = math.nan
    error: float = math.nan
    memory: int | None = None
    note: str = ""

    @property
    def seconds(self) -> float:
        """Median of the samples, NaN if there are none."""
        return median(self.samples) if self.samples else math.nan


def measure(
    cases: Iterable[Case],
    repeats: int,
    *,
    methods: Sequence[Method] | None = None,
    memory: Callable[[Case], int | None] = lambda case: None,
    progress: Callable[[str], None] = lambda line: None,
) -> tuple[list[Measurement], dict[torch.dtype, float]]:
    """Time all methods on all cases.

    The peak of the matrix product is taken before every case and the highest one counts, since a
    machine that does other work as well is seldom at its peak. ``memory`` measures that of our own
    method, before anything large is made here.

    Returns:
        The measurements, and floating-point operations a second of a large matrix product, for
        every dtype.
    """
    found, peaks = [], {}
    for case in cases:
        peaks[case.dtype] = max(peaks.get(case.dtype, 0.0), gemm_peak(case.dtype))
        peak = memory(case)
        rows = measure_case(case, repeats, METHODS if methods is None else methods, progress)
        for row in rows:
            row.memory = peak if row.method == OURS else None
        found += rows
    return found, peaks


def gemm_peak(dtype: torch.dtype) -> float:
    """Operations a second of the fastest of some matrix products (best of five)."""
    best = 0.0
    for rows, columns, inner in GEMM_SHAPES:
        a, b = torch.rand(rows, inner).to(dtype), torch.rand(inner, columns).to(dtype)
        out = a @ b
        for _ in range(5):
            start = time.perf_counter()
            torch.mm(a, b, out=out)
            best = max(best, 2 * rows * columns * inner / (time.perf_counter() - start))
    return best


def measure_case(
    case: Case, repeats: int, methods: Sequence[Method], progress: Callable[[str], None]
) -> list[Measurement]:
    """Time the methods on one case, in turn: A B C, B C A, C A B, ..."""
    inputs = make_inputs(case)
    running: list[tuple[Measurement, Callable[[], object], int]] = []
    found = []
    for method in methods:
        result = Measurement(case, method.name)
        found.append(result)
        progress(f"{describe(case)}: {method.name}")
        try:
            running.append((result, *_start(method, case, inputs, result)))
        except NotOffered as reason:
            result.note = str(reason)
        except FAILURES as error:  # a peer that fails must not take the others with it
            if method.name == OURS:
                raise
            result.note = "failed: " + one_line(f"{type(error).__name__}: {error}")[:100]
    collected = gc.isenabled()
    gc.disable()
    try:
        for turn in range(repeats if running else 0):
            first = turn % len(running)
            for result, call, calls in running[first:] + running[:first]:
                start = time.perf_counter()
                for _ in range(calls):
                    call()
                result.samples.append((time.perf_counter() - start) / calls)
    finally:
        if collected:
            gc.enable()
    return found


def _start(method: Method, case: Case, inputs: Sequence[Tensor], result: Measurement):
    """Prepare, warm up, compare; returns the call to time and how often in a sample."""
    compute = method.prepare(case)
    if method.heads_first:
        inputs = [x.transpose(1, 2).contiguous() for x in inputs]
    call = _call(compute, inputs, case.backward)
    start = time.perf_counter()
    outputs = call()
    result.setup = time.perf_counter() - start
    if method.heads_first:
        outputs = [x.transpose(1, 2) for x in outputs]
        inputs = [x.transpose(1, 2) for x in inputs]
    if method.same:
        result.error = largest_error(case, inputs, outputs)
        if result.error > TOLERANCE[case.dtype]:
            result.note = "WRONG ANSWER"
    else:
        result.note = "attends to everything"
    start = time.perf_counter()
    call()
    took = time.perf_counter() - start
    return call, min(MOST_CALLS, max(1, math.ceil(SHORTEST_SAMPLE / max(took, 1e-9))))


def _call(compute: Compute, inputs: Sequence[Tensor], backward: bool):
    *qkv, gradient = inputs
    if not backward:

        def forward() -> list[Tensor]:
            with torch.inference_mode():
                return [compute(*qkv)]

        return forward
    leaves = [x.detach().requires_grad_() for x in qkv]

    def both() -> list[Tensor]:
        out = compute(*leaves)
        return [out.detach(), *torch.autograd.grad(out, leaves, gradient)]

    return both


def make_inputs(case: Case) -> list[Tensor]:
    """q, k, v and the gradient of the output, shape (1, frames, heads, d) each."""
    generator = torch.Generator().manual_seed(0)
    shape = 1, case.length, case.heads, case.dim
    return [torch.randn(shape, generator=generator).to(case.dtype) for _ in range(4)]


def largest_error(case: Case, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> float:
    """Largest difference of outputs and gradients from the equation in float64.

    Long sequences are compared in stretches, among them both ends. A gradient of a key depends on
    the queries that see it, and these on all the keys they see, so a stretch is computed with
    ``left + right`` more frames on both sides.
    """
    margin, worst = case.left + case.right, 0.0
    for begin in stretches(case.length):
        end = min(case.length, begin + CHECKED_ROWS)
        low, high = max(0, begin - margin), min(case.length, end + margin)
        expected = reference(case, [x[:, low:high] for x in inputs])
        for ours, exact in zip(outputs, expected):
            difference = ours[:, begin:end].double() - exact[:, begin - low : end - low]
            # NaN must not get lost in a comparison.
            worst = max(worst, difference.abs().nan_to_num(math.inf).max().item())
    return worst


def stretches(length: int) -> list[int]:
    """Where the stretches begin that are compared."""
    count = -(-length // CHECKED_ROWS)
    if count <= CHECKED_STRETCHES:
        return [CHECKED_ROWS * number for number in range(count)]
    last = length - CHECKED_ROWS
    return [last * number // (CHECKED_STRETCHES - 1) for number in range(CHECKED_STRETCHES)]


def reference(case: Case, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The equation with a matrix of all pairs, in float64; a list like that of a timed call."""
    *qkv, gradient = (x.detach().double() for x in inputs)
    leaves = [x.requires_grad_(case.backward) for x in qkv]
    q, k, v = leaves
    position = torch.arange(q.shape[1])
    distance = position[None] - position[:, None]
    hidden = (distance < -case.left) | (distance > case.right)
    scores = torch.einsum("bihd,bjhd->bhij", q, k) / math.sqrt(case.dim)
    out = torch.einsum("bhij,bjhd->bihd", scores.masked_fill(hidden, -math.inf).softmax(-1), v)
    if not case.backward:
        return [out]
    return [out.detach(), *torch.autograd.grad(out, leaves, gradient)]


def describe(case: Case) -> str:
    """One line for people."""
    steps = "forward + backward" if case.backward else "forward"
    window = f"{case.left}/{case.right}"
    return f"T = {case.length:,}, window {window}, {case.heads} heads, {dtype_name(case.dtype)}, {steps}"


def dtype_name(dtype: torch.dtype) -> str:
    """fp32 or bf16."""
    return {torch.float32: "fp32", torch.bfloat16: "bf16"}[dtype]
