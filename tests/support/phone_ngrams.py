"""Small phone n-grams, and what their states stand for."""

from __future__ import annotations

from hypothesis import strategies as st

from speechattn.decoder.lm.ngram_estimation import count_ngrams, estimate_ngrams
from speechattn.decoder.lm.ngrams import PhoneNgrams

SENTENCES = [[0, 1, 2, 1, 0], [0, 1, 1, 2, 0], [0, 2, 1, 2, 1, 0]]


def learned(sequences=SENTENCES, num_phones=4, order=3, least=1.0, **settings) -> PhoneNgrams:
    counts = count_ngrams(sequences, order, **settings)
    return estimate_ngrams(counts, num_phones, order, least)


def contexts(ngrams: PhoneNgrams) -> list[tuple[int, ...]]:
    """Of each state, read off its definition."""
    found = []
    for oldest, back in zip(ngrams.oldest.tolist(), ngrams.back.tolist()):
        found.append((oldest,) + (() if back < 0 else found[back]))
    return found


@st.composite
def corpora(draw):
    num_phones = draw(st.integers(1, 4))
    sentence = st.lists(st.integers(0, num_phones - 1), max_size=12)
    sentences = draw(st.lists(sentence, min_size=1, max_size=6))
    sentences.append([draw(st.integers(0, num_phones - 1))])
    return num_phones, sentences
