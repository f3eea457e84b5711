"""What the decoder is to know about phones, learned from training labels and, if asked, English text."""

from __future__ import annotations

from dataclasses import replace

from speechattn.config_sections import DecodingConfig
from speechattn.english_text import english_lexicon, english_sentences
from speechattn.ngramcounts import count_ngrams, estimate_ngrams, neighbours
from speechattn.phonemodel import PhoneModel
from speechattn.phones import PhoneSet
from speechattn.prepare import PreparedSet
from speechattn.words import estimate_words


def learn_phones(train: PreparedSet, phones: PhoneSet, settings: DecodingConfig) -> PhoneModel:
    """Learn the phone model.

    Args:
        train: the labelled utterances.
        phones: their classes.
        settings: ``ngram_order``, 2 for no n-grams beside the bigram, and what goes into them and
            into the words.

    Raises:
        ConfigError, UsageError: as :func:`speechattn.english_text.english_lexicon`.
    """
    model = PhoneModel.learn((train.runs(entry) for entry in train.entries), len(phones))
    order = settings.ngram_order
    if order == 2:
        return model
    parts = (part for entry in train.entries for part in neighbours(train.runs(entry)))
    counts = count_ngrams(parts, order)
    words = None
    if settings.english_words:
        lexicon = english_lexicon(phones)
        sentences = list(english_sentences(settings.english_words, lexicon))
        text = (labels for _, labels in sentences)
        counts = count_ngrams(text, order, settings.english_weight, counts)
        if settings.word_least:
            said = (sentence for sentence, _ in sentences)
            words = estimate_words(said, lexicon, settings.word_least)
    ngrams = estimate_ngrams(counts, len(phones), order, settings.ngram_least)
    return replace(model, ngrams=ngrams, words=words)
