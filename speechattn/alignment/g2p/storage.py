"""The file of a graphone model: numbers of 8 and 16 bits in NumPy's compressed form."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from speechattn.alignment.g2p.estimate import Order
from speechattn.alignment.g2p.model import GraphoneModel
from speechattn.errors import ConfigError
from speechattn.files import atomic_path

STEP = 0.06  # nats; log probabilities are multiples of it
_GREATEST, _SIGNED = 255, 127


def save_model(path: Path, model: GraphoneModel) -> None:
    """Write a model, whole or not at all."""
    table = "\n".join(f"{letters}\t{' '.join(phones)}" for letters, phones in model.graphones)
    arrays = {"graphones": np.frombuffer(table.encode("ascii"), np.uint8)}
    histories = 1
    for n, order in enumerate(model.orders):
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


def load_model(path: Path) -> GraphoneModel:
    """Read a model.

    Raises:
        ConfigError: if the file is missing, damaged, or something else.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            lines = arrays["graphones"].tobytes().decode("ascii").split("\n")
            columns = [
                (arrays[f"continuations{n}"], arrays[f"token{n}"],
                 arrays[f"log_prob{n}"], arrays[f"back_off{n}"])
                for n in range(sum(name.startswith("token") for name in arrays.files))
            ]  # fmt: skip
        graphones = [(letters, tuple(phones.split())) for letters, phones in map(_cells, lines)]
        return GraphoneModel(graphones, _orders(columns, len(graphones) + 2))
    except (OSError, EOFError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
        raise ConfigError(
            f"{path}: is no graphone model ({error}); install the package again"
        ) from None


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
