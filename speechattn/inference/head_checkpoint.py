"""Models with a head that labels whole sequences, on disk: a folder as that of a phone model.

``config.json`` holds the shape of encoder and head, the front end and the names of the labels;
``model.safetensors`` holds the weights.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from speechattn.audio.features import FrontEndConfig
from speechattn.checks import check, is_int
from speechattn.encoder.kinds import AnyEncoderConfig
from speechattn.heads.config import AnyHead
from speechattn.heads.models import HeadModel, head_model
from speechattn.inference.model_files import (
    CARD,
    HEAD_FORMAT,
    WEIGHTS,
    damage_named,
    read_card,
    read_model_config,
    write_model,
)
from speechattn.inference.model_tensors import give_values, read_weights, without_values
from speechattn.schema import build


@dataclass(frozen=True)
class SearchOptions:
    """How a model searches for the best string of labels.

    Attributes:
        ctc_beam: number of strings that the beam search of CTC keeps.
        beam: number of strings that the beam search of an attention decoder keeps.
        length_power: strings are ranked by score / length ** ``length_power``.
        ctc_share: share of CTC in the scores by which the decoder's strings are ranked anew; only
            for a model with both.
    """

    ctc_beam: int = 16
    beam: int = 8
    length_power: float = 0.0
    ctc_share: float = 0.3

    def __post_init__(self) -> None:
        check("search.", self, ("ctc_beam", "beam"), lambda v: is_int(v, 1), "from 1 on")
        check("search.", self, ("length_power",), lambda v: v >= 0, "from 0 on")
        check("search.", self, ("ctc_share",), lambda v: 0 <= v < 1, "from 0 to below 1")


@dataclass
class HeadCheckpoint:
    """Everything that labelling a recording takes.

    Attributes:
        name: name of the model.
        model: encoder and head.
        front_end: front end of its frames.
        labels: names of its classes.
        training: facts about its training, for information.
        search: how it searches for strings; of no use to a model of one label.
        card: its model card, a text for people; None without one. ``save`` does not write it.
    """

    name: str
    model: HeadModel
    front_end: FrontEndConfig
    labels: tuple[str, ...]
    training: dict[str, Any] = field(default_factory=dict)
    search: SearchOptions = field(default_factory=SearchOptions)
    card: str | None = None

    def save(self, folder: str | Path) -> None:
        """Write the folder, completely or not at all; replace an older model.

        Raises:
            ModelError: if ``folder`` exists and is no model folder.
        """
        config = {
            "name": self.name,
            "front_end": self.front_end.to_dict(),
            "encoder": self.model.config.to_dict(),
            "head": self.model.head.to_dict(),
            "labels": list(self.labels),
            "search": asdict(self.search),
            "training": self.training,
        }
        write_model(folder, HEAD_FORMAT, config, self.model)

    @classmethod
    def load(cls, folder: str | Path, device: str | torch.device = "cpu") -> HeadCheckpoint:
        """Read a model folder.

        Raises:
            ModelError: if something is missing, damaged, or written by a newer program.
        """
        folder = Path(folder)
        config = read_model_config(folder, HEAD_FORMAT)
        with damage_named(folder, "train the model again"):
            front_end = build(FrontEndConfig, config["front_end"], "front_end.")
            labels = tuple(map(str, config["labels"]))
            encoder = build(AnyEncoderConfig, config["encoder"], "encoder.")
            head = build(AnyHead, config["head"], "head.")
            search = build(SearchOptions, config.get("search", {}), "search.")
            model = without_values(lambda: head_model(front_end.dim, len(labels), encoder, head))
        give_values(model, read_weights(folder / WEIGHTS, model.state_dict()))
        model.eval().requires_grad_(False).to(device)
        name, training = config.get("name", folder.name), config.get("training", {})
        return cls(name, model, front_end, labels, training, search, read_card(folder / CARD))
