"""The decoder's definition, term by term, and slow ways to find what it should find."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from speechattn.decoder.lm.ngram_estimation import count_ngrams, estimate_ngrams
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.decoder.options import DecoderOptions
from speechattn.segments import FrameSegment
from support.word_lms import best_reading

FLOOR = -1000.0


def log_softmax(logits):
    shifted = logits - logits.max(axis=1, keepdims=True)
    return (shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))).astype(np.float32)


def random_posteriors(rng, num_frames, num_phones, sharpness=3.0):
    return log_softmax(sharpness * rng.standard_normal((num_frames, num_phones)))


def random_model(rng, num_phones, longest_minimum=4, forbid=0.0):
    def distribution(*shape):
        return np.log(rng.dirichlet(np.ones(shape[-1]), size=shape[:-1] or None) + 1e-9) - 1e-6

    initial, final, prior = (distribution(num_phones) for _ in range(3))
    bigram = distribution(num_phones, num_phones)
    bigram[rng.random(bigram.shape) < forbid] = -np.inf
    bigram[0, -1] = -0.7  # not all may be forbidden
    stay = rng.uniform(0.1, 0.95, num_phones)
    minimum = rng.integers(1, longest_minimum + 1, num_phones)
    return PhoneModel(initial, bigram, final, minimum, np.log(stay), np.log(1 - stay), prior)


def with_ngrams(rng, model, order=3, length=30):
    """The model with n-grams learned from random phones."""
    phones = rng.integers(0, model.num_phones, (3, length))
    counts = count_ngrams(phones, order)
    ngrams = estimate_ngrams(counts, model.num_phones, order, least=1.0)
    return dataclasses.replace(model, ngrams=ngrams)


def random_options(rng):
    return DecoderOptions(
        bigram_scale=float(rng.uniform(0, 2)),
        prior_scale=float(rng.uniform(0, 1)),
        insertion_penalty=float(rng.uniform(-2, 2)),
        duration_scale=float(rng.uniform(0, 2)),
    )


def follows(model, phones):
    """Log probability of the last of some phones after the others, by the model's definition."""
    if model.ngrams is None:
        return model.log_bigram[phones[-2], phones[-1]]
    ngrams = model.ngrams
    states, context = {}, {-1: ()}
    for state, (oldest, back) in enumerate(zip(ngrams.oldest.tolist(), ngrams.back.tolist())):
        context[state] = (oldest, *context[back])
        states[context[state]] = state
    arcs = zip(ngrams.arc_state.tolist(), ngrams.arc_phone.tolist(), ngrams.arc_log_prob.tolist())
    arcs = {(state, phone): value for state, phone, value in arcs}
    *before, phone = phones
    total = 0.0
    for start in range(len(before)):
        state = states.get(tuple(before[start:]))
        if (state, phone) in arcs:
            return total + arcs[state, phone]
        if state is not None:
            total += float(ngrams.back_off[state])
    return total + float(ngrams.log_unigram[phone])


def scaled(log_probability, scale):
    return -math.inf if log_probability == -math.inf else scale * log_probability


def run_score(log_posteriors, model, options, minimum, phone, start, end):
    """Score of one segment on its own: its frames and its duration."""
    if end - start < minimum[phone]:
        return -math.inf
    emission = np.maximum(log_posteriors[start:end, phone].astype(np.float64), FLOOR)
    more = end - start - minimum[phone]
    duration = more * model.log_stay[phone] + model.log_leave[phone]
    return (
        emission.sum()
        - (end - start) * options.prior_scale * model.log_prior[phone]
        + options.duration_scale * duration
    )


def path_score(log_posteriors, model, options, runs, final=True):
    """The definition in the decoder's documentation, term by term."""
    minimum = np.minimum(model.min_frames, len(log_posteriors))
    if len(log_posteriors) >= model.min_frames.max():
        minimum = model.min_frames
    phones = [run.phone for run in runs]
    total = -options.insertion_penalty * (len(runs) - 1)
    if model.words is None:
        total += scaled(model.log_initial[phones[0]], options.bigram_scale)
        for i in range(1, len(runs)):
            total += scaled(follows(model, phones[: i + 1]), options.bigram_scale)
    else:
        total += best_reading(model, options, phones, follows)
    if final:
        total += scaled(model.log_final[runs[-1].phone], options.bigram_scale)
    for run in runs:
        total += run_score(log_posteriors, model, options, minimum, run.phone, run.start, run.end)
    return total


def every_segmentation(num_frames, num_phones, start=0):
    if start == num_frames:
        yield []
    for end in range(start + 1, num_frames + 1):
        for phone in range(num_phones):
            for rest in every_segmentation(num_frames, num_phones, end):
                yield [FrameSegment(phone, start, end), *rest]


def segmental_viterbi(log_posteriors, model, options):
    """Best score by trying every last segment: O(frames^2 phones^2)."""
    num_frames, num_phones = log_posteriors.shape
    minimum = np.minimum(model.min_frames, num_frames)
    best = np.full((num_frames + 1, num_phones), -np.inf)
    for end in range(1, num_frames + 1):
        for q in range(num_phones):
            for start in range(end):
                if start == 0:
                    enter = scaled(model.log_initial[q], options.bigram_scale)
                else:
                    enter = max(
                        best[start, p] + scaled(model.log_bigram[p, q], options.bigram_scale)
                        for p in range(num_phones)
                    )
                    enter -= options.insertion_penalty
                if enter > -math.inf:
                    own = run_score(log_posteriors, model, options, minimum, q, start, end)
                    best[end, q] = max(best[end, q], enter + own)
    return max(
        best[-1, q] + scaled(model.log_final[q], options.bigram_scale) for q in range(num_phones)
    )


def places(runs):
    return [(run.phone, run.start, run.end) for run in runs]


def in_pieces(decoder, log_posteriors, sizes):
    runs, start = [], 0
    for size in sizes:
        runs += decoder.push(log_posteriors[start : start + size])
        start += size
    return runs + decoder.push(log_posteriors[start:]) + decoder.finish()
