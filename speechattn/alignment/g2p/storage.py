"""The file of a model of pronunciations, in NumPy's compressed form.

The n-grams are numbers of 8 and 16 bits. The rules for analogies are lines of text; files of
earlier versions have none.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from speechattn.alignment.g2p.analogy import Analogies, Rules
from speechattn.alignment.g2p.estimate import Order
from speechattn.alignment.g2p.model import GraphoneModel
from speechattn.alignment.g2p.pronouncer import Pronouncer
from speechattn.errors import ConfigError
from speechattn.files import atomic_path

STEP = 0.06  # nats; log probabilities are multiples of it
_GREATEST, _SIGNED = 255, 127
_ENDS, _FRONTS = "end_rules", "front_rules"  # names of arrays


def save_model(path: Path, model: Pronouncer) -> None:
    """Write a model, whole or not at all."""
    graphones = model.graphones
    arrays = {
        "graphones": _text(f"{letters}\t{' '.join(way)}" for letters, way in graphones.graphones),
        _ENDS: _text(_rule_lines(model.ends.rules)),
        _FRONTS: _text(_rule_lines(model.fronts.rules)),
    }
    histories = 1
    for n, order in enumerate(graphones.orders):
        steps = np.round(-order.log_prob / STEP).clip(0, _GREATEST)
        weights = np.round(order.back_off / STEP).clip(-_SIGNED, _SIGNED)
        counts = np.bincount(order.history, minlength=histories)
        arrays[f"continuations{n}"] = counts.astype(np.uint16)
        arrays[f"token{n}"] = order.token.astype(np.uint16)
        arrays[f"log_prob{n}"] = steps.astype(np.uint8)
        arrays[f"back_off{n}"] = weights.astype(np.int8)
        histories = len(order)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def load_model(path: Path) -> Pronouncer:
    """Read a model.

    Raises:
        ConfigError: if the file is missing, damaged, or something else.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            lines = _lines(arrays["graphones"])
            rules = [_rules(_lines(arrays[n]) if n in arrays else []) for n in (_ENDS, _FRONTS)]
            columns = [
                (arrays[f"continuations{n}"], arrays[f"token{n}"],
                 arrays[f"log_prob{n}"], arrays[f"back_off{n}"])
                for n in range(sum(name.startswith("token") for name in arrays.files))
            ]  # fmt: skip
        graphones = [(letters, tuple(phones.split())) for letters, phones in map(_cells, lines)]
        model = GraphoneModel(graphones, _orders(columns, len(graphones) + 2))
        return Pronouncer(model, Analogies(rules[0]), Analogies(rules[1], front=True))
    except (OSError, EOFError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
        raise ConfigError(
            f"{path}: is no model of pronunciations ({error}); install the package again"
        ) from None


def _text(lines: Iterable[str]) -> np.ndarray:
    return np.frombuffer("\n".join(lines).encode("ascii"), np.uint8)


def _lines(text: np.ndarray) -> list[str]:
    return text.tobytes().decode("ascii").split("\n") if len(text) else []


def _rule_lines(rules: Rules) -> Iterator[str]:
    """A line for each change: letters, phones, percent."""
    for new, by_old in rules.items():
        for old, by_last in by_old.items():
            for last, changes in by_last.items():
                for before, after, percent in changes:
                    yield "\t".join(
                        (new, old, last, " ".join(before), " ".join(after), str(percent))
                    )


def _rules(lines: Iterable[str]) -> Rules:
    rules: Rules = {}
    for line in lines:
        new, old, last, before, after, percent = line.split("\t")
        change = (tuple(before.split()), tuple(after.split()), int(percent))
        rules.setdefault(new, {}).setdefault(old, {}).setdefault(last, []).append(change)
    return rules


def _cells(line: str) -> tuple[str, str]:
    letters, _, phones = line.partition("\t")
    return letters, phones


def _orders(columns: Sequence[tuple[np.ndarray, ...]], size: int) -> list[Order]:
    """The n-grams of a file; what the shorter history of each is is looked up."""
    orders: list[Order] = []
    for counts, token, log_prob, back_off in columns:
        history = np.repeat(np.arange(len(counts)), counts)
        token = token.astype(np.int64)
        if not len(history) == len(token) == len(log_prob) == len(back_off):
            raise ValueError("its columns are not of one length")
        if not orders:
            suffix = np.zeros(len(token), dtype=np.int64)
        elif len(orders) == 1:
            suffix = token
        else:
            lower = orders[-1]
            wanted = lower.suffix[history] * size + token
            suffix = np.searchsorted(lower.history * size + lower.token, wanted)
        orders.append(
            Order(history, token, suffix, -STEP * log_prob, STEP * back_off.astype(np.float64))
        )
    return orders
