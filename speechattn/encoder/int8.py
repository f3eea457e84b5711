"""Linear layers for inference in whole numbers of 8 bits, with sums in 32 bits.

Processors with VNNI multiply such numbers nearly twice as fast as bfloat16. Those with AVX2 alone
multiply them twice as fast as float32, if weights have 7 bits. Each input of a layer has a fixed
step, chosen so that its *range*, the largest magnitude it had in training speech, is the largest
whole number; beyond it, numbers are clipped. Each row of weights has a step too (Krishnamoorthi
2018, "Quantizing deep convolutional networks for efficient inference"). Because each input has its
own step, it costs nothing that one channel is a hundred times as loud as another; the weights
compensate (Xiao et al. 2023, "SmoothQuant").

Results of a row do not depend on other rows: steps are fixed, and sums of whole numbers are exact.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechattn.attention import kernels
from speechattn.attention.kernels.runtime import is_plain_cpu_tensor
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.int8_matrix import int8_matrix
from speechattn.encoder.layers import FeedForward
from speechattn.encoder.onednn import Int8Matrix, largest_weight
from speechattn.encoder.whole_numbers import MAX_INT8, MAX_UINT8, ZERO, by_rows, input_steps
from speechattn.errors import ModelError

WHOLE_ACTIVATIONS = (F.relu, F.gelu)  # activations of layers that are in 8 bits as a whole
STEPS = "steps."  # prefix of the names of steps in a file
WITHIN = "layers."  # prefix of the layers that may be in 8 bits: not the first and the last


class Int8Linear(nn.Module):
    """A linear layer in 8 bits, with a copy of its weights.

    Args:
        linear: layer with weights in float32.
        ranges: range of each input, shape (in_features,).
    """

    def __init__(self, linear: nn.Linear, ranges: Tensor) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        step = _steps(ranges, MAX_INT8)
        self._per_step = 1 / step
        self._matrix = _matrix(linear.weight.detach() * step)
        self._bias = None if linear.bias is None else linear.bias.detach().clone()

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., out_features) for x of shape (..., in_features), without gradients."""
        whole = whole_numbers(x, self._per_step, self._matrix.rows_for(x.shape[-2]))
        return self._matrix.product(whole, ZERO, self._bias)[..., : x.shape[-2], :]


class Int8FeedForward(nn.Module):
    """A feed-forward layer in 8 bits.

    Between its two products, numbers stay whole with ReLU and are rounded anew with GELU.

    Args:
        layer: layer with weights in float32, of an activation in ``WHOLE_ACTIVATIONS``.
        outer: range of each input of its first product.
        inner: range of each input of its second product.
    """

    right = FeedForward.right

    def __init__(self, layer: FeedForward, outer: Tensor, inner: Tensor) -> None:
        super().__init__()
        self._relu = layer.activate is F.relu
        step = _steps(outer, MAX_INT8)
        inner_step = _steps(inner, MAX_UINT8 if self._relu else MAX_INT8)
        self._per_step, self._per_inner_step = 1 / step, 1 / inner_step
        weight, bias = layer.expand.weight.detach() * step, layer.expand.bias.detach().clone()
        if self._relu:
            # The first product gives multiples of the inner steps, which need only be rounded.
            weight, bias = weight / inner_step[:, None], bias / inner_step
        self._expand, self._inner_bias = _matrix(weight), bias
        self._contract = _matrix(layer.contract.weight.detach() * inner_step)
        self._bias = layer.contract.bias.detach().clone()

    def forward(self, x: Tensor, *_: object) -> Tensor:
        """Return the same shape, (..., frames, width), without gradients."""
        whole = whole_numbers(x, self._per_step, self._expand.rows_for(x.shape[-2]))
        if self._relu:
            inner = self._expand.product(whole, ZERO, self._inner_bias, to_bytes=True)
            return self._contract.product(inner, 0, self._bias)[..., : x.shape[-2], :]
        inner = self._expand.product(whole, ZERO, self._inner_bias)
        inner = whole_numbers(inner, self._per_inner_step, inner.shape[-2], gelu=True)
        return self._contract.product(inner, ZERO, self._bias)[..., : x.shape[-2], :]

    forward_chunk = forward_varlen = forward  # each frame is processed alone


def _matrix(weight: Tensor) -> Int8Matrix:
    """Return a matrix in 8 bits, laid out for the processor."""
    return int8_matrix(*_by_rows(weight, largest_weight()))


def whole_numbers(x: Tensor, per_step: Tensor, all_rows: int, gelu: bool = False) -> Tensor:
    """Return the nearest whole numbers to ``x * per_step + ZERO``, from 0 to 255.

    Args:
        x: float32, shape (..., rows, numbers).
        per_step: inverse step of each number, shape (numbers,).
        all_rows: rows of the result, as many as x has or more; those beyond are arbitrary.
        gelu: whether the GELU of x takes its place.

    Returns:
        uint8, shape (..., all_rows, numbers).

    Raises:
        ValueError: if x has another width than the steps.
    """
    *before, rows, count = x.shape
    if count != len(per_step):
        raise ValueError(f"x: shape {tuple(x.shape)}; steps are known of {len(per_step)} numbers")
    plain = x.dtype == torch.float32 and is_plain_cpu_tensor(x, per_step)
    if count < kernels.llvm.LANES or before not in ([], [1]) or not plain:
        x = F.gelu(x) if gelu else x
        x = F.pad(x, (0, 0, 0, all_rows - rows))
        near = (x * per_step).add_(ZERO + 0.5).clamp_(0, MAX_UINT8)
        return near.to(torch.int16).to(torch.uint8)  # in one step, PyTorch takes five times as long
    return kernels.rows.round_to_bytes(x, per_step, ZERO, all_rows, gelu)


