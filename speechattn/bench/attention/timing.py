"""Timing of attention methods: in turn, in one process, with the error of each beside its time.

With one thread, times are those of the processor: other programs change them little.
Errors are differences from the equation, computed in float64 on the same random inputs.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import median

import torch
from torch import Tensor

from speechattn.bench.attention.peers import METHODS, OURS, Case, Compute, Method, NotOfferedError
from speechattn.text import one_line

SHORTEST_SAMPLE = 0.02  # s; what is quicker is repeated within a sample
MOST_CALLS = 200  # within a sample
# A slow method has fewer rounds, so that all its samples of a case take no longer than this, but at
# least two rounds, or one if a call takes longer than LONGEST_CALL.
MOST_SECONDS = 0.5
FEWEST_ROUNDS = 2
LONGEST_CALL = 2.0  # s; what would take longer, judging by a shorter length, is left out
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1}  # of errors; beyond, an answer is wrong
FAILURES = (RuntimeError, ValueError, TypeError, AssertionError, ImportError, OSError, MemoryError)
GEMM_SHAPES = ((512, 512, 512), (1024, 1024, 1024), (2048, 1024, 256))  # rows, columns, inner
CHECKED_ROWS = 256  # frames of a stretch that is compared
CHECKED_STRETCHES = 12  # at most, the ends among them


@dataclass
class Measurement:
    """One method on one case.

    Attributes:
        case: what was computed.
        method: its name.
        samples: seconds a call, one for every round it was in; empty if it was not run.
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
    memory: Callable[[Case], int | None] | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> tuple[list[Measurement], dict[torch.dtype, float]]:
    """Time all methods on all cases.

    The peak of the matrix product is measured before every case and the highest one counts, since a
    machine that does other work as well is seldom at its peak.

    Args:
        cases: what is computed.
        repeats: rounds at most.
        methods: None for all of them.
        memory: measures the memory of our own method, before anything large is made here.
        report: receives a line for the user before each method.

    Returns:
        The measurements, and floating-point operations a second of a large matrix product, for
        every dtype.
    """
    found: list[Measurement] = []
    peaks: dict[torch.dtype, float] = {}
    for case in cases:
        peaks[case.dtype] = max(peaks.get(case.dtype, 0.0), gemm_peak(case.dtype))
        peak = memory(case) if memory else None
        several = METHODS if methods is None else methods
        rows = measure_case(case, repeats, several, report, found)
        for row in rows:
            row.memory = peak if row.method == OURS else None
        found += rows
    return found, peaks


