"""Training losses: cross-entropy, maximum mutual information over paths, consistency, a teacher.

Cross-entropy judges every frame alone, but the decoder judges whole paths. :func:`path_loss` scores
a path by the sum of its frames' log probabilities and of its label transitions' log probabilities,
both scaled. The loss is the logarithm of the sum over all paths, less that over the paths of the
reference: maximum mutual information over a lattice-free graph (Bahl et al. 1986; Povey et al.,
Interspeech 2016), here with a bigram of phones. A boundary may lie ``SLACK_FRAMES`` frames from
where the reference has it, so that labels which are a little early or late do no harm.

For consistency, a batch has two views of every utterance, and :func:`disagreement` brings their
posteriors together. Both views have the same words at the same tempo. Noise, room, vocal tract,
masks and dropout differ, and the second view begins up to a frame stack later, so that its frames
are stacked with other neighbours. None of this should change the posteriors (R-Drop: Liang et al.
2021; between two augmentations, CR-CTC: Yao et al. 2025). If the model is for any window, the first
view has the model's own and the second a drawn one, and learns from the first alone: what a stream
hears is brought near to what the whole recording tells (Yu et al. 2021, dual-mode recognition).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from speechattn.training.batches import PADDING, Batch
from speechattn.training.config_sections import TrainingConfig

SCALE = 0.5  # of log probabilities within a path; neighbouring frames say much the same
SLACK_FRAMES = 3
LOWEST = -60.0  # nats below the best label of a frame; float32 holds products of several such
LEAST = 1e-30  # sums of weights are raised to this before something is divided by them

# From frames, shape (batch, frames, dim), and their lengths to scores of the phones.
Classifier = Callable[[Tensor, Tensor], Tensor]
# From a model (an Encoder with a head), a batch and settings to a loss added up over the labels.
Loss = Callable[[Any, Batch, TrainingConfig], Tensor]


class PhoneLoss:
    """The loss of a phone classifier, added up over a batch's frames.

    It is the cross-entropy and, as the settings weigh them, the loss over whole paths, the
    disagreement of two views, and the distance from a teacher.

    Args:
        transitions: as :func:`frame_transitions` gives them, on the device of the model; None for
            no loss over whole paths.
        teacher: model on the device of the classifier, in evaluation mode, whose posteriors for the
            same frames are learned (Hinton et al. 2015; for the same augmented input: Beyer et al.
            2022); None for no teacher.
    """

    def __init__(
        self, transitions: Tensor | None = None, teacher: Classifier | None = None
    ) -> None:
        self.transitions, self.teacher = transitions, teacher

    def __call__(self, model: Classifier, batch: Batch, settings: TrainingConfig) -> Tensor:
        """Return the loss of a classifier; ``settings`` has the weights of its parts."""
        with autocast_for(batch, settings):
            scores = model(batch.frames, batch.lengths)
        loss = loss_of_frames(scores, batch, settings)
        if self.transitions is not None:
            log_probs = scores.float().log_softmax(2)
            paths = path_loss(log_probs, batch.labels, batch.lengths, self.transitions)
            loss = loss + settings.sequence_weight * paths
        if self.teacher is not None:
            loss = loss + settings.teacher_weight * self._distance(scores, batch, settings)
        return loss

    def _distance(self, scores: Tensor, batch: Batch, settings: TrainingConfig) -> Tensor:
        """Divergence from the posteriors of the teacher, added up over frames, in nats."""
        assert self.teacher is not None
        with torch.no_grad(), autocast_for(batch, settings):
            taught = self.teacher(batch.frames, batch.lengths)
        counted = batch.labels != PADDING
        own, taught = (each[counted].float().log_softmax(1) for each in (scores, taught))
        return F.kl_div(own, taught, reduction="sum", log_target=True)


frame_loss = PhoneLoss()  # cross-entropy, and the disagreement of two views


def loss_of_frames(scores: Tensor, batch: Batch, settings: TrainingConfig) -> Tensor:
    """Add up cross-entropy over the labels and, where there are two views, their disagreement.

    Args:
        scores: before the softmax, shape (batch, frames, classes).
        batch: the batch that they are of.
        settings: label smoothing and weight of consistency.
    """
    loss = F.cross_entropy(
        scores.flatten(0, 1).float(),
        batch.labels.flatten(),
        ignore_index=PADDING,
        label_smoothing=settings.label_smoothing,
        reduction="sum",
    )
    if batch.second_view_delay is None:
        return loss
    counted = batch.labels != PADDING
    apart = disagreement(scores, counted, batch.second_view_delay, one_way=batch.one_way)
    return loss + settings.consistency_weight * apart


def disagreement(scores: Tensor, counted: Tensor, delay: int, *, one_way: bool = False) -> Tensor:
    """Divergence of each view's posteriors from those of the other, added up over frames.

    No gradient goes through the posteriors that a view is compared with.

    Args:
        scores: before the softmax, shape (2 * utterances, frames, phones); the second half is the
            second view of the first half.
        counted: which frames are no padding, shape (2 * utterances, frames).
        delay: frames by which the second view begins later.
        one_way: compare the second view with the first, and not the reverse.

    Returns:
        A scalar, in nats.
    """
    first, second = scores.float().log_softmax(2).chunk(2)
    frames = scores.shape[1] - delay
    both = counted.chunk(2)[1][:, :frames]
    first, second = first[:, delay:][both], second[:, :frames][both]

    def divergence(own: Tensor, other: Tensor) -> Tensor:
        return F.kl_div(own, other.detach(), reduction="sum", log_target=True)

    apart = divergence(second, first)
    return apart if one_way else apart + divergence(first, second)


def autocast_for(batch: Batch, settings: TrainingConfig) -> torch.autocast:
    """Return the context for products in 16 bits, where the settings say so."""
    device = batch.frames.device.type
    return torch.autocast(device, torch.bfloat16, settings.precision == "bf16")


def frame_transitions(sequences: Iterable[np.ndarray], num_labels: int) -> Tensor:
    """Estimate how often each label follows each other from one frame to the next.

    Args:
        sequences: labels of utterances, int64, shape (frames,) each.
        num_labels: classes.

    Returns:
        Log probabilities, shape (num_labels, num_labels), of the column's label after the row's.
        Every pair counts once more than it occurs.
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
        Nats, divided by ``SCALE`` so that the gradients are of the size of cross-entropy's; shape
        (). It is differentiable in ``log_probs``, once.

    Raises:
        IndexError: on CPUs, if shapes, labels or lengths do not fit each other.
    """
    return _PathLoss.apply(log_probs.float(), labels, lengths, transitions) / SCALE


class _PathLoss(torch.autograd.Function):
    """Log sum over all paths less that over the reference's.

    Its gradient is the difference of the labels' posteriors under both. That gradient itself has
    none: to ask for it is an error.
    """

    @staticmethod
    def forward(
        ctx: Any, log_probs: Tensor, labels: Tensor, lengths: Tensor, transitions: Tensor
    ) -> Tensor:
        lengths = lengths.to(log_probs.device)
        highest = log_probs.amax(2, keepdim=True)
        emission = torch.exp(SCALE * (log_probs - highest).clamp_min(LOWEST))
        step = torch.exp(SCALE * transitions.to(log_probs))
        compiled = _compiled(log_probs.device)
        if compiled is None:
            total, share = _differences(emission, labels, lengths, step)
        else:
            runs = _runs(labels, lengths)[1:]
            total, share = compiled(emission, runs, lengths, step, SLACK_FRAMES, LEAST)
        ctx.save_for_backward(SCALE * share)
        return total.sum().to(log_probs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (difference,) = ctx.saved_tensors
        return grads[0] * difference, None, None, None


def _compiled(device: torch.device) -> Callable[..., tuple[Tensor, Tensor]] | None:
    """What does the same as :func:`_differences` on a device, much faster; None if nothing does."""
    if device.type == "cpu":
        from speechattn.training import path_sums  # imports Numba

        return path_sums.differences
    if device.type == "cuda":
        try:
            from speechattn.training import path_sums_cuda  # imports Triton
        except ImportError:
            return None
        return path_sums_cuda.differences
    return None


def _differences(
    emission: Tensor, labels: Tensor, lengths: Tensor, step: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute sums over all paths less those over the reference's paths.

    Args:
        emission: weights of labels by frame, shape (batch, frames, labels).
        labels: of the reference, shape (batch, frames).
        lengths: frames of each utterance, shape (batch,).
        step: weights of transitions, shape (labels, labels).

    Returns:
        Log sums, shape (batch,), and posteriors of labels, shape (batch, frames, labels).
    """
    everything, free = _all_paths(emission, lengths, step)
    reference, bound = _reference_paths(emission, labels, lengths, step)
    return everything - reference, free - bound


