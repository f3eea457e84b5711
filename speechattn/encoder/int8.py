"""Linear layers in whole numbers of 8 bits, for inference: inputs, weights, and sums in 32 bits.

Processors that multiply such numbers (VNNI) do so nearly twice as fast as in bfloat16. A number of
a layer's input is told by where it lies between the ends of its own *range*, the largest magnitude
that it had in training speech, and is cut off there; a row of weights has a step of its own
(Krishnamoorthi 2018, "Quantizing deep convolutional networks for efficient inference"). As every
number of the input has its own step, that one channel is a hundred times as loud as another costs
nothing; its weights make up for it (Xiao et al. 2023, "SmoothQuant").

What comes out does not depend on what stands beside a row: steps are fixed, whole numbers exact.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from speechattn.attention.kernels.llvm import LANES
from speechattn.attention.kernels.matmul import FLOAT_BYTES
from speechattn.attention.kernels.rows import round_rows
from speechattn.attention.kernels.runtime import is_plain_cpu_tensor
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.layers import FeedForward
from speechattn.encoder.packed_linear import ROWS, whole_tiles
from speechattn.errors import ModelError

LARGEST = 127  # of weights, and of inputs on either side of ZERO
STEPS = "steps."  # how the names of steps begin in a file
ZERO = 128  # what stands for 0 in an input, which has no sign
LARGEST_POSITIVE = 255  # of inputs that are never below 0, for which 0 stands for 0
QUIETEST = 0.01  # least range, relative to the mean one: what was silent may not stay so
WITHIN = "layers."  # how layers are named that may be in 8 bits: not the first, not the last


class Int8Linear(nn.Module):
    """What a linear layer computes, to rounding; with a copy of its weights.

    Args:
        linear: with weights in float32.
        ranges: of each input, shape (in_features,).
    """

    def __init__(self, linear: nn.Linear, ranges: Tensor):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        step = _steps(ranges, LARGEST)
        self._per_step = 1 / step
        self._matrix = _Matrix(linear.weight.detach() * step)
        self._bias = None if linear.bias is None else linear.bias.detach().clone()

    def forward(self, x: Tensor) -> Tensor:
        """x: shape (..., in_features); returns (..., out_features), without gradients."""
        whole = whole_numbers(x, self._per_step)
        return self._matrix.product(whole, ZERO, self._bias, torch.float32)[..., : x.shape[-2], :]


class Int8FeedForward(nn.Module):
    """What a feed-forward layer computes, in whole numbers between its two products as well.

    Args:
        layer: with weights in float32.
        outer: range of each input of its first product.
        inner: of its second product.
    """

    right = FeedForward.right

    def __init__(self, layer: FeedForward, outer: Tensor, inner: Tensor):
        super().__init__()
        step, inner_step = _steps(outer, LARGEST), _steps(inner, LARGEST_POSITIVE)
        self._per_step = 1 / step
        # The first product gives numbers of inner steps, so that they need only be rounded.
        expand, contract = layer.expand, layer.contract
        self._expand = _Matrix(expand.weight.detach() * step / inner_step[:, None])
        self._inner_bias = expand.bias.detach() / inner_step
        self._contract = _Matrix(contract.weight.detach() * inner_step)
        self._bias = contract.bias.detach().clone()

    def forward(self, x: Tensor, *_: object) -> Tensor:
        """x: shape (..., frames, width); the same comes out, without gradients."""
        whole = whole_numbers(x, self._per_step)
        inner = self._expand.product(whole, ZERO, self._inner_bias, torch.uint8, "relu")
        return self._contract.product(inner, 0, self._bias, torch.float32)[..., : x.shape[-2], :]

    advance = together = forward  # every frame for itself


class _Matrix:
    """A matrix in 8 bits, laid out for the processor."""

    def __init__(self, weight: Tensor):
        self._whole, self._step = _by_rows(weight)
        self._lay_out()

    def _lay_out(self) -> None:
        shape = [1, ROWS, self._whole.shape[1]]
        self._packed = torch.ops.onednn.qlinear_prepack(self._whole, shape)
        self._zeros = torch.zeros(len(self._whole), dtype=torch.int32)

    def product(
        self, x: Tensor, zero: int, bias: Tensor | None, dtype: torch.dtype, then: str = "none"
    ) -> Tensor:
        """Of whole numbers, ``zero`` standing for 0; ``then``: ``"relu"``."""
        shape = *x.shape[:-1], len(self._whole)
        if not x.numel():
            return torch.zeros(shape, dtype=dtype)
        weight = self._packed, self._step, self._zeros, bias
        return torch.ops.onednn.qlinear_pointwise(
            x.flatten(0, -2), 1.0, zero, *weight, 1.0, 0, dtype, then, [], ""
        ).view(shape)

    def __getstate__(self) -> dict:
        """For copies and other processes: what is laid out cannot be copied, but made again."""
        return {"_step": self._step, "_whole": self._whole}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._lay_out()


def whole_numbers(x: Tensor, per_step: Tensor) -> Tensor:
    """The nearest whole numbers to ``x * per_step + ZERO``, from 0 to 255, in whole tiles.

    Args:
        x: float32, shape (..., rows, numbers).
        per_step: shape (numbers,).

    Returns:
        uint8, as many rows as fill tiles of ``ROWS``; those at the end are of no use.
    """
    *before, rows, count = x.shape
    if count != len(per_step):
        raise ValueError(f"x: shape {tuple(x.shape)}; steps are known of {len(per_step)} numbers")
    all_rows = rows + -rows % ROWS
    plain = x.dtype == torch.float32 and is_plain_cpu_tensor(x, per_step)
    if count < LANES or before not in ([], [1]) or not plain:
        near = (whole_tiles(x, x.dtype) * per_step).add_(ZERO + 0.5).clamp_(0, LARGEST_POSITIVE)
        return near.to(torch.int16).to(torch.uint8)  # at once, PyTorch takes five times as long
    x = x.contiguous()
    out = torch.empty(*before, all_rows, count, dtype=torch.uint8, device="cpu")
    place = x.data_ptr(), FLOAT_BYTES * count, rows, per_step.data_ptr()
    round_rows(*place, count, ZERO, out.data_ptr(), all_rows)
    return out


def _by_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers from -LARGEST to LARGEST, int8, and the step of each row."""
    step = (weight.abs().amax(1) / LARGEST).clamp_min(torch.finfo(torch.float32).tiny)
    return (weight / step[:, None]).round().to(torch.int8), step


