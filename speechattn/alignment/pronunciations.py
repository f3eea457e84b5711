"""Words of a text, and how they are pronounced.

A text has punctuation, hyphens, capitals and numbers; a dictionary has words.
:class:`PronouncingDictionary` finds the words of the dictionary in the text, has numbers and
abbreviations of English read by :mod:`speechattn.alignment.english`, and says what is assumed about
words that it lacks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from speechattn.alignment.english.reader import EnglishReader, core_of
from speechattn.alignment.guesses import WordGuesser, without_accents
from speechattn.alignment.transcript_files import Transcript, Utterance
from speechattn.alignment.transcripts import AlignmentError
from speechattn.decoder.lm.lexicon import ENGLISH, Lexicon, named
from speechattn.errors import UsageError
from speechattn.files import path_list
from speechattn.phones import PhoneSet, arpabet

GUESS = "guess"
UNKNOWN = (GUESS, "spell", "fail")  # what becomes of a word without a pronunciation
UNKNOWN_WORD = "unknown word"  # kind of failure
AGAIN = "\u2060"  # behind a word that stands in the text before with other readings
MOST_WAYS = 24  # of a token that is read in several ways
MOST_WAYS_A_READING = 4
CAPITALS_SHARE = 0.9  # of the letters of a text whose capitals mean nothing
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc\u00b4`", "'"))
_BREAKS = re.compile(r"[\u2013\u2014\u2015\u2026/\u2044]|--+|\.\.+")  # between words
# Notes such as [laughter] or <noise>, which are no words.
_NOTES = re.compile(r"\[[^][]*\]|\{[^{}]*\}|<[^\W\d_][^<>]*>")
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]?")  # "U.S."
_VULGAR = re.compile(r"(?<=\d)(?=[\u00bc-\u00be\u2150-\u215e])")  # in "5½"
Ways = dict[str, list[tuple[int, ...]]]  # word in upper case → classes of its phones


@dataclass(frozen=True)
class TextWord:
    """A word of a text.

    Attributes:
        written: as in the text, without the punctuation around it.
        key: the same, made unlike other words of the text that are read in other ways.
        readings: words, with spaces between them, that it is perhaps read as; none for a word that
            is read as it is written.
    """

    written: str
    key: str
    readings: tuple[str, ...] = ()


@dataclass(frozen=True)
class TimedWords:
    """Words of a text that lie in a stretch of the recording.

    Attributes:
        first: number of the first word.
        last: number of the word after the last.
        start: seconds.
        end: seconds; infinite for the end of the recording.
        source: file and line of the text.
    """

    first: int
    last: int
    start: float
    end: float
    source: str


@dataclass
class ReadText:
    """The words of a text and all that is not in the lexicon about them.

    Attributes:
        words: in their order.
        speaker: who says them; "" if there is only one.
        parts: stretches of the recording in which the words lie; none for the whole of it.
        ways: key of a word in upper case → its pronunciations, for words that the lexicon lacks and
            for those that have readings.
        assumed: words that the lexicon lacks, in upper case → what was assumed.
    """

    words: list[TextWord] = field(default_factory=list)
    speaker: str = ""
    parts: tuple[TimedWords, ...] = ()
    ways: Ways = field(default_factory=dict)
    assumed: dict[str, str] = field(default_factory=dict)
    _spoken: dict[tuple[str, tuple[int, ...]], str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The keys of the words, with spaces between them."""
        return " ".join(word.key for word in self.words)

    def spoken(self, number: int, way: tuple[int, ...]) -> str:
        """What a word was read as.

        Args:
            number: of the word, from 0.
            way: the pronunciation that was found.

        Returns:
            "" for a word that was read as it is written.
        """
        return self._spoken.get((self.words[number].key.upper(), way), "")


