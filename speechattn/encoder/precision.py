"""Models for inference, with linear layers laid out for the processor in a chosen precision."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechattn.attention.kernels.runtime import DTYPES
from speechattn.encoder.int8 import WHOLE_ACTIVATIONS, WITHIN, Int8FeedForward, Int8Linear
from speechattn.encoder.int8_matrix import fast_int8
from speechattn.encoder.layers import FeedForward
from speechattn.encoder.onednn import fast_bfloat16
from speechattn.encoder.packed_linear import PackedFeedForward, PackedLinear
from speechattn.errors import ConfigError
from speechattn.options import PRECISIONS

INT8 = "int8"

Module = TypeVar("Module", bound=nn.Module)


def fastest_precision(device: torch.device, ranges: Mapping[str, Tensor] | None = None) -> str:
    """Return the precision that ``"auto"`` stands for on a device.

    Args:
        device: device on which the model computes.
        ranges: ranges of the inputs of the model's layers, see
            :func:`speechattn.encoder.int8.input_ranges`; None if they are unknown.
    """
    if device.type != "cpu":
        return "fp32"
    if ranges and fast_int8():
        return INT8
    return "bf16" if fast_bfloat16() else "fp32"


def with_packed_linears(
    model: Module, precision: str = "fp32", ranges: Mapping[str, Tensor] | None = None
) -> Module:
    """Return a copy of a model for inference with packed linear layers.

    Everything else is shared with the model. If weights are not in float32 on a CPU, packing is not
    possible and the model itself is returned.

    Args:
        model: any module.
        precision: ``"fp32"``, ``"bf16"`` to multiply matrices in bfloat16, or ``"int8"`` to
        multiply
            those within the encoder in 8 bits.
        ranges: ranges of inputs, by the names of linear layers; ``"int8"`` needs them.

    Raises:
        ConfigError: for an unknown precision, or one that this processor, device or model does not
            support.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision: {precision!r}; choose from {', '.join(PRECISIONS)}")
    linears = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    possible = all(
        (m.weight.device.type, m.weight.dtype) == ("cpu", torch.float32) for m in linears.values()
    )
    checks: dict[str, Callable[[], bool]] = {"bf16": fast_bfloat16, INT8: fast_int8}
    is_fast = checks.get(precision)
    if is_fast is not None and not (possible and is_fast()):
        raise ConfigError(
            f"precision: {precision}; this processor or device has no such products here; use fp32"
        )
    if not possible:
        return model
    int8_ranges: dict[str, Tensor] = {}
    if precision == INT8:
        if not ranges:
            raise ConfigError(
                "precision: int8; the model does not say in which ranges its numbers lie, which "
                "training writes into it now; train it again, or use bf16 or fp32"
            )
        int8_ranges = {n: r for n, r in ranges.items() if n.startswith(WITHIN)}
        # The first and the last layer take little time; in float32, a row of theirs gives the same
        # bits whatever rows are beside it, which is not so in bfloat16.
        precision = "fp32"
    dtype = DTYPES[precision]
    replaced: dict[int, object] = {id(t): t for t in (*model.parameters(), *model.buffers())}
    for name, layer in model.named_modules():
        if not isinstance(layer, FeedForward):
            continue
        inside = [f"{name}.{part}" for part in ("expand", "contract")]
        if all(n in int8_ranges for n in inside) and layer.activate in WHOLE_ACTIVATIONS:
            replaced[id(layer)] = Int8FeedForward(layer, *(int8_ranges[n] for n in inside))
        elif layer.activate is F.relu:
            replaced[id(layer)] = PackedFeedForward(layer, dtype)
        else:  # each product is replaced alone
            continue
        linears = {n: m for n, m in linears.items() if n not in inside}
    for name, linear in linears.items():
        replaced[id(linear)] = (
            Int8Linear(linear, int8_ranges[name])
            if name in int8_ranges
            else PackedLinear(linear, dtype)
        )
    return copy.deepcopy(model, replaced).eval()
