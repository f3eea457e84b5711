"""Training: it learns, resuming changes nothing, and every refusal names its file or its setting."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from support.commands import make_prepared

from speechattn.audio.features import FrontEndConfig
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.errors import ModelError, SpeechattnError
from speechattn.training import trainer as trainer_module
from speechattn.training.config import RecipeConfig
from speechattn.training.config_sections import AugmentationConfig, TrainingConfig
from speechattn.training.optim import schedule
from speechattn.training.trainer import Trainer
from speechattn.training.updates.window_draws import draw_window

BINS = 8
PHONES = 4
NO_AUGMENTATION = AugmentationConfig(
    speed=0.0,
    vocal_tract=0.0,
    gain_db=0.0,
    channel_db=0.0,
    noise_probability=0.0,
    band_limit_probability=0.0,
    time_masks=0,
    frequency_masks=0,
)
ALL_AUGMENTATION = AugmentationConfig(noise_probability=0.5, band_limit_probability=0.3)


def recipe(augmentation: AugmentationConfig = ALL_AUGMENTATION, **training) -> RecipeConfig:
    settings = {
        "steps": 9,
        "batch_frames": 400,
        "crop_frames": 80,
        "max_silence_frames": 20,
        "learning_rate": 5e-3,
        "warmup_steps": 3,
        "evaluate_every": 3,
        "checkpoint_every": 3,
        "average_decay": 0.9,
    }
    return RecipeConfig(
        train=("c/t",),
        dev=("c/d",),
        test=("c/e",),
        seed=3,
        front_end=FrontEndConfig(num_mel_bins=BINS),
        encoder=EncoderConfig(
            width=16, heads=2, feedforward=32, blocks=1, window=(4, 4), conv_kernel=3, stack=2
        ),
        training=TrainingConfig(**{**settings, **training}),
        augmentation=augmentation,
    )


def separable(count: int, seed: int, shift: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Utterances whose frames are their phone's own vector and some noise."""
    vectors = 9 + 3 * np.random.default_rng(99).standard_normal((PHONES, BINS))
    random = np.random.default_rng(seed)
    utterances = []
    for _ in range(count):
        labels = np.repeat(random.integers(0, PHONES, 12), random.integers(4, 15, 12))
        frames = vectors[labels] + 0.7 * random.standard_normal((len(labels), BINS))
        utterances.append((frames, (labels + shift) % PHONES))
    return utterances


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    first = make_prepared(folder / "train", separable(40, 1))
    return first, make_prepared(folder / "dev", separable(12, 2))


def trainer(
    sets, checkpoint: Path, config: RecipeConfig | None = None, phones=PHONES, **others
) -> Trainer:
    return Trainer(
        config or recipe(),
        *sets,
        num_phones=phones,
        silence=0,
        checkpoint=checkpoint,
        device=torch.device("cpu"),
        **others,
    )