def _by_rows(weight: Tensor, largest: int = MAX_INT8) -> tuple[Tensor, Tensor]:
    """Return whole numbers from -largest to largest, int8, and the step of each row."""
    whole, step = by_rows(weight.numpy(), largest)
    return torch.from_numpy(whole), torch.from_numpy(step)


def whole_weights(classifier: nn.Module, ranges: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights that :class:`Int8Linear` uses, as a file may store them.

    They are the same for every processor. One without VNNI rounds them once more.

    Returns:
        For each layer within the encoder with known ranges: ``NAME.weight`` in whole numbers, int8,
        and ``steps.NAME``, the step of each row, float32.
    """
    weights = {}
    for name, layer in classifier.named_modules():
        if isinstance(layer, nn.Linear) and name.startswith(WITHIN) and name in ranges:
            weight = layer.weight.detach().float().cpu() * _steps(ranges[name], MAX_INT8)
            weights[f"{name}.weight"], weights[f"{STEPS}{name}"] = _by_rows(weight)
    return weights


def restore_weights(
    weights: dict[str, Tensor], steps: Mapping[str, Tensor], ranges: Mapping[str, Tensor]
) -> None:
    """Replace whole numbers from a file by the weights that they stand for, in float32.

    Args:
        weights: weights of a classifier, in its shapes; changed in place.
        steps: steps by the name of the layer.
        ranges: ranges of the model, checked.

    Raises:
        ModelError: if whole numbers have no steps or ranges, or steps no whole numbers.
    """
    whole = {name for name, value in weights.items() if not value.is_floating_point()}
    for name, step in steps.items():
        weight = weights.get(f"{name}.weight")
        if (
            weight is None
            or weight.dtype != torch.int8
            or name not in ranges
            or not step.is_floating_point()
            or step.shape != weight.shape[:1]
        ):
            raise ModelError(f"{STEPS}{name}: there is no such layer; export the model again")
        weight = weight.float() * step[:, None].float() / _steps(ranges[name], MAX_INT8)
        weights[f"{name}.weight"] = weight
        whole.discard(f"{name}.weight")
    if whole:
        raise ModelError(f"{min(whole)}: whole numbers without steps; export the model again")


def _steps(ranges: Tensor, largest: int) -> Tensor:
    """Return the step of each input, for whole numbers up to ``largest``."""
    return torch.from_numpy(input_steps(ranges.float().cpu().numpy(), largest))


def input_ranges(
    classifier: PhoneClassifier, recordings: Iterable[Tensor | np.ndarray]
) -> dict[str, Tensor]:
    """Measure the largest magnitude of every input of every linear layer over recordings.

    Args:
        classifier: model in float32.
        recordings: frames of each recording, shape (frames, input_dim).

    Returns:
        Name of the layer → float16, shape (in_features,), rounded up. Layers that were not used
        are absent.
    """
    ranges: dict[str, Tensor] = {}

    def measure(name: str, rows: Tensor) -> None:
        largest = rows.abs().amax(0)
        ranges[name] = largest.maximum(ranges[name]) if name in ranges else largest

    watch_inputs(classifier, recordings, measure)
    highest = torch.finfo(torch.float16).max
    return {k: (v.float() * 1.001).clamp(max=highest).half().cpu() for k, v in ranges.items()}


@torch.inference_mode()
def watch_inputs(
    classifier: PhoneClassifier,
    recordings: Iterable[Tensor | np.ndarray],
    take: Callable[[str, Tensor], None],
) -> None:
    """Run a model over recordings and look at the inputs of its linear layers.

    Args:
        classifier: model in float32.
        recordings: frames of each recording, shape (frames, input_dim).
        take: called with the name of a layer and its inputs, shape (rows, in_features), each time
            that the layer is used.
    """

    def hook(name: str, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        take(name, inputs[0].detach().flatten(0, -2))

    hooks = [
        layer.register_forward_pre_hook(functools.partial(hook, name))
        for name, layer in classifier.named_modules()
        if isinstance(layer, nn.Linear)
    ]
    device = classifier.mean.device
    try:
        for frames in recordings:
            if len(frames):
                classifier(torch.as_tensor(frames, dtype=torch.float32, device=device)[None])
    finally:
        for handle in hooks:
            handle.remove()


def check_ranges(ranges: dict[str, Tensor], classifier: nn.Module) -> None:
    """Check that ranges read from a file fit a model.

    Raises:
        ModelError: if one belongs to no layer, has another shape, or is impossible.
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
