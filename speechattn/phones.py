"""Phone sets: the labels of a model, their silence, their IPA, how they are folded for scoring.

The tables ``data/phones.tsv`` and ``data/phones_NAME.tsv`` hold those that come with the package,
and what the phones of one become in another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from speechattn.errors import ConfigError, UsageError
from speechattn.files import is_file, resource
from speechattn.text import one_line

LABELS = ("arpabet", "ipa")  # what a phone may be called: as in the model, or in IPA
PART_OF_PREVIOUS = "<"
Rule = tuple[str, ...]  # label, and those that it is part of where they follow


@dataclass(frozen=True)
class PhoneSet:
    """An ordered set of phones; a phone's index is its class in the model.

    Attributes:
        names: labels, silence included.
        silence: the label that stands for no speech.
        fold: label → label it counts as when systems with different sets are compared.
        ipa: label → the same in IPA; how phones are written is no part of what they are, so sets
            that differ in it are equal.

    Raises:
        ConfigError: if a label is no text or has spaces in it, a phone is listed twice, or silence
            or a label to fold is not listed.
    """

    names: tuple[str, ...]
    silence: str = "SIL"
    fold: dict[str, str] = field(default_factory=dict)
    ipa: dict[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        _check_labels((*self.names, self.silence))
        if len(set(self.names)) != len(self.names):
            twice = sorted({n for n in self.names if self.names.count(n) > 1})
            raise ConfigError(f"phone set: {', '.join(twice)} listed twice; list every phone once")
        if self.silence not in self.names:
            raise ConfigError(
                f"phone set: silence label {self.silence!r} is not among the {len(self.names)} "
                "phones; add it or name another one"
            )

        for label in (*self.fold, *self.fold.values()):
            if label not in self.names:
                raise ConfigError(
                    f"phone set: {label!r} is folded or folded into, but not among the phones"
                )

    @cached_property
    def index(self) -> dict[str, int]:
        """Label → class."""
        return {name: i for i, name in enumerate(self.names)}

    @property
    def silence_index(self) -> int:
        """Class of the silence label."""
        return self.index[self.silence]

    def has_classes_of(self, other: PhoneSet) -> bool:
        """Whether posteriors of the other set are posteriors of this one: names and silence."""
        return (self.names, self.silence) == (other.names, other.silence)

    def __len__(self) -> int:
        return len(self.names)

    def folded(self, label: str) -> str:
        """Return the label that ``label`` is scored as."""
        return self.fold.get(label, label)

    def labels(self, kind: str = "arpabet") -> tuple[str, ...]:
        """Return what the phones are called in outputs, by index.

        Args:
            kind: ``"arpabet"`` for the model's own labels, ARPAbet or not; ``"ipa"`` for IPA, where
                silence keeps its label. A set without any IPA takes that of the ARPAbet table.

        Raises:
            UsageError: if ``kind`` is another.
            ConfigError: if a phone has no IPA, or shares it with another.
        """
        if kind not in LABELS:
            raise UsageError(f"labels: {kind!r} is unknown; choose from {', '.join(LABELS)}")
        if kind == "arpabet":
            return self.names
        ipa = {**(self.ipa or arpabet().ipa), self.silence: self.silence}
        missing = [name for name in self.names if not ipa.get(name)]
        if missing:
            raise ConfigError(
                f"phone set: no IPA for {one_line(', '.join(missing))}; fill the IPA column of the "
                'phone table before training, add "ipa" under "phones" in the model\'s '
                "config.json, or use the model's own labels"
            )
        first: dict[str, str] = {}
        for name in self.names:
            other = first.setdefault(ipa[name], name)
            if other != name:
                raise ConfigError(
                    f"phone set: {one_line(f'{other} and {name} are both {ipa[name]}')} in IPA; "
                    "give each its own, or use the model's own labels"
                )
        return tuple(ipa[name] for name in self.names)

    def to_dict(self, *, ipa: bool = False) -> dict:
        """Return JSON values; with ``ipa``, for a checkpoint, the IPA too if there is any."""
        values = {"names": list(self.names), "silence": self.silence, "fold": dict(self.fold)}
        return {**values, "ipa": dict(self.ipa)} if ipa and self.ipa else values

    @classmethod
    def from_dict(cls, values: dict) -> PhoneSet:
        """Return the phone set of :meth:`to_dict`."""
        fold, ipa = dict(values.get("fold", {})), dict(values.get("ipa", {}))
        return cls(tuple(values["names"]), values["silence"], fold, ipa)


def _check_labels(labels: tuple) -> None:
    """Raise a ConfigError for a label that cannot stand between spaces in a line of text."""
    for label in labels:
        if not isinstance(label, str) or label.split() != [label] or not label.isprintable():
            raise ConfigError(
                f"phone set: {label!r} is no label; give text without spaces for every phone"
            )


def phone_sets() -> dict[str, Path]:
    """Names of the phone sets that come with the package, and their tables."""
    tables = sorted(resource("data", "").glob("phones_*.tsv"))
    named = {path.stem.removeprefix("phones_"): path for path in tables}
    return {"arpabet": resource("data", "phones.tsv"), **named}


def phone_table(name: str | Path) -> Path:
    """The table of a phone set, by its name or as a file.

    Raises:
        ConfigError: if there is no such file, and no phone set of that name.
    """
    known = phone_sets()
    if is_file(name):
        return Path(name)
    if str(name) not in known:
        raise ConfigError(
            f"phones: {str(name)!r} is neither a file nor one of {', '.join(known)}; give a phone "
            "table in the form of data/phones.tsv, or one of these names"
        )
    return known[str(name)]


def phone_set(name: str | Path) -> PhoneSet:
    """A phone set, by its name or from a file; see :func:`phone_table`."""
    return read_phone_table(phone_table(name))


def arpabet() -> PhoneSet:
    """Return the 39 ARPAbet phones and SIL, in the order of ``data/phones.tsv``."""
    return read_phone_table(resource("data", "phones.tsv"))


def read_phone_table(path: str | Path) -> PhoneSet:
    """Read a phone set from a table: phone, IPA, class, scored_as, example (tab-separated).

    Lines that begin with ``#`` are comments; the phone of class ``silence`` is the silence, and
    what stands for it in the IPA column is not used. The IPA of a phone may be left empty.

    Raises:
        ConfigError: if the file cannot be read, a line has fewer than four columns, or not exactly
            one phone is of class silence.
    """
    names, fold, ipa, silence = [], {}, {}, None
    first: dict[str, int] = {}  # phone → its line
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); give a UTF-8 phone table") from None
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        columns = line.split("\t")
        if len(columns) < 4:
            raise ConfigError(
                f"{path}:{number}: {len(columns)} columns; a phone table has at least "
                "phone, IPA, class and scored_as, separated by tabs"
            )
        phone, written, kind, scored_as = columns[:4]
        if phone in first:
            raise ConfigError(f"{path}:{number}: {phone} listed twice; line {first[phone]} has it")
        first[phone] = number
        names.append(phone)
        if written.strip() and kind != "silence":
            ipa[phone] = written.strip()
        if scored_as != phone:
            fold[phone] = scored_as
        if kind == "silence" and silence is not None:
            raise ConfigError(f"{path}:{number}: {phone} is a second silence; keep one")
        if kind == "silence":
            silence = phone
    if silence is None:
        raise ConfigError(f"{path}: no phone of class 'silence'; one label must stand for it")
    for phone, scored_as in fold.items():
        if scored_as not in first:
            raise ConfigError(
                f"{path}:{first[phone]}: {phone} is scored as {scored_as!r}, which is not among "
                "the phones of this table; list it or write another"
            )
    try:
        return PhoneSet(tuple(names), silence, fold, ipa)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def read_rules(table: Path, target: str, phones: PhoneSet) -> dict[str, Rule]:
    """What each phone of a table becomes in another set; nothing if no column says so.

    A column named after another phone set holds what each phone becomes in that set. Three things
    can stand there:

    - a label of the other set;
    - ``A+B+C``: a closure; it is A by itself, and part of an A, B or C that follows at once;
    - ``<``: part of the phone before it.

    Args:
        table: of the corpus's own labels.
        target: name of the other set.
        phones: the other set.

    Raises:
        ConfigError: if the table cannot be read, or a line names no label of the other set.
    """
    own = phone_set(table)
    rules: dict[str, Rule] = {}
    column: int | None = None
    lines = table.read_text(encoding="utf-8-sig").splitlines()
    for number, line in enumerate(lines, 1):
        columns = line.split("\t")
        if line.startswith("#"):
            names = [name.strip() for name in columns]
            column = names.index(target) if names[0] == "# phone" and target in names else column
            continue
        if column is None or not line.strip():
            continue
        written = columns[column].strip() if column < len(columns) else ""
        rule = tuple(part for part in written.split("+") if part)
        if written.endswith("+"):
            rule = (*rule, rule[0]) if rule else rule
        elif len(rule) > 1:
            rule = (*rule, rule[0])
        unknown = [part for part in rule if part not in phones.index and part != PART_OF_PREVIOUS]
        if not rule or unknown:
            raise ConfigError(
                f"{table}:{number}: {columns[0]}: {written!r} under {target} is no label of that "
                "phone set; every phone needs one"
            )
        rules[columns[0]] = rule
    if rules and set(rules) != set(own.names):
        raise ConfigError(f"{table}: some phones stand above the line that names the columns")
    return rules