def whole_weights(classifier: nn.Module, ranges: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as a file may hold them: those that :class:`Int8Linear` multiplies with, exactly.

    Returns:
        For each layer within the encoder whose ranges are known ``NAME.weight`` in whole numbers,
        int8, and ``steps.NAME``, the step of each row, float32.
    """
    found = {}
    for name, layer in classifier.named_modules():
        if isinstance(layer, nn.Linear) and name.startswith(WITHIN) and name in ranges:
            weight = layer.weight.detach().float().cpu() * _steps(ranges[name], LARGEST)
            found[f"{name}.weight"], found[f"{STEPS}{name}"] = _by_rows(weight)
    return found


def restore_weights(
    weights: dict[str, Tensor], steps: Mapping[str, Tensor], ranges: Mapping[str, Tensor]
) -> None:
    """Turn whole numbers from a file into the weights that they stand for, in float32.

    Args:
        weights: of a classifier, in the shapes that it has; changed.
        steps: by name of the layer.
        ranges: of a model, checked.

    Raises:
        ModelError: if whole numbers have no steps or ranges, or steps no whole numbers.
    """
    whole = {name for name, value in weights.items() if not value.is_floating_point()}
    for name, step in steps.items():
        weight = weights.get(f"{name}.weight")
        fits = weight is not None and weight.dtype == torch.int8 and name in ranges
        if not (fits and step.is_floating_point() and step.shape == weight.shape[:1]):
            raise ModelError(f"{STEPS}{name}: there is no such layer; export the model again")
        back = weight.float() * step[:, None].float() / _steps(ranges[name], LARGEST)
        weights[f"{name}.weight"] = back
        whole.discard(f"{name}.weight")
    if whole:
        raise ModelError(f"{min(whole)}: whole numbers without steps; export the model again")


def _steps(ranges: Tensor, largest: int) -> Tensor:
    ranges = ranges.float()
    least = (QUIETEST * ranges.mean()).clamp_min(torch.finfo(torch.float16).tiny)
    return ranges.maximum(least) / largest


@functools.cache
def fast_int8() -> bool:
    """Whether this processor multiplies such numbers, exactly, and PyTorch lets it."""
    try:
        if not (torch.backends.mkldnn.is_available() and _has_vnni()):
            return False
        # The largest ones, whose sums some processors without VNNI cut off.
        whole = torch.full((1, 16, 64), LARGEST_POSITIVE, dtype=torch.uint8)
        matrix = _Matrix(torch.ones(16, 64))
        found = matrix.product(whole, 0, None, torch.float32)
        return bool((found - 64 * LARGEST_POSITIVE).abs().max() < 1)
    except (AttributeError, RuntimeError, TypeError, NotImplementedError):
        return False  # another version of PyTorch


def _has_vnni() -> bool:
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_vnni") or able.get("avx_vnni"))


@torch.inference_mode()
def input_ranges(
    classifier: PhoneClassifier, recordings: Iterable[Tensor | np.ndarray]
) -> dict[str, Tensor]:
    """The largest magnitude of every input of every linear layer, over recordings.

    Args:
        classifier: in float32.
        recordings: frames of each, shape (frames, input_dim).

    Returns:
        Name of the layer → float16, shape (in_features,), rounded up. Layers that were not used
        have none.
    """
    found: dict[str, Tensor] = {}

    def see(name: str, x: Tensor) -> None:
        largest = x.detach().abs().flatten(0, -2).amax(0)
        found[name] = largest.maximum(found[name]) if name in found else largest

    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs, name=name: see(name, inputs[0]))
        for name, layer in classifier.named_modules()
        if isinstance(layer, nn.Linear)
    ]
    device = classifier.mean.device
    try:
        for frames in recordings:
            if len(frames):
                classifier(torch.as_tensor(frames, dtype=torch.float32, device=device)[None])
    finally:
        for hook in hooks:
            hook.remove()
    highest = torch.finfo(torch.float16).max
    return {k: (v.float() * 1.001).clamp(max=highest).half().cpu() for k, v in found.items()}


def check_ranges(ranges: dict[str, Tensor], classifier: nn.Module) -> None:
    """See that ranges read from a file are those of a model.

    Raises:
        ModelError: if one is of no layer, has another shape, or is impossible.
    """
    layers = {n: m for n, m in classifier.named_modules() if isinstance(m, nn.Linear)}
    for name, values in ranges.items():
        if name not in layers:
            raise ModelError(f"ranges.{name}: there is no such layer; export the model again")
        shape = (layers[name].in_features,)
        if tuple(values.shape) != shape or not values.is_floating_point():
            raise ModelError(
                f"ranges.{name}: {values.dtype} of shape {tuple(values.shape)}, not floating point "
                f"of shape {shape}; export the model again"
            )
        if not (torch.isfinite(values).all() and (values >= 0).all()):
            raise ModelError(f"ranges.{name}: not all finite and above 0; export the model again")
