"""Lexicons: words and their phones, in the form of the CMU Pronouncing Dictionary or of MFA."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from speechattn.errors import ConfigError, CorpusError, UsageError
from speechattn.phones import PhoneSet
from speechattn.text import one_line

POCKETSPHINX = "pocketsphinx"  # stands for the dictionary that its wheel carries
DICTIONARY = "cmudict-en-us.dict"  # its file there
_VARIANT = re.compile(r"\(\d+\)$")  # "read(2)": another pronunciation of "read"
_PROBABILITY = re.compile(r"\d*\.\d+|[01]")  # MFA has up to four of them after the word
NOISE = "spn"  # MFA's phone for what is no word
_MOST_NAMED = 5  # words in a message


class Lexicon:
    """The pronunciations of words.

    Args:
        paths: files with a line for each pronunciation, the word first and then its phones,
            separated by spaces or tabs; stress digits are dropped, case does not count, and lines
            that begin with ``;;;`` or ``#`` are comments, as is what follows `` #``. The
            probabilities that MFA writes after the word are left out, and so are its lines for
            noises, whose phone is ``spn``. A word has its pronunciations from the
            first file that lists it. ``pocketsphinx`` stands for the US English dictionary of that
            package.
        phones: the labels that may occur.

    Attributes:
        words: the first pronunciation of each.
        variants: all of each that its file lists, in their order.

    Raises:
        ConfigError: if a file cannot be read or holds no words, or a line is not understood.
        UsageError: if pocketsphinx is asked for and not installed.
    """

    def __init__(self, paths: Sequence[str | Path], phones: PhoneSet) -> None:
        self.phones = phones
        self.variants: dict[str, list[tuple[int, ...]]] = {}
        for path in paths:
            packaged = str(path) == POCKETSPHINX
            path = packaged_file(DICTIONARY, "dictionary") if packaged else Path(path)
            found: dict[str, list[tuple[int, ...]]] = {}
            for number, line in enumerate(_lines(path), 1):
                if line.strip() and not line.startswith((";;;", "#")):
                    word, labels = self._parse(line, f"{path}:{number}")
                    if labels:
                        found.setdefault(word, []).append(labels)
            if not found:
                raise ConfigError(f"lexicon: {path}: no words in it; give another file")
            self.variants = {**found, **self.variants}
        self.words = {word: variants[0] for word, variants in self.variants.items()}

    def _parse(self, line: str, where: str) -> tuple[str, tuple[int, ...]]:
        word, *names = line.partition(" #")[0].split()
        while names and _PROBABILITY.fullmatch(names[0]):
            del names[0]
        if [name.lower() for name in names] == [NOISE]:
            return word, ()
        names = [name.rstrip("012").upper() for name in names]
        for name in names:
            if name not in self.phones.index or name == self.phones.silence:
                raise ConfigError(f"{where}: {one_line(name)} is no phone; use those of the set")
        if not names:
            raise ConfigError(f"{where}: {one_line(word)} has no phones; write: WORD P1 P2 ...")
        return _VARIANT.sub("", word).upper(), tuple(self.phones.index[name] for name in names)

    def __len__(self) -> int:
        return len(self.words)

    def missing(self, text: str) -> list[str]:
        """Return the words of a text that are not listed."""
        return [word for word in dict.fromkeys(text.upper().split()) if word not in self.words]

    def require(self, text: str) -> None:
        """Raise a CorpusError that names the words of a text which are not listed, if any."""
        if missing := self.missing(text):
            raise CorpusError(f"not in the lexicon: {named(missing)}; list how they are said")

    def draw(self, word: str, random: np.random.Generator) -> tuple[int, ...]:
        """Draw one of the pronunciations of a listed word, all equally likely."""
        variants = self.variants[word.upper()]
        return variants[random.integers(len(variants))]

    def pronounce(self, text: str | None) -> tuple[int, ...]:
        """Return the classes of the phones of a text, word after word.

        Raises:
            CorpusError: if it has no words, or some that are not listed; they are named.
        """
        if not text or not text.split():
            raise CorpusError("has no text; write its words, or leave it out")
        self.require(text)
        return tuple(label for word in text.upper().split() for label in self.words[word])


def named(words: Iterable[str]) -> str:
    """Return some of the words, and how many more there are."""
    words = list(words)
    more = f" and {len(words) - _MOST_NAMED} more" if len(words) > _MOST_NAMED else ""
    return one_line(", ".join(words[:_MOST_NAMED])) + more


def packaged_file(name: str, what: str) -> Path:
    """Return the path of a file of the US English model in the wheel of pocketsphinx.

    Args:
        name: of the file.
        what: kind of file, for the message.

    Raises:
        UsageError: if pocketsphinx is not installed.
    """
    found = importlib.util.find_spec(POCKETSPHINX)
    if found is None or found.origin is None:
        raise UsageError(
            f"pocketsphinx, whose {what} is asked for, is not installed; "
            "run: pip install 'speechattn[studies]', or do without"
        )
    return Path(found.origin).parent / "model/en-us" / name


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"lexicon: {one_line(path)}: cannot be read ({reason}); give a UTF-8 dictionary"
        ) from None
