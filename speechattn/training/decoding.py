"""Choosing the decoder's weights: every combination is tried on dev, the lowest PER wins.

Every corpus of dev counts alike, however large it is: a decoder is not to suit one kind of speech.

What the decoder is to know about phones, learned from training labels and, if asked, English text.

What a model makes of a prepared set, utterance by utterance: what scores are computed from.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.optimize import minimize
from tqdm import tqdm

from speechattn.corpora.prepared import PreparedSet, PreparedUtterance
from speechattn.decoder.decoder import decode
from speechattn.decoder.lm.english import english_lexicon, english_sentences, english_trigram
from speechattn.decoder.lm.ngrams import count_ngrams, estimate_ngrams, neighbours
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.decoder.lm.pruning import choose_words
from speechattn.decoder.options import CONFIDENCE, DecoderOptions, Evidence
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.evaluation.metrics import phone_errors, phones_right
from speechattn.inference.checkpoint import Checkpoint
from speechattn.phones import PhoneSet
from speechattn.segments import FrameRun
from speechattn.training.config import TUNED, DecodingConfig

MOST_FRAMES = 200_000  # 10 ms frames of dev that are decoded for every combination


LITTLE = 1e-4  # what the square of a weight costs, in nats a phone


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
    utterances: list[tuple[PreparedUtterance, np.ndarray, list[int]]] = []
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


def estimate_phone_model(
    train: PreparedSet, phones: PhoneSet, settings: DecodingConfig
) -> PhoneModel:
    """Learn the phone model.

    Args:
        train: the labelled utterances.
        phones: their classes.
        settings: ``ngram_order``, 2 for no n-grams beside the bigram, what goes into them, and how
            much is to be known of words.

    Raises:
        ConfigError, UsageError: as :func:`speechattn.decoder.lm.english.english_lexicon`.
    """
    model = PhoneModel.learn((train.runs(entry) for entry in train.entries), len(phones))
    order = settings.ngram_order
    if order == 2:
        return model
    parts = (part for entry in train.entries for part in neighbours(train.runs(entry)))
    counts = count_ngrams(parts, order)
    words = None
    if settings.english_words or settings.word_pairs:
        lexicon = english_lexicon(phones)
    if settings.english_words:
        sentences = english_sentences(settings.english_words, lexicon)
        text = (labels for _, labels in sentences)
        counts = count_ngrams(text, order, settings.english_weight, counts)
    if settings.word_pairs:
        trigram = english_trigram()
        words = choose_words(trigram, lexicon, settings.word_pairs, settings.word_triples)
    ngrams = estimate_ngrams(counts, len(phones), order, settings.ngram_least)
    return replace(model, ngrams=ngrams, words=words)


def decode_set(
    model: Checkpoint, prepared: PreparedSet, device: torch.device
) -> Iterator[tuple[PreparedUtterance, list[FrameRun], np.ndarray]]:
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


def fit_confidence(
    evidence: Sequence[Sequence[float]], right: Sequence[bool], weights: Sequence[float]
) -> tuple[float, ...]:
    """Weights of evidence, and an offset, that make confidences probabilities of being right.

    Maximises the likelihood of ``sigmoid(weights @ evidence + offset)`` (Platt, 1999), less a little
    for weights of what is not the phone itself.

    Args:
        evidence: of each phone K numbers, of which the first is the logit of what it has been given.
        right: whether each phone is right.
        weights: how much each counts.

    Returns:
        K weights and the offset: 1 and zeros, which change nothing, where there is nothing to learn
        from: no phones, all right, all wrong, or more often wrong the surer they are.
    """
    hits, counts = (np.asarray(x, dtype=np.float64) for x in (right, weights))
    if not len(hits):
        return 1.0, 0.0
    facts = np.column_stack([np.asarray(evidence, dtype=np.float64), np.ones(len(hits))])
    start = np.eye(facts.shape[1])[0]
    if hits.min() == hits.max():
        return tuple(start.tolist())

    def cost(parameters: np.ndarray) -> float:
        z = facts @ parameters
        loss = (counts * (np.logaddexp(0, z) - hits * z)).sum() / counts.sum()
        return float(loss + LITTLE * np.square(parameters[1:-1]).sum())

    found = minimize(cost, start, method="BFGS").x
    return tuple(round(float(x), 4) for x in found) if found[0] > 0.01 else tuple(start.tolist())
