"""Trains the network that scores pronunciations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from speechattn.alignment.g2p.graphones import Entry
from speechattn.alignment.g2p.network import LeftOut, SpellingNetwork
from speechattn.progress import Progress

EPOCHS = 26
BATCH = 256  # words
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.02
SMOOTHING = 0.1
CLIP = 1.0  # greatest norm of a gradient


def train_network(
    entries: Sequence[Entry],
    epochs: int = EPOCHS,
    seed: int = 0,
    left_out: LeftOut | None = None,
) -> SpellingNetwork:
    """Train a network.

    Args:
        entries: words in lower case, and their phones.
        epochs: passes over the words.
        seed: of the weights and of the order of the words.
        left_out: words that are not among the entries, which the network says of itself.
    """
    letters = "".join(sorted({letter for word, _ in entries for letter in word}))
    phones = sorted({phone for _, way in entries for phone in way})
    order = np.random.default_rng(seed)
    steps = epochs * -(-len(entries) // BATCH)
    with torch.random.fork_rng(devices=[]), Progress("network", steps, unit="update") as progress:
        torch.manual_seed(seed)
        network = SpellingNetwork(letters, phones, left_out=left_out)
        model = network.model.train()
        optimizer = torch.optim.AdamW(
            model.parameters(), LEARNING_RATE, (0.9, 0.98), weight_decay=WEIGHT_DECAY
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, LEARNING_RATE, steps, pct_start=min(0.3, 2 / epochs), div_factor=20
        )
        for _ in range(epochs):
            total = 0.0
            for batch in _batches(entries, order):
                total += len(batch) * _update(network, batch, optimizer)
                schedule.step()
                progress.update()
            progress.note(f"loss {total / len(entries):.3f}")
    model.eval().requires_grad_(False)
    return network


def _batches(entries: Sequence[Entry], order: np.random.Generator) -> list[list[Entry]]:
    """All entries in a new order, those of about one length together."""
    shuffled = [entries[index] for index in order.permutation(len(entries))]
    shuffled.sort(key=lambda entry: (len(entry[0]), len(entry[1])))
    batches = [shuffled[start : start + BATCH] for start in range(0, len(shuffled), BATCH)]
    return [batches[index] for index in order.permutation(len(batches))]


def _update(
    network: SpellingNetwork, batch: Sequence[Entry], optimizer: torch.optim.Optimizer
) -> float:
    frames, lengths = network.inputs([word for word, _ in batch])
    targets = network.targets([way for _, way in batch])
    model = network.model
    loss = model.loss(model.outputs(frames, lengths), targets, lengths, SMOOTHING) / len(batch)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    optimizer.step()
    return loss.item()
