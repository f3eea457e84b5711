"""Reductions: what people say for what the dictionary says, as a table of rules.

"Wanted" is ``W AA N T AH D`` in the dictionary, and ``W AA N IH D`` in most mouths. A rule says
which phones may become which others, beside what, where in a word and in which words, and how
often that happens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from speechattn.errors import ConfigError
from speechattn.files import resource
from speechattn.phones import PhoneSet

ENGLISH = "english"  # the table that comes with the package
COLUMNS = ("rule", "phones", "said", "left", "right", "where", "words", "share")
WHERE = ("any", "first", "last", "inner", "not_first", "not_last", "not_inner")
PAUSE, ANYTHING, SAME, NONE, NEVER = "#", "*", "same", "-", "@never"
LEAST_SHARE, MOST_SHARE = 0.001, 0.95  # of a rule that was counted
FEW_CASES = 20  # in which a rule might have been heard; of fewer, the count says little


@dataclass(frozen=True)
class Rule:
    """One line of the table.

    Attributes:
        name: of the rule.
        phones: what the dictionary has: for each place, the labels that may stand there.
        said: labels that are heard instead; none for a phone that is dropped.
        left: labels of the phone before, ``#`` at a pause; None for anything.
        right: of the phone after, likewise.
        same: whether the phone before must be the same as the first one.
        where: one of ``WHERE``.
        words: in upper case; None for all of them.
        vowels: the word has at least so many.
        or_words: words with fewer vowels in which it may be heard as well.
        share: how often it is heard where it may be, between 0 and 1.
    """

    name: str
    phones: tuple[frozenset[str], ...]
    said: tuple[str, ...]
    left: frozenset[str] | None
    right: frozenset[str] | None
    same: bool
    where: str
    words: frozenset[str] | None
    vowels: int
    or_words: frozenset[str]
    share: float

    def fits(
        self, word: str, vowels: int, phones: Sequence[str], place: int, left: str, right: str
    ) -> bool:
        """Whether it may be heard.

        Args:
            word: in upper case.
            vowels: of the pronunciation.
            phones: the pronunciation.
            place: of the first of the rule's phones in it.
            left: the phone before the word, or ``#``.
            right: the phone after the word, or ``#``.
        """
        end = place + len(self.phones)
        if end > len(phones):
            return False
        if any(phone not in wanted for phone, wanted in zip(phones[place:end], self.phones)):
            return False
        if self.words is not None and word not in self.words:
            return False
        if vowels < self.vowels and word not in self.or_words:
            return False
        first, last = place == 0, end == len(phones)
        if not {
            "any": True,
            "first": first,
            "last": last,
            "inner": not first and not last,
            "not_first": not first,
            "not_last": not last,
            "not_inner": first or last,
        }[self.where]:
            return False
        before = left if first else phones[place - 1]
        after = right if last else phones[end]
        if self.same and before != phones[place]:
            return False
        beside = (self.left is None or before in self.left) and (
            self.right is None or after in self.right
        )
        return beside and (bool(self.said) or len(phones) > len(self.phones))


class Reductions:
    """A table of rules.

    Args:
        rules: each with a name of its own.
        vowels: labels of the phone set that are vowels.
        function: words, in upper case, that are mostly said weakly.
        never: pronunciations of a lexicon that nobody uses: words and labels.
    """

    def __init__(
        self,
        rules: Iterable[Rule],
        vowels: frozenset[str] = frozenset(),
        function: frozenset[str] = frozenset(),
        never: frozenset[tuple[str, ...]] = frozenset(),
    ) -> None:
        self.rules = {rule.name: rule for rule in rules}
        self.vowels = vowels
        self.function = function
        self.never = never
        self._by_phone: dict[str, list[Rule]] = {}
        for rule in self.rules.values():
            for phone in rule.phones[0]:
                self._by_phone.setdefault(phone, []).append(rule)

    @classmethod
    def read(cls, table: str | Path, phones: PhoneSet) -> Reductions:
        """Read a table; its columns are explained in ``data/reductions.tsv``.

        Args:
            table: a file, or ``english`` for that one.
            phones: the labels that may occur.

        Raises:
            ConfigError: if the file cannot be read, or a line is not understood.
        """
        path = table_path(table)
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"reductions: {path}: cannot be read ({error}); give a UTF-8 table, or {ENGLISH}"
            ) from None
        sets: dict[str, frozenset[str]] = {}
        never: set[tuple[str, ...]] = set()
        rules: dict[str, Rule] = {}
        for number, line in enumerate(lines, 1):
            where = f"{path}:{number}"
            if not line.strip() or line.startswith("#"):
                continue
            columns = [column.strip() for column in line.split("\t")]
            if columns[0] == NEVER:
                never.add(tuple(" ".join(columns[1:]).split()))
                continue
            if line.startswith("@"):
                sets[columns[0][1:]] = frozenset(" ".join(columns[1:]).split())
                continue
            if len(columns) < len(COLUMNS):
                raise ConfigError(
                    f"{where}: {len(columns)} columns; write {', '.join(COLUMNS)}, "
                    "separated by tabs"
                )
            rule = _rule(dict(zip(COLUMNS, columns)), sets, phones, where)
            if rule.name in rules:
                raise ConfigError(f"{where}: {rule.name} is listed twice; keep one line")
            rules[rule.name] = rule
        nothing: frozenset[str] = frozenset()
        vowels, function = (sets.get(name, nothing) for name in ("vowel", "function"))
        return cls(rules.values(), vowels, function, frozenset(never))

    def said(self, word: str, phones: Sequence[str]) -> bool:
        """Whether anybody says a word like this; the lines of ``@never`` list what nobody says."""
        return (word, *phones) not in self.never

    def fitting(
        self, word: str, phones: Sequence[str], left: str = PAUSE, right: str = PAUSE
    ) -> list[tuple[int, Rule]]:
        """The rules that may be heard in a word, and the places of their first phones.

        Args:
            word: as the lexicon has it, in upper case.
            phones: one of its pronunciations.
            left: the phone before it, ``#`` for a pause.
            right: the phone after it, likewise.
        """
        vowels = sum(phone in self.vowels for phone in phones)
        return [
            (place, rule)
            for place, phone in enumerate(phones)
            for rule in self._by_phone.get(phone, ())
            if rule.fits(word, vowels, phones, place, left, right)
        ]

    def with_shares(self, heard: Mapping[str, int], possible: Mapping[str, int]) -> Reductions:
        """With shares half way between what they were and what was counted.

        Counting the best paths alone makes what is seldom still seldomer (each share is a cost),
        until it never comes; half of what the table says stays.

        Args:
            heard: how often each rule was heard.
            possible: how often it might have been.
        """

        def counted(rule: Rule) -> float:
            cases = possible.get(rule.name, 0)
            share = heard.get(rule.name, 0) / cases if cases else rule.share
            weight = cases / (cases + FEW_CASES) / 2
            share = weight * share + (1 - weight) * rule.share
            return min(max(share, LEAST_SHARE), MOST_SHARE)

        return self.given({name: counted(rule) for name, rule in self.rules.items()})

    @property
    def shares(self) -> dict[str, float]:
        """How often each rule is heard where it may be."""
        return {name: rule.share for name, rule in self.rules.items()}

    def given(self, shares: Mapping[str, float]) -> Reductions:
        """With other shares of some rules, as :attr:`shares` gave them."""
        changed = (
            replace(rule, share=shares.get(name, rule.share)) for name, rule in self.rules.items()
        )
        return Reductions(changed, self.vowels, self.function, self.never)


def table_path(table: str | Path) -> Path:
    """Where a table lies: a file, or ``english`` for the one that comes with the package."""
    return resource("data", "reductions.tsv") if str(table) == ENGLISH else Path(table)


def _rule(
    cells: Mapping[str, str], sets: Mapping[str, frozenset[str]], phones: PhoneSet, where: str
) -> Rule:
    """A line of the table.

    Raises:
        ConfigError: if it is not understood.
    """

    def labels(cell: str, also: Sequence[str] = ()) -> frozenset[str]:
        found: set[str] = set()
        for item in cell.split():
            found |= sets.get(item, frozenset({item}))
        for label in sorted(found):
            if (label not in phones.index or label == phones.silence) and label not in also:
                raise ConfigError(
                    f"{where}: {label!r} is no phone and no class above; use those of the set"
                )
        return frozenset(found)

    try:
        share = float(cells["share"])
    except ValueError:
        share = -1.0
    if not 0 < share < 1:
        raise ConfigError(f"{where}: share {cells['share']!r}; a number between 0 and 1")
    if cells["where"] not in WHERE:
        raise ConfigError(f"{where}: where {cells['where']!r}; one of {', '.join(WHERE)}")
    said = () if cells["said"] == NONE else tuple(cells["said"].split())
    labels(" ".join(said))
    parts = tuple(labels(item) for item in cells["phones"].split())
    if not parts:
        raise ConfigError(f"{where}: no phones; list at least one")
    kind, function = cells["words"], sets.get("function", frozenset())
    listed = {"any": None, "long": None, "weak": None, "function": function}
    left, right = (
        None if cells[side] in (ANYTHING, SAME) else labels(cells[side], (PAUSE,))
        for side in ("left", "right")
    )
    return Rule(
        name=cells["rule"],
        phones=parts,
        said=said,
        left=left,
        right=right,
        same=cells["left"] == SAME,
        where=cells["where"],
        words=listed[kind] if kind in listed else frozenset(kind.upper().split()),
        vowels=2 if kind in ("long", "weak") else 0,
        or_words=function if kind == "weak" else frozenset(),
        share=share,
    )
