"""Lexicons: words and their phones, in the form of the CMU Pronouncing Dictionary or of MFA."""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from speechattn.decoder.lm.lexicon_phones import OWN, LexiconLabels
from speechattn.decoder.lm.text_files import read_text
from speechattn.errors import ConfigError, CorpusError, UsageError
from speechattn.files import resource
from speechattn.phones import PhoneSet, arpabet
from speechattn.text import one_line

ENGLISH = "english"  # stands for the dictionary that comes with this package
POCKETSPHINX = "pocketsphinx"  # stands for the dictionary that its wheel carries
DICTIONARY = "cmudict-en-us.dict"  # its file there
_VARIANT = re.compile(r"\(\d+\)$")  # "read(2)": another pronunciation of "read"
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
MFA_NUMBERS = 4  # at most, after a word: of the pronunciation, and three of silence
NOISE = "spn"  # MFA's phone for what is no word
_MOST_NAMED = 5  # words in a message

Ways = Mapping[str, list[tuple[int, ...]]]  # word → its pronunciations


class Line(NamedTuple):
    """A pronunciation as a lexicon lists it.

    Attributes:
        word: in upper case.
        labels: as they are written.
        probability: of this pronunciation of the word; None if the lexicon has none.
        place: file and line.
    """

    word: str
    labels: tuple[str, ...]
    probability: float | None
    place: str


class Lexicon:
    """The pronunciations of words.

    Args:
        paths: files with a line for each pronunciation, the word first and then its phones,
            separated by spaces or tabs; lines that begin with ``;;;`` or ``#`` are comments, as is
            what follows `` #``. Phones are those of the set, in either case and with or without
            stress digits, or all of a file are labels of another set, see
            :mod:`speechattn.decoder.lm.lexicon_phones`. MFA writes probabilities after the word:
            that of the pronunciation counts, those of silence are left out, and so are its lines
            for noises, whose phone is ``spn``. A word has its pronunciations from the first file
            that lists it. ``english`` stands for the dictionary of US English that comes with this
            package, ``pocketsphinx`` for that of the package of that name.
        phones: the labels that may occur.
        strict: refuse a file with a line that is not understood; else such lines are left out.

    Attributes:
        variants: all pronunciations of each word that its file lists, in their order.
        costs: of the words with probabilities: for each variant, how many nats less probable it is
            than the most probable one.
        problems: one line for each line that was left out.
        notes: what else is worth saying of the files.

    Raises:
        ConfigError: if a file cannot be read or holds no words, or, if strict, lines are not
            understood; the message names the first of them.
        UsageError: if pocketsphinx is asked for and not installed.
    """

    def __init__(
        self, paths: Sequence[str | Path], phones: PhoneSet, *, strict: bool = True
    ) -> None:
        self.phones = phones
        self.variants: Ways = {}
        self.costs: dict[str, list[float]] = {}
        self.problems: list[str] = []
        self.notes: list[str] = []
        known = LexiconLabels(phones)
        for path in paths:
            if str(path) == ENGLISH:
                self.variants = Layers(self.variants, PackagedWords(phones))
                continue
            found, costs = self._read(lexicon_path(path), known)
            if strict and self.problems:
                more = len(self.problems) - 1
                raise ConfigError(self.problems[0] + (f" (and {more} more lines)" if more else ""))
            if not found:
                first = f"; the first problem: {self.problems[0]}" if self.problems else ""
                raise ConfigError(f"lexicon: {path}: no words in it; give another file{first}")
            self.costs.update((w, each) for w, each in costs.items() if w not in self.variants)
            self.variants = {**found, **self.variants} if self.variants else found

    @classmethod
    def of(cls, variants: Ways, phones: PhoneSet) -> Lexicon:
        """A lexicon of words in upper case, with all their pronunciations."""
        lexicon = cls([], phones)
        lexicon.variants = variants
        return lexicon

    @property
    def words(self) -> Mapping[str, tuple[int, ...]]:
        """The first pronunciation of each word."""
        return FirstWays(self.variants)

    def _read(
        self, path: Path, known: LexiconLabels
    ) -> tuple[dict[str, list[tuple[int, ...]]], dict[str, list[float]]]:
        """The pronunciations of a file, and the costs of those that have probabilities."""
        lines = list(self._lines(path))
        labels: set[str] = set()
        for line in lines:
            labels.update(line.labels)
        name, table = known.choose(labels)
        if name != OWN:
            self.notes.append(f"lexicon: {path}: its phones are taken as those of {name}")
        single = {label: classes[0] for label, classes in table.items() if classes}
        found: dict[str, list[tuple[int, ...]]] = {}
        shares: dict[str, list[float]] = {}
        for line in lines:
            try:
                way = tuple(map(single.__getitem__, line.labels))
            except KeyError:  # a label that is unknown, or part of its neighbour
                way = tuple(single[label] for label in line.labels if table.get(label))
                unknown = [label for label in line.labels if label not in table]
                if unknown or not way:
                    label = one_line((unknown or line.labels)[0])
                    sets = "the set" if name == OWN else f"{name}, which knows most of this file's"
                    self.problems.append(f"{line.place}: {label} is no phone; use those of {sets}")
                    continue
            ways = found.setdefault(line.word, [])
            ways.append(way)
            if line.probability is not None or line.word in shares:
                earlier = shares.setdefault(line.word, [1.0] * (len(ways) - 1))
                earlier.append(1.0 if line.probability is None else line.probability)
        costs = {
            word: [math.log(max(each) / share) for share in each] for word, each in shares.items()
        }
        return found, costs

    def _lines(self, path: Path) -> Iterator[Line]:
        """The pronunciations of a file as they are written; notes the lines that are none."""
        silences = False
        for number, line in enumerate(lexicon_lines(path), 1):
            if not line.strip() or line.startswith((";;;", "#")):
                continue
            word, *names = (line.partition(" #")[0] if "#" in line else line).split()
            numbers = _numbers(names) if names and not names[0][0].isalpha() else 0
            labels = tuple(names[numbers:])
            place = f"{path}:{number}"
            probability = float(names[0]) if numbers else None
            silences = silences or numbers > 1
            if not labels:
                self.problems.append(
                    f"{place}: {one_line(word)} has no phones; write: WORD P1 P2 ..."
                )
            elif probability is not None and not 0 < probability <= 1:
                self.problems.append(
                    f"{place}: {one_line(word)}: {names[0]} is no probability of a pronunciation; "
                    "write a number above 0, at most 1"
                )
            elif len(labels) > 1 or labels[0].lower() != NOISE:
                word = _VARIANT.sub("", word) if word.endswith(")") else word
                yield Line(word.upper(), labels, probability, place)
        if silences:
            self.notes.append(
                f"lexicon: {path}: the probabilities of pronunciations are used, those of silence "
                "around words are not"
            )

    def __len__(self) -> int:
        return len(self.variants)

    def missing(self, text: str) -> list[str]:
        """Return the words of a text that are not listed."""
        return [word for word in dict.fromkeys(text.upper().split()) if word not in self.variants]

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
        return tuple(label for word in text.upper().split() for label in self.variants[word][0])


