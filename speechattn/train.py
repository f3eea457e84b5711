"""Training: frame cross-entropy, AdamW, a running mean of the weights, checkpoints to resume from."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from speechattn.atomic import atomic_path
from speechattn.batches import PADDING, TrainingBatches
from speechattn.config import RecipeConfig
from speechattn.encoder import PhoneClassifier
from speechattn.errors import ModelError, SpeechattnError
from speechattn.prepare import PreparedSet

DEV_BATCH_FRAMES = 40_000  # 10 ms frames


class Trainer:
    """One training run; what it needs to go on later lies in one file.

    Every update draws its batch, its augmentation and its dropout from the seed and its own number,
    so a run that was interrupted and resumed gives the same losses as one that was not.

    Args:
        config: of the recipe.
        train: what to learn from.
        dev: what to measure on.
        num_phones: classes.
        silence: class of silence.
        checkpoint: where to keep the state.
        device: where to compute.
    """

    def __init__(
        self,
        config: RecipeConfig,
        train: PreparedSet,
        dev: PreparedSet,
        *,
        num_phones: int,
        silence: int,
        checkpoint: Path,
        device: torch.device,
    ):
        self.config, self.dev, self.checkpoint, self.device = config, dev, checkpoint, device
        self.batches = TrainingBatches(train, config, silence)
        torch.manual_seed(config.seed)
        model = PhoneClassifier(config.front_end.dim, num_phones, config.encoder)
        mean, std = self.batches.statistics()
        model.mean.copy_(torch.from_numpy(mean))
        model.std.copy_(torch.from_numpy(std))
        self.model = model.to(device)
        self.average = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=config.training.learning_rate,
            weight_decay=config.training.weight_decay,
            betas=(0.9, 0.98),
            fused=True,
        )
        self.step = 0
        self.seconds = 0.0
        self.history: list[dict] = []  # step, loss, dev_frame_accuracy, seconds

    def run(self) -> PhoneClassifier:
        """Train to the end, from a checkpoint if there is one; returns the averaged model."""
        settings = self.config.training
        if self.checkpoint.exists():
            self.load()
        bar = tqdm(desc="train", total=settings.steps, initial=self.step, unit="step")
        clock, losses = time.monotonic(), []
        while self.step < settings.steps:
            losses.append(self.update())
            bar.update()
            bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
            done = self.step == settings.steps
            if done or self.step % settings.evaluate_every == 0:
                row = {
                    "step": self.step,
                    "loss": sum(losses) / len(losses),
                    "dev_frame_accuracy": self.evaluate(),
                }
                self.history.append(row)
                losses = []
                bar.write(
                    f"step {row['step']}: loss {row['loss']:.3f}, "
                    f"dev frame accuracy {100 * row['dev_frame_accuracy']:.1f} %"
                )
            if done or self.step % settings.checkpoint_every == 0:
                now = time.monotonic()
                self.seconds, clock = self.seconds + now - clock, now
                self.save()
        bar.close()
        return self.averaged()

    def update(self) -> float:
        """One update; returns its loss."""
        settings = self.config.training
        batch = self.batches.batch(self.step).to(self.device)
        torch.manual_seed(self.config.seed + self.step)  # dropout
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * self._schedule(self.step)
        scores = self.model(batch.frames, batch.lengths)
        loss = F.cross_entropy(
            scores.flatten(0, 1),
            batch.labels.flatten(),
            ignore_index=PADDING,
            label_smoothing=settings.label_smoothing,
        )
        if not torch.isfinite(loss):
            raise SpeechattnError(
                f"training.learning_rate: {settings.learning_rate}: the loss is {loss.item()} at "
                f"step {self.step}; lower the learning rate or lengthen training.warmup_steps"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip_norm)
        self.optimizer.step()
        self.step += 1
        # The mean is young at first: then it spans all updates so far.
        decay = min(settings.average_decay, self.step / (self.step + 10))
        parameters = [p.detach() for p in self.model.parameters()]
        torch._foreach_lerp_(list(self.average.values()), parameters, 1 - decay)
        return loss.item()

    def _schedule(self, step: int) -> float:
        warmup, total = self.config.training.warmup_steps, self.config.training.steps
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))

    def averaged(self) -> PhoneClassifier:
        """The model with the running mean of its weights, for use."""
        model = PhoneClassifier(
            self.config.front_end.dim, self.model.num_phones, self.config.encoder
        ).to(self.device)
        model.load_state_dict({**self.model.state_dict(), **self.average})
        return model.eval()

    def evaluate(self) -> float:
        """Frame accuracy of the averaged model on dev, silence a class."""
        model, right, total = self.averaged(), 0, 0
        for frames, labels, lengths in dev_batches(self.dev):
            with torch.inference_mode():
                scores = model(frames.to(self.device), lengths.to(self.device))
            found = scores.argmax(-1).cpu()
            right += int((found == labels).sum())
            total += int(lengths.sum())
        return right / total

    def save(self) -> None:
        """Write the state to the checkpoint, whole or not at all."""
        tensors = {f"weights.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": v for k, v in state.items()}
        facts = {"step": self.step, "seconds": self.seconds, "history": self.history}
        facts["config"] = self._fingerprint()
        with atomic_path(self.checkpoint) as path:
            save_file(
                {k: v.detach().contiguous().cpu() for k, v in tensors.items()},
                path,
                {"facts": json.dumps(facts)},
            )

    def load(self) -> None:
        """Take up the state in the checkpoint.

        Raises:
            ModelError: if the checkpoint is damaged or belongs to another configuration.
        """
        tensors: dict[str, Tensor] = {}
        try:
            with safe_open(self.checkpoint, "pt") as stored:
                facts = json.loads(stored.metadata()["facts"])
                tensors = {key: stored.get_tensor(key) for key in stored.keys()}
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"{self.checkpoint}: not a checkpoint ({error}); delete it to start afresh"
            ) from None
        if facts["config"] != self._fingerprint():
            raise ModelError(
                f"{self.checkpoint}: belongs to another configuration; delete it to start afresh, "
                "or give the run another work_dir"
            )

        def part(prefix: str) -> dict[str, Tensor]:
            return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}

        self.model.load_state_dict(part("weights."))
        for name, value in part("average.").items():
            self.average[name].copy_(value)
        state: dict[int, dict] = {}
        for key, value in part("optimizer.").items():
            index, _, name = key.partition(".")
            state.setdefault(int(index), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.step, self.seconds, self.history = facts["step"], facts["seconds"], facts["history"]

    def _fingerprint(self) -> dict:
        """What a checkpoint must agree with, as JSON would return it."""
        parts = ("seed", "front_end", "encoder", "augmentation", "training")
        config = self.config.to_dict()
        return json.loads(json.dumps([*(config[p] for p in parts), self.batches.num_frames]))


def dev_batches(prepared: PreparedSet):
    """Whole utterances in batches: frames, labels and lengths, sorted by length."""
    entries = sorted(prepared.entries, key=lambda entry: entry.frames)
    while entries:
        count = max(1, min(len(entries), DEV_BATCH_FRAMES // entries[-1].frames))
        some, entries = entries[-count:], entries[:-count]
        frames = [torch.from_numpy(prepared.frames(entry)) for entry in some]
        labels = [torch.from_numpy(prepared.labels(entry)) for entry in some]
        yield (
            torch.nn.utils.rnn.pad_sequence(frames, batch_first=True),
            torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=PADDING),
            torch.tensor([len(y) for y in labels]),
        )
