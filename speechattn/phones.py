"""Phone sets: the labels a model knows, their silence, and how they are folded for scoring."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from speechattn.errors import ConfigError
from speechattn.resources import resource


@dataclass(frozen=True)
class PhoneSet:
    """An ordered set of phones; a phone's index is its class in the model.

    Attributes:
        names: labels, silence included.
        silence: the label that stands for no speech.
        fold: label → label it counts as when systems with different sets are compared.

    Raises:
        ConfigError: if a phone is listed twice, or silence or a label to fold is not listed.
    """

    names: tuple[str, ...]
    silence: str = "SIL"
    fold: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
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

    def __len__(self) -> int:
        return len(self.names)

    def folded(self, label: str) -> str:
        """The label that ``label`` is scored as."""
        return self.fold.get(label, label)

    def to_dict(self) -> dict:
        """As JSON values, for a checkpoint."""
        return {"names": list(self.names), "silence": self.silence, "fold": dict(self.fold)}

    @classmethod
    def from_dict(cls, values: dict) -> PhoneSet:
        """The inverse of :meth:`to_dict`."""
        return cls(tuple(values["names"]), values["silence"], dict(values.get("fold", {})))


def arpabet() -> PhoneSet:
    """The 39 ARPAbet phones and SIL, in the order of ``data/phones.tsv``."""
    return read_phone_table(resource("data", "phones.tsv"))


def read_phone_table(path: str | Path) -> PhoneSet:
    """Read a phone set from a table: phone, IPA, class, scored_as, example (tab-separated).

    Lines that begin with ``#`` are comments; the phone of class ``silence`` is the silence.

    Raises:
        ConfigError: if the file cannot be read, a line has fewer than four columns, or not exactly
            one phone is of class silence.
    """
    names, fold, silence = [], {}, None
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
        phone, _, kind, scored_as = columns[:4]
        names.append(phone)
        if scored_as != phone:
            fold[phone] = scored_as
        if kind == "silence" and silence is not None:
            raise ConfigError(f"{path}:{number}: {phone} is a second silence; keep one")
        if kind == "silence":
            silence = phone
    if silence is None:
        raise ConfigError(f"{path}: no phone of class 'silence'; one label must stand for it")
    try:
        return PhoneSet(tuple(names), silence, fold)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
