"""Which words follow each other, learned from texts and mixed with what a trigram knows.

:func:`text_dictionary` finds words in texts, and :func:`learn_words` learns from them. Words of the
texts that the trigram lacks are added: as a dictionary says them, or as ``align`` would guess. The
decoder has room for ``MOST_WORDS``; the most frequent ones in trigram and texts together stay.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from speechattn.alignment.guesses import WordGuesser
from speechattn.alignment.pronunciations import PronouncingDictionary, has_arpabet
from speechattn.alignment.sentences import read_sentences
from speechattn.decoder.lm.english import LEAST_LOG_PROB, NEVER, WordTrigram
from speechattn.decoder.lm.lexicon import ENGLISH, Layers, Lexicon, Ways, named
from speechattn.decoder.lm.mixture import mix_trigrams
from speechattn.decoder.lm.pruning import choose_words
from speechattn.decoder.lm.text_trigram import estimate_trigram
from speechattn.decoder.lm.word_lm import LONGEST_WORD, MOST_WORDS, WordNgrams
from speechattn.progress import Progress
from speechattn.text import counted, sentence

Sentences = Sequence[Sequence[str]]  # of words in lower case
# Share of all words that a word has which only rules can pronounce: of those that are rarer, in
# texts of millions of words, most are misprints or of other languages.
LEAST_SHARE = 2e-7


@dataclass(frozen=True)
class WordText:
    """Sentences that are counted together.

    Attributes:
        sentences: at least one with a word.
        weight: share of them in the mixture, above 0 and below 1.
    """

    sentences: Sentences
    weight: float


def text_dictionary(lexicon: Lexicon) -> PronouncingDictionary:
    """Return what finds words in texts: those of a lexicon, and of US English if it is ARPAbet.

    Args:
        lexicon: of the words that the decoder knows.
    """
    packaged = Lexicon([ENGLISH] if has_arpabet(lexicon.phones) else [], lexicon.phones)
    layers = Layers(lexicon.variants, packaged.variants)
    return PronouncingDictionary(Lexicon.of(layers, lexicon.phones))


def sentences_of(files: Sequence[Path], dictionary: PronouncingDictionary) -> Sentences:
    """The sentences of several files; see :func:`read_sentences`."""
    return [words for path in files for words in read_sentences(path, dictionary)]


def transcript_sentences(
    texts: Iterable[str | None], dictionary: PronouncingDictionary
) -> list[list[str]]:
    """The words of transcripts; a sentence that several speakers read is there once.

    Args:
        texts: of utterances; None for one without a text.
        dictionary: whose words are found in them.
    """
    once = {sentence(text): text for text in texts if text}
    return [words for text in once.values() if (words := dictionary.spoken_words(text))]


def learn_words(
    trigram: WordTrigram,
    lexicon: Lexicon,
    dictionary: Lexicon | None,
    texts: Sequence[WordText],
    pairs: int,
    triples: int,
    report: Callable[[str], None],
) -> WordNgrams:
    """Mix the order of words in texts with a trigram, and choose the best of it.

    Args:
        trigram: what is known already.
        lexicon: how its words are said.
        dictionary: which of the ways are a dictionary's; None for all.
        texts: with weights that are less than 1 together. What remains is the trigram's.
        pairs, triples: how many there may be, as for :func:`choose_words`.
        report: takes one line for the user.

    Raises:
        CorpusError: if no word of a text can be pronounced.
    """
    if not texts:
        return choose_words(trigram, lexicon, pairs, triples, dictionary)
    listed = (dictionary or lexicon).variants
    pronouncer = _Pronouncer(lexicon)
    known = set(trigram.words)
    ways: dict[str, list[tuple[int, ...]]] = {}
    firsts: dict[str, list[tuple[int, ...]]] = {}
    added: list[str] = []
    shares = _by_frequency(trigram, lexicon.variants, texts)
    with Progress("choose words", min(len(shares), MOST_WORDS), unit="word") as progress:
        for word, share in shares.items():
            if len(ways) == MOST_WORDS:
                break
            said = pronouncer.ways(word, by_rule=share >= LEAST_SHARE)
            if not said:
                continue
            ways[word.upper()], firsts[word.upper()] = said, listed.get(word.upper(), said)
            progress.update(1)
            if word not in known:
                added.append(word)
    base = with_words(trigram, added, np.full(len(added), NEVER))
    counts = [estimate_trigram(text.sentences, base.words) for text in texts]
    weights = [text.weight for text in texts]
    mixture = mix_trigrams([base, *counts], [1 - sum(weights), *weights])
    chosen = Lexicon.of(ways, lexicon.phones)
    words = choose_words(mixture, chosen, pairs, triples, Lexicon.of(firsts, lexicon.phones))
    if added:
        report(_said_of(added, [word for word in added if word in pronouncer.by_rule]))
    return words


def with_words(trigram: WordTrigram, words: Sequence[str], log_unigram: np.ndarray) -> WordTrigram:
    """A trigram with more words, of which it knows no pairs.

    Args:
        trigram: without these words.
        words: n of them.
        log_unigram: log probability of each, shape (n,).
    """
    return replace(
        trigram,
        words=[*trigram.words, *words],
        log_unigram=np.append(trigram.log_unigram, log_unigram),
        back_off=np.append(trigram.back_off, np.zeros(len(words))),
    )


def _said_of(added: Sequence[str], by_rule: Sequence[str]) -> str:
    """One line about the words that were added."""
    if not by_rule:
        return f"added {counted(len(added), 'word')}: {named(added)}"
    return (
        f"added {counted(len(added), 'word')}, {len(by_rule):,} of them pronounced by rule: "
        f"{named(by_rule)}"
    )


def _by_frequency(trigram: WordTrigram, known: Ways, texts: Sequence[WordText]) -> dict[str, float]:
    """The words of a trigram that are known, and of texts, the most frequent first.

    Returns:
        Word → its share of all words of the mixture.
    """
    rest = 1 - sum(text.weight for text in texts)
    share: defaultdict[str, float] = defaultdict(float)
    for word, log_prob in zip(trigram.words, trigram.log_unigram.tolist()):
        if log_prob > LEAST_LOG_PROB and word.upper() in known:
            share[word] = rest * math.exp(log_prob)
    for text in texts:
        times = Counter(word for words in text.sentences for word in words)
        total = times.total()
        for word, count in times.items():
            share[word] += text.weight * count / total
    return dict(sorted(share.items(), key=lambda item: -item[1]))


class _Pronouncer:
    """How words are said: by a lexicon, by the dictionary of US English, or by rule.

    Attributes:
        by_rule: words that were pronounced by rule.
    """

    def __init__(self, lexicon: Lexicon) -> None:
        self._known = lexicon.variants
        self._english = None
        if has_arpabet(lexicon.phones):
            self._english = Lexicon([ENGLISH], lexicon.phones)
            self._guesser = WordGuesser(self._english)
        self.by_rule: set[str] = set()

    def ways(self, word: str, *, by_rule: bool) -> list[tuple[int, ...]]:
        """All pronunciations of a word; none if there is no way to tell.

        Args:
            word: in lower case.
            by_rule: whether it may be pronounced by rule.
        """
        upper = word.upper()
        if upper in self._known:
            return list(self._known[upper])
        if self._english is None:
            return []
        if upper in self._english.variants:
            found = self._english.variants[upper]
        else:
            guess = self._guesser.guess(upper) if by_rule else None
            found = guess.ways if guess else []
            self.by_rule.add(word)
        return [way for way in found if 0 < len(way) <= LONGEST_WORD]
