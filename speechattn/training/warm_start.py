"""The model of ``start_from``, whose weights a training begins with."""

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
    """Load the model of ``start_from`` and check that it fits the recipe.

    Args:
        config: recipe with ``start_from``.
        phones: phones of the recipe.
        device: where the model will compute.

    Raises:
        ModelError: if there is no such model, or it is damaged.
        ConfigError: if its frames, its phones or the shapes of its weights are not the recipe's.
    """
    name = config.start_from
    assert name is not None
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
    """Return a digest of a model's weights, which changes when it is trained anew.

    Args:
        name: of the model, or its folder.

    Returns:
        The digest; None if there is no model.
    """
    try:
        return hashlib.sha256((find_model(name) / WEIGHTS).read_bytes()).hexdigest()
    except (ModelError, OSError):
        return None


def interpolate_weights(
    start: PhoneClassifier, trained: PhoneClassifier, share: float
) -> PhoneClassifier:
    """Interpolate between the weights before and after a training.

    A training on other data gains on such data and loses on the old. In between, most of the gain
    comes with little of the loss (Wortsman et al. 2022).

    Args:
        start: model before training; it may be on another device.
        trained: model after training, in evaluation mode.
        share: share of ``start``, from 0 to 1.

    Returns:
        ``trained`` itself if ``share`` is 0, else a copy.
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
