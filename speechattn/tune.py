"""Choosing the decoder's weights: every combination is tried on dev, the lowest PER wins."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import torch
from tqdm import tqdm

from speechattn.config import DecodingConfig
from speechattn.decoder import DecoderOptions, decode
from speechattn.encoder import PhoneClassifier
from speechattn.metrics import phone_errors
from speechattn.phonemodel import PhoneModel
from speechattn.prepare import PreparedSet
from speechattn.segments import FrameRun

MOST_FRAMES = 200_000  # 10 ms frames of dev that are decoded for every combination


def log_posteriors(
    classifier: PhoneClassifier, frames: np.ndarray, device: torch.device
) -> np.ndarray:
    """Log probability of every phone, float32, shape (frames, phones)."""
    with torch.inference_mode():
        scores = classifier(torch.from_numpy(frames)[None].to(device))[0]
        return torch.log_softmax(scores.float(), -1).cpu().numpy()


def tune_decoder(
    classifier: PhoneClassifier,
    phone_model: PhoneModel,
    dev: PreparedSet,
    candidates: DecodingConfig,
    silence: int,
    device: torch.device,
) -> tuple[DecoderOptions, list[dict]]:
    """Try all candidates.

    Returns:
        The best options, and a row of options and PER for each that was tried, best first.
    """
    utterances: list[tuple[np.ndarray, list[int]]] = []
    total = 0
    # Spread over the set, which is ordered by corpus and speaker.
    order = np.random.default_rng(0).permutation(len(dev.entries))
    for entry in (dev.entries[i] for i in order):
        if total > MOST_FRAMES:
            break
        scores = log_posteriors(classifier, dev.frames(entry), device)
        utterances.append((scores, spoken(dev.runs(entry), silence)))
        total += entry.frames
    rows = []
    for options in tqdm(decoder_grid(candidates), desc="tune decoder", unit="setting"):
        errors = phones = 0
        for scores, reference in utterances:
            found = spoken(decode(scores, phone_model, options), silence)
            errors += sum(phone_errors(reference, found))
            phones += len(reference)
        rows.append({**options.to_dict(), "per": errors / max(1, phones)})
    rows.sort(key=lambda row: row["per"])  # stable: of equals, the first that was tried
    best = {name: rows[0][name] for name in rows[0] if name != "per"}
    return DecoderOptions(**best), rows


def decoder_grid(candidates: DecodingConfig) -> list[DecoderOptions]:
    """Every combination of the candidates.

    Raises:
        ConfigError: if a candidate is impossible.
    """
    names = [field.name for field in dataclasses.fields(DecoderOptions)]
    grid = itertools.product(*(getattr(candidates, name) for name in names))
    return [DecoderOptions(**dict(zip(names, values))) for values in grid]


def spoken(runs: list[FrameRun], silence: int) -> list[int]:
    """Phones of runs, silence dropped."""
    return [run.phone for run in runs if run.phone != silence]
