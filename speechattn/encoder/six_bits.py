"""Weights in a file as whole numbers of 6 bits, so that a larger encoder fits in a package.

Each row of weights has a step, and its weights are multiples of it from -31 to 31. To round each
weight to the nearest would add an error of 3.5 % to what a layer gives. Here weights are rounded
one column after the other, and the columns that follow make up for the error, as far as the inputs
of the layer are alike in training speech (Frantar et al. 2023, "GPTQ"). That leaves about what 8
bits have.

In a file, each number has a byte, and the file is deflated (:mod:`speechattn.deflated`): it
then takes 5.1 bits. Up to format 10, four numbers lay in three bytes. Loaded weights are float32.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.int8 import STEPS, WITHIN, watch_inputs
from speechattn.encoder.whole_numbers import OFFSET, columns_of, whole_of
from speechattn.errors import ModelError

LARGEST = 31  # of the whole numbers
DAMPINGS = (0.01, 1.0)  # of the mean square of an input, added to each; the first that will do
SHARES = (1.0, 0.9, 0.8, 0.7, 0.6)  # of the largest weight of a row, tried as its limit
COLUMNS = 64  # rounded before the others make up for them


def six_bit_weights(
    classifier: PhoneClassifier, recordings: Iterable[Tensor | np.ndarray]
) -> dict[str, Tensor]:
    """Round the weights of the linear layers within an encoder to 6 bits.

    Args:
        classifier: model in float32.
        recordings: frames of training speech, shape (frames, input_dim) each; the inputs that they
            give decide which errors matter.

    Returns:
        For each such layer ``NAME.weight``, the numbers plus ``OFFSET``, uint8, shape (rows,
        columns), and ``steps.NAME``, the step of each row, float32. Layers that were not used are
        absent.
    """
    found = {}
    products = _input_products(classifier, recordings)
    for name, layer in classifier.named_modules():
        if name in products:
            weight = layer.weight.detach().double().cpu()
            whole, step = _rounded(weight, products[name].double())
            stored = (whole + OFFSET).to(torch.uint8)
            found[f"{name}.weight"], found[f"{STEPS}{name}"] = stored, step.float()
    return found


def _input_products(
    classifier: PhoneClassifier, recordings: Iterable[Tensor | np.ndarray]
) -> dict[str, Tensor]:
    """Add up the products of all pairs of inputs of each layer, shape (inputs, inputs)."""
    products: dict[str, Tensor] = {}

    def add(name: str, rows: Tensor) -> None:
        if name.startswith(WITHIN):
            rows = rows.float()
            products[name] = products.get(name, 0) + (rows.T @ rows).cpu()

    reach = classifier.config.trained_length
    watch_inputs(classifier, (frames[:reach] for frames in recordings), add)
    return products


def _rounded(weight: Tensor, products: Tensor) -> tuple[Tensor, Tensor]:
    """Return whole numbers, int8, and the step of each row, for weights in float64."""
    # Divided by their mean square, inputs may be of any size, or all 0.
    mean = products.diagonal().mean().clamp_min(torch.finfo(torch.float32).tiny)
    products = products / mean
    step = _best_steps(weight, products.diagonal() + DAMPINGS[0])
    order = products.diagonal().argsort(descending=True)
    make_up = _make_up(products[order][:, order])
    rest, whole = weight[:, order], torch.zeros_like(weight)
    for start in range(0, len(order), COLUMNS):
        columns = slice(start, start + COLUMNS)
        block, triangle = rest[:, columns], make_up[columns, columns]
        errors = torch.zeros_like(block)
        for i in range(block.shape[1]):
            whole[:, start + i] = (block[:, i] / step).round().clamp(-LARGEST, LARGEST)
            errors[:, i] = (block[:, i] - whole[:, start + i] * step) / triangle[i, i]
            block[:, i:] -= errors[:, i, None] * triangle[i, i:]
        rest[:, start + COLUMNS :] -= errors @ make_up[columns, start + COLUMNS :]
    return whole[:, order.argsort()].to(torch.int8), step


def _make_up(products: Tensor) -> Tensor:
    """Return what the columns that come later must add for an error of one: rows of a triangle.

    Its transpose times itself is the inverse of the damped products.
    """
    one = torch.eye(len(products), dtype=products.dtype)
    for damping in DAMPINGS:  # more where float32 was too coarse for the products
        triangle, failed = torch.linalg.cholesky_ex((products + damping * one).flip(0, 1))
        if not failed:
            break
    return torch.linalg.solve_triangular(triangle.flip(0, 1), one, upper=True)


def _best_steps(weight: Tensor, importance: Tensor) -> Tensor:
    """Return the step of each row with the least error of the nearest whole numbers."""
    largest = weight.abs().amax(1, keepdim=True) / LARGEST
    tiny = torch.finfo(torch.float32).tiny
    steps = torch.stack([(largest * share).clamp_min(tiny) for share in SHARES])
    near = (weight / steps).round().clamp(-LARGEST, LARGEST) * steps
    errors = ((near - weight).square() * importance).sum(2)
    # Steps are saved as float32.
    return steps[errors.argmin(0), torch.arange(len(weight))][:, 0].float().double()


def restore_six_bits(weights: dict[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Replace weights of 6 bits in what a file holds by float32, and take out their steps.

    Args:
        weights: of a file, by name; changed in place.
        shapes: that they should have.

    Raises:
        ModelError: if one has no steps, or others than it has rows, or is none of 6 bits.
    """
    names = [n for n, v in weights.items() if n.startswith(WITHIN) and v.dtype == torch.uint8]
    for name in names:
        values = weights[name]
        step = weights.pop(STEPS + name.removesuffix(".weight"), None)
        rows, columns = values.shape if values.ndim == 2 else (None, 0)
        if len(wanted := shapes.get(name, ())) == 2:
            columns = columns_of(columns, wanted[1])
        if step is None or not step.is_floating_point() or step.shape != (rows,):
            raise ModelError(f"{name}: 6 bits without steps that fit; export the model again")
        try:
            whole = torch.from_numpy(whole_of(values.numpy(), columns))
        except ValueError as error:
            raise ModelError(f"{name}: {error}; export the model again") from None
        weights[name] = whole * step[:, None].float()
