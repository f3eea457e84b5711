"""Words that no dictionary has: how they are formed from those that it has, spelled, or guessed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import product
from typing import NamedTuple

from speechattn.alignment.g2p.pronouncer import Pronouncer
from speechattn.decoder.lm.lexicon import Lexicon
from speechattn.files import resource

MODEL, NETWORK = "english_g2p.npz", "english_g2p_network.safetensors"  # in data/
MOST_GUESSES = 3  # pronunciations of a word
LEAST_PROBABILITY = 0.1  # of a guess beside the first
FORMED, SPELLED, GUESSED = "formed", "spelled", "guessed"
# Phones of the names of letters and digits, for words that are spelled.
_NAMES = """\
A EY|B B IY|C S IY|D D IY|E IY|F EH F|G JH IY|H EY CH|I AY|J JH EY|K K EY|L EH L|M EH M|N EH N|O OW
P P IY|Q K Y UW|R AA R|S EH S|T T IY|U Y UW|V V IY|W D AH B AH L Y UW|X EH K S|Y W AY|Z Z IY
0 Z IH R OW|1 W AH N|2 T UW|3 TH R IY|4 F AO R|5 F AY V|6 S IH K S|7 S EH V AH N|8 EY T|9 N AY N"""
LETTERS = {
    name: tuple(phones)
    for name, *phones in (item.split() for item in _NAMES.replace("\n", "|").split("|"))
}
_HISSING, _VOICELESS = ("S", "Z", "SH", "ZH", "CH", "JH"), ("P", "T", "K", "F", "TH")
# Endings of contractions; that of the possessive depends on the last phone.
_ENDINGS = {"'VE": ["AH V"], "'LL": ["AH L"], "'D": ["D", "AH D", "IH D"], "'RE": ["ER"],
            "'M": ["AH M", "M"], "N'T": ["AH N T"]}  # fmt: skip
_LETTER = re.compile(r"([A-Z0-9])\.('?S)?")
_SPECIAL = str.maketrans(
    {"ß": "ss", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ł": "l",
     "Ł": "L", "đ": "d", "Đ": "D", "þ": "th", "Þ": "TH", "ð": "th", "ı": "i"}
)  # fmt: skip


class Guess(NamedTuple):
    """How a word is said that the lexicon lacks.

    Attributes:
        ways: classes of its phones.
        by: ``formed`` from a word of the lexicon, ``spelled``, or ``guessed`` from its letters.
    """

    ways: list[tuple[int, ...]]
    by: str


class WordGuesser:
    """Finds how words are said that a lexicon lacks, in ARPAbet.

    Args:
        lexicon: of the words that are known, with all phones of ARPAbet.
        spell: take words letter by letter that no rule can form, instead of guessing.
    """

    def __init__(self, lexicon: Lexicon, *, spell: bool = False) -> None:
        self.lexicon, self._spell = lexicon, spell
        self._known: dict[str, Guess | None] = {}

    @cached_property
    def model(self) -> Pronouncer:
        """The model that comes with the package, read when it is first needed."""
        from speechattn.alignment.g2p.network import SpellingNetwork
        from speechattn.alignment.g2p.storage import load_model

        model = load_model(resource("data", MODEL))
        model.network = SpellingNetwork.load(resource("data", NETWORK))
        return model

    def guess(self, word: str) -> Guess | None:
        """How a word is said; None if that cannot be told, as of other scripts than the Latin.

        Args:
            word: in upper case, without punctuation.
        """
        if word not in self._known:
            self._known[word] = self._guess(word)
        return self._known[word]

    def _guess(self, word: str) -> Guess | None:
        if match := _LETTER.fullmatch(word):
            name = self._classes(LETTERS[match[1]])
            return Guess(self._with_s([name]) if match[2] else [name], SPELLED)
        if formed := self._formed(word):
            return formed
        letters = without_accents(word).upper().replace("'", "")
        if not letters:
            return None
        if self._spell or any(letter.isdecimal() for letter in letters):
            if not set(letters) <= LETTERS.keys():
                return None
            return Guess([self._classes(p for c in letters for p in LETTERS[c])], SPELLED)
        lower = without_accents(word).lower()
        found = self.model.pronounce(lower, MOST_GUESSES, self._labels)
        found = found or self.model.pronounce(lower.replace("'", ""), MOST_GUESSES, self._labels)
        if not found:
            return None
        likely = [g for g in found if g.probability >= LEAST_PROBABILITY] or found[:1]
        return Guess([self._classes(guess.phones) for guess in likely], GUESSED)

    def _formed(self, word: str) -> Guess | None:
        """The possessive, plural possessive or contraction of another word."""
        variants = self.lexicon.variants
        for ending, tails in _ENDINGS.items():
            stem = word.removesuffix(ending)
            if stem != word and stem in variants:
                ends = [self._classes(tail.split()) for tail in tails]
                return Guess([(*way, *end) for way, end in product(variants[stem], ends)], FORMED)
        if word.endswith("'S"):
            stem = word.removesuffix("'S")
            if stem in variants:
                return Guess(self._with_s(variants[stem]), FORMED)
            guess = self.guess(stem) if stem.isalpha() else None
            return Guess(self._with_s(guess.ways), guess.by) if guess else None
        bare = word.rstrip("'")
        return Guess(list(variants[bare]), FORMED) if bare != word and bare in variants else None

    def _with_s(self, ways: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """Words with the ending of the possessive, which is that of the plural."""
        names, found = self.lexicon.phones.names, []
        for way in ways:
            last = names[way[-1]]
            if last in _HISSING:
                endings = ["AH Z", "IH Z"]
            else:
                endings = ["S"] if last in _VOICELESS else ["Z"]
            found += [(*way, *self._classes(each.split())) for each in endings]
        return found

    def _labels(self, word: str) -> list[tuple[str, ...]]:
        """The pronunciations of a word of the lexicon; none of others."""
        names, variants, upper = self.lexicon.phones.names, self.lexicon.variants, word.upper()
        if upper not in variants:  # most of thousands: this is faster than get()
            return []
        return [tuple(names[phone] for phone in way) for way in variants[upper]]

    def _classes(self, labels: Iterable[str]) -> tuple[int, ...]:
        index = self.lexicon.phones.index
        return tuple(index[label] for label in labels)


def without_accents(word: str) -> str:
    """A word in plain Latin letters, as far as it has any: "Zoë" is "Zoe", "Øre" is "Ore"."""
    apart = unicodedata.normalize("NFD", word.translate(_SPECIAL))
    return "".join(character for character in apart if not unicodedata.combining(character))
