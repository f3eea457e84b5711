"""The losses: over paths against small changes and by its definition, and in training.

The loss over paths is compared with a sum over every path in ``test_path_sums``.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.training.batches import PADDING, Batch
from speechattn.training.config_sections import TrainingConfig
from speechattn.training.losses import PhoneLoss, frame_loss, frame_transitions, path_loss
from speechattn.training.replicas import Replicas

LABELS = 3


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


def test_its_gradient_has_no_gradient():
    log_probs = torch.randn(1, 9, 3).log_softmax(2).requires_grad_()
    labels = torch.tensor([[0, 0, 0, 1, 1, 1, 2, 2, 2]])
    weight = torch.ones((), requires_grad=True)
    loss = weight * path_loss(log_probs, labels, torch.tensor([9]), torch.zeros(3, 3))
    (gradient,) = torch.autograd.grad(loss, log_probs, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        (gradient * log_probs.detach()).sum().backward()


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
    loss = PhoneLoss(torch.zeros(LABELS, LABELS))
    without = TrainingConfig(sequence_weight=0.0)
    found = loss(model, batch, without)
    assert found.item() == pytest.approx(frame_loss(model, batch, without).item(), rel=1e-6)


@pytest.mark.parametrize("replicas", [1, 2])
def test_it_goes_down_in_training_however_many_replicas_share_it(replicas):
    model, batch = tiny()
    config = TrainingConfig(sequence_weight=1.0, replicas=replicas)
    loss = PhoneLoss(frame_transitions(batch.labels.numpy(), LABELS))
    work = Replicas(model, config, loss)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for step in range(40):
        losses.append(work.backward(batch, step))
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


def test_a_model_that_is_its_own_teacher_has_nothing_to_learn_from_it():
    model, batch = tiny()
    weighed = TrainingConfig(teacher_weight=3.0)
    found = PhoneLoss(teacher=model)(model, batch, weighed)
    assert found.item() == pytest.approx(frame_loss(model, batch, weighed).item(), rel=1e-6)


def test_a_teacher_adds_the_divergence_of_its_posteriors_where_there_is_a_label():
    model, batch = tiny()
    torch.manual_seed(2)
    teacher = PhoneClassifier(8, LABELS, model.config)
    batch.labels[0, 40:] = PADDING
    batch.lengths[0] = 40
    weighed = TrainingConfig(teacher_weight=0.5)
    found = PhoneLoss(teacher=teacher)(model, batch, weighed) - frame_loss(model, batch, weighed)
    own, taught = (each(batch.frames, batch.lengths).softmax(2) for each in (model, teacher))
    kept = batch.labels != PADDING
    wanted = 0.5 * (taught * (taught / own).log()).sum(2)[kept].sum()
    assert found.item() == pytest.approx(wanted.item(), rel=1e-4)
    found.backward()
    assert all(weight.grad is None for weight in teacher.parameters())


def test_a_model_comes_near_to_its_teacher():
    model, batch = tiny()
    torch.manual_seed(2)
    teacher = PhoneClassifier(8, LABELS, model.config)
    loss, unlabelled = PhoneLoss(teacher=teacher), TrainingConfig(teacher_weight=100.0)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)

    def apart() -> float:
        own, taught = (each(batch.frames).softmax(2).detach() for each in (model, teacher))
        return (own - taught).abs().mean().item()

    before = apart()
    for _ in range(100):
        optimizer.zero_grad()
        loss(model, batch, unlabelled).backward()
        optimizer.step()
    assert apart() < 0.3 * before