class Layers(Mapping[str, list[tuple[int, ...]]]):
    """The words of some lexicons; the upper one counts."""

    def __init__(self, upper: Ways, lower: Ways) -> None:
        self._upper, self._lower = upper, lower

    def __getitem__(self, word: str) -> list[tuple[int, ...]]:
        return self._upper[word] if word in self._upper else self._lower[word]

    def __contains__(self, word: object) -> bool:
        return word in self._upper or word in self._lower

    def __iter__(self) -> Iterator[str]:
        yield from self._upper
        yield from (word for word in self._lower if word not in self._upper)

    def __len__(self) -> int:
        return len(self._lower) + sum(word not in self._lower for word in self._upper)


class FirstWays(Mapping[str, tuple[int, ...]]):
    """The first pronunciation of each word of a lexicon."""

    def __init__(self, variants: Ways) -> None:
        self._variants = variants

    def __getitem__(self, word: str) -> tuple[int, ...]:
        return self._variants[word][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variants)

    def __len__(self) -> int:
        return len(self._variants)


class PackagedWords(Mapping[str, list[tuple[int, ...]]]):
    """The dictionary of US English that comes with the package.

    Its lines are kept as text: a tenth of a second, where it takes a second to read all of them.

    Raises:
        ConfigError: if the phone set is not ARPAbet.
    """

    def __init__(self, phones: PhoneSet) -> None:
        self._index = phones.index
        if missing := set(arpabet().names) - {arpabet().silence} - set(phones.names):
            raise ConfigError(
                f"lexicon: {ENGLISH}: its phones {named(sorted(missing))} are not in the set; give "
                "a lexicon in the phones of the model"
            )
        self._lines: dict[str, list[str]] = {}
        for line in lexicon_lines(lexicon_path(ENGLISH)):
            word, _, labels = line.partition(" ")
            if labels and not line.startswith(";;;"):
                word = word.partition("(")[0] if word.endswith(")") else word
                self._lines.setdefault(word.upper(), []).append(labels)

    def __getitem__(self, word: str) -> list[tuple[int, ...]]:
        lines = self._lines[word]
        return [tuple(self._index[label] for label in labels.split()) for labels in lines]

    def __contains__(self, word: object) -> bool:
        return word in self._lines

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)


def _numbers(names: Sequence[str]) -> int:
    """How many of the fields behind a word are MFA's numbers."""
    count = 0
    while count < min(len(names), MFA_NUMBERS) and _NUMBER.fullmatch(names[count]):
        count += 1
    return count


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


def lexicon_path(name: str | Path) -> Path:
    """Where a lexicon lies: a file, or the dictionary that a name stands for.

    Raises:
        UsageError: if pocketsphinx is asked for and not installed.
    """
    if str(name) == ENGLISH:
        return resource("data", "english.dict.gz")
    if str(name) == POCKETSPHINX:
        return packaged_file(DICTIONARY, "dictionary")
    return Path(name)


def lexicon_lines(path: Path) -> list[str]:
    """The lines of a lexicon.

    Raises:
        ConfigError: if it cannot be read, unpacked or decoded.
    """
    try:
        return read_text(path).split("\n")
    except CorpusError as error:
        raise ConfigError(f"lexicon: {error}") from None
