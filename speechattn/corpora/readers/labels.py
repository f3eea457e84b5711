"""Labels of a published corpus as phones of the set that is wanted.

The tables ``data/phones_NAME.tsv`` say it; see :func:`speechattn.phones.read_rules`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechattn.corpora.readers.textgrid import TOLERANCE, Interval
from speechattn.errors import CorpusError
from speechattn.phones import PART_OF_PREVIOUS, PhoneSet, Rule, phone_set, phone_table, read_rules

Piece = tuple[str, float, float]  # label, start and end in seconds


@dataclass
class _Last:
    """The piece written last, which the next one may still prolong."""

    label: str
    start: float
    end: float
    part_of: tuple[str, ...] = ()

    def touches(self, start: float) -> bool:
        return start <= self.end + TOLERANCE


class LabelMap:
    """What the labels of a corpus are in a phone set.

    Args:
        phones: the set that is wanted, by name or as a file.
        native: names of the sets that the corpus may be labelled in. The one that knows most
            labels of the first utterance counts for the whole corpus.
        silences: labels that mean that nobody speaks.

    Attributes:
        phones: the set that is wanted.
    """

    def __init__(
        self,
        phones: str | Path = "arpabet",
        native: Sequence[str] = (),
        silences: Iterable[str] = (),
    ) -> None:
        self.phones: PhoneSet = phone_set(phones)
        self._silences = frozenset(silences) | {self.phones.silence}
        table = phone_table(phones)
        own = "arpabet" if table.name == "phones.tsv" else table.stem.removeprefix("phones_")
        self._candidates = {
            name: read_rules(phone_table(name), own, self.phones) for name in native if name != own
        }
        self._rules: Mapping[str, Rule] | None = None

    def convert(self, intervals: Sequence[Interval], path: Path) -> list[Piece]:
        """Rename intervals, and join those that are parts of one phone.

        Args:
            intervals: sorted, without overlaps.
            path: of the file they are from, for messages.

        Raises:
            CorpusError: for the first label that is unknown, with file and line.
        """
        if self._rules is None:
            self._rules = self._choose(intervals)
        pieces: list[_Last] = []
        for interval in intervals:
            rule = self._rule(interval, path)
            last = pieces[-1] if pieces and pieces[-1].touches(interval.start) else None
            label = rule[0]
            if label == PART_OF_PREVIOUS:
                if last is not None:
                    last.end = interval.end
                    continue
                label = self.phones.silence
            silent = label == self.phones.silence
            if last is not None and (
                label in last.part_of or (silent and last.label == label and not last.part_of)
            ):
                last.label, last.end, last.part_of = label, interval.end, rule[1:]
            else:
                pieces.append(_Last(label, interval.start, interval.end, rule[1:]))
        return [(piece.label, piece.start, piece.end) for piece in pieces]

    def is_silence(self, label: str) -> bool:
        """Whether a label of the corpus means that nobody speaks."""
        if label in self._silences:
            return True
        rules = self._rules or next(iter(self._candidates.values()), {})
        return rules.get(label, ("",))[:1] == (self.phones.silence,)

    def _choose(self, intervals: Sequence[Interval]) -> Mapping[str, Rule] | None:
        """The rules that know most of these labels; None as long as none knows any."""
        labels = {i.label for i in intervals} - self._silences
        if not labels:
            return None
        as_they_are: dict[str, Rule] = {name: (name,) for name in self.phones.names}
        known = [as_they_are, *self._candidates.values()]
        best = max(known, key=lambda rules: len(labels & rules.keys()))
        return best if labels & best.keys() else None

    def _rule(self, interval: Interval, path: Path) -> Rule:
        if interval.label in self._silences:
            return (self.phones.silence,)
        rule = (self._rules or {}).get(interval.label)
        if rule is None and interval.label in self.phones.index:
            rule = (interval.label,)
        if rule is None:
            raise CorpusError(f"{path}:{interval.line}: {self._unknown(interval.label)}")
        return rule

    def _unknown(self, label: str) -> str:
        if label == "spn":
            return (
                "'spn' stands for a word that was not in the aligner's dictionary, so its phones "
                "are not known; add the word and align again, or leave the utterance out"
            )
        sets = ", ".join(self._candidates) or "the phone set itself"
        return (
            f"unknown phone {label!r}: neither among the {len(self.phones)} of the phone set nor "
            f"in the tables this format knows ({sets}); correct it, or name a phone table that has "
            "it (--phones)"
        )
