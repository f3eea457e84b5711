"""The loss over paths against a sum over every path, and its gradient against differences."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.training import losses
from speechattn.training.batches import PADDING, Batch
from speechattn.training.config import TrainingConfig
from speechattn.training.losses import SCALE, SequenceLoss, frame_loss, frame_transitions, path_loss
from speechattn.training.replicas import Replicas

LABELS = 3


def log_sum(scores):
    highest = max(scores)
    return highest + math.log(sum(math.exp(s - highest) for s in scores))


def path_score(log_probs, transitions, path):
    frames = sum(log_probs[t][p] for t, p in enumerate(path))
    return SCALE * (frames + sum(transitions[a][b] for a, b in itertools.pairwise(path)))


def fits(path, labels, slack):
    """Whether a path has the reference's runs, each boundary no further off than the slack."""
    runs = [(label, len(list(group))) for label, group in itertools.groupby(labels)]
    found = [(label, len(list(group))) for label, group in itertools.groupby(path)]
    if [label for label, _ in runs] != [label for label, _ in found]:
        return False
    ends = itertools.accumulate(length for _, length in runs)
    return all(
        abs(end - other) <= slack
        for end, other in zip(ends, itertools.accumulate(length for _, length in found))
    )


def sum_over_paths(log_probs, labels, transitions, slack):
    """The definition, by going through all paths."""
    paths = list(itertools.product(range(LABELS), repeat=len(labels)))
    scores = [path_score(log_probs, transitions, path) for path in paths]
    reference = [score for score, path in zip(scores, paths) if fits(path, labels, slack)]
    return (log_sum(scores) - log_sum(reference)) / SCALE


@given(
    seed=st.integers(0, 2**32 - 1),
    labels=st.lists(
        st.lists(st.integers(0, LABELS - 1), min_size=1, max_size=6), min_size=1, max_size=3
    ),
    slack=st.integers(0, 3),
)
def test_loss_is_that_of_all_paths(seed, labels, slack):
    generator = torch.Generator().manual_seed(seed)
    longest = max(map(len, labels))
    log_probs = 3 * torch.randn(len(labels), longest, LABELS, generator=generator)
    log_probs = log_probs.log_softmax(2)
    transitions = torch.randn(LABELS, LABELS, generator=generator).log_softmax(1)
    padded = torch.tensor([row + [PADDING] * (longest - len(row)) for row in labels])
    lengths = torch.tensor([len(row) for row in labels])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(losses, "SLACK_FRAMES", slack)
        found = path_loss(log_probs, padded, lengths, transitions).item()
    expected = sum(
        sum_over_paths(rows.tolist(), row, transitions.tolist(), slack)
        for rows, row in zip(log_probs, labels)
    )
    assert found == pytest.approx(expected, abs=1e-4 * (1 + abs(expected)))


def test_gradient_is_that_of_small_changes():
    torch.manual_seed(0)
    labels = torch.tensor([[0, 0, 1, 1, 2, 1], [2, 1, 1, 0, PADDING, PADDING]])
    lengths, transitions = torch.tensor([6, 4]), torch.randn(LABELS, LABELS).log_softmax(1)
    log_probs = (2 * torch.randn(2, 6, LABELS)).log_softmax(2).requires_grad_()
    path_loss(log_probs, labels, lengths, transitions).backward()
    small = 1e-2
    for place in itertools.product(range(2), range(6), range(LABELS)):
        more, less = log_probs.detach().clone(), log_probs.detach().clone()
        more[place] += small
        less[place] -= small
        change = path_loss(more, labels, lengths, transitions) - path_loss(
            less, labels, lengths, transitions
        )
        assert log_probs.grad[place].item() == pytest.approx(change.item() / 2 / small, abs=2e-3)
    assert not log_probs.grad[1, 4:].any(), "padding has no gradient"


def test_certain_and_impossible_labels_stay_finite():
    labels = torch.arange(400).div(8, rounding_mode="floor")[None] % 2
    for right in (True, False):
        log_probs = torch.full((1, 400, 2), -300.0)
        log_probs.scatter_(2, (labels if right else 1 - labels)[:, :, None], 0.0)
        log_probs.requires_grad_()
        loss = path_loss(log_probs, labels, torch.tensor([400]), torch.zeros(2, 2))
        loss.backward()
        assert math.isfinite(loss.item()) and log_probs.grad.isfinite().all()
        assert (loss.item() < 100) == right


def test_transitions_are_counted_from_frame_to_frame():
    found = frame_transitions([np.array([0, 0, 1]), np.array([1])], 2).exp()
    assert torch.allclose(found, torch.tensor([[0.5, 0.5], [0.5, 0.5]]))
    found = frame_transitions([np.array([0, 0, 0, 1])], 2).exp()
    assert torch.allclose(found, torch.tensor([[3 / 5, 2 / 5], [1 / 2, 1 / 2]]))


def tiny():
    torch.manual_seed(1)
    config = EncoderConfig(width=16, heads=2, feedforward=16, blocks=1, window=(4, 4), dropout=0.0)
    labels = torch.randint(0, LABELS, (4, 30)).repeat_interleave(2, 1)
    frames = torch.nn.functional.one_hot(labels, 8) + 0.1 * torch.randn(4, 60, 8)
    return PhoneClassifier(8, LABELS, config), Batch(frames, labels, torch.full((4,), 60))


def test_with_no_weight_it_is_cross_entropy():
    model, batch = tiny()
    loss = SequenceLoss(torch.zeros(LABELS, LABELS))
    without = TrainingConfig(sequence_weight=0.0)
    found = loss(model, batch, without)
    assert found.item() == pytest.approx(frame_loss(model, batch, without).item(), rel=1e-6)


@pytest.mark.parametrize("replicas", [1, 2])
def test_it_goes_down_in_training_however_many_replicas_share_it(replicas):
    model, batch = tiny()
    config = TrainingConfig(sequence_weight=1.0, replicas=replicas)
    loss = SequenceLoss(frame_transitions(batch.labels.numpy(), LABELS))
    work = Replicas(model, config, loss)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for step in range(40):
        losses.append(work.backward(batch, step))
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]