def _all_paths(emission: Tensor, lengths: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Sum over all paths: log sums, and posteriors of labels."""
    return _forward_backward(emission, lengths, lambda x: x @ step, lambda x: x @ step.T)


def _reference_paths(
    emission: Tensor, labels: Tensor, lengths: Tensor, step: Tensor
) -> tuple[Tensor, Tensor]:
    """Sum over the paths through the runs of the reference, in their order."""
    run, label, first, last = _runs(labels, lengths)
    batch, frames, _ = emission.shape
    time = torch.arange(frames, device=emission.device)[:, None]
    near = (time >= first[:, None] - SLACK_FRAMES) & (time <= last[:, None] + SLACK_FRAMES)
    chosen = label[:, None].expand(batch, frames, -1)
    by_run = emission.gather(2, chosen) * near
    stay = step.diagonal()[label]
    enter = step[label[:, :-1], label[:, 1:]]

    def forward(x: Tensor) -> Tensor:
        y = x * stay
        y[:, 1:] += x[:, :-1] * enter
        return y

    def backward(x: Tensor) -> Tensor:
        y = x * stay
        y[:, :-1] += x[:, 1:] * enter
        return y

    begin = torch.zeros_like(stay)
    begin[:, 0] = 1
    end = torch.zeros_like(stay).scatter_(1, run.amax(1, keepdim=True), 1.0)
    total, share = _forward_backward(by_run, lengths, forward, backward, begin, end)
    spread = torch.zeros_like(emission).scatter_add_(2, chosen, share)
    return total, spread


def _runs(labels: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Find the runs of equal labels.

    Returns:
        The run of each frame, shape (batch, frames); and of each run the label, the first and the
        last frame, shape (batch, runs). Runs that an utterance lacks begin after all frames.
    """
    batch, frames = labels.shape
    within = torch.arange(frames, device=labels.device) < lengths[:, None]
    begins = torch.zeros_like(within)
    begins[:, 1:] = (labels[:, 1:] != labels[:, :-1]) & within[:, 1:]
    run = begins.cumsum(1)
    runs = int(run.max()) + 1
    known = labels.masked_fill(~within | (labels == PADDING), 0)
    time = torch.arange(frames, device=labels.device).expand(batch, -1)
    label = torch.zeros(batch, runs, dtype=torch.long, device=labels.device)
    label = label.scatter_reduce(1, run, known, "amax")
    far = frames + SLACK_FRAMES + 1
    first = torch.full((batch, runs), far, device=labels.device)
    first = first.scatter_reduce(1, run, time.masked_fill(~within, far), "amin")
    last = torch.full((batch, runs), -1, device=labels.device)
    last = last.scatter_reduce(1, run, time.masked_fill(~within, -1), "amax")
    return run, label, first, last


def _forward_backward(
    emission: Tensor,
    lengths: Tensor,
    forward: Callable[[Tensor], Tensor],
    backward: Callable[[Tensor], Tensor],
    begin: Tensor | None = None,
    end: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Sums over paths by dynamic programming, scaled at every frame (Rabiner 1989, section V.A).

    Args:
        emission: of states, shape (batch, frames, states), none of the frames all zero.
        lengths: frames of each utterance, shape (batch,).
        forward: one frame on, for weights of states, shape (batch, states).
        backward: one frame back, likewise.
        begin: weights of first states, shape (batch, states); all 1 if None.
        end: weights of last states, likewise.

    Returns:
        Log sums, shape (batch,), and posteriors of states, shape (batch, frames, states), zero
        beyond the lengths.
    """
    batch, frames, states = emission.shape
    ones = emission.new_ones(batch, states)
    within = torch.arange(frames, device=emission.device) < lengths[:, None]
    ahead = []
    x, total = (ones if begin is None else begin), emission.new_zeros(batch)
    for t, weights in enumerate(emission.unbind(1)):
        x = (forward(x) if t else x) * weights
        scale = x.sum(1, keepdim=True).clamp_min(LEAST)
        x = x / scale
        ahead.append(x)
        total = total + torch.where(within[:, t], scale[:, 0].log(), 0.0)
    ends = ones if end is None else end
    final = torch.stack(ahead, 1)[torch.arange(batch), lengths - 1]
    total = total + (final * ends).sum(1).clamp_min(LEAST).log()
    behind, y = [], ends
    is_last = torch.arange(frames, device=emission.device) == lengths[:, None] - 1
    for t in range(frames - 1, -1, -1):
        if t < frames - 1:
            y = backward(y * emission[:, t + 1])
            y = y / y.sum(1, keepdim=True).clamp_min(LEAST)
        y = torch.where(is_last[:, t : t + 1], ends, y)
        behind.append(y)
    share = torch.stack(ahead, 1) * torch.stack(behind[::-1], 1) * within[:, :, None]
    return total, share / share.sum(2, keepdim=True).clamp_min(LEAST)
