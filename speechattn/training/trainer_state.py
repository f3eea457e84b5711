"""The state of a training on disk: one safetensors file of tensors and a few facts in JSON.

The file is written completely or not at all. Nothing in it is ever unpickled. Every part of it is
checked before any of it is used.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from speechattn.audio.features import FrontEndConfig
from speechattn.encoder.config import EncoderConfig
from speechattn.errors import ModelError
from speechattn.files import atomic_path
from speechattn.text import one_line
from speechattn.training.config_sections import AugmentationConfig, TrainingConfig

# Training settings that do not change the weights in a checkpoint.
WITHOUT_EFFECT = ("evaluate_every", "checkpoint_every", "start_share", "tensorboard")


@dataclass
class TrainingFacts:
    """State of a training besides its tensors.

    Attributes:
        step: number of updates done.
        seconds: time spent on them.
        history: rows of step, loss and the result of the evaluation on dev.
        config: settings that the weights depend on, as JSON values.
        data: digest of the training set and its phones; None in files of an early version.
        losses: losses of the updates since the last row of the history.
        start_result: result on dev before the first update; None if it was not measured.
    """

    step: int
    seconds: float
    history: list[dict]
    config: list
    data: str | None = None
    losses: list[float] = field(default_factory=list)
    start_result: float | None = None


def write_state(path: Path, facts: TrainingFacts, tensors: dict[str, Tensor]) -> None:
    """Write the file, completely or not at all.

    Raises:
        OSError: if it cannot be written.
    """
    with atomic_path(path) as temporary:
        plain = {name: value.detach().contiguous().cpu() for name, value in tensors.items()}
        # save_file would write a file that only its owner may read.
        temporary.write_bytes(save(plain, {"facts": json.dumps(asdict(facts))}))


def read_state(path: Path) -> tuple[TrainingFacts, dict[str, Tensor]]:
    """Read the file; the facts are checked, the tensors are not (see :func:`check_tensors`).

    Raises:
        ModelError: if it is no such file.
    """
    try:
        with safe_open(path, "pt") as stored:
            values = json.loads(stored.metadata()["facts"])
            names = stored.keys()
            tensors = {name: stored.get_tensor(name) for name in names}
        return _facts(values), tensors
    except KeyError as error:
        raise damaged(path, f"no key {error}") from None
    except (SafetensorError, OSError, TypeError, ValueError, RecursionError) as error:
        raise damaged(path, str(error)) from None


def check_tensors(path: Path, found: dict[str, Tensor], wanted: dict[str, torch.Size]) -> None:
    """Check that exactly the wanted tensors are there, with their shapes and finite values.

    Args:
        path: of the file, for messages.
        found: tensors by name.
        wanted: shapes by name.

    Raises:
        ModelError: for the first that is missing, has another shape, or is not wanted.
    """
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            raise damaged(path, f"{name} is missing")
        if name not in wanted:
            raise damaged(path, f"holds {name}, which this model has not")
        value = found[name]
        if value.shape != wanted[name] or not value.is_floating_point():
            is_, should = f"{value.dtype} {list(value.shape)}", list(wanted[name])
            raise damaged(path, f"{name} is {is_}, where this model has floats {should}")
    if nonfinite := nonfinite_tensor(found):
        raise damaged(path, f"{nonfinite} holds NaN or Inf")


def nonfinite_tensor(tensors: dict[str, Tensor]) -> str | None:
    """Return the name of the first tensor that holds NaN or Inf; None if all are finite."""
    return next((k for k, v in tensors.items() if not torch.isfinite(v).all()), None)


def damaged(path: Path, reason: str) -> ModelError:
    """Return the error for a file that is no checkpoint of this training."""
    return ModelError(
        f"{one_line(path)}: not a checkpoint of this training ({one_line(reason)}); "
        "delete it to start afresh"
    )


def _facts(values: object) -> TrainingFacts:
    """Check the facts from JSON; raises KeyError, TypeError or ValueError."""
    if not isinstance(values, dict):
        raise TypeError("its facts are no mapping")
    required = ("step", "seconds", "history", "config")
    facts = TrainingFacts(
        **{name: values[name] for name in required},
        data=values.get("data"),
        losses=values.get("losses", []),
        start_result=values.get("start_result"),
    )
    valid = {
        "step": _is_count(facts.step),
        "seconds": _is_number(facts.seconds) and facts.seconds >= 0,
        "history": isinstance(facts.history, list) and all(map(_is_row, facts.history)),
        "config": isinstance(facts.config, list),
        "data": facts.data is None or isinstance(facts.data, str),
        "start_result": facts.start_result is None or _is_number(facts.start_result),
        "losses": isinstance(facts.losses, list) and all(map(_is_number, facts.losses)),
    }
    for name, is_valid in valid.items():
        if not is_valid:
            shown = repr(getattr(facts, name))
            raise ValueError(f"its {name} is {shown if len(shown) < 80 else shown[:77] + '...'}")
    return facts


def _is_number(value: object) -> bool:
    # NaN and Inf are not JSON, but Python reads them; a whole number may be too large for a float.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 1e300 and math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_row(row: object) -> bool:
    return (
        isinstance(row, dict)
        and _is_count(row.get("step"))
        and _is_number(row.get("loss"))
        and len(row) == 3
        and all(map(_is_number, row.values()))
    )


def comparable_settings(fingerprint: list) -> tuple[list, int]:
    """Split a fingerprint into what must agree and the number of steps.

    Args:
        fingerprint: seed, front end, encoder, augmentation, training, and the number of frames.

    Settings that do not change the weights are left out. A setting that the checkpoint does not
    know, because it is of an earlier version, has its default there.
    """
    kinds = (None, FrontEndConfig, EncoderConfig, AugmentationConfig, TrainingConfig, None)
    parts, steps = [], 0
    for kind, part in zip(kinds, fingerprint):
        if kind is not None and isinstance(part, dict):
            defaults = json.loads(json.dumps(asdict(kind())))
            part = {k: v for k, v in {**defaults, **part}.items() if k not in WITHOUT_EFFECT}
            if kind is TrainingConfig:
                steps = part.pop("steps")
        parts.append(part)
    return [*parts, *fingerprint[len(kinds) :]], steps
