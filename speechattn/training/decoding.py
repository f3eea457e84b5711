"""Everything about the decoder in a recipe: its phone model, its tuning on dev, its test results.

:func:`estimate_phone_model` counts phones in training labels and, if asked, English text.
:func:`tune_decoder` tries every combination of decoder options on dev; the lowest phone error rate
wins. Every corpus of dev has the same weight, however large it is, so that the decoder does not
suit one kind of speech only. :func:`decode_set` recognises a set to be scored.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from speechattn.corpora.prepared import PreparedSet, PreparedUtterance
from speechattn.decoder.decoder import decode
from speechattn.decoder.lm.english import english_lexicon, english_sentences, english_trigram
from speechattn.decoder.lm.lexicon import Lexicon
from speechattn.decoder.lm.ngram_estimation import count_ngrams, estimate_ngrams, neighbours
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.decoder.options import CONFIDENCE, DecoderOptions, Evidence
from speechattn.encoder.encoder import PhoneClassifier, log_posteriors
from speechattn.evaluation.metrics import phone_errors, phones_right
from speechattn.inference.checkpoint import Checkpoint
from speechattn.phones import PhoneSet
from speechattn.progress import with_progress
from speechattn.segments import FrameSegment
from speechattn.text import sentence
from speechattn.training.config_sections import READING_TUNED, TUNED, DecodingConfig
from speechattn.training.word_order import (
    WordText,
    learn_words,
    sentences_of,
    text_dictionary,
    transcript_sentences,
)

MAX_TUNING_FRAMES = 200_000  # 10 ms frames of dev that are decoded for every combination
CONFIDENCE_PENALTY = 1e-4  # nats a phone, for the square of a weight of confidence


def frame_log_posteriors(
    classifier: PhoneClassifier, frames: np.ndarray, device: torch.device
) -> np.ndarray:
    """Compute the log probability of every phone, float32, shape (frames, phones).

    Args:
        classifier: on ``device``.
        frames: of one utterance, shape (frames, dim).
        device: where to compute.
    """
    with torch.inference_mode():
        scores = classifier(torch.from_numpy(frames)[None].to(device))[0]
        return log_posteriors(scores).cpu().numpy()


def tune_decoder(
    classifier: PhoneClassifier,
    phone_model: PhoneModel,
    dev: PreparedSet,
    candidates: DecodingConfig,
    silence: int,
    device: torch.device,
) -> tuple[DecoderOptions, list[dict]]:
    """Choose the options of the decoder by phone error rate on dev, and fit its confidences.

    Args:
        classifier: on ``device``.
        phone_model: of the decoder.
        dev: development set.
        candidates: values to try for each option in ``TUNED``, and the beam.
        silence: class of silence.
        device: where to compute.

    Returns:
        The best options, and a row of options and PER (the mean over corpora) for each combination,
        best first.
    """
    utterances: list[tuple[PreparedUtterance, np.ndarray, list[int]]] = []
    total = 0
    # Spread over the set, which is ordered by corpus and speaker.
    order = np.random.default_rng(0).permutation(len(dev.entries))
    for entry in (dev.entries[i] for i in order):
        if total > MAX_TUNING_FRAMES:
            break
        scores = frame_log_posteriors(classifier, dev.frames(entry), device)
        utterances.append((entry, scores, spoken(dev.runs(entry), silence)))
        total += entry.frames

    def per(options: DecoderOptions) -> float:
        """Phone error rate, the mean over corpora."""
        errors: Counter[str] = Counter()
        phones: Counter[str] = Counter()
        for entry, scores, reference in utterances:
            hypothesis = spoken(decode(scores, phone_model, options), silence)
            errors[entry.corpus] += sum(phone_errors(reference, hypothesis))
            phones[entry.corpus] += len(reference)
        rates = [errors[corpus] / max(1, phones[corpus]) for corpus in phones]
        return sum(rates) / len(rates)

    rows = []
    for options in with_progress(decoder_grid(candidates), "tune decoder", unit="setting"):
        tried = {name: getattr(options, name) for name in TUNED}
        rows.append({**tried, "per": per(options)})
    rows.sort(key=lambda row: row["per"])  # stable: of equals, the first that was tried
    best = DecoderOptions(**{name: rows[0][name] for name in TUNED}, beam=candidates.beam)
    best = _tuned_for_readings(best, candidates, per)
    decoded = [
        (entry.corpus, decode(scores, phone_model, best), dev.labels(entry))
        for entry, scores, _ in utterances
    ]
    fitted = _fitted_confidence(decoded, silence, phone_model.silence)
    return dataclasses.replace(best, **dict(zip(CONFIDENCE, fitted))), rows


def _tuned_for_readings(
    options: DecoderOptions, candidates: DecodingConfig, per: Callable[[DecoderOptions], float]
) -> DecoderOptions:
    """Choose what is best for reading without words, and without n-grams.

    Args:
        options: best for reading with words.
        candidates: ``phones_scale``, ``phones_penalty`` and ``alone_penalty``; what has none stays
            as with words.
        per: phone error rate with some options.
    """
    for reading, names in (("phones", READING_TUNED[:2]), ("none", READING_TUNED[2:])):
        grid = [getattr(candidates, name) or (None,) for name in names]
        changes = [dict(zip(names, values)) for values in itertools.product(*grid)]
        tried = [replace(options, **change) for change in changes]
        if len(tried) > 1:
            options = min(tried, key=lambda each: per(each.for_reading(reading)))
        else:
            options = tried[0]
    return options


def _fitted_confidence(
    decoded: list[tuple[str, list[FrameSegment], np.ndarray]], silence: int, pause: int | None
) -> tuple[float, ...]:
    """Fit the weights of confidence to decoded utterances; every corpus has the same weight.

    Args:
        decoded: corpus, decoded path and reference labels by frame of each utterance.
        silence: class of silence.
        pause: the same if the decoder knows it, or None.
    """
    facts, right, corpora = [], [], []
    for corpus, runs, labels in decoded:
        evidence = Evidence(pause)
        taken = [(run, evidence.take(run)) for run in runs]
        phones = [(run, values) for run, values in taken if run.phone != silence]
        facts += [values for _, values in phones]
        right += phones_right([run for run, _ in phones], labels)
        corpora += [corpus] * len(phones)
    sizes = Counter(corpora)
    return fit_confidence(facts, right, [1 / sizes[corpus] for corpus in corpora])


def decoder_grid(candidates: DecodingConfig) -> list[DecoderOptions]:
    """Return every combination of the candidates, with the beam.

    Raises:
        ConfigError: if a candidate is impossible.
    """
    grid = itertools.product(*(getattr(candidates, name) for name in TUNED))
    return [DecoderOptions(**dict(zip(TUNED, values)), beam=candidates.beam) for values in grid]


def spoken(runs: list[FrameSegment], silence: int) -> list[int]:
    """Return the phones of a path, without silence."""
    return [run.phone for run in runs if run.phone != silence]


def estimate_phone_model(
    train: PreparedSet,
    phones: PhoneSet,
    settings: DecodingConfig,
    lexicon: Lexicon | None = None,
    report: Callable[[str], None] = lambda _line: None,
) -> PhoneModel:
    """Estimate the phone model of the decoder.

    Args:
        train: labelled utterances.
        phones: classes of the labels.
        settings: order and sources of the n-grams and words, and number of words.
        lexicon: how words of English are said; None for what the dictionary of pocketsphinx says.
        report: takes one line for the user.

    Raises:
        CorpusError: if a text cannot be read, or has no words.
        ConfigError, UsageError: as :func:`speechattn.decoder.lm.english.english_lexicon`.
    """
    model = PhoneModel.learn((train.runs(entry) for entry in train.entries), len(phones))
    order = settings.ngram_order
    if order == 2:
        return model
    counts = _counted_once(train, order)
    words, dictionary = None, None
    if settings.english_words or settings.word_pairs:
        dictionary = english_lexicon(phones)
        lexicon = lexicon or dictionary
    if lexicon is not None and settings.english_words:
        sentences = english_sentences(settings.english_words, lexicon)
        text = (labels for _, labels in sentences)
        counts = count_ngrams(text, order, settings.english_weight, counts)
    if lexicon is not None and settings.word_pairs:
        words = learn_words(
            english_trigram(),
            lexicon,
            dictionary,
            _word_texts(train, settings, lexicon),
            settings.word_pairs,
            settings.word_triples,
            report,
        )
    ngrams = estimate_ngrams(counts, len(phones), order, settings.ngram_least)
    return replace(model, ngrams=ngrams, words=words)


def _word_texts(train: PreparedSet, settings: DecodingConfig, lexicon: Lexicon) -> list[WordText]:
    """The texts and transcripts that words learn from, as far as the recipe has any."""
    texts: list[WordText] = []
    if not (settings.texts or settings.transcripts_weight):
        return texts
    reader = text_dictionary(lexicon)
    if settings.texts:
        sentences = sentences_of(list(map(Path, settings.texts)), reader)
        texts.append(WordText(sentences, settings.text_weight))
    if settings.transcripts_weight:
        transcripts = transcript_sentences((entry.text for entry in train.entries), reader)
        if transcripts:
            texts.append(WordText(transcripts, settings.transcripts_weight))
    return texts


def _counted_once(train: PreparedSet, order: int) -> Counter:
    """Count the n-grams of a training set; each sentence counts once, however many say it.

    Sentences that many speakers read would else be known by heart, and other words be heard as
    pieces of them.
    """
    sentences = [sentence(entry.text) if entry.text else None for entry in train.entries]
    copies, counts = Counter(sentences), Counter[tuple]()
    for entry, said in zip(train.entries, sentences):
        weight = 1.0 if said is None else 1.0 / copies[said]
        count_ngrams(neighbours(train.runs(entry)), order, weight, counts)
    return counts


def decode_set(
    model: Checkpoint, prepared: PreparedSet, device: torch.device
) -> Iterator[tuple[PreparedUtterance, list[FrameSegment], np.ndarray]]:
    """Recognise every utterance of a set.

    Args:
        model: with its classifier on ``device``.
        prepared: set to recognise.
        device: where to compute.

    Yields:
        An utterance, its decoded path, and the most probable label of each frame, shape (frames,).
    """
    for entry in prepared.entries:
        scores = frame_log_posteriors(model.classifier, prepared.frames(entry), device)
        yield entry, decode(scores, model.phone_model, model.decoding), np.argmax(scores, 1)


def fit_confidence(
    evidence: Sequence[Sequence[float]], right: Sequence[bool], weights: Sequence[float]
) -> tuple[float, ...]:
    """Fit weights of evidence and an offset that make confidences probabilities of being right.

    The likelihood of ``sigmoid(weights @ evidence + offset)`` is maximised (Platt, 1999), with a
    small penalty on all weights but the first.

    Args:
        evidence: K numbers of each phone; the first is the logit of its posterior.
        right: whether each phone is right.
        weights: weight of each phone.

    Returns:
        K weights and the offset. They are 1 and zeros, which change nothing, if nothing can be
        learned: without phones, if all are right or all wrong, or if confident phones are wrong
        more often than others.
    """
    from scipy.optimize import minimize  # slow to import, and used once in a training

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
        return float(loss + CONFIDENCE_PENALTY * np.square(parameters[1:-1]).sum())

    found = minimize(cost, start, method="BFGS").x
    return tuple(round(float(x), 4) for x in found) if found[0] > 0.01 else tuple(start.tolist())
