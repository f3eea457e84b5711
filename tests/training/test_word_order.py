"""Words of texts: counted once, added to a trigram, and ranked by how often they are said.

The command that learns them is tested in ``tests/cli/test_decoder_texts.py``.
"""

from __future__ import annotations

import numpy as np
import pytest
from support.word_lms import small_trigram

from speechattn.decoder.lm.lexicon import Lexicon
from speechattn.phones import arpabet
from speechattn.training.word_order import (
    WordText,
    _by_frequency,
    text_dictionary,
    transcript_sentences,
    with_words,
)

PHONES = arpabet()


def test_a_sentence_of_several_speakers_counts_once():
    dictionary = text_dictionary(Lexicon.of({}, PHONES))
    texts = ["The cat, sat.", "the cat sat", None, "", "A dog!", "THE CAT SAT"]
    assert transcript_sentences(texts, dictionary) == [["the", "cat", "sat"], ["a", "dog"]]


def test_more_words_leave_what_the_trigram_knows():
    trigram = small_trigram()
    more = with_words(trigram, ["zorblax"], np.array([-9.0]))
    assert more.words == [*trigram.words, "zorblax"]
    every = np.arange(len(trigram.words))
    for before in ([0], [0, 1]):
        same = more.log_prob(every, before), trigram.log_prob(every, before)
        np.testing.assert_array_equal(*same)
    assert more.log_unigram[-1] == -9.0 and more.back_off[-1] == 0


def test_words_are_ranked_by_their_share_of_the_mixture():
    trigram = small_trigram()
    spoken = [word for word in trigram.words if word.isalpha()]
    known = {word.upper(): [(1,)] for word in spoken}
    text = WordText([["new", "new", spoken[0]], ["new"]], 0.4)
    shares = _by_frequency(trigram, known, [text])
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert shares["new"] == pytest.approx(0.4 * 3 / 4)
    own = 0.6 * np.exp(trigram.log_unigram[trigram.words.index(spoken[0])])
    assert shares[spoken[0]] == pytest.approx(own + 0.4 / 4)