class PronouncingDictionary:
    """A lexicon that finds its words in a text as people write it.

    Args:
        lexicon: the pronunciations.
        unknown: what becomes of a word that has none: ``"guess"`` from its letters, ``"spell"`` to
            take it as their names, ``"fail"``. Phones other than ARPAbet cannot be guessed, so
            there the word fails.

    Raises:
        UsageError: if ``unknown`` is another, or words cannot be spelled in the phones of the
            lexicon.
    """

    def __init__(self, lexicon: Lexicon, unknown: str = GUESS) -> None:
        self.lexicon, self.unknown = lexicon, unknown
        if unknown not in UNKNOWN:
            raise UsageError(f"unknown: {unknown!r}; choose from {', '.join(UNKNOWN)}")
        english = has_arpabet(lexicon.phones)
        if unknown == "spell" and not english:
            raise UsageError(
                "unknown: spell is for models with ARPAbet phones; list how the words are said in "
                "a file for --lexicon"
            )
        self._guesser = WordGuesser(lexicon, spell=unknown == "spell") if english else None
        self._reader = EnglishReader(self._has) if english else None

    def _has(self, word: str) -> bool:
        return word.upper() in self.lexicon.variants

    def read(self, text: str) -> ReadText:
        """Read a text: its words, and how those are said that the lexicon lacks.

        Raises:
            AlignmentError: if a word has no pronunciation; all such words are named.
        """
        return self._with_ways(ReadText(self._text_words(text, {})))

    def read_speakers(self, transcript: Transcript) -> list[ReadText]:
        """Read a transcript whose utterances have times.

        Returns:
            The text of each speaker, in the order in which they begin.

        Raises:
            AlignmentError: if a word has no pronunciation; all such words of a speaker are named.
        """
        speakers = dict.fromkeys(each.speaker for each in transcript.utterances)
        return [self._read_speaker(name, transcript.utterances) for name in speakers]

    def _read_speaker(self, speaker: str, utterances: Iterable[Utterance]) -> ReadText:
        words: list[TextWord] = []
        parts = []
        known: dict[str, tuple[str, ...]] = {}
        own = (each for each in utterances if each.speaker == speaker)
        for each in sorted(own, key=lambda utterance: utterance.start):
            first = len(words)
            words += self._text_words(each.text, known)
            if len(words) > first:
                parts.append(TimedWords(first, len(words), each.start, each.end, each.source))
        return self._with_ways(ReadText(words, speaker, tuple(parts)))

    def _with_ways(self, found: ReadText) -> ReadText:
        """Find the pronunciations of the words that the lexicon lacks, and of readings."""
        missing: list[str] = []
        for word in found.words:
            key = word.key.upper()
            if key in found.ways or (not word.readings and self._has(word.key)):
                continue
            ways: list[tuple[int, ...]] = []
            lacking: list[str] = []
            for reading in word.readings or (word.written,):
                said = self._said(reading, found.assumed, lacking)
                ways += said
                if reading != word.written:
                    for way in said:
                        found._spoken.setdefault((key, way), reading)
            if ways:
                found.ways[key] = list(dict.fromkeys(ways))[:MOST_WAYS]
            missing += [] if ways else lacking
        if missing:
            raise self._unknown(list(dict.fromkeys(missing)))
        return found

    def words(self, text: str) -> list[str]:
        """Return the words of a text: letters as written, without punctuation.

        What stands in square, curly or angle brackets is no word but a note. A word with a hyphen
        that the lexicon has stays one word, others become several.
        """
        return [word.written for word in self._text_words(text, {})]

    def spoken_words(self, sentence: str) -> list[str]:
        """Return the words that a sentence is most likely read as, in lower case.

        Numbers are words, and so are abbreviations that end in a period. "U.S." is "u. s.".
        """
        found: list[str] = []
        for word in self._text_words(sentence, {}):
            others = (each for each in word.readings if each.lower() != word.written.lower())
            read = next(others, word.written).lower()
            if _DOTTED.fullmatch(read):
                read = " ".join(f"{letter}." for letter in read.split(".") if letter)
            found += read.split()
        return found

    def _text_words(self, text: str, known: dict[str, tuple[str, ...]]) -> list[TextWord]:
        """The words of a text; ``known`` has the readings of the keys so far."""
        plain = _VULGAR.sub(" ", _NOTES.sub(" ", text).replace("\u2026", "..."))
        normal = unicodedata.normalize("NFKC", plain)
        tokens = normal.translate(_APOSTROPHES).split()
        letters = [c for token in tokens for c in token if c.isalpha()]
        capitals = sum(c.isupper() for c in letters) > CAPITALS_SHARE * len(letters)
        words: list[TextWord] = []
        for place, token in enumerate(tokens):
            before = tokens[place - 1] if place else ""
            after = tokens[place + 1] if place + 1 < len(tokens) else ""
            readings = self._reader.read(token, before, after, capitals) if self._reader else []
            if readings:
                pairs = [(core_of(token) or token, tuple(readings))]
            else:
                parts = _BREAKS.sub(" ", token).split()
                pairs = [pair for part in parts for pair in self._words_of(part)]
            for written, others in pairs:
                key = written
                while known.setdefault(key.upper(), others) != others:
                    key += AGAIN
                words.append(TextWord(written, key, others))
        return words

    def _words_of(self, token: str) -> list[tuple[str, tuple[str, ...]]]:
        """The words of a token as they are written, and as the lexicon has them if that differs."""
        outer = _stripped(token, "'")
        bare = outer.strip("'")
        if not bare:
            return []
        forms = (outer, outer.rstrip("'"), outer.lstrip("'"), bare, _stripped(token, "'."))
        for form in forms:
            if self._has(form):
                return [(form, ())]
        if self._has(without_accents(bare)):
            return [(bare, (without_accents(bare),))]
        parts = [part for part in re.split(r"[^\w']|_", bare) if part]
        if len(parts) > 1:
            return [pair for part in parts for pair in self._words_of(part)]
        return [(bare, ())]

    def _said(
        self, reading: str, assumed: dict[str, str], lacking: list[str]
    ) -> list[tuple[int, ...]]:
        """The pronunciations of some words in a row; notes what is assumed, and what is lacking."""
        parts: list[Sequence[tuple[int, ...]]] = []
        for word in reading.upper().split():
            ways = self.lexicon.variants.get(word)
            if not ways:
                guess = self._guesser.guess(word) if self._guesser else None
                if guess is None or (self.unknown == "fail" and guess.by == "guessed"):
                    lacking.append(word)
                    return []
                ways = guess.ways
                assumed[word] = f"{self._labels(ways)} ({guess.by})"
            parts.append(ways)
        found: list[tuple[int, ...]] = []
        most = MOST_WAYS_A_READING if len(parts) > 1 else MOST_WAYS
        for ways_of_all in product(*parts):
            found.append(tuple(phone for way in ways_of_all for phone in way))
            if len(found) == most:
                break
        return found

    def _labels(self, ways: Iterable[Sequence[int]]) -> str:
        names = self.lexicon.phones.names
        return " or ".join(" ".join(names[phone] for phone in way) for way in ways)

    def _unknown(self, missing: Sequence[str]) -> AlignmentError:
        """The failure of a text whose words have no pronunciation."""
        other = [word for word in missing if not _is_latin(word)]
        if other and self._reader is not None:
            return AlignmentError(
                f"no pronunciation of {named(other)}: other letters than the Latin ones; list how "
                "they are said in a file for --lexicon, or write them in Latin letters",
                UNKNOWN_WORD,
            )
        way_out = "list how they are said in a file for --lexicon"
        if self._reader is not None:
            way_out += ", or have them guessed: --unknown guess"
        return AlignmentError(f"no pronunciation of {named(missing)}; {way_out}", UNKNOWN_WORD)


