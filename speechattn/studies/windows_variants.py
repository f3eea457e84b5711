"""The encoders that ``speechattn bench windows`` compares: windows of attention, and other kinds.

A file of variants is YAML, a name and an encoder each, with the keys of a recipe's ``encoder``.
``width: auto`` stands for the width at which it has as many weights as the recipe's encoder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from speechattn.encoder.baselines import AnyEncoderConfig
from speechattn.encoder.config import EncoderConfig
from speechattn.errors import ConfigError
from speechattn.inference.describe import costs
from speechattn.schema import build
from speechattn.text import one_line

WINDOWS = (0, 2, 4, 8, 16, 32, 64)  # 10 ms frames to both sides, in every block
QUICK_WINDOWS = (0, 4, 16, 64)
ANY_UPDATES = 2  # trainings' worth of updates that the model for any window gets: it is one for all
TOLERANCE = 0.1  # of the number of weights
AUTO = "auto"
WIDEST = 1 << 14
FULL = "full"  # the window without limits
EQUAL_WINDOW = 8  # other kinds look as far ahead as attention with this window in every block


@dataclass(frozen=True)
class Variant:
    """An encoder to be compared.

    Attributes:
        name: in tables and pictures.
        encoder: its configuration.
        window: of the ladders of attention windows: 10 ms frames to both sides, ``"full"`` for no
            limit; None for what is in none.
    """

    name: str
    encoder: AnyEncoderConfig
    window: int | str | None = None

    @property
    def updates(self) -> int:
        """How many times as many updates as the recipe says it is trained for."""
        return ANY_UPDATES if self.encoder.any_window else 1


def default_variants(
    encoder: AnyEncoderConfig, input_dim: int, num_phones: int, quick: bool = False
) -> list[Variant]:
    """Attention with windows from none to all, without convolutions, and every other kind.

    The windows come twice: each trained for itself, and all in one model trained for any.

    Args:
        encoder: of the recipe, of attention; all have about as many weights as it has without its
            convolutions. If it has convolutions it is a variant of its own.
        input_dim: numbers a frame.
        num_phones: classes.
        quick: fewer of them.

    Raises:
        ConfigError: if the recipe's encoder is no attention.
    """
    if not isinstance(encoder, EncoderConfig):
        raise ConfigError(
            f"encoder.kind: {encoder.kind}; the built-in variants begin with attention: take a "
            "recipe with kind attention, or list variants of your own with --variants"
        )
    plain = dataclasses.replace(encoder, conv_kernel=0, conv_right=None, any_window=None)
    stack, found = encoder.stack, []
    for frames in QUICK_WINDOWS if quick else WINDOWS:
        whole = -(-frames // stack) * stack
        if whole not in [variant.window for variant in found]:
            shape = dataclasses.replace(plain, window=(whole, whole))
            found.append(Variant(f"attention ±{whole}", shape, whole))
    if not quick:
        found += [_any(variant, found[-1].window) for variant in found]
    if plain.positions != "distance" or plain.reach is not None:
        full = dataclasses.replace(plain, window=(None, None))
        found.append(Variant("full attention", full, FULL))
    target = costs(plain, input_dim, num_phones).weights
    for name, values in _others(encoder).items():
        if quick and values.get("bidirectional"):
            continue
        found.append(Variant(name, solved(name, values, target, input_dim, num_phones)))
    if encoder.conv_kernel and not quick:
        found.append(Variant("the recipe's own", dataclasses.replace(encoder, any_window=None)))
    return found


def _any(variant: Variant, most: int) -> Variant:
    """The same window, of a model that is trained for all windows up to the widest."""
    encoder = dataclasses.replace(variant.encoder, any_window=(0, most))
    return Variant(f"any window, ±{variant.window}", encoder, variant.window)


def _others(encoder: EncoderConfig) -> dict[str, dict]:
    """Kinds beside attention that look equally far ahead, by name; their width is to be solved."""
    stack = encoder.stack
    reach = encoder.blocks * -(-EQUAL_WINDOW // stack)  # vectors, of all blocks together
    frames = reach * stack
    layers, half = 4, -(-reach // 2)  # a kernel of 5 reaches two dilations to either side
    dilations = [max(1, (half + number) // layers) for number in range(layers)]
    kinds = {
        "frames ±0": {"kind": "frames", "window": [0, 0], "layers": 3},
        f"frames ±{frames}": {"kind": "frames", "window": [frames, frames], "layers": 3},
        "cnn": {"kind": "cnn", "kernels": [5] * layers, "dilations": dilations},
        "lstm": {"kind": "rnn", "layers": 3, "delay": frames},
        "lstm, both ways": {"kind": "rnn", "layers": 3, "bidirectional": True},
    }
    common = {"stack": stack, "dropout": encoder.dropout}
    return {name: {**values, **common} for name, values in kinds.items()}


def solved(
    name: str, values: dict, target: int, input_dim: int, num_phones: int
) -> AnyEncoderConfig:
    """The configuration of the width with which weights are nearest to a number.

    Args:
        name: for messages.
        values: of an encoder, but for its width.
        target: weights of the classifier with it.
        input_dim: numbers a frame.
        num_phones: classes.

    Raises:
        ConfigError: if no width gives that number to within 10 %, or a value is impossible.
    """
    step = 2 if values.get("bidirectional") else 1
    if values.get("kind", "attention") == "attention":
        step = 2 * values.get("heads", 4)

    def at(width: int) -> AnyEncoderConfig:
        return build(AnyEncoderConfig, {**values, "width": width}, f"{name}: encoder.")

    def weights(width: int) -> int:
        return costs(at(width), input_dim, num_phones).weights

    low, high = 1, WIDEST // step  # in steps; weights grow with the width
    while low < high:
        middle = (low + high) // 2
        if weights(middle * step) < target:
            low = middle + 1
        else:
            high = middle
    near = [number * step for number in (low - 1, low) if number]
    best = min(near, key=lambda width: abs(weights(width) - target))
    if abs(weights(best) - target) > TOLERANCE * target:
        raise ConfigError(
            f"{name}: no width gives about {target:,} weights ({weights(best):,} at {best}); "
            "change its layers, or give a width"
        )
    return at(best)


def read_variants(
    path: str | Path, encoder: AnyEncoderConfig, input_dim: int, num_phones: int
) -> list[Variant]:
    """Variants of a file.

    Args:
        path: of a YAML file, name → keys of an encoder.
        encoder: of the recipe, whose weights ``width: auto`` is to reach.
        input_dim: numbers a frame.
        num_phones: classes.

    Raises:
        ConfigError: if it cannot be read, or a variant is impossible.
    """
    shown = one_line(path)
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
        reason = one_line(" ".join(str(error).split()))
        raise ConfigError(f"{shown}: cannot be read ({reason}); give another file") from None
    if not isinstance(values, Mapping) or not values:
        raise ConfigError(f"{shown}: no variants; write a name and an encoder's keys for each")
    target, found = costs(encoder, input_dim, num_phones).weights, []
    for name, keys in values.items():
        if not isinstance(keys, Mapping):
            raise ConfigError(f"{shown}: {name}: {keys!r}; it has the keys of an encoder")
        keys = dict(keys)
        try:
            if keys.get("width") == AUTO:
                del keys["width"]
                shape = solved(str(name), keys, target, input_dim, num_phones)
            else:
                shape = build(AnyEncoderConfig, keys, f"{name}: encoder.")
        except ConfigError as error:
            raise ConfigError(f"{shown}: {one_line(str(error))}") from None
        found.append(Variant(str(name), shape, _ladder(shape)))
    return found


def _ladder(encoder: AnyEncoderConfig) -> int | str | None:
    """The place of an encoder among attention windows; None if it has none."""
    if not isinstance(encoder, EncoderConfig) or len(set(encoder.windows)) > 1:
        return None
    left, right = encoder.windows[0]
    if left != right:
        return None
    return FULL if left is None else left


def chosen(variants: Sequence[Variant], names: str | None) -> list[Variant]:
    """The variants that a list of names asks for, separated by semicolons; None for all.

    Raises:
        ConfigError: if one is unknown.
    """
    if names is None:
        return list(variants)
    by_name = {variant.name: variant for variant in variants}
    wanted = [name.strip() for name in names.split(";") if name.strip()]
    for name in wanted:
        if name not in by_name:
            raise ConfigError(f"--only {name}: no such variant; there are {'; '.join(by_name)}")
    return [by_name[name] for name in wanted]
