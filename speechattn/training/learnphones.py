"""What the decoder is to know about phones, learned from training labels and, if asked, English text."""

from __future__ import annotations

from dataclasses import replace

from speechattn.corpora.prepared import PreparedSet
from speechattn.decoder.lm.english_text import english_lexicon, english_sentences, english_trigram
from speechattn.decoder.lm.ngramcounts import count_ngrams, estimate_ngrams, neighbours
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.decoder.lm.pruning import choose_words
from speechattn.phones import PhoneSet
from speechattn.training.config import DecodingConfig


def learn_phones(train: PreparedSet, phones: PhoneSet, settings: DecodingConfig) -> PhoneModel:
    """Learn the phone model.

    Args:
        train: the labelled utterances.
        phones: their classes.
        settings: ``ngram_order``, 2 for no n-grams beside the bigram, what goes into them, and how
            much is to be known of words.

    Raises:
        ConfigError, UsageError: as :func:`speechattn.decoder.lm.english_text.english_lexicon`.
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