def assert_same_weights(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert torch.equal(value, b[name]), name


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


@pytest.mark.parametrize("any_window", [None, (0, 8)])
@pytest.mark.parametrize("optimizer, replicas", [("adamw", 1), ("muon", 2)])
def test_resuming_gives_exactly_what_not_stopping_gives(
    sets, tmp_path, optimizer, replicas, any_window
):
    """With dropout and every augmentation on, to the last bit."""
    config = recipe(optimizer=optimizer, replicas=replicas)
    config = replace(config, encoder=replace(config.encoder, any_window=any_window))
    whole = trainer(sets, tmp_path / "whole", config)
    expected = [whole.update() for _ in range(9)]
    losses = []
    for steps in (2, 4, 3):  # a new process each, as far as the trainer can tell
        torch.manual_seed(12345 + steps)
        part = trainer(sets, tmp_path / "parts", config)
        if part.checkpoint.exists():
            part.load()
        losses += [part.update() for _ in range(steps)]
        part.save()
    assert losses == expected and part.step == whole.step == 9
    assert len(set(losses)) == 9
    assert_same_weights(part.model.state_dict(), whole.model.state_dict())
    assert_same_weights(part.average, whole.average)
    assert_same_weights(part.optimizers.tensors(), whole.optimizers.tensors())


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
        drawn = [
            draw_window(config.encoder, config.seed, trainer_module.MIN_WINDOWS * step + i)
            for i in range(4)
        ]
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


@pytest.mark.parametrize("evaluate_every", [3, 5])
def test_an_interrupted_run_ends_with_the_history_of_a_whole_one(
    sets, tmp_path, monkeypatch, evaluate_every
):
    config = recipe(evaluate_every=evaluate_every)
    whole = trainer(sets, tmp_path / "whole", config)
    model = whole.run()
    first = trainer(sets, tmp_path / "parts", config)
    update = first.update

    def interrupted() -> float:
        if first.step == 4:
            raise KeyboardInterrupt
        return update()

    monkeypatch.setattr(first, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        first.run()
    second = trainer(sets, tmp_path / "parts", config)
    resumed = second.run()
    assert_same_weights(resumed.state_dict(), model.state_dict())
    assert [row["step"] for row in second.history] == [row["step"] for row in whole.history]
    assert second.history == whole.history


def test_a_finished_run_is_not_trained_again(sets, tmp_path, monkeypatch):
    first = trainer(sets, tmp_path / "c")
    model = first.run()
    content = (tmp_path / "c").read_bytes()
    second = trainer(sets, tmp_path / "c")
    monkeypatch.setattr(second, "update", lambda: pytest.fail("trained again"))
    assert_same_weights(second.run().state_dict(), model.state_dict())
    assert second.history == first.history and second.seconds == first.seconds > 0
    assert (tmp_path / "c").read_bytes() == content


def test_the_checkpoint_holds_tensors_and_json_and_nothing_else(sets, tmp_path):
    run = trainer(sets, tmp_path / "c")
    run.update()
    run.save()
    data = (tmp_path / "c").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    facts = json.loads(header.pop("__metadata__")["facts"])
    assert facts["step"] == 1 and facts["history"] == []
    assert max(t["data_offsets"][1] for t in header.values()) == len(data) - 8 - size
    assert {t["dtype"] for t in header.values()} == {"F32"}
    assert {name.split(".")[0] for name in header} == {"weights", "average", "optimizer"}
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize(
    "changed",
    [
        recipe(learning_rate=1e-3),
        recipe(steps=8),
        recipe(NO_AUGMENTATION),
        replace(recipe(), seed=4),
        replace(recipe(), encoder=replace(recipe().encoder, width=32)),
    ],
    ids=["learning_rate", "steps", "augmentation", "seed", "encoder"],
)
def test_a_checkpoint_of_another_configuration_is_refused(sets, tmp_path, changed):
    run = trainer(sets, tmp_path / "c")
    run.save()
    content = (tmp_path / "c").read_bytes()
    with pytest.raises(ModelError) as caught:
        trainer(sets, tmp_path / "c", changed).run()
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'c'}: belongs to another configuration")
    assert "\n" not in message and (tmp_path / "c").read_bytes() == content


@pytest.mark.parametrize("done", [4, 6])
def test_a_run_goes_on_with_more_steps_and_their_schedule(sets, tmp_path, done):
    """From where it was, interrupted or finished, with the learning rate of the new schedule."""
    first = trainer(sets, tmp_path / "c", recipe(steps=6))
    for _ in range(done):
        first.update()
    first.save()
    more = trainer(sets, tmp_path / "c", recipe(steps=10))
    more.load()
    assert more.step == done
    assert_same_weights(more.model.state_dict(), first.model.state_dict())
    more.update()
    (group,) = (g for o in more.optimizers.parts.values() for g in o.param_groups)
    assert group["lr"] == pytest.approx(5e-3 * schedule(done, 10, 3))
    model = trainer(sets, tmp_path / "c", recipe(steps=10)).run()
    assert not model.training
    with pytest.raises(ModelError, match="another configuration"):
        trainer(sets, tmp_path / "c", recipe(steps=6)).load()


def test_a_checkpoint_of_another_training_set_is_refused(sets, tmp_path):
    trainer(sets, tmp_path / "c").save()
    other = make_prepared(tmp_path / "other", separable(30, 5)), sets[1]
    with pytest.raises(ModelError, match="belongs to another"):
        trainer(other, tmp_path / "c").run()


def test_a_checkpoint_of_the_same_frames_with_other_labels_is_refused(sets, tmp_path):
    keep = recipe(max_silence_frames=0)
    trainer(sets, tmp_path / "c", keep).save()
    relabelled = make_prepared(tmp_path / "relabelled", separable(40, 1, shift=1)), sets[1]
    with pytest.raises(ModelError, match="belongs to another"):
        trainer(relabelled, tmp_path / "c", keep).load()


def test_a_checkpoint_of_another_phone_set_is_refused(sets, tmp_path):
    trainer(sets, tmp_path / "c").save()
    with pytest.raises(ModelError, match="belongs to another"):
        trainer(sets, tmp_path / "c", phones=PHONES + 1).load()


def with_facts(path: Path, change) -> None:
    """Change the facts of a checkpoint, and nothing else."""
    with safe_open(path, "pt") as stored:
        facts = json.loads(stored.metadata()["facts"])
        names = stored.keys()
        tensors = {name: stored.get_tensor(name) for name in names}
    change(facts)
    save_file(tensors, path, {"facts": json.dumps(facts)})


def test_what_changes_no_weights_may_be_another(sets, tmp_path):
    run = trainer(sets, tmp_path / "c")
    run.update()
    run.save()
    other = trainer(sets, tmp_path / "c", recipe(evaluate_every=7, checkpoint_every=2))
    other.load()
    assert other.step == 1
    assert_same_weights(other.model.state_dict(), run.model.state_dict())


def test_a_checkpoint_of_an_early_version_is_taken_up(sets, tmp_path):
    """Its facts were step, seconds, history and config, and its sets held no phones."""
    run = trainer(sets, tmp_path / "c")
    run.update()
    run.save()

    def early(facts):
        del facts["data"], facts["losses"], facts["start_result"]
        assert sorted(facts) == ["config", "history", "seconds", "step"]
        del facts["config"][4]["label_smoothing"]  # a setting that came later, with its default

    with_facts(tmp_path / "c", early)
    other = trainer(sets, tmp_path / "c")
    other.load()
    assert other.step == 1 and other.losses == []
    with pytest.raises(ModelError, match="another configuration"):
        trainer(sets, tmp_path / "c", recipe(label_smoothing=0.0)).load()


def test_a_checkpoint_of_the_same_data_with_other_phones_is_refused(sets, tmp_path):
    named = make_prepared(tmp_path / "named", separable(40, 1), ["SIL", "A", "B", "C"]), sets[1]
    trainer(named, tmp_path / "c").save()
    trainer(named, tmp_path / "c").load()
    renamed = make_prepared(tmp_path / "renamed", separable(40, 1), ["SIL", "A", "C", "B"]), sets[1]
    with pytest.raises(ModelError, match="another training set or phone set") as caught:
        trainer(renamed, tmp_path / "c").load()
    assert "\n" not in str(caught.value)


def test_a_checkpoint_past_the_end_is_refused(sets, tmp_path):
    run = trainer(sets, tmp_path / "c")
    run.update()
    run.save()
    with_facts(tmp_path / "c", lambda facts: facts.update(step=10))
    with pytest.raises(ModelError, match="step 10"):
        trainer(sets, tmp_path / "c").load()


@pytest.mark.parametrize("which", ["weights", "average", "optimizer"])
def test_nothing_is_saved_that_is_not_finite(sets, tmp_path, which):
    run = trainer(sets, tmp_path / "c")
    run.update()
    run.save()
    content = (tmp_path / "c").read_bytes()
    moments = run.optimizers.tensors()["optimizer.0.exp_avg"]
    part = {"weights": run.model.mean, "average": run.average["classify.bias"]}.get(which, moments)
    part.flatten()[0] = math.inf
    with pytest.raises(SpeechattnError) as caught:
        run.save()
    message = str(caught.value)
    assert message.startswith(f"training.learning_rate: 0.005: {which}.") and "step 1" in message
    assert "holds NaN or Inf" in message and "\n" not in message
    assert (tmp_path / "c").read_bytes() == content


def test_an_error_closes_the_bar(sets, tmp_path, monkeypatch):
    closed = []

    class Shown(trainer_module.Progress):
        def close(self):
            closed.append(self.done)
            super().close()

    monkeypatch.setattr(trainer_module, "Progress", Shown)
    run = trainer(sets, tmp_path / "c")
    monkeypatch.setattr(run, "evaluate", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run.run()
    assert closed[:1] == [3]


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how == "cut off":
        path.write_bytes(data[: len(data) // 2])
    elif how == "cut in the header":
        path.write_bytes(data[:100])
    elif how == "a pickle":
        torch.save({"weights": torch.zeros(2)}, path)
    elif how == "no facts":
        save_file({"x": torch.zeros(2)}, path)
    elif how == "other facts":
        save_file({"x": torch.zeros(2)}, path, {"facts": json.dumps({"step": 3})})
    elif how == "facts that are no JSON":
        save_file({"x": torch.zeros(2)}, path, {"facts": "{step"})
    elif how == "facts that lead nowhere":
        save_file({"x": torch.zeros(2)}, path, {"facts": "[" * 100_000})
    elif how == "no weights":
        size = int.from_bytes(data[:8], "little")
        save_file({"x": torch.zeros(2)}, path, json.loads(data[8 : 8 + size])["__metadata__"])


@pytest.mark.parametrize(
    "how",
    [
        "empty",
        "cut off",
        "cut in the header",
        "a pickle",
        "no facts",
        "facts that are no JSON",
        "other facts",
        "facts that lead nowhere",
        "no weights",
    ],
)
def test_a_damaged_checkpoint_is_refused_by_name(sets, tmp_path, how):
    trainer(sets, tmp_path / "c").save()
    damage(tmp_path / "c", how)
    with pytest.raises(ModelError) as caught:
        trainer(sets, tmp_path / "c").run()
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'c'}: ") and "delete it to start afresh" in message
    assert "\n" not in message


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


def test_a_run_that_began_with_given_weights_resumes_to_the_same_bits(sets, tmp_path):
    config = recipe(precision="bf16")
    start = trainer(sets, tmp_path / "start").averaged().requires_grad_(False)
    before = {name: value.clone() for name, value in start.state_dict().items()}
    whole = trainer(sets, tmp_path / "whole", config, start=start)
    expected = [whole.update() for _ in range(6)]
    losses = []
    for steps in (2, 4):
        part = trainer(sets, tmp_path / "parts", config, start=start)
        if part.checkpoint.exists():
            part.load()
        losses += [part.update() for _ in range(steps)]
        part.save()
    assert losses == expected
    assert_same_weights(part.model.state_dict(), whole.model.state_dict())
    assert_same_weights(part.average, whole.average)
    assert_same_weights(start.state_dict(), before)  # what was given stays


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


def test_best_weights_and_accumulated_batches_survive_an_interruption(sets, tmp_path):
    config = recipe(patience=3, accumulate=2, checkpoint_every=1)
    whole = trainer(sets, tmp_path / "whole", config)
    expected = whole.run()
    first = trainer(sets, tmp_path / "parts", config)
    first.stopping.take(0, first.evaluate(), first.average)
    for _ in range(3):
        first.losses.append(first.update())
    first._add_row()
    first.losses.append(first.update())
    first.save()
    second = trainer(sets, tmp_path / "parts", config)
    found = second.run()
    assert second.history == whole.history
    assert second.stopping.results == whole.stopping.results
    assert second.stopping.best_step == whole.stopping.best_step > 0
    assert_same_weights(found.state_dict(), expected.state_dict())
