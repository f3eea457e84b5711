"""Training on whole paths: how probable the labels are among all that could have been said.

Cross-entropy judges every frame alone, the decoder whole paths. Here a path's score is the sum of
its frames' log probabilities and of how often its labels follow each other in training, both
scaled; the loss is the logarithm of the sum over all paths, less that over the paths of the
reference: maximum mutual information over a lattice-free graph (Bahl et al. 1986; Povey et al.,
Interspeech 2016), here with a bigram of phones. A boundary may lie ``SLACK_FRAMES`` frames from
where the reference has it, so that labels which are a little early or late do no harm.

Consistency: a batch has every utterance in two hearings, whose posteriors are drawn together.

Both have the same words at the same tempo; noise, room, vocal tract, masks and dropout differ, and
the second hearing begins up to a stack later, so that its frames are stacked with other neighbours.
Beside the labels, each hearing then learns from what the other says (R-Drop: Liang et al. 2021;
between two augmentations, CR-CTC: Yao et al. 2025), which should not depend on any of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from speechattn.encoder.encoder import Encoder, PhoneClassifier
from speechattn.training.batches import PADDING, Batch
from speechattn.training.config import TrainingConfig

SCALE = 0.5  # of log probabilities within a path; neighbouring frames say much the same
SLACK_FRAMES = 3
LOWEST = -60.0  # nats below the best label of a frame; float32 holds products of several such


Loss = Callable[[Encoder, Batch, TrainingConfig], Tensor]


class SequenceLoss:
    """Cross-entropy and the loss over whole paths, added up over a batch's frames.

    Args:
        transitions: as :func:`frame_transitions` gives them, on the device of the model.
    """

    def __init__(self, transitions: Tensor):
        self.transitions = transitions

    def __call__(self, model: PhoneClassifier, batch: Batch, settings: TrainingConfig) -> Tensor:
        """As a loss of :class:`speechattn.training.replicas.Replicas`; ``settings`` has the weight."""
        with autocast_for(batch, settings):
            scores = model(batch.frames, batch.lengths)
        log_probs = scores.float().log_softmax(2)
        paths = path_loss(log_probs, batch.labels, batch.lengths, self.transitions)
        return loss_of_frames(scores, batch, settings) + settings.sequence_weight * paths


def frame_transitions(sequences: Iterable[np.ndarray], num_labels: int) -> Tensor:
    """How often each label follows each other from one frame to the next.

    Args:
        sequences: labels of utterances, int64, shape (frames,) each.
        num_labels: classes.

    Returns:
        Log probabilities, shape (num_labels, num_labels), rows come first; every pair counts as
        seen once more than it was.
    """
    counts = np.ones((num_labels, num_labels))
    for labels in sequences:
        np.add.at(counts, (labels[:-1], labels[1:]), 1)
    return torch.from_numpy(np.log(counts / counts.sum(1, keepdims=True))).float()


def path_loss(log_probs: Tensor, labels: Tensor, lengths: Tensor, transitions: Tensor) -> Tensor:
    """Negative log probability of the labels' path among all paths, added up over a batch.

    Args:
        log_probs: of the labels, by frame, shape (batch, frames, labels).
        labels: shape (batch, frames), padded.
        lengths: frames of each utterance, at least 1, shape (batch,).
        transitions: as :func:`frame_transitions` gives them.

    Returns:
        Nats, divided by ``SCALE`` so that its gradients are of the size of cross-entropy's; of
        shape (). Differentiable in ``log_probs``, once.
    """
    return _PathLoss.apply(log_probs.float(), labels, lengths, transitions) / SCALE


class _PathLoss(torch.autograd.Function):
    """Posteriors of labels under all paths and under the reference's are its gradient."""

    @staticmethod
    def forward(ctx, log_probs: Tensor, labels: Tensor, lengths: Tensor, transitions: Tensor):
        lengths = lengths.to(log_probs.device)
        highest = log_probs.amax(2, keepdim=True)
        emission = torch.exp(SCALE * (log_probs - highest).clamp_min(LOWEST))
        step = torch.exp(SCALE * transitions.to(log_probs))
        everything, free = _all_paths(emission, lengths, step)
        reference, bound = _reference_paths(emission, labels, lengths, step)
        ctx.save_for_backward(SCALE * (free - bound))
        return (everything - reference).sum()

    @staticmethod
    def backward(ctx, grad: Tensor):
        (difference,) = ctx.saved_tensors
        return grad * difference, None, None, None


