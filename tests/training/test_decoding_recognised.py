"""What a model makes of a prepared set: against each step called by itself."""

from __future__ import annotations

import numpy as np
import torch
from support.commands import make_prepared

from speechattn.decoder.decoder import decode
from speechattn.inference.checkpoint import Checkpoint
from speechattn.training.decoding import decode_set


def test_every_utterance_in_order(tiny_model_dir, tmp_path):
    model = Checkpoint.load(tiny_model_dir, torch.device("cpu"))
    random = np.random.default_rng(0)
    levels = (np.repeat(random.normal(8, 4, (9, 40)), 7, 0) for _ in range(3))
    prepared = make_prepared(tmp_path / "set", [(frames, [0] * 63) for frames in levels])
    found = list(decode_set(model, prepared, torch.device("cpu")))
    assert [entry.id for entry, _, _ in found] == [entry.id for entry in prepared.entries]
    for entry, runs, labels in found:
        frames = torch.from_numpy(prepared.frames(entry))[None]
        with torch.inference_mode():
            scores = model.classifier(frames)[0].log_softmax(-1).numpy()
        assert labels.tolist() == scores.argmax(1).tolist()
        assert runs == decode(scores, model.phone_model, model.decoding)
        assert runs[-1].end == entry.frames == len(labels)
