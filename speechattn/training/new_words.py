"""Words of a model that learn from texts and transcripts which of them follow each other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechattn.alignment.pronunciations import PronouncingDictionary
from speechattn.corpora.corpus import read_entry
from speechattn.decoder.lm.english import WordTrigram, english_lexicon, english_trigram
from speechattn.decoder.lm.lexicon import Layers, Lexicon
from speechattn.decoder.lm.pruning import as_trigram, ways_of_words
from speechattn.decoder.lm.word_lm import WordNgrams
from speechattn.errors import CorpusError, UsageError
from speechattn.phones import PhoneSet
from speechattn.text import counted, sentence
from speechattn.training.word_order import (
    Sentences,
    WordText,
    learn_words,
    sentences_of,
    text_dictionary,
    transcript_sentences,
    with_words,
)

HELD_BACK = ("/test", "/dev")  # ends of the names of sets that nothing is learned from
IN_A_ROW = 7  # words that a sentence shares with one that is held back, to be left out


@dataclass(frozen=True)
class TextSources:
    """What the words of a model learn from.

    Attributes:
        files: texts.
        weight: share of the texts in the mixture.
        transcripts: sets, ``corpus/split`` each, whose transcripts are another text.
        transcripts_weight: its share.
        whole_trigram: begin with the trigram of pocketsphinx, not with what the model knows.

    Raises:
        UsageError: if a weight or a set is impossible.
    """

    files: Sequence[Path] = ()
    weight: float = 0.3
    transcripts: Sequence[str] = ()
    transcripts_weight: float = 0.15
    whole_trigram: bool = False

    def __post_init__(self) -> None:
        weights = {}
        if self.files:
            weights["--text-weight"] = self.weight
        if self.transcripts:
            weights["--transcripts-weight"] = self.transcripts_weight
        for option, weight in weights.items():
            if not 0 < weight < 1:
                raise UsageError(f"{option} {weight:g}; above 0 and below 1")
        if sum(weights.values()) >= 1:
            both = " and ".join(f"{option} {weight:g}" for option, weight in weights.items())
            raise UsageError(f"{both}: together below 1, the rest is what the model knows")
        for index, path in enumerate(self.files):
            if path in self.files[:index]:
                raise UsageError(f"--text {path}: is given twice; give it once")
        for name in self.transcripts:
            if name.endswith(HELD_BACK):
                raise UsageError(
                    f"--transcripts: {name}: models are measured on this set, and must not know "
                    "its sentences; give a set of training"
                )

    @property
    def option(self) -> str:
        """The option that asks for any of it; "" if nothing does."""
        if self.files:
            return "--text"
        return "--transcripts" if self.transcripts else "--whole-trigram" * self.whole_trigram


def with_texts(
    words: WordNgrams,
    phones: PhoneSet,
    sources: TextSources,
    *,
    corpora: Path,
    pairs: int,
    triples: int,
    report: Callable[[str], None],
) -> WordNgrams:
    """Mix texts with what words know, and choose the best pairs and triples again.

    Args:
        words: of a model, with names. They keep their pronunciations.
        phones: of the model.
        sources: what to learn from.
        corpora: folder of the corpora.
        pairs, triples: how many there may be.
        report: takes one line for the user.

    Raises:
        CorpusError: if a text or set cannot be read, or has no words.
        UsageError: if pocketsphinx is asked for and not installed.
    """
    lexicon, dictionary = _pronounced(words, phones)
    if sources.whole_trigram:
        trigram, english = _whole_trigram(words), english_lexicon(phones).variants
        for each in (lexicon, dictionary):
            each.variants = Layers(each.variants, english)
    else:
        trigram = as_trigram(words)
    reader = text_dictionary(lexicon)
    texts = []
    if sources.files:
        sentences = sentences_of(sources.files, reader)
        texts.append(WordText(sentences, sources.weight))
        report(_size("texts", sentences, sources.weight))
    if sources.transcripts:
        sentences = _said_in(sources.transcripts, corpora, phones, reader, report)
        texts.append(WordText(sentences, sources.transcripts_weight))
        report(_size("transcripts", sentences, sources.transcripts_weight))
    return learn_words(trigram, lexicon, dictionary, texts, pairs, triples, report)


def _whole_trigram(words: WordNgrams) -> WordTrigram:
    """The trigram of pocketsphinx, with those words of a model that it lacks."""
    trigram, own = english_trigram(), as_trigram(words)
    known = set(trigram.words)
    lacking = [number for number, word in enumerate(own.words) if word not in known]
    return with_words(trigram, [own.words[i] for i in lacking], own.log_unigram[lacking])


def _pronounced(words: WordNgrams, phones: PhoneSet) -> tuple[Lexicon, Lexicon]:
    """How the words of a model are said, and how a dictionary has it."""
    ways: dict[str, list[tuple[int, ...]]] = {}
    firsts: dict[str, list[tuple[int, ...]]] = {}
    if words.names is not None:
        counts = words.names.listed.tolist()
        for name, said, count in zip(words.names.names, ways_of_words(words), counts):
            ways[name.upper()], firsts[name.upper()] = said, said[:count]
    return Lexicon.of(ways, phones), Lexicon.of(firsts, phones)


def _said_in(
    sets: Sequence[str],
    corpora: Path,
    phones: PhoneSet,
    reader: PronouncingDictionary,
    report: Callable[[str], None],
) -> Sentences:
    """The sentences of the transcripts of sets, each once, without those of sets held back."""
    read = []
    for name in sets:
        corpus = read_entry(corpora, name, phones=phones, alignments=False)
        held_back = [end for end in HELD_BACK if (corpus.folder / f"splits{end}").is_file()]
        if corpus.split is None and held_back:
            raise UsageError(
                f"--transcripts: {name}: this holds {corpus.name}{held_back[0]} too, on which "
                "models are measured; give a set of training"
            )
        if not any(utterance.text for utterance in corpus):
            raise CorpusError(f"{name}: no utterance has a transcript; give another set")
        read.append(corpus)
    known = _held_back(corpora, phones)
    texts = [u.text for each in read for u in each if u.text and known.isdisjoint(_runs(u.text))]
    left_out = sum(map(len, read)) - len(texts)
    if left_out:
        report(
            f"left out of the transcripts: {counted(left_out, 'utterance')} without words, or with "
            "words of a dev or test set"
        )
    return transcript_sentences(texts, reader)


def _held_back(corpora: Path, phones: PhoneSet) -> set[tuple[str, ...]]:
    """The runs of words in the dev and test sets of all corpora of a folder."""
    known: set[tuple[str, ...]] = set()
    for folder in sorted(path for path in corpora.iterdir() if path.is_dir()):
        for end in HELD_BACK:
            if (folder / f"splits{end}").is_file():
                with contextlib.suppress(CorpusError):  # nobody asked for this one
                    name = folder.name + end
                    for utterance in read_entry(corpora, name, phones=phones, alignments=False):
                        known.update(_runs(utterance.text or ""))
    return known


def _runs(text: str) -> set[tuple[str, ...]]:
    """All runs of ``IN_A_ROW`` words in a text; a shorter text is one run."""
    words = sentence(text).split()
    count = max(1, len(words) - IN_A_ROW + 1)
    return {tuple(words[i : i + IN_A_ROW]) for i in range(count)} if words else set()


def _size(what: str, sentences: Sentences, weight: float) -> str:
    words = sum(map(len, sentences))
    return (
        f"{what}: {counted(words, 'word')} in {counted(len(sentences), 'sentence')}, "
        f"{100 * weight:g} % of the mixture"
    )
