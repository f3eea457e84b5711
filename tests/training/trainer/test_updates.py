"""Training: it learns, and an update is the step that it says."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.commands import make_prepared
from support.trainings import (
    BINS,
    NO_AUGMENTATION,
    PHONES,
    assert_same_weights,
    recipe,
    separable,
    trainer,
)

from speechattn.encoder.encoder import PhoneClassifier
from speechattn.errors import ModelError, SpeechattnError
from speechattn.training import trainer as trainer_module
from speechattn.training.updates.window_draws import MIN_WINDOWS, draw_window


def test_a_tiny_model_learns_separable_frames(sets, tmp_path):
    config = recipe(NO_AUGMENTATION, steps=80, learning_rate=0.02, evaluate_every=40)
    run = trainer(sets, tmp_path / "c.safetensors", config)
    before = run.evaluate()
    model = run.run()
    assert before < 0.6 and run.evaluate() > 0.9
    assert [row["step"] for row in run.history] == [40, 80]
    assert run.history[1]["loss"] < run.history[0]["loss"] < math.log(PHONES)
    assert run.history[1]["dev_frame_accuracy"] == run.evaluate()
    assert not model.training
    assert_same_weights(dict(model.named_parameters()), run.average)


def test_every_update_draws_windows_for_parts_of_its_batch(sets, tmp_path):
    config = recipe(replicas=2)
    config = replace(config, encoder=replace(config.encoder, any_window=(0, 8)))
    run, seen = trainer(sets, tmp_path / "c", config), []
    loss = run.replicas.loss

    def look(model, batch, settings):
        seen.append((model.config.window, len(batch.lengths)))
        return loss(model, batch, settings)

    run.replicas.loss = look
    for step in range(9):
        before, batch = len(seen), len(run.batches.batch(step).lengths)
        run.update()
        drawn = [draw_window(config.encoder, config.seed, MIN_WINDOWS * step + i) for i in range(4)]
        assert sum(share for _, share in seen[before:]) == batch
        assert sorted(window for window, _ in seen[before:]) == sorted(drawn[: min(4, batch)])
    assert len({window for window, _ in seen}) > 5 and run.averaged().config.window == (4, 4)


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_batch_through_several_windows_has_the_sum_of_their_gradients(sets, tmp_path, replicas):
    config = recipe(NO_AUGMENTATION, replicas=replicas)
    encoder = replace(config.encoder, any_window=(0, 8), dropout=0.0)
    run = trainer(sets, tmp_path / "c", replace(config, encoder=encoder))
    batch, windows = run.batches.batch(0), [(0, 0), (2, 4), (8, 8), (6, 0)]
    total = run.replicas.backward(batch, 0, windows)
    found = [p.grad.clone() for p in run.model.parameters()]
    expected, losses = [torch.zeros_like(p) for p in found], []
    for number, window in enumerate(windows):
        model = PhoneClassifier(BINS, PHONES, replace(encoder, window=window))
        model.load_state_dict(run.model.state_dict())
        part = [t[number :: len(windows)] for t in (batch.frames, batch.labels, batch.lengths)]
        scores = model(part[0], part[2]).flatten(0, 1)
        loss = F.cross_entropy(
            scores, part[1].flatten(), ignore_index=-100, label_smoothing=0.05, reduction="sum"
        )
        loss = loss / (batch.labels != -100).sum()
        loss.backward()
        losses.append(loss.item())
        for sum_, p in zip(expected, model.parameters()):
            sum_ += p.grad
    assert total == pytest.approx(sum(losses), rel=1e-5)
    for a, b in zip(found, expected):
        assert torch.allclose(a, b, atol=1e-5)


def test_an_error_closes_the_bar(sets, tmp_path, monkeypatch):
    closed = []

    class Shown(trainer_module.StepProgress):
        def close(self):
            closed.append(self.done)
            super().close()

    monkeypatch.setattr(trainer_module, "StepProgress", Shown)
    run = trainer(sets, tmp_path / "c")
    monkeypatch.setattr(run, "evaluate", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run.run()
    assert closed[:1] == [3]


def test_a_loss_that_is_not_finite_names_the_learning_rate(sets, tmp_path):
    run = trainer(sets, tmp_path / "c", recipe(learning_rate=1e30, warmup_steps=0))
    with pytest.raises(SpeechattnError) as caught:
        run.run()
    message = str(caught.value)
    assert message.startswith("training.learning_rate: 1e+30: the loss is nan at step")
    assert "\n" not in message and not (tmp_path / "c").exists()


@pytest.mark.parametrize(("warmup", "steps"), [(4, 12), (0, 5), (1, 3)])
def test_the_learning_rate_rises_in_a_line_and_falls_in_a_half_cosine(
    sets, tmp_path, warmup, steps
):
    config = recipe(steps=steps, warmup_steps=warmup, optimizer="muon")
    run = trainer(sets, tmp_path / "c", config)
    rates = []
    for _ in range(steps):
        run.update()
        rates.append({g["lr"] for o in run.optimizers.parts.values() for g in o.param_groups})
        assert len(rates[-1]) == 1
    rise = [0.005 * (i + 1) / warmup for i in range(warmup)]
    fall = [
        0.005 * math.cos(math.pi / 2 * i / (steps - warmup)) ** 2 for i in range(steps - warmup)
    ]
    rates = [rate for (rate,) in rates]
    np.testing.assert_allclose(rates, rise + fall, rtol=1e-12)
    assert max(rates) == 0.005 and rates[-1] > 0


def test_an_update_is_the_gradient_step_it_says(sets, tmp_path):
    """Against cross-entropy, clipping and AdamW written out, without dropout."""
    config = replace(recipe(clip_norm=0.05), encoder=replace(recipe().encoder, dropout=0.0))
    run = trainer(sets, tmp_path / "c", config)
    batch = run.batches.batch(0)
    before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    loss = run.update()

    other = trainer(sets, tmp_path / "d", config)
    scores = other.model(batch.frames, batch.lengths)
    logs = F.log_softmax(scores, -1)[batch.labels >= 0]
    labels = batch.labels[batch.labels >= 0]
    smooth = config.training.label_smoothing
    own = -logs[torch.arange(len(labels)), labels].mean()
    written = (1 - smooth) * own - smooth * logs.mean()
    assert loss == pytest.approx(written.item(), rel=1e-5)
    written.backward()
    gradients = {name: p.grad for name, p in other.model.named_parameters()}
    norm = math.sqrt(sum(g.double().square().sum() for g in gradients.values()))
    assert norm > config.training.clip_norm
    rate = config.training.learning_rate / config.training.warmup_steps
    for name, after in run.model.named_parameters():
        g = gradients[name] * (config.training.clip_norm / norm)
        # the first step of Adam: both moments, corrected, are the gradient and its square
        expected = before[name] * (1 - rate * config.training.weight_decay) - rate * g / (
            g.abs() + 1e-8
        )
        sure = g.abs() > 1e-6  # below, rounding decides the sign
        torch.testing.assert_close(after[sure], expected[sure], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_every_update_has_a_dropout_of_its_own(sets, tmp_path, monkeypatch, dropout):
    """On one batch, with weights that stay where they are, only dropout changes the loss."""
    config = recipe(learning_rate=1e-30, weight_decay=0.0)
    run = trainer(
        sets, tmp_path / "c", replace(config, encoder=replace(config.encoder, dropout=dropout))
    )
    batch = run.batches.batch(0)
    monkeypatch.setattr(run.batches, "masked", lambda draft: batch)
    losses = {run.update() for _ in range(4)}
    assert len(losses) == (4 if dropout else 1)


def test_the_average_of_the_weights_is_the_running_mean(sets, tmp_path):
    run = trainer(sets, tmp_path / "c", recipe(average_decay=0.3))
    mean = {name: p.detach().double().clone() for name, p in run.model.named_parameters()}
    for step in range(1, 9):
        run.update()
        decay = min(0.3, step / (step + 10))  # passes over from one to the other at 4.3
        for name, p in run.model.named_parameters():
            mean[name] = decay * mean[name] + (1 - decay) * p.detach().double()
    for name, value in run.average.items():
        torch.testing.assert_close(value.double(), mean[name], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(run.averaged().mean, run.model.mean)
    stay = np.concatenate([frames for frames, _ in run.batches._all_items()]).astype(np.float64)
    np.testing.assert_allclose(run.model.mean, stay.mean(0), rtol=1e-5)
    np.testing.assert_allclose(run.model.std, stay.std(0), rtol=1e-5)


def test_accuracy_on_dev_is_counted_frame_by_frame(sets, tmp_path):
    run = trainer(sets, tmp_path / "c")
    for _ in range(4):
        run.update()
    model, right, dev = run.averaged(), 0, sets[1]
    for entry in dev.entries:  # alone, without padding
        with torch.inference_mode():
            scores = model(torch.from_numpy(dev.frames(entry))[None])[0]
        right += int((scores.argmax(-1).numpy() == dev.labels(entry)).sum())
    assert run.evaluate() == pytest.approx(right / dev.num_frames, abs=2 / dev.num_frames)


def test_sixteen_bits_give_about_the_same_losses_and_keep_weights_in_thirty_two(sets, tmp_path):
    full, half = (
        trainer(sets, tmp_path / name, recipe(NO_AUGMENTATION, precision=name))
        for name in ("fp32", "bf16")
    )
    losses = [(full.update(), half.update()) for _ in range(9)]
    assert all(a != b and b == pytest.approx(a, rel=0.05) for a, b in losses), losses
    assert losses[-1][1] < losses[0][1]
    assert {p.dtype for p in half.model.parameters()} == {torch.float32}
    half.save()
    with pytest.raises(ModelError, match="another configuration"):
        trainer(sets, tmp_path / "bf16", recipe(NO_AUGMENTATION)).load()


def test_training_begins_with_the_weights_and_statistics_it_is_given(sets, tmp_path):
    first = trainer(sets, tmp_path / "first").run()
    louder = make_prepared(tmp_path / "louder", [(x + 5, y) for x, y in separable(40, 1)]), sets[1]
    second = trainer(louder, tmp_path / "second", start=first)
    assert_same_weights(second.model.state_dict(), first.state_dict())
    assert_same_weights(second.average, dict(first.named_parameters()))
    second.update()
    assert torch.equal(second.model.mean, first.mean)
    assert not torch.equal(second.model.classify.bias, first.classify.bias)
    assert all(p.requires_grad for p in second.model.parameters())


def test_patience_keeps_the_weights_it_began_with_where_dev_gets_worse(sets, tmp_path, monkeypatch):
    config = recipe(patience=2, steps=30, evaluate_every=1)
    run = trainer(sets, tmp_path / "c", config)
    began = {name: value.clone() for name, value in run.averaged().state_dict().items()}
    results = iter([0.5, 0.4, 0.45])
    monkeypatch.setattr(run, "evaluate", lambda: next(results))
    kept = run.run()
    assert run.stopping.best_step == 0 and run.step == 2
    assert_same_weights(kept.state_dict(), began)
    assert not torch.equal(run.averaged().classify.weight, began["classify.weight"])
