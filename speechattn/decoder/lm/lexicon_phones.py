"""Labels of lexicons as phones of a model: its own, ARPAbet with stress, IPA, those of MFA.

What the labels of one set are in another is said by the tables ``data/phones_NAME.tsv``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from speechattn.phones import PART_OF_PREVIOUS, PhoneSet, phone_set, phone_sets, read_rules

TABLES = ("mfa_english", "ipa_english")  # beside ARPAbet, which most lexicons are in
OWN = "the model's own"
_STRESS = "ˈˌ'."  # of IPA, before a syllable; dots between syllables
_DIGITS = "012"  # stress of ARPAbet
Labels = Mapping[str, tuple[int, ...]]  # label → classes; none for what is part of its neighbour


class LexiconLabels:
    """What the labels of a lexicon may be.

    Args:
        phones: the set that is wanted.
    """

    def __init__(self, phones: PhoneSet) -> None:
        self.phones = phones
        self._own = {
            name: (number,) for name, number in phones.index.items() if name != phones.silence
        }
        self._tables: dict[str, Labels] | None = None

    def choose(self, labels: Collection[str]) -> tuple[str, Labels]:
        """Return the set that knows most of some labels, and what they are in it.

        Args:
            labels: all of a lexicon.

        Returns:
            The name of the set, and the labels that it knows.
        """
        best = OWN, self._known(labels, self._own)
        if len(best[1]) < len(labels):
            for name, table in self.tables.items():
                known = self._known(labels, table)
                if len(known) > len(best[1]):
                    best = name, known
        return best

    @property
    def tables(self) -> Mapping[str, Labels]:
        """Name of a set → its labels as phones of the set that is wanted."""
        if self._tables is None:
            self._tables = {}
            wanted = set(self.phones.names)
            target = next((n for n in phone_sets() if set(phone_set(n).names) == wanted), "arpabet")
            if set(phone_set(target).names) <= wanted:
                for name in TABLES:
                    if name != target:
                        self._tables[name] = self._table(name, target)
        return self._tables

    def _table(self, name: str, target: str) -> Labels:
        rules = read_rules(phone_sets()[name], target, phone_set(target))
        silence = (phone_set(target).silence, self.phones.silence)
        return {
            label: () if rule[0] == PART_OF_PREVIOUS else (self.phones.index[rule[0]],)
            for label, rule in rules.items()
            if rule[0] not in silence and len(rule) == 1  # closures of plosives are no phones
        }

    def _known(self, labels: Collection[str], table: Labels) -> Labels:
        """The labels that a table has, as they are, in the other case, or without stress."""
        found = {}
        for label in labels:
            bare = label.strip(_STRESS)
            forms = (label, label.upper().rstrip(_DIGITS), bare, bare.rstrip("ː"), label.lower())
            form = next((form for form in forms if form in table), None)
            if form is not None:
                found[label] = table[form]
        return found
