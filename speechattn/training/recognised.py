"""What a model makes of a prepared set, utterance by utterance: what scores are computed from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from speechattn.corpora.prepared import Entry, PreparedSet
from speechattn.decoder.decoder import decode
from speechattn.inference.checkpoint import Checkpoint
from speechattn.segments import FrameRun
from speechattn.training.decoding import log_posteriors


def recognised(
    model: Checkpoint, prepared: PreparedSet, device: torch.device
) -> Iterator[tuple[Entry, list[FrameRun], np.ndarray]]:
    """Recognise every utterance of a set.

    Args:
        model: its classifier on ``device``.
        prepared: the set.
        device: where to compute.

    Yields:
        An utterance, its decoded path, and the classifier's own label of each frame, shape
        (frames,).
    """
    for entry in prepared.entries:
        frames = log_posteriors(model.classifier, prepared.frames(entry), device)
        yield entry, decode(frames, model.phone_model, model.decoding), np.argmax(frames, 1)
