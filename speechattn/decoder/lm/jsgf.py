"""Grammars of what is said: sentences drawn from rules in the JSpeech Grammar Format (JSGF).

https://www.w3.org/TR/jsgf/ describes the format. Of it, rules of words are understood: sequences,
alternatives ``a | b``, groups ``( )``, options ``[ ]``, rules by name ``<name>`` and comments; no
weights, repetitions, tags or imports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from speechattn.errors import ConfigError, CorpusError
from speechattn.text import one_line

HEADER = "#JSGF"
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_TOKEN = re.compile(r"<[^<>]*>|[][()|=;]|[^][()|=;<>\s]+|[<>]")
_RULE = re.compile(r"<[\w.'-]+>")
_MARKS = frozenset("[]()|=;<>*+/{}")
DEEPEST = 20  # rules within rules, and brackets within brackets
MOST_TRIES = 1000  # sentences drawn for each that has all slots

# An expansion: alternatives, each of them a sequence of words, names of rules and expansions.
Expansion = list  # of lists of str | Expansion


class Grammar:
    """What may be said.

    Rules that the grammar uses and does not define are slots: their words are given whenever
    sentences are drawn.

    Args:
        path: file of the grammar, UTF-8, its header included. One rule is ``public``.

    Attributes:
        slots: names of the slots, in the order they appear.

    Raises:
        ConfigError: if the file cannot be read or its rules are not understood.
    """

    def __init__(self, path: str | Path) -> None:
        self._shown = one_line(path)
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or one_line(str(error))
            raise self._error(f"cannot be read ({reason}); give another file") from None
        header, _, body = text.lstrip("\ufeff \n").partition(";")
        if not header.startswith(HEADER):
            raise self._error(f"does not begin with {HEADER} V1.0; and is no grammar")
        self._rules: dict[str, Expansion] = {}
        self._public = ""
        self._tokens = _TOKEN.findall(_COMMENT.sub(" ", body))
        self._at = 0
        while self._at < len(self._tokens):
            self._statement()
        if not self._public:
            raise self._error("has no public rule; write public before the rule to begin with")
        names = [name for rule in self._rules.values() for name in _names(rule)]
        self.slots = tuple(dict.fromkeys(name[1:-1] for name in names if name not in self._rules))
        self._order: list[str] = []
        self._visit(self._public)

    def sentences(
        self, count: int, random: np.random.Generator, slots: Mapping[str, str]
    ) -> Iterator[list[str]]:
        """Draw sentences, every alternative as likely as the others.

        Args:
            count: of sentences.
            random: where the randomness comes from.
            slots: name → its words. An alternative with another slot is not chosen, and every
                sentence has all of these.

        Yields:
            The words of a sentence.

        Raises:
            CorpusError: if no sentence of the grammar has these slots, or hardly any.
        """
        given = {f"<{name}>": slots[name].split() for name in self.slots if name in slots}
        rules: dict[str, Expansion] = {name: [words] for name, words in given.items()}
        for name in self._order:
            if possible := _possible(self._rules[name], rules):
                rules[name] = possible
        left = count * MOST_TRIES if self._public in rules else 0
        while count:
            if not left:
                raise CorpusError(
                    f"{self._shown}: no sentence with these slots: {', '.join(slots) or 'none'}; "
                    "write a rule for it"
                )
            left -= 1
            used: set[str] = set()
            words = list(_draw(rules[self._public], rules, random, used))
            if given.keys() <= used:
                count -= 1
                yield words

    def _statement(self) -> None:
        token = self._next("a rule")
        if token == "grammar":
            self._next("the name of the grammar")
            self._expect(";")
            return
        public = token == "public"
        name = self._next("a rule") if public else token
        if not _RULE.fullmatch(name):
            raise self._error(f"{name!r} where a rule was expected; write <name> = words;")
        if name in self._rules:
            raise self._error(f"{name} is there twice; give it once")
        if public and self._public:
            raise self._error(f"{name} and {self._public} are public; one rule is")
        self._expect("=")
        self._rules[name] = self._alternatives(0)
        self._expect(";")
        if public:
            self._public = name

    def _alternatives(self, depth: int) -> Expansion:
        if depth > DEEPEST:
            raise self._error(f"has more than {DEEPEST} brackets within each other; simplify it")
        alternatives: Expansion = [[]]
        while (token := self._peek()) not in (";", ")", "]"):
            token = self._next("the end of the rule, ;")
            if token == "|":
                alternatives.append([])
            elif token in "([":
                inner = self._alternatives(depth + 1)
                self._expect(")" if token == "(" else "]")
                alternatives[-1].append(inner if token == "(" else [*inner, []])
            elif _RULE.fullmatch(token) or not _MARKS & set(token):
                alternatives[-1].append(token)
            else:
                raise self._error(f"{token!r} is not understood here; leave it out")
        if not all(alternatives):
            raise self._error("has an empty alternative; put what may be left out into [ ]")
        return alternatives

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self, expected: str) -> str:
        if self._at == len(self._tokens):
            raise self._error(f"ends where {expected} was expected; write it")
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, mark: str) -> None:
        if (token := self._next(mark)) != mark:
            raise self._error(f"{token!r} where {mark!r} was expected; write that")

    def _visit(self, name: str, above: Sequence[str] = ()) -> None:
        """Put a rule into the order after those it names."""
        if name in above or len(above) > DEEPEST:
            raise self._error(f"{name} holds itself or more than {DEEPEST} others; write it out")
        for inner in _names(self._rules[name]):
            if inner in self._rules and inner not in self._order:
                self._visit(inner, (*above, name))
        self._order.append(name)

    def _error(self, what: str) -> ConfigError:
        return ConfigError(f"grammar: {self._shown}: {what}")


def _names(expansion: Expansion) -> Iterator[str]:
    """The rules that an expansion names."""
    for part in (part for alternative in expansion for part in alternative):
        if isinstance(part, list):
            yield from _names(part)
        elif _is_name(part):
            yield part


def _possible(expansion: Expansion, rules: Mapping[str, Expansion]) -> Expansion:
    """An expansion without the alternatives that name a rule which is not there."""
    found: Expansion = []
    for alternative in expansion:
        parts = [_possible(part, rules) if isinstance(part, list) else part for part in alternative]
        if all(part in rules if _is_name(part) else part for part in parts):
            found.append(parts)
    return found


def _draw(
    expansion: Expansion,
    rules: Mapping[str, Expansion],
    random: np.random.Generator,
    used: set[str],
) -> Iterator[str]:
    """Words of an expansion; the names of the rules that they come from are added to ``used``."""
    for part in expansion[random.integers(len(expansion))]:
        if isinstance(part, list):
            yield from _draw(part, rules, random, used)
        elif _is_name(part):
            used.add(part)
            yield from _draw(rules[part], rules, random, used)
        else:
            yield part


def _is_name(part: str | Expansion) -> bool:
    return isinstance(part, str) and bool(_RULE.fullmatch(part))