def clock() -> float:
    """Return seconds: of the processor if PyTorch uses one thread, else of the wall."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def gemm_peak(dtype: torch.dtype) -> float:
    """Operations a second of the fastest of some matrix products (best of five)."""
    best = 0.0
    for rows, columns, inner in GEMM_SHAPES:
        a, b = torch.rand(rows, inner).to(dtype), torch.rand(inner, columns).to(dtype)
        out = a @ b
        for _ in range(5):
            start = clock()
            torch.mm(a, b, out=out)
            best = max(best, 2 * rows * columns * inner / (clock() - start))
    return best


def measure_case(
    case: Case,
    repeats: int,
    methods: Sequence[Method],
    report: Callable[[str], None],
    before: Sequence[Measurement] = (),
) -> list[Measurement]:
    """Time the methods on one case, in turn: A B C, B C A, C A B, ...

    Args:
        case: what is computed.
        repeats: rounds; a slow method is in some of them only.
        methods: all but our own may be left out or fail.
        report: receives a line for the user before each method.
        before: earlier measurements, from which it follows what would take too long.
    """
    inputs = make_inputs(case)
    exact = Exact(case, inputs)
    running: list[_Running] = []
    found = []
    for method in methods:
        result = Measurement(case, method.name)
        found.append(result)
        report(f"{describe(case)}: {method.name}")
        try:
            _check_time(method, case, before)
            running.append(_start(method, case, inputs, exact, result))
        except NotOfferedError as reason:
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
            for one in running[first:] + running[:first]:
                if one.rounds * turn % repeats < one.rounds:  # evenly among the rounds
                    one.take_sample()
    finally:
        if collected:
            gc.enable()
    return found


@dataclass
class _Running:
    """A method that is being timed on a case.

    Attributes:
        result: where its samples go.
        call: what is timed.
        calls: in a sample.
        rounds: in which it takes part.
    """

    result: Measurement
    call: Callable[[], object]
    calls: int
    rounds: int

    def take_sample(self) -> None:
        start = clock()
        for _ in range(self.calls):
            self.call()
        self.result.samples.append((clock() - start) / self.calls)


def _check_time(method: Method, case: Case, before: Sequence[Measurement]) -> None:
    """Raise NotOfferedError if a peer would take too long, judging by a shorter length."""
    shorter = [
        m
        for m in before
        if m.method == method.name and m.samples and replace(m.case, length=case.length) == case
    ]
    if shorter and method.name != OURS:
        last = max(shorter, key=lambda m: m.case.length)
        seconds = last.seconds * (case.length / last.case.length) ** method.power
        if seconds > LONGEST_CALL:
            raise NotOfferedError(f"skipped (about {seconds:.0f} s a call)")


def _start(
    method: Method, case: Case, inputs: Sequence[Tensor], exact: Exact, result: Measurement
) -> _Running:
    """Prepare, warm up, compare."""
    compute = method.prepare(case)
    if method.heads_first:
        inputs = [x.transpose(1, 2).contiguous() for x in inputs]
    call = _call(compute, inputs, case.backward)
    start = time.perf_counter()
    outputs = call()
    result.setup = time.perf_counter() - start
    if method.heads_first:
        outputs = [x.transpose(1, 2) for x in outputs]
    if method.same:
        result.error = exact.largest_error(outputs)
        if result.error > TOLERANCE[case.dtype]:
            result.note = "WRONG ANSWER"
    else:
        result.note = "attends to everything"
    del outputs
    start = clock()
    call()
    took = max(clock() - start, 1e-9)
    calls = min(MOST_CALLS, max(1, math.ceil(SHORTEST_SAMPLE / took)))
    fewest = FEWEST_ROUNDS if took <= LONGEST_CALL else 1
    return _Running(result, call, calls, max(fewest, math.ceil(MOST_SECONDS / (calls * took))))


def _call(compute: Compute, inputs: Sequence[Tensor], backward: bool) -> Callable[[], list[Tensor]]:
    """What is timed: outputs, and with backward the gradients."""
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


def describe(case: Case) -> str:
    """One line for people."""
    steps = "forward + backward" if case.backward else "forward"
    window, dtype = f"{case.left}/{case.right}", dtype_name(case.dtype)
    return f"T = {case.length:,}, window {window}, {case.heads} heads, {dtype}, {steps}"


def dtype_name(dtype: torch.dtype) -> str:
    """fp32 or bf16."""
    return {torch.float32: "fp32", torch.bfloat16: "bf16"}[dtype]


def make_inputs(case: Case) -> list[Tensor]:
    """q, k, v and the gradient of the output, shape (1, frames, heads, d) each."""
    generator = torch.Generator().manual_seed(0)
    shape = 1, case.length, case.heads, case.dim
    return [torch.randn(shape, generator=generator).to(case.dtype) for _ in range(4)]


class Exact:
    """The equation in float64, which methods are compared with; computed when it is first needed.

    Long sequences are compared in stretches, among them both ends. A gradient of a key depends on
    the queries that attend to it, and these on all the keys that they attend to, so a stretch is
    computed with ``left + right`` more frames on both sides.

    Args:
        case: what is computed.
        inputs: as :func:`make_inputs` gives them.
    """

    def __init__(self, case: Case, inputs: Sequence[Tensor]) -> None:
        self.case, self.inputs = case, inputs

    @cached_property
    def parts(self) -> list[tuple[int, int, list[Tensor]]]:
        """Begin and end of every stretch, and its output and, with backward, its gradients."""
        case, margin, parts = self.case, self.case.left + self.case.right, []
        for begin in stretches(case.length):
            end = min(case.length, begin + CHECKED_ROWS)
            low, high = max(0, begin - margin), min(case.length, end + margin)
            results = reference(case, [x[:, low:high] for x in self.inputs])
            parts.append((begin, end, [x[:, begin - low : end - low].clone() for x in results]))
        return parts

    def largest_error(self, outputs: Sequence[Tensor]) -> float:
        """Largest difference of outputs and gradients, shape (1, frames, heads, d) each."""
        worst = 0.0
        for begin, end, results in self.parts:
            for ours, exact in zip(outputs, results):
                difference = ours[:, begin:end].double() - exact
                # NaN must not get lost in a comparison.
                worst = max(worst, difference.abs().nan_to_num(math.inf).max().item())
        return worst


def stretches(length: int) -> list[int]:
    """Return the first frames of the stretches that are compared."""
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