def open_dictionary(
    files: str | Path | Sequence[str | Path], phones: PhoneSet, unknown: str = GUESS
) -> PronouncingDictionary:
    """Return the dictionary of some files and, behind them, of US English.

    The US English one comes with the package; it is used if the phones are ARPAbet.

    Args:
        files: a lexicon or several, in the form of CMU or MFA; a word is taken from the first that
            lists it. Lines that are not understood are left out, and named by the lexicon's
            ``problems``.
        phones: of the model.
        unknown: as for :class:`PronouncingDictionary`.

    Raises:
        ConfigError: if a file cannot be read or has no words.
        UsageError: if there is no dictionary at all.
    """
    paths = [*path_list(files), *([ENGLISH] if has_arpabet(phones) else [])]
    if not paths:
        raise UsageError(
            "no pronouncing dictionary: list how the words are said in a file and give it as "
            "--lexicon FILE; that of US English is not in the phones of this model"
        )
    return PronouncingDictionary(Lexicon(paths, phones, strict=False), unknown)


def has_arpabet(phones: PhoneSet) -> bool:
    """Whether a phone set has all phones of the ARPAbet table."""
    return set(arpabet().names) - {arpabet().silence} <= set(phones.names)


def _stripped(token: str, kept: str) -> str:
    """A token without what surrounds its letters, digits and the characters that are kept."""
    inside = [i for i, character in enumerate(token) if character.isalnum() or character in kept]
    return token[inside[0] : inside[-1] + 1] if inside else ""


def _is_latin(word: str) -> bool:
    letters = [c for c in without_accents(word) if c.isalpha()]
    return all("LATIN" in unicodedata.name(c, "") for c in letters)
