"""Words of a text, and how they are pronounced.

A text has punctuation, hyphens and capitals; a dictionary has words. :class:`PronouncingDictionary`
finds the words of the dictionary in the text, and says what is assumed about those that it lacks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from speechattn.alignment.transcripts import AlignmentError
from speechattn.decoder.lm.lexicon import POCKETSPHINX, Lexicon, named, packaged_file
from speechattn.errors import UsageError
from speechattn.phones import PhoneSet, arpabet

UNKNOWN = ("fail", "spell")  # what becomes of a word without a pronunciation
UNKNOWN_WORD = "unknown word"  # kind of failure
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc\u00b4`", "'"))
_BREAKS = re.compile(r"[\u2013\u2014\u2015\u2026/]|--+|\.\.+")  # between words
# Phones of the names of letters and digits, for words that are spelled.
_NAMES = """\
A EY|B B IY|C S IY|D D IY|E IY|F EH F|G JH IY|H EY CH|I AY|J JH EY|K K EY|L EH L|M EH M|N EH N|O OW
P P IY|Q K Y UW|R AA R|S EH S|T T IY|U Y UW|V V IY|W D AH B AH L Y UW|X EH K S|Y W AY|Z Z IY
0 Z IH R OW|1 W AH N|2 T UW|3 TH R IY|4 F AO R|5 F AY V|6 S IH K S|7 S EH V AH N|8 EY T|9 N AY N"""
_LETTERS = {
    name: tuple(phones)
    for name, *phones in (item.split() for item in _NAMES.replace("\n", "|").split("|"))
}
_HISSING, _VOICELESS = ("S", "Z", "SH", "ZH", "CH", "JH"), ("P", "T", "K", "F", "TH")
Ways = dict[str, list[tuple[int, ...]]]  # word in upper case → classes of its phones


class PronouncingDictionary:
    """A lexicon that finds its words in a text as people write it.

    Args:
        lexicon: the pronunciations.
        unknown: what becomes of a word that has none: ``"fail"``, or ``"spell"`` to take it as the
            names of its letters and digits.

    Raises:
        UsageError: if ``unknown`` is another, or words cannot be spelled in the phones of the
            lexicon.
    """

    def __init__(self, lexicon: Lexicon, unknown: str = "fail") -> None:
        self.lexicon, self.unknown = lexicon, unknown
        if unknown not in UNKNOWN:
            raise UsageError(f"unknown: {unknown!r}; choose from {', '.join(UNKNOWN)}")
        if unknown == "spell" and not has_arpabet(lexicon.phones):
            raise UsageError(
                "unknown: spell is for models with ARPAbet phones; list how the words are said in "
                "a file for --lexicon"
            )

    def words(self, text: str) -> list[str]:
        """Return the words of a text: letters as written, without punctuation.

        A word with a hyphen that the lexicon has stays one word, others become several.
        """
        plain = unicodedata.normalize("NFKC", _BREAKS.sub(" ", text)).translate(_APOSTROPHES)
        return [word for token in plain.split() for word in self._words_of(token)]

    def _words_of(self, token: str) -> list[str]:
        outer = _stripped(token, "'")
        bare = outer.strip("'")
        if not bare:
            return []
        forms = (outer, outer.rstrip("'"), outer.lstrip("'"), bare, _stripped(token, "'."))
        for form in (*forms, _without_accents(bare)):
            if form.upper() in self.lexicon.variants:
                return [form]
        parts = [part for part in re.split(r"[^\w']|_", bare) if part]
        if len(parts) > 1:
            return [word for part in parts for word in self._words_of(part)]
        return [bare]

    def assumed(self, words: Iterable[str]) -> Ways:
        """Return what is assumed about words that the lexicon lacks.

        The possessive of a word that it has is regular; others are spelled if that is wanted.

        Raises:
            AlignmentError: if that leaves words without a pronunciation; they are named.
        """
        ways: Ways = {}
        missing = []
        for word in dict.fromkeys(word.upper() for word in words):
            if word in self.lexicon.variants:
                continue
            found = self._possessive(word) or self._spelled(word)
            if found:
                ways[word] = found
            else:
                missing.append(word)
        if missing:
            numbers = any(character.isdigit() for word in missing for character in word)
            raise AlignmentError(
                f"no pronunciation of {named(missing)}; list how they are said in a file for "
                "--lexicon" + (", write numbers as words" if numbers else "") + ", or take them "
                "letter by letter: --unknown spell",
                UNKNOWN_WORD,
            )
        return ways

    def _possessive(self, word: str) -> list[tuple[int, ...]]:
        """The regular possessive of a word of the lexicon, such as ``DINAH'S``."""
        stem, phones = word.removesuffix("'S"), self.lexicon.phones
        if stem == word or stem not in self.lexicon.variants or not has_arpabet(phones):
            return []
        found: list[tuple[int, ...]] = []
        for way in self.lexicon.variants[stem]:
            last = phones.names[way[-1]]
            if last in _HISSING:
                endings = ["AH Z", "IH Z"]
            else:
                endings = ["S"] if last in _VOICELESS else ["Z"]
            tails = (tuple(phones.index[label] for label in each.split()) for each in endings)
            found += [(*way, *tail) for tail in tails]
        return found

    def _spelled(self, word: str) -> list[tuple[int, ...]]:
        """The names of the letters and digits of a word, if it may be spelled and has no others."""
        letters = _without_accents(word).replace("'", "")
        if self.unknown != "spell" or not letters or not set(letters) <= _LETTERS.keys():
            return []
        index = self.lexicon.phones.index
        return [tuple(index[label] for letter in letters for label in _LETTERS[letter])]


def open_dictionary(
    files: Sequence[str | Path], phones: PhoneSet, unknown: str = "fail"
) -> PronouncingDictionary:
    """Return the dictionary of some files and, behind them, of US English.

    The US English one is that of pocketsphinx, if it is installed and the phones are ARPAbet.

    Args:
        files: lexicons in the form of CMU or MFA; a word is taken from the first that lists it.
        phones: of the model.
        unknown: as for :class:`PronouncingDictionary`.

    Raises:
        ConfigError: if a file cannot be read, or a line of it is not understood.
        UsageError: if there is no dictionary at all.
    """
    paths: list[str | Path] = list(files)
    if has_arpabet(phones):
        try:
            packaged_file("", "dictionary")
            paths.append(POCKETSPHINX)
        except UsageError:
            pass  # the files may do
    if not paths:
        reason = "is not installed; run: pip install 'speechattn[studies]'"
        if not has_arpabet(phones):
            reason = "is not in the phones of this model"
        raise UsageError(
            "no pronouncing dictionary: list how the words are said in a file and give it as "
            f"--lexicon FILE; that of US English {reason}"
        )
    return PronouncingDictionary(Lexicon(paths, phones), unknown)


def has_arpabet(phones: PhoneSet) -> bool:
    """Whether a phone set has all phones of the ARPAbet table."""
    return set(arpabet().names) - {arpabet().silence} <= set(phones.names)


def _stripped(token: str, kept: str) -> str:
    """A token without what surrounds its letters, digits and the characters that are kept."""
    inside = [i for i, character in enumerate(token) if character.isalnum() or character in kept]
    return token[inside[0] : inside[-1] + 1] if inside else ""


def _without_accents(word: str) -> str:
    apart = unicodedata.normalize("NFD", word)
    return "".join(character for character in apart if not unicodedata.combining(character))
