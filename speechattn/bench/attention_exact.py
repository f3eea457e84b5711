"""What attention methods are compared with: the equation, in float64, on inputs made here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from speechattn.bench.attention_peers import Case

CHECKED_ROWS = 256  # frames of a stretch that is compared
CHECKED_STRETCHES = 12  # at most, the ends among them


def make_inputs(case: Case) -> list[Tensor]:
    """q, k, v and the gradient of the output, shape (1, frames, heads, d) each."""
    generator = torch.Generator().manual_seed(0)
    shape = 1, case.length, case.heads, case.dim
    return [torch.randn(shape, generator=generator).to(case.dtype) for _ in range(4)]


class Exact:
    """What the equation gives in float64, to compare methods with; computed when first asked for.

    Long sequences are compared in stretches, among them both ends. A gradient of a key depends on
    the queries that see it, and these on all the keys they see, so a stretch is computed with
    ``left + right`` more frames on both sides.

    Args:
        case: what is computed.
        inputs: as :func:`make_inputs` gives them.
    """

    def __init__(self, case: Case, inputs: Sequence[Tensor]):
        self.case, self.inputs = case, inputs

    @cached_property
    def parts(self) -> list[tuple[int, int, list[Tensor]]]:
        """Begin and end of every stretch, and there the output and, with backward, gradients."""
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
