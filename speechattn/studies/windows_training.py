"""One training of ``speechattn bench windows``: a variant and a seed, in a folder of its own.

The name of the folder has a fingerprint of everything that the model depends on. An interrupted
training continues from its checkpoint, and a finished one is not repeated. All windows of a model
for any window share one training.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import torch

from speechattn import __version__
from speechattn.encoder.config import EncoderConfig
from speechattn.evaluation.scores import count_utterance
from speechattn.files import atomic_write_text
from speechattn.inference.checkpoint import Checkpoint
from speechattn.process import tell
from speechattn.studies.trials import remove_damaged
from speechattn.studies.windows_variants import Variant
from speechattn.training.config import RecipeConfig
from speechattn.training.decoding import decode_set
from speechattn.training.recipe_data import RecipeData
from speechattn.training.stages import as_before, fingerprint
from speechattn.training.train_stage import train_model

CHECKPOINT, MODEL = "checkpoint.safetensors", "model"
DEPENDS_ON = ("front_end", "encoder", "training", "augmentation", "decoding", "seed")


class VariantRun:
    """A variant trained with one seed.

    Args:
        variant: the variant.
        seed: seed of everything random.
        config: recipe, whose encoder and seed are replaced.
        data: prepared sets of the recipe.
        prepared: fingerprint of what the sets were made from.
        folder: folder that holds the folders of all runs.
        most_utterances: largest number of test utterances, evenly spread over the set; None for
            all.
    """

    def __init__(
        self,
        variant: Variant,
        seed: int,
        config: RecipeConfig,
        data: RecipeData,
        prepared: str,
        folder: Path,
        most_utterances: int | None = None,
    ) -> None:
        self.variant, self.seed, self.data = variant, seed, data
        self._most_utterances = most_utterances
        encoder, name, self._scores = variant.encoder, variant.name, "scores.json"
        if isinstance(encoder, EncoderConfig) and encoder.any_window:
            self._scores = f"scores-{'-'.join(map(str, np.ravel(encoder.window)))}.json"
            encoder = dataclasses.replace(encoder, window=(encoder.any_window[1],) * 2)
            name = "any window"
        steps = config.training.steps * variant.updates
        training = dataclasses.replace(config.training, steps=steps)
        self.config = dataclasses.replace(config, encoder=encoder, training=training, seed=seed)
        parts = self.config.to_dict()
        parts["augmentation"] = as_before(parts["augmentation"])
        depends = [__version__, prepared, *(parts[name] for name in DEPENDS_ON)]
        if most_utterances is not None:
            depends.append(most_utterances)
        name = "".join(c if c.isalnum() else "-" for c in name)
        self.folder = folder / f"{name}-seed{seed}-{fingerprint(depends)[:12]}"

    @property
    def done(self) -> bool:
        """Whether the variant has been trained and scored."""
        return (self.folder / self._scores).is_file()

    def run(self, device: torch.device) -> dict:
        """Train and score the variant, as far as this has not been done.

        Returns:
            ``seconds`` of training, ``steps``, ``dev_frame_accuracy``, and ``utterances``: a row
            for every test utterance with ``corpus``, ``speaker``, ``utterance`` and counts.
        """
        remove_damaged(self.folder / self._scores, tell)
        if not self.done:
            if not (self.folder / MODEL).is_dir():
                self._trained(device).save(self.folder / MODEL)
            model = Checkpoint.load(self.folder / MODEL, device)
            encoder = self.variant.encoder
            if isinstance(encoder, EncoderConfig) and encoder.any_window:
                model.classifier.set_window(encoder.window)
            scores = {**model.training, "utterances": self._scored(model, device)}
            atomic_write_text(self.folder / self._scores, json.dumps(scores) + "\n")
            (self.folder / CHECKPOINT).unlink(missing_ok=True)
        return json.loads((self.folder / self._scores).read_text(encoding="utf-8"))

    def _trained(self, device: torch.device) -> Checkpoint:
        """Train the model, from its checkpoint if there is one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        model, history = train_model(self.config, self.data, self.folder / CHECKPOINT, device)
        facts = {
            "steps": history["steps"],
            "seconds": history["seconds"],
            "dev_frame_accuracy": history["history"][-1]["dev_frame_accuracy"],
        }
        name = f"{self.config.name}: {self.variant.name}"
        return dataclasses.replace(model, name=name, training=facts)

    def _scored(self, model: Checkpoint, device: torch.device) -> list[dict]:
        """Decode the test set; return a row of counts for every utterance."""
        test, rows = self.data.prepared("test"), []
        if self._most_utterances is not None:
            test.entries = test.entries[:: -(-len(test.entries) // self._most_utterances)]
        for entry, runs, labels in decode_set(model, test, device):
            counts = count_utterance(test.runs(entry), runs, labels, model.phones)
            names = {"corpus": entry.corpus, "speaker": entry.speaker, "utterance": entry.id}
            rows.append({**names, **vars(counts)})
        return rows
