"""The model that a training begins with, and that may place the phones of its corpora anew."""

from __future__ import annotations

import copy
import hashlib

import torch

from speechattn.encoder.encoder import PhoneClassifier
from speechattn.errors import ConfigError, ModelError
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.model_files import WEIGHTS, find_model
from speechattn.phones import PhoneSet
from speechattn.training.config import RecipeConfig


def load_initial_model(config: RecipeConfig, phones: PhoneSet, device: torch.device) -> Checkpoint:
    """Load the model of ``start_from`` and check that the recipe can go on with it.

    Args:
        config: a recipe with ``start_from``.
        phones: of the recipe.
        device: where the model will compute.

    Raises:
        ModelError: if there is no such model, or it is damaged.
        ConfigError: if its frames, its phones or the shapes of its weights are not the recipe's.
    """
    name = config.start_from
    try:
        model = Checkpoint.load(find_model(name), device)
    except ModelError as error:
        raise ModelError(f"start_from: {error}") from None
    way_out = "make them agree, or name another model in start_from (null begins at random)"
    for key, same in (
        ("front_end", model.front_end == config.front_end),
        ("phones", (model.phones.names, model.phones.silence) == (phones.names, phones.silence)),
    ):
        if not same:
            raise ConfigError(f"start_from: {name}: its {key} are not the recipe's; {way_out}")
    kinds = model.classifier.config.kind, config.encoder.kind
    if kinds[0] != kinds[1]:
        raise ConfigError(
            f"start_from: {name}: its encoder is of kind {kinds[0]!r}, the recipe's of kind "
            f"{kinds[1]!r}; {way_out}"
        )
    wanted = PhoneClassifier(config.front_end.dim, len(phones), config.encoder).state_dict()
    found = model.classifier.state_dict()
    for key in (*wanted, *found):
        shapes = [list(part[key].shape) if key in part else None for part in (found, wanted)]
        if shapes[0] != shapes[1]:
            raise ConfigError(
                f"start_from: {name}: its {key} has shape {shapes[0]}, where the recipe's encoder "
                f"has {shapes[1]}; {way_out}"
            )
    return model


def weights_digest(name: str) -> str | None:
    """Of a model's weights, to notice that it was trained anew; None where there is no model."""
    try:
        return hashlib.sha256((find_model(name) / WEIGHTS).read_bytes()).hexdigest()
    except (ModelError, OSError):
        return None


def interpolate_weights(
    start: PhoneClassifier, trained: PhoneClassifier, share: float
) -> PhoneClassifier:
    """A model with weights on the line from those at the start of a training to those at its end.

    What a short training with other augmentation gains on speech unlike its own, and loses on its
    own, comes in different places of that line (Wortsman et al. 2022).

    Args:
        start: before training; it may be on another device.
        trained: after it, for use.
        share: of the start, from 0 to 1.

    Returns:
        ``trained`` itself where ``share`` is 0, else a copy.
    """
    if not share:
        return trained
    before = start.state_dict()
    mixed = copy.deepcopy(trained)
    mixed.load_state_dict(
        {
            name: torch.lerp(after, before[name].to(after), share)
            for name, after in trained.state_dict().items()
        }
    )
    return mixed.eval()
