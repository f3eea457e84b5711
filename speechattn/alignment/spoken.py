"""Spoken forms: words as they were said in realigned corpora, for the decoder to know them too.

A lexicon lists what a dictionary says. Here it is given the forms that were heard often, and, for
words that were not heard, those that the most frequent rules of a table make of them.
"""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

from speechattn.alignment.reductions import Reductions, Rule
from speechattn.decoder.lm.lexicon import Lexicon
from speechattn.errors import ConfigError
from speechattn.files import atomic_write_text
from speechattn.phones import PhoneSet

SPOKEN = "spoken.tsv"  # word, times, phones
LEAST_TIMES = 4  # that a form was heard
LEAST_SHARE = 0.12  # of a word's forms
LIKELY_RULE = 0.5  # least share of a rule that is applied to words that were not heard
MOST_FORMS = 6  # of a word

Spoken = Mapping[tuple[str, tuple[int, ...]], int]


def write_spoken(path: Path, spoken: Spoken, phones: PhoneSet) -> None:
    """Write how often each word was said with which phones, the most frequent first."""
    lines = []
    for (word, way), times in sorted(spoken.items(), key=lambda item: (-item[1], item[0])):
        lines.append(f"{word}\t{times}\t{' '.join(phones.names[phone] for phone in way)}\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_text(path, "".join(lines))


def read_spoken(path: Path, phones: PhoneSet) -> Counter[tuple[str, tuple[int, ...]]]:
    """The inverse of :func:`write_spoken`.

    Raises:
        ConfigError: for a line that is not understood.
    """
    found: Counter[tuple[str, tuple[int, ...]]] = Counter()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            word, times, labels = line.split("\t")
            found[word, tuple(phones.index[label] for label in labels.split())] += int(times)
        except (ValueError, KeyError):
            raise ConfigError(f"{path}:{number}: not word, times and phones, by tabs") from None
    return found


def spoken_lexicon(lexicon: Lexicon, reductions: Reductions, spoken: Spoken) -> Lexicon:
    """A lexicon with spoken forms beside the dictionary's.

    Args:
        lexicon: of the dictionary's forms; it is not changed.
        reductions: with shares as they were counted.
        spoken: how often each word was said with which phones (classes).
    """
    by_word: dict[str, Counter[tuple[int, ...]]] = defaultdict(Counter)
    for (word, way), times in spoken.items():
        by_word[word][way] += times
    extended = copy.copy(lexicon)
    extended.variants = {}
    for word, ways in lexicon.variants.items():
        heard = by_word[word]
        total = sum(heard.values())
        if total >= LEAST_TIMES:
            least = max(LEAST_TIMES, LEAST_SHARE * total)
            more = [way for way, times in heard.most_common() if times >= least]
        else:
            more = [reduced(lexicon.phones, reductions, word, way) for way in ways]
        forms = dict.fromkeys((*ways, *(way for way in more if way)))
        extended.variants[word] = list(forms)[: max(MOST_FORMS, len(ways))]
    return extended


def reduced(
    phones: PhoneSet, reductions: Reductions, word: str, way: tuple[int, ...]
) -> tuple[int, ...]:
    """A pronunciation with all rules applied that are mostly heard, the first of each place."""
    names = [phones.names[phone] for phone in way]
    said: list[str] = []
    place = 0
    rules: dict[int, Rule] = {}
    for at, rule in reductions.fitting(word, names):
        if rule.share >= LIKELY_RULE:
            rules.setdefault(at, rule)
    while place < len(names):
        if place in rules:
            said += rules[place].said
            place += len(rules[place].phones)
        else:
            said.append(names[place])
            place += 1
    return tuple(phones.index[name] for name in said)
