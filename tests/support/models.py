"""Models made up for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from speechattn.audio.features import FrontEndConfig
from speechattn.decoder.lm.english import BEGIN, END
from speechattn.decoder.lm.lexicon import ENGLISH, Lexicon
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.decoder.lm.pruning import choose_words
from speechattn.decoder.lm.text_trigram import estimate_trigram
from speechattn.decoder.lm.word_names import WordNames
from speechattn.decoder.options import DecoderOptions
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.recognizer import load_model
from speechattn.phones import arpabet
from support.references.decoder import with_ngrams
from support.word_lms import random_words


def save_tiny_model(folder: Path) -> None:
    """A model with random weights, small enough to run in milliseconds."""
    torch.manual_seed(0)
    phones, front_end = arpabet(), FrontEndConfig(num_mel_bins=40)
    encoder = EncoderConfig(
        width=32, heads=2, feedforward=64, blocks=2, window=(8, 4), conv_kernel=3, stack=2
    )
    classifier = PhoneClassifier(front_end.dim, len(phones), encoder).eval()
    classifier.mean.fill_(8.0)
    classifier.std.fill_(4.0)
    torch.nn.init.normal_(classifier.classify.weight, std=0.5)
    phone_model = PhoneModel.uniform(len(phones), min_frames=3)
    Checkpoint(
        "tiny", classifier, front_end, phones, phone_model, DecoderOptions(prior_scale=0.0)
    ).save(folder)


def save_sure_model(tiny: Path, folder: Path) -> Path:
    """The tiny model with larger weights: random ones are rarely sure enough to change phones."""
    checkpoint = load_model(tiny, "cpu").checkpoint
    checkpoint.classifier.classify.weight.data.mul_(5)
    checkpoint.save(folder)
    return folder


def save_english_model(tiny: Path, folder: Path, sentences: Sequence[str]) -> Path:
    """The sure model with the words of some sentences, in the order in which they follow there.

    Args:
        tiny: folder of the tiny model.
        folder: to write to.
        sentences: in lower case; all words are in the dictionary of the package.
    """
    checkpoint = load_model(save_sure_model(tiny, folder), "cpu").checkpoint
    told = [sentence.split() for sentence in sentences]
    trigram = estimate_trigram(told, [*sorted({w for words in told for w in words}), BEGIN, END])
    words = choose_words(trigram, Lexicon([ENGLISH], checkpoint.phones), 100, 100)
    model = with_ngrams(np.random.default_rng(1), checkpoint.phone_model)
    checkpoint.phone_model = replace(model, words=words)
    checkpoint.decoding = replace(
        checkpoint.decoding, word_scale=1.0, unknown_word=3.0, bigram_scale=1.0, beam=16.0
    )
    checkpoint.save(folder)
    return folder


def save_worded_model(tiny: Path, folder: Path) -> Path:
    """The sure model with n-grams and random words of one to three phones, and their names."""
    checkpoint = load_model(save_sure_model(tiny, folder), "cpu").checkpoint
    random, num_phones = np.random.default_rng(1), len(checkpoint.phones)
    model = with_ngrams(random, checkpoint.phone_model)
    words = random_words(random, num_phones, 60)
    names = WordNames.of([f"word{k}" for k in range(60)], np.ones(60, int))
    checkpoint.phone_model = replace(model, words=replace(words, names=names))
    checkpoint.decoding = replace(
        checkpoint.decoding, word_scale=0.3, unknown_word=3.0, bigram_scale=0.3, beam=16.0
    )
    checkpoint.save(folder)
    return folder
