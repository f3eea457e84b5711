"""Consistency: a batch has every utterance in two hearings, whose posteriors are drawn together.

Both have the same words at the same tempo; noise, room, vocal tract, masks and dropout differ, and
the second hearing begins up to a stack later, so that its frames are stacked with other neighbours.
Beside the labels, each hearing then learns from what the other says (R-Drop: Liang et al. 2021;
between two augmentations, CR-CTC: Yao et al. 2025), which should not depend on any of these.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def begun_later(x: Tensor, late: int, padding: float) -> Tensor:
    """Without the first frames of the second half of a batch; padding comes in at their end.

    Args:
        x: shape (2 * utterances, frames, ...).
        late: frames to leave out.
        padding: value of frames that are none.
    """
    first, second = x.chunk(2)
    at_end = (0, 0) * (x.ndim - 2) + (0, late)
    return torch.cat([first, F.pad(second[:, late:], at_end, value=padding)])


def disagreement(scores: Tensor, counted: Tensor, late: int) -> Tensor:
    """Divergence of each hearing's posteriors from those of the other, added up over frames.

    The other's are taken as given: no gradient goes through them.

    Args:
        scores: before the softmax, shape (2 * utterances, frames, phones); the second half is the
            first one heard again.
        counted: which frames are no padding, shape (2 * utterances, frames).
        late: frames by which the second half begins later.

    Returns:
        A scalar, in nats.
    """
    first, second = scores.float().log_softmax(2).chunk(2)
    frames = scores.shape[1] - late
    both = counted.chunk(2)[1][:, :frames]
    first, second = first[:, late:][both], second[:, :frames][both]
    return sum(
        F.kl_div(found, wanted.detach(), reduction="sum", log_target=True)
        for found, wanted in ((first, second), (second, first))
    )
