"""The encoders that ``speechattn bench windows`` compares: windows of attention, and other kinds.

A file of variants is YAML: name → encoder, with the keys of a recipe's ``encoder``. ``width: auto``
stands for the width at which the variant has as many weights as the recipe's encoder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.kinds import AnyEncoderConfig
from speechattn.errors import ConfigError
from speechattn.inference.describe import costs
from speechattn.schema import build
from speechattn.text import one_line

WINDOWS = (0, 2, 4, 8, 16, 32, 64)  # 10 ms frames to both sides, in every block
QUICK_WINDOWS = (0, 4, 16, 64)
ANY_UPDATES = 2  # times as many updates for the model for any window, which serves all windows
TOLERANCE = 0.1  # largest deviation of the number of weights, as a share
AUTO = "auto"
WIDEST = 1 << 14  # largest width tried
FULL = "full"  # the window without limit
EQUAL_WINDOW = 8  # other kinds look as far ahead as attention with this window in every block


@dataclass(frozen=True)
class Variant:
    """An encoder to be compared.

    Attributes:
        name: name in tables and pictures.
        encoder: configuration of the encoder.
        window: place in the series of attention windows: 10 ms frames to both sides, or ``"full"``
            for no limit; None if the variant is not part of the series.
    """

    name: str
    encoder: AnyEncoderConfig
    window: int | str | None = None

    @property
    def updates(self) -> int:
        """Number of updates as a multiple of the recipe's."""
        return ANY_UPDATES if self.encoder.any_window else 1


def default_variants(
    encoder: AnyEncoderConfig, input_dim: int, num_phones: int, quick: bool = False
) -> list[Variant]:
    """Return attention with windows from none to full, and encoders of every other kind.

    Every window is there twice: in a model trained for this window, and in one model trained for
    any window. All variants have about as many weights as the recipe's encoder without its
    convolutions. If it has convolutions, the encoder itself is one more variant.

    Args:
        encoder: encoder of the recipe; its kind must be attention.
        input_dim: dimension of the frames.
        num_phones: number of classes.
        quick: return fewer variants.

    Raises:
        ConfigError: if the encoder is of another kind.
    """
    if not isinstance(encoder, EncoderConfig):
        raise ConfigError(
            f"encoder.kind: {encoder.kind}; the built-in variants begin with attention: take a "
            "recipe with kind attention, or list variants of your own with --variants"
        )
    plain = dataclasses.replace(encoder, conv_kernel=0, conv_right=None, any_window=None)
    stack = encoder.stack
    rounded = (-(-frames // stack) * stack for frames in (QUICK_WINDOWS if quick else WINDOWS))
    windows = list(dict.fromkeys(rounded))
    variants = []
    for window in windows:
        shape = dataclasses.replace(plain, window=(window, window))
        variants.append(Variant(f"attention ±{window}", shape, window))
    if not quick:  # the same windows, of a model trained for all windows up to the widest
        for window in windows:
            shape = dataclasses.replace(plain, window=(window, window), any_window=(0, windows[-1]))
            variants.append(Variant(f"any window, ±{window}", shape, window))
    reach = plain.reach
    if plain.positions == "distance" and reach is None:
        reach = windows[-1]  # without a window, there must be a largest distance
    full = dataclasses.replace(plain, window=(None, None), reach=reach)
    variants.append(Variant("full attention", full, FULL))
    target = costs(plain, input_dim, num_phones).weights
    for name, values in _others(encoder).items():
        if quick and values.get("bidirectional"):
            continue
        variants.append(Variant(name, solved(name, values, target, input_dim, num_phones)))
    if encoder.conv_kernel and not quick:
        variants.append(Variant("the recipe's own", dataclasses.replace(encoder, any_window=None)))
    return variants


def _others(encoder: EncoderConfig) -> dict[str, dict]:
    """Return the other kinds of encoders by name, without their widths.

    Those with a limited look-ahead have that of attention with the window ``EQUAL_WINDOW``.
    """
    stack = encoder.stack
    reach = encoder.blocks * -(-EQUAL_WINDOW // stack)  # vectors, through all blocks
    reach += encoder.subsampling == "convolution"
    frames = reach * stack
    layers, half = 4, -(-reach // 2)  # a kernel of 5 reaches two dilations to either side
    dilations = [max(1, (half + number) // layers) for number in range(layers)]
    kinds: dict[str, dict[str, object]] = {
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
    """Find the width at which an encoder has about a given number of weights.

    Args:
        name: name of the variant, for messages.
        values: keys of the encoder without ``width``.
        target: number of weights of the whole classifier.
        input_dim: dimension of the frames.
        num_phones: number of classes.

    Returns:
        The configuration with that width.

    Raises:
        ConfigError: if no width gives that number to within 10 %, or a value is not valid.
    """
    step = 2 if values.get("bidirectional") else 1
    if values.get("kind", "attention") == "attention":
        step = 2 * values.get("heads", 4)

    def with_width(width: int) -> AnyEncoderConfig:
        return build(AnyEncoderConfig, {**values, "width": width}, f"{name}: encoder.")

    def weights(width: int) -> int:
        return costs(with_width(width), input_dim, num_phones).weights

    low, high = 1, WIDEST // step  # in steps; the number of weights grows with the width
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
    return with_width(best)


def read_variants(
    path: str | Path, encoder: AnyEncoderConfig, input_dim: int, num_phones: int
) -> list[Variant]:
    """Read variants from a file.

    Args:
        path: YAML file, name → keys of an encoder.
        encoder: encoder of the recipe, whose number of weights ``width: auto`` aims at.
        input_dim: dimension of the frames.
        num_phones: number of classes.

    Raises:
        ConfigError: if the file cannot be read or a variant is not valid.
    """
    shown = one_line(path)
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
        reason = one_line(" ".join(str(error).split()))
        raise ConfigError(f"{shown}: cannot be read ({reason}); give another file") from None
    if not isinstance(values, Mapping) or not values:
        raise ConfigError(f"{shown}: no variants; write a name and an encoder's keys for each")
    target, variants = costs(encoder, input_dim, num_phones).weights, []
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
        variants.append(Variant(str(name), shape, _series_window(shape)))
    return variants


def _series_window(encoder: AnyEncoderConfig) -> int | str | None:
    """Return the ``window`` of a variant: None unless all blocks have one symmetric window."""
    if not isinstance(encoder, EncoderConfig) or len(set(encoder.windows)) > 1:
        return None
    left, right = encoder.windows[0]
    if left != right:
        return None
    return FULL if left is None else left


def chosen(variants: Sequence[Variant], names: str | None) -> list[Variant]:
    """Return the variants with the given names.

    Args:
        variants: all variants.
        names: names separated by semicolons; None for all.

    Raises:
        ConfigError: if there is no variant of a name.
    """
    if names is None:
        return list(variants)
    by_name = {variant.name: variant for variant in variants}
    wanted = [name.strip() for name in names.split(";") if name.strip()]
    for name in wanted:
        if name not in by_name:
            raise ConfigError(f"--only {name}: no such variant; there are {'; '.join(by_name)}")
    return [by_name[name] for name in wanted]
