"""A model with a head that is no frame classifier on disk; see :mod:`speechattn.inference.checkpoint` for those."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from speechattn.audio.features import FrontEndConfig
from speechattn.encoder.baselines import AnyEncoderConfig
from speechattn.inference.checkpoint import (
    damage_named,
    read_model_config,
    read_weights,
    write_model,
)
from speechattn.inference.model_files import WEIGHTS
from speechattn.studies.head_config import AnyHead
from speechattn.studies.heads import LabelModel, StringModel, head_model
from speechattn.training.recipe_file import build

FORMAT = "speechattn-head-model"


@dataclass
class HeadCheckpoint:
    """Everything it takes to label a recording.

    Attributes:
        name: what the model is called.
        model: encoder and head.
        front_end: what its frames are.
        labels: names of its classes.
        training: how it was made, for the curious.
    """

    name: str
    model: LabelModel | StringModel
    front_end: FrontEndConfig
    labels: tuple[str, ...]
    training: dict = field(default_factory=dict)

    def save(self, folder: str | Path) -> None:
        """Write the folder, whole or not at all; a model that is there is replaced.

        Raises:
            ModelError: if the name is taken by something that is no model folder.
        """
        config = {
            "name": self.name,
            "front_end": self.front_end.to_dict(),
            "encoder": self.model.config.to_dict(),
            "head": self.model.head.to_dict(),
            "labels": list(self.labels),
            "training": self.training,
        }
        write_model(folder, FORMAT, config, self.model)

    @classmethod
    def load(cls, folder: str | Path, device: str | torch.device = "cpu") -> HeadCheckpoint:
        """Read a model folder.

        Raises:
            ModelError: if something is missing, damaged, or written by a newer program.
        """
        folder = Path(folder)
        config = read_model_config(folder, FORMAT)
        with damage_named(folder, "train the model again"):
            front_end = build(FrontEndConfig, config["front_end"], "front_end.")
            labels = tuple(map(str, config["labels"]))
            encoder = build(AnyEncoderConfig, config["encoder"], "encoder.")
            head = build(AnyHead, config["head"], "head.")
            with torch.device("meta"):  # shapes only: a damaged size would take all memory there is
                shapes = head_model(front_end.dim, len(labels), encoder, head).state_dict()
        weights = read_weights(folder / WEIGHTS, shapes)
        model = head_model(front_end.dim, len(labels), encoder, head)
        model.load_state_dict(weights)
        model.eval().requires_grad_(False).to(device)
        name, training = config.get("name", folder.name), config.get("training", {})
        return cls(name, model, front_end, labels, training)