def _all_paths(emission: Tensor, lengths: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Log sum over all paths, shape (batch,), and each label's share of it, (batch, frames, P)."""
    return _forward_backward(emission, lengths, lambda x: x @ step, lambda x: x @ step.T)


def _reference_paths(
    emission: Tensor, labels: Tensor, lengths: Tensor, step: Tensor
) -> tuple[Tensor, Tensor]:
    """The same over the paths through the reference's segments, in their order."""
    segment, label, first, last = _segments(labels, lengths)
    batch, frames, _ = emission.shape
    time = torch.arange(frames, device=emission.device)[:, None]
    near = (time >= first[:, None] - SLACK_FRAMES) & (time <= last[:, None] + SLACK_FRAMES)
    chosen = label[:, None].expand(batch, frames, -1)
    seen = emission.gather(2, chosen) * near
    stay = step.diagonal()[label]
    enter = step[label[:, :-1], label[:, 1:]]

    def forth(x: Tensor) -> Tensor:
        y = x * stay
        y[:, 1:] += x[:, :-1] * enter
        return y

    def back(x: Tensor) -> Tensor:
        y = x * stay
        y[:, :-1] += x[:, 1:] * enter
        return y

    begin = torch.zeros_like(stay)
    begin[:, 0] = 1
    end = torch.zeros_like(stay).scatter_(1, segment.amax(1, keepdim=True), 1.0)
    total, share = _forward_backward(seen, lengths, forth, back, begin, end)
    spread = torch.zeros_like(emission).scatter_add_(2, chosen, share)
    return total, spread


def _segments(labels: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Runs of equal labels: each frame's, shape (batch, frames), and by run, shape (batch, runs),
    label, first and last frame; runs that an utterance lacks begin after all frames."""
    batch, frames = labels.shape
    within = torch.arange(frames, device=labels.device) < lengths[:, None]
    begins = torch.zeros_like(within)
    begins[:, 1:] = (labels[:, 1:] != labels[:, :-1]) & within[:, 1:]
    segment = begins.cumsum(1)
    runs = int(segment.max()) + 1
    known = labels.masked_fill(~within | (labels == PADDING), 0)
    time = torch.arange(frames, device=labels.device).expand(batch, -1)
    label = torch.zeros(batch, runs, dtype=torch.long, device=labels.device)
    label = label.scatter_reduce(1, segment, known, "amax")
    far = frames + SLACK_FRAMES + 1
    first = torch.full((batch, runs), far, device=labels.device)
    first = first.scatter_reduce(1, segment, time.masked_fill(~within, far), "amin")
    last = torch.full((batch, runs), -1, device=labels.device)
    last = last.scatter_reduce(1, segment, time.masked_fill(~within, -1), "amax")
    return segment, label, first, last


def _forward_backward(emission: Tensor, lengths: Tensor, forth, back, begin=None, end=None):
    """Sums over paths by dynamic programming, scaled at every frame (Rabiner 1989, section V.A).

    Args:
        emission: of states, shape (batch, frames, states), none of the frames all zero.
        lengths: shape (batch,); what follows does not count.
        forth, back: a step of time for weights of states, shape (batch, states).
        begin, end: weights of first and last states, shape (batch, states); all 1 if None.

    Returns:
        Log sums, shape (batch,), and posteriors of states, shape (batch, frames, states), zero
        beyond the lengths.
    """
    batch, frames, states = emission.shape
    ones = emission.new_ones(batch, states)
    within = torch.arange(frames, device=emission.device) < lengths[:, None]
    ahead = []
    x, total = (ones if begin is None else begin), emission.new_zeros(batch)
    for t, seen in enumerate(emission.unbind(1)):
        x = (forth(x) if t else x) * seen
        scale = x.sum(1, keepdim=True).clamp_min(1e-30)
        x = x / scale
        ahead.append(x)
        total = total + torch.where(within[:, t], scale[:, 0].log(), 0.0)
    ends = ones if end is None else end
    final = torch.stack(ahead, 1)[torch.arange(batch), lengths - 1]
    total = total + (final * ends).sum(1).clamp_min(1e-30).log()
    behind, y = [], ends
    is_last = torch.arange(frames, device=emission.device) == lengths[:, None] - 1
    for t in range(frames - 1, -1, -1):
        if t < frames - 1:
            y = back(y * emission[:, t + 1])
            y = y / y.sum(1, keepdim=True).clamp_min(1e-30)
        y = torch.where(is_last[:, t : t + 1], ends, y)
        behind.append(y)
    share = torch.stack(ahead, 1) * torch.stack(behind[::-1], 1) * within[:, :, None]
    return total, share / share.sum(2, keepdim=True).clamp_min(1e-30)


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


def frame_loss(model: PhoneClassifier, batch: Batch, settings: TrainingConfig) -> Tensor:
    """What is wrong with the frames of a batch, each for itself, added up."""
    with autocast_for(batch, settings):
        scores = model(batch.frames, batch.lengths)
    return loss_of_frames(scores, batch, settings)


def loss_of_frames(scores: Tensor, batch: Batch, settings: TrainingConfig) -> Tensor:
    """Cross-entropy added up over the labels and, where utterances come twice, what parts them.

    Args:
        scores: shape (batch, frames, classes).
        batch: what they are of.
        settings: label smoothing and weight of consistency.
    """
    loss = F.cross_entropy(
        scores.flatten(0, 1).float(),
        batch.labels.flatten(),
        ignore_index=PADDING,
        label_smoothing=settings.label_smoothing,
        reduction="sum",
    )
    if batch.late is None:
        return loss
    apart = disagreement(scores, batch.labels != PADDING, batch.late)
    return loss + settings.consistency_weight * apart


def autocast_for(batch: Batch, settings: TrainingConfig) -> torch.autocast:
    """Products in 16 bits, where the settings say so."""
    device = batch.frames.device.type
    return torch.autocast(device, torch.bfloat16, settings.precision == "bf16")
