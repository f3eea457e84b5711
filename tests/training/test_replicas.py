"""Replicas: the gradients of a batch, from however many threads they come."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.training.batches import PADDING, Batch
from speechattn.training.config_sections import TrainingConfig
from speechattn.training.replicas import Replicas, single_core_threads


def classifier(dropout: float = 0.0) -> PhoneClassifier:
    torch.manual_seed(1)
    config = EncoderConfig(
        width=16, heads=2, feedforward=32, blocks=2, window=(4, 4), conv_kernel=3, dropout=dropout
    )
    return PhoneClassifier(8, 5, config)


def batch(utterances: int = 5) -> Batch:
    generator = torch.Generator().manual_seed(2)
    lengths = torch.arange(12, 12 + utterances)
    frames = torch.randn(utterances, int(lengths.max()), 8, generator=generator)
    labels = torch.randint(5, frames.shape[:2], generator=generator)
    labels[torch.arange(frames.shape[1]) >= lengths[:, None]] = PADDING
    return Batch(frames, labels, lengths)


def gradients(model: PhoneClassifier) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("replicas", [1, 2, 3, 7])
@pytest.mark.parametrize("utterances", [1, 5])
def test_the_gradients_are_those_of_the_mean_loss(replicas, utterances):
    model, of = classifier(), batch(utterances)
    settings = TrainingConfig(replicas=replicas, label_smoothing=0.1)
    found = Replicas(model, settings).backward(of, seed=3)
    other = copy.deepcopy(classifier()).train()
    expected = F.cross_entropy(
        other(of.frames, of.lengths).flatten(0, 1),
        of.labels.flatten(),
        ignore_index=PADDING,
        label_smoothing=0.1,
    )
    expected.backward()
    assert found == pytest.approx(expected.item(), rel=1e-5)
    for name, grad in gradients(other).items():
        torch.testing.assert_close(gradients(model)[name], grad, rtol=1e-4, atol=1e-6)


def test_gradients_do_not_add_up_from_one_batch_to_the_next():
    model = classifier()
    replicas = Replicas(model, TrainingConfig(replicas=2))
    replicas.backward(batch(), 3)
    first = gradients(model)
    replicas.backward(batch(), 3)
    for name, grad in gradients(model).items():
        assert torch.equal(grad, first[name])


@pytest.mark.parametrize("replicas", [1, 2])
def test_added_batches_give_the_gradients_of_their_labels_together(replicas):
    first, second = batch(3), batch(5)
    count = sum(int((each.labels != PADDING).sum()) for each in (first, second))
    settings = TrainingConfig(replicas=replicas)
    parts = []
    for each in (first, second):
        model = classifier()
        own = int((each.labels != PADDING).sum())
        loss = Replicas(model, settings).backward(each, 3)
        parts.append(
            (loss * own / count, {k: g * own / count for k, g in gradients(model).items()})
        )
    model = classifier()
    together = Replicas(model, settings)
    losses = [together.backward(e, 3, count=count, add=e is second) for e in (first, second)]
    assert sum(losses) == pytest.approx(sum(loss for loss, _ in parts), rel=1e-5)
    for name, grad in gradients(model).items():
        expected = parts[0][1][name] + parts[1][1][name]
        torch.testing.assert_close(grad, expected, rtol=1e-4, atol=1e-7)


def test_a_step_reaches_every_replica():
    model = classifier()
    replicas = Replicas(model, TrainingConfig(replicas=3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1
    for other in replicas.models[1:]:
        for one, same in zip(model.parameters(), other.parameters()):
            assert torch.equal(one, same) and one is not same


def test_the_seed_decides_what_is_dropped_and_torch_is_left_alone():
    model = classifier(dropout=0.5)
    replicas = Replicas(model, TrainingConfig(replicas=2))
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    losses = [replicas.backward(batch(), seed) for seed in (3, 3, 4)]
    assert losses[0] == losses[1] != losses[2]
    assert torch.equal(torch.get_rng_state(), state) and torch.get_num_threads() == threads


def test_a_thread_keeps_its_one_core_whatever_is_set_elsewhere():
    before = torch.get_num_threads()
    try:
        with single_core_threads(1) as threads:
            threads.submit(int).result()  # the thread is there, and has computed nothing yet
            torch.set_num_threads(2)
            assert threads.submit(torch.get_num_threads).result() == 1
    finally:
        torch.set_num_threads(before)


def test_replicas_drop_different_things():
    model = classifier(dropout=0.5)
    one = batch(1)
    twice = Batch(*(torch.cat([part, part]) for part in (one.frames, one.labels, one.lengths)))
    replicas = Replicas(model, TrainingConfig(replicas=2))
    replicas.backward(twice, 3)
    own, other = ([p.grad for p in m.parameters()] for m in replicas.models)
    assert not all(torch.equal(a - b, b) for a, b in zip(own, other))
