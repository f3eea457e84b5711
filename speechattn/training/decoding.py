"""Choosing the decoder's weights: every combination is tried on dev, the lowest PER wins.

Every corpus of dev counts alike, however large it is: a decoder is not to suit one kind of speech.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter

import numpy as np
import torch
from tqdm import tqdm

from speechattn.corpora.prepared import Entry, PreparedSet
from speechattn.decoder.confidence import Evidence
from speechattn.decoder.decoder import decode
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.decoder.options import CONFIDENCE, DecoderOptions
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.evaluation.calibration import fit_confidence
from speechattn.evaluation.metrics import phone_errors, phones_right
from speechattn.segments import FrameRun
from speechattn.training.config import TUNED
from speechattn.training.recipe_config import DecodingConfig

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
        The best options, and a row of options and PER (the mean over corpora) for each that was
        tried, best first.
    """
    utterances: list[tuple[Entry, np.ndarray, list[int]]] = []
    total = 0
    # Spread over the set, which is ordered by corpus and speaker.
    order = np.random.default_rng(0).permutation(len(dev.entries))
    for entry in (dev.entries[i] for i in order):
        if total > MOST_FRAMES:
            break
        scores = log_posteriors(classifier, dev.frames(entry), device)
        utterances.append((entry, scores, spoken(dev.runs(entry), silence)))
        total += entry.frames
    rows = []
    for options in tqdm(decoder_grid(candidates), desc="tune decoder", unit="setting"):
        errors, phones = Counter(), Counter()
        for entry, scores, reference in utterances:
            found = spoken(decode(scores, phone_model, options), silence)
            errors[entry.corpus] += sum(phone_errors(reference, found))
            phones[entry.corpus] += len(reference)
        rates = [errors[corpus] / max(1, phones[corpus]) for corpus in phones]
        tried = {name: getattr(options, name) for name in TUNED}
        rows.append({**tried, "per": sum(rates) / len(rates)})
    rows.sort(key=lambda row: row["per"])  # stable: of equals, the first that was tried
    best = DecoderOptions(**{name: rows[0][name] for name in TUNED}, beam=candidates.beam)
    found = [
        (entry.corpus, decode(scores, phone_model, best), dev.labels(entry))
        for entry, scores, _ in utterances
    ]
    fitted = _fitted_confidence(found, silence, phone_model.silence)
    return dataclasses.replace(best, **dict(zip(CONFIDENCE, fitted))), rows


def _fitted_confidence(
    found: list[tuple[str, list[FrameRun], np.ndarray]], silence: int, pause: int | None
) -> tuple[float, ...]:
    """Weights of evidence on runs of mean posteriors, by corpus, and their reference labels.

    Args:
        found: corpus, runs and labels of each utterance.
        silence: class of pauses.
        pause: the same where the decoder knows it, or None.
    """
    facts, right, corpora = [], [], []
    for corpus, runs, labels in found:
        evidence = Evidence(pause)
        taken = [(run, evidence.take(run)) for run in runs]
        said = [(run, values) for run, values in taken if run.phone != silence]
        facts += [values for _, values in said]
        right += phones_right([run for run, _ in said], labels)
        corpora += [corpus] * len(said)
    sizes = Counter(corpora)
    return fit_confidence(facts, right, [1 / sizes[corpus] for corpus in corpora])


def decoder_grid(candidates: DecodingConfig) -> list[DecoderOptions]:
    """Every combination of the candidates, with the beam.

    Raises:
        ConfigError: if a candidate is impossible.
    """
    grid = itertools.product(*(getattr(candidates, name) for name in TUNED))
    return [DecoderOptions(**dict(zip(TUNED, values)), beam=candidates.beam) for values in grid]


def spoken(runs: list[FrameRun], silence: int) -> list[int]:
    """Phones of runs, silence dropped."""
    return [run.phone for run in runs if run.phone != silence]
