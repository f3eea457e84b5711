"""The models that a training is given: ``start_from``, whose weights it begins with, and
``teacher``.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass

import torch

from speechattn.encoder.encoder import PhoneClassifier
from speechattn.errors import ConfigError, ModelError
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.model_files import find_model, model_files
from speechattn.phones import PhoneSet
from speechattn.training.config import RecipeConfig

START_WAY_OUT = "make them agree, or name another model in start_from (null begins at random)"


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
    model = _load("init" if config.init else "start_from", name, device)
    _check_frames_and_phones(model, config, phones, f"start_from: {name}", START_WAY_OUT)
    kinds = model.classifier.config.kind, config.encoder.kind
    if kinds[0] != kinds[1]:
        raise ConfigError(
            f"start_from: {name}: its encoder is of kind {kinds[0]!r}, the recipe's of kind "
            f"{kinds[1]!r}; {START_WAY_OUT}"
        )
    wanted = PhoneClassifier(config.front_end.dim, len(phones), config.encoder).state_dict()
    found = model.classifier.state_dict()
    for key in (*wanted, *found):
        shapes = [list(part[key].shape) if key in part else None for part in (found, wanted)]
        if shapes[0] != shapes[1]:
            raise ConfigError(
                f"start_from: {name}: its {key} has shape {shapes[0]}, where the recipe's encoder "
                f"has {shapes[1]}; {START_WAY_OUT}"
            )
    return model


def load_teacher(config: RecipeConfig, phones: PhoneSet, device: torch.device) -> Checkpoint:
    """Load the model of ``teacher`` and check that its frames and phones are the recipe's.

    Args:
        config: recipe with ``teacher``.
        phones: phones of the recipe.
        device: where the model will compute.

    Raises:
        ModelError: if there is no such model, or it is damaged.
        ConfigError: if its frames or its phones are not the recipe's, or a crop may be too long
            for it.
    """
    name = config.teacher
    assert name is not None
    model = _load("teacher", name, device)
    way_out = "make them agree, or name another model in teacher (null learns from labels alone)"
    _check_frames_and_phones(model, config, phones, f"teacher: {name}", way_out)
    reach = model.classifier.config.trained_length
    longest = config.longest_crop
    if reach is not None and longest > reach:
        raise ConfigError(
            f"teacher: {name}: its positions reach {reach} frames, and training.crop_frames slowed "
            f"down by augmentation.speed {longest}; lower one of these, or name another model"
        )
    return model


def load_aligner(config: RecipeConfig, phones: PhoneSet, device: torch.device) -> Checkpoint:
    """Load the model that places the phones of ``realign`` anew, and check that it fits."""
    if config.start_from:
        return load_initial_model(config, phones, device)
    return load_teacher(config, phones, device)


def _check_frames_and_phones(
    model: Checkpoint, config: RecipeConfig, phones: PhoneSet, name: str, way_out: str
) -> None:
    for key, same in (
        ("front_end", model.front_end == config.front_end),
        ("phones", model.phones.has_classes_of(phones)),
    ):
        if not same:
            raise ConfigError(f"{name}: its {key} are not the recipe's; {way_out}")


def _load(key: str, name: str, device: torch.device) -> Checkpoint:
    try:
        return Checkpoint.load(find_model(name), device)
    except ModelError as error:
        raise ModelError(f"{key}: {error}") from None


@dataclass(frozen=True)
class InitialModel:
    """What a training begins with.

    Attributes:
        classifier: with the shape of the recipe's encoder and its phones.
        decoder: model whose phone model, decoder options and confidences stay; None if all of that
            is estimated anew.
        notes: what stays of the model that was named and what is lost, one line each.
    """

    classifier: PhoneClassifier
    decoder: Checkpoint | None
    notes: tuple[str, ...]


def initial_model(config: RecipeConfig, phones: PhoneSet, device: torch.device) -> InitialModel:
    """Load the model that a training begins with, and say what stays of it.

    Args:
        config: recipe with ``init`` or ``start_from``.
        phones: phones of the recipe.
        device: where the model will compute.

    Raises:
        ModelError, ConfigError: as :func:`load_initial_model`.
    """
    name = config.start_from
    if not config.init:
        model = load_initial_model(config, phones, device)
        lost = _decoder_parts(model)
        notes: tuple[str, ...] = (
            f"{name}: its weights are taken; {lost} are not (init={name} keeps them)",
        )
        return InitialModel(model.classifier, None, notes)
    assert name is not None
    model = _load("init", name, device)
    if model.phones.has_classes_of(phones):
        model = load_initial_model(config, phones, device)
        if config.decoding.keep:
            notes = (f"{name}: its encoder, phones, {_decoder_parts(model)} stay",)
            return InitialModel(model.classifier, model, notes)
        notes = (
            f"{name}: its encoder and phones stay; {_decoder_parts(model)} are lost and estimated "
            "anew (decoding.keep=true keeps them)",
        )
        return InitialModel(model.classifier, None, notes)
    classifier, known = with_phones(model, phones, config)
    classifier = classifier.to(device)
    notes = (
        f"{name}: its encoder stays; its classifier begins anew but for {known} of {len(phones)} "
        "phones, whose names it has too",
        f"{name}: {_decoder_parts(model)} are of other phones and are lost; a decoder of the new "
        "phones is estimated from the training labels",
    )
    return InitialModel(classifier, None, notes)


def _decoder_parts(model: Checkpoint) -> str:
    """The parts of a model beside its encoder, in words."""
    parts = ["decoder weights", "confidences"]
    if model.phone_model.ngrams is not None:
        parts.insert(0, "phone n-grams")
    if model.phone_model.words is not None:
        parts.insert(0, "word decoder")
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def with_phones(
    model: Checkpoint, phones: PhoneSet, config: RecipeConfig
) -> tuple[PhoneClassifier, int]:
    """Return the classifier of a model for other phones, and how many of them it knows.

    Weights of phones with a name that the model has too are taken over, those of others are random.

    Args:
        model: with any phones.
        phones: of the new classifier.
        config: its encoder, which has the shapes of the model's, and the seed.

    Raises:
        ConfigError: if a shape differs.
    """
    torch.manual_seed(config.seed)
    classifier = PhoneClassifier(model.front_end.dim, len(phones), config.encoder)
    own, found = classifier.state_dict(), model.classifier.state_dict()
    head = [key for key in own if key.startswith("classify.")]
    for key in own:
        if key not in head and (key not in found or found[key].shape != own[key].shape):
            raise ConfigError(f"init: {config.init}: its {key} does not fit the recipe's encoder")
        if key not in head:
            own[key] = found[key]
    shared = [label for label in phones.names if label in model.phones.index]
    here = [phones.index[label] for label in shared]
    there = [model.phones.index[label] for label in shared]
    for key in head:  # one row for each phone of each frame of a stack
        rows = own[key].unflatten(0, (config.encoder.stack, -1))
        rows[:, here] = found[key].unflatten(0, (config.encoder.stack, -1))[:, there].to(rows)
    classifier.load_state_dict(own)
    return classifier, len(shared)


def weights_digest(name: str) -> str | None:
    """Return a digest of a model's weights and words, which changes when it is made anew.

    Args:
        name: of the model, or its folder.

    Returns:
        The digest; None if there is no model.
    """
    try:
        digest = hashlib.sha256()
        for file in model_files(find_model(name)).all[1:]:  # the first is its configuration
            digest.update(file.read_bytes())
    except (ModelError, OSError):
        return None
    return digest.hexdigest()


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
