"""Several short recordings through the encoder at once, each as if it were alone, to the last bit.

A product of the hundred rows of a short recording takes a processor a third longer a row than one of
thousands, and the many small steps around it cost the same for a hundred rows as for thousands. So
recordings are laid end to end: what is computed for every row alone is computed for all at once;
attention and convolutions, which mix rows, see the rows of one recording only.

Bits are the same because every step is done in the same order for each row, whatever rows stand
beside it. The package's own products do so, and oneDNN's on the processors tried; whether they do here is looked at when a
model is loaded (:func:`can_be_together`), and where not, recordings go one by one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.packed_linear import ROWS, PackedLinear

MOST_ROWS = 2048  # laid end to end; with more, what is between two products leaves the cache
WIDTH_MULTIPLE = 16  # numbers: of other widths, ends of rows are computed in another way
_TRIED = (7, 250, 61, 133)  # frames of the recordings that bits are compared on


def can_concatenate(model: PhoneClassifier) -> bool:
    """Whether :func:`scores_together` gives what ``model.stream().push(frames, last=True)`` does.

    For encoders of attention with packed weights; found out by trying.
    """
    config = model.config
    if not isinstance(config, EncoderConfig) or config.width % WIDTH_MULTIPLE:
        return False
    if config.trained_length is not None or not isinstance(model.enter, PackedLinear):
        return False
    draw = torch.Generator().manual_seed(0)
    tried = [torch.randn(n, len(model.mean), generator=draw) for n in _TRIED]
    tried = [frames * model.std + model.mean for frames in tried]
    alone = [model.stream().push(frames, last=True) for frames in tried]
    return all(map(torch.equal, forward_varlen(model, tried), alone))


@torch.inference_mode()
def forward_varlen(model: PhoneClassifier, recordings: Sequence[Tensor]) -> list[Tensor]:
    """Scores of whole recordings.

    Args:
        model: for which :func:`can_be_together` holds.
        recordings: frames of each, shape (frames, input_dim).

    Returns:
        Scores before the softmax, shape (frames, num_phones) each.

    Raises:
        ValueError: if frames hold NaN or infinity.
    """
    stack = model.config.stack
    rows = [-(-len(frames) // stack) for frames in recordings]
    scores: list[Tensor] = []
    begin = 0
    while begin < len(rows):
        end = begin + 1
        while end < len(rows) and sum(rows[begin : end + 1]) <= MOST_ROWS:
            end += 1
        scores += _concatenated(model, recordings[begin:end], rows[begin:end])
        begin = end
    return scores


def _concatenated(
    model: PhoneClassifier, recordings: Sequence[Tensor], rows: Sequence[int]
) -> list[Tensor]:
    stack = model.config.stack
    entered = []
    for frames, count in zip(recordings, rows):
        model.check_finite(frames)
        x = F.pad(model.normalise(frames), (0, 0, 0, count * stack - len(frames)))
        entered.append(x.reshape(count, -1))
    rows = [
        *rows,
        -sum(rows) % ROWS,
    ]  # whole tiles: or every product of oneDNN's would copy all to make them so
    entered.append(entered[0].new_zeros(rows[-1], entered[0].shape[1]))
    x = model.enter(torch.cat(entered)[None])
    for layer in model.layers:
        x = layer.together(x, rows)
    scores = model.classify(model.norm(x))[0].split(rows)
    return [
        each.unflatten(-1, (stack, -1)).flatten(0, 1)[: len(frames)]
        for each, frames in zip(scores, recordings)
    ]
