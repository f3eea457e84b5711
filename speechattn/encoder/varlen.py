"""Several short recordings through the encoder at once, each as if it were alone, to the last bit.

A product with the hundred rows of a short recording takes a processor a third longer per row than
one with thousands, and the many small steps between products cost as much for a hundred rows as for
thousands. So recordings are concatenated. What treats each row alone is computed for all at once;
attention and convolutions, which combine rows, see the rows of one recording only.

The bits are the same because each row is computed in the same order, whatever rows are beside it.
The package's own products do so, and sums of whole numbers are exact. oneDNN's products in bfloat16
do so on some processors only. :func:`can_concatenate` tests it; if it fails, recordings are
processed one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.layers import StreamingLayer
from speechattn.encoder.onednn import ROWS
from speechattn.encoder.packed_linear import PackedLinear
from speechattn.encoder.shape import MAX_ROWS, together

# To a multiple of which many rows are padded: oneDNN compiles a program for every number of them.
COARSE_ROWS = 64
WIDTH_MULTIPLE = 16  # numbers; with other widths, the ends of rows are computed differently
_TEST_FRAMES = (7, 250, 61, 133)  # of the recordings on which bits are compared
_MANY_ROWS = 300, 1100  # oneDNN may choose other ways for so many rows


def can_concatenate(model: PhoneClassifier) -> bool:
    """Return whether :func:`forward_varlen` gives the bits of each recording alone.

    It is tested with random recordings against ``model.stream().push(frames, last=True)``. Only
    encoders of attention with packed weights qualify.
    """
    config = model.config
    if not isinstance(config, EncoderConfig) or config.width % WIDTH_MULTIPLE:
        return False
    if config.trained_length is not None or not isinstance(model.classify, PackedLinear):
        return False
    # NumPy's, because PyTorch 2.13 makes no Generator without its functions for compilers, which
    # speechattn.process leaves out.
    draw = np.random.default_rng(0)
    counts = [*_TEST_FRAMES]
    if model.classify.dtype is not torch.float32:
        counts += [rows * config.stack for rows in _MANY_ROWS]
    drawn = [draw.standard_normal((n, len(model.mean)), np.float32) for n in counts]
    tests = [torch.from_numpy(frames) * model.std + model.mean for frames in drawn]
    alone = [model.stream().push(frames, last=True) for frames in tests]
    some = len(_TEST_FRAMES)
    return all(
        all(map(torch.equal, forward_varlen(model, tests[:end]), alone[:end]))
        for end in range(some, len(tests) + 1)
    )


@torch.inference_mode()
def forward_varlen(model: PhoneClassifier, recordings: Sequence[Tensor]) -> list[Tensor]:
    """Compute the scores of whole recordings.

    Args:
        model: a model for which :func:`can_concatenate` holds.
        recordings: frames of each recording, shape (frames, input_dim).

    Returns:
        Scores before the softmax, shape (frames, num_phones) each.

    Raises:
        ValueError: if frames contain NaN or infinity, or have another shape.
    """
    stack = model.config.stack
    rows = [-(-len(frames) // stack) for frames in recordings]
    scores: list[Tensor] = []
    for part in together(rows):
        scores += _concatenated(model, recordings[part], rows[part])
    return scores


def _concatenated(
    model: PhoneClassifier, recordings: Sequence[Tensor], rows: Sequence[int]
) -> list[Tensor]:
    stack = model.config.stack
    entered = []
    for frames, count in zip(recordings, rows):
        model.check_frames(frames)
        x = F.pad(model.normalise(frames), (0, 0, 0, count * stack - len(frames)))
        entered.append(x.reshape(count, stack * x.shape[1]))
    # Whole tiles; otherwise each product of oneDNN would copy all rows to pad them.
    rows = [*rows, -sum(rows) % (COARSE_ROWS if sum(rows) > MAX_ROWS // 4 else ROWS)]
    entered.append(entered[0].new_zeros(rows[-1], entered[0].shape[1]))
    x = model.enter(torch.cat(entered)[None])
    for layer in model.layers:
        x = cast(StreamingLayer, layer).forward_varlen(x, rows)
    scores = model.classify(model.norm(x))[0].split(rows)
    return [
        each.unflatten(-1, (stack, -1)).flatten(0, 1)[: len(frames)]
        for each, frames in zip(scores, recordings)
    ]
