"""Digits as sets of pixels: self-attention against a CNN of as many weights, by number of images.

Every pixel is a vector made from its intensity and its position. Attention has to learn which
pixels are neighbours, and can (Cordonnier et al., 2020); a convolution is built on it. The data are
scikit-learn's 1,797 images of 8 x 8 pixels; the last ones are for testing. The report has a picture
of accuracy by number of images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from torch import Tensor, nn

from speechattn.checks import check
from speechattn.errors import ConfigError, SpeechattnError
from speechattn.evaluation.pictures import DPI, save_figure
from speechattn.studies.trials import (
    FitConfig,
    StudyConfig,
    apply_layers,
    attention_layers,
    fit,
    interval,
    missing,
    percent,
    run_trials,
    weights_of,
)
from speechattn.text import table
from speechattn.training.stages import fingerprint

SIDE, DIGITS, INK = 8, 10, 16  # pixels, classes, and the darkest a pixel can be
CNN, ATTENTION = "CNN", "attention, everything"
PLACES_STD = 0.3  # standard deviation of the initial position vectors
PICTURE = "images.png"
MARKERS = "os^vD<>ph*XP"
APART = 1.03  # factor between neighbouring error bars, so that they do not hide each other


@dataclass(frozen=True)
class Config(StudyConfig):
    """A recipe of this study.

    Attributes:
        images: sizes of the training sets, in images; each has about as many images of every
            digit. Null for all images.
        test: number of images for testing, taken from the end of the data.
        width: width of the vector of a pixel.
        heads: number of heads of each attention layer.
        layers: number of attention layers.
        reaches: windows to compare with full attention, in pixels to each side.
        training: how each model is trained.
    """

    name: str = "pixels"
    work_dir: str = "data/runs/pixels"
    images: tuple = (50, 100, 200, 500, None)
    test: int = 450
    width: int = 24
    heads: int = 4
    layers: int = 2
    reaches: tuple = (1,)
    training: FitConfig = field(default_factory=lambda: FitConfig(steps=400, batch=16))

    def __post_init__(self) -> None:
        super().__post_init__()
        check("", self, ("test", "width", "heads", "layers"), lambda v: v >= 1, "from 1 on")
        if self.width % self.heads:
            raise ConfigError(f"heads: {self.heads}; they must divide the width, {self.width}")
        for name, least in (("images", DIGITS), ("reaches", 0)):
            values = getattr(self, name)
            for value in values:
                whole = type(value) is int and value >= least
                if not whole and not (name == "images" and value is None):
                    raise ConfigError(f"{name}: {value!r}; whole numbers, {least} or more")
            if len(set(values)) < len(values):
                raise ConfigError(f"{name}: {list(values)}; list each once")
        if not self.images:
            raise ConfigError("images: empty; list at least one number, or null for all")


class Images(NamedTuple):
    """Images and their digits.

    Attributes:
        pixels: from 0 to 1, shape (images, 8, 8).
        digits: shape (images,).
    """

    pixels: Tensor
    digits: Tensor

    def part(self, chosen: Tensor | slice) -> Images:
        """Return some of the images."""
        return Images(self.pixels[chosen], self.digits[chosen])


class PixelAttention(nn.Module):
    """Self-attention over pixels, and a linear classifier of all their vectors, concatenated.

    Args:
        config: width, heads and layers.
        reach: pixels to each side that a pixel sees; None for all.
    """

    def __init__(self, config: Config, reach: int | None) -> None:
        super().__init__()
        seen: object = "everything"
        if reach is not None:
            seen = {"grid": [SIDE, SIDE], "reach": [reach, reach]}
        self.enter = nn.Linear(1, config.width)
        self.places = nn.Parameter(torch.randn(SIDE * SIDE, config.width) * PLACES_STD)
        self.layers = attention_layers(config.width, config.heads, config.layers, mask=seen)
        self.norm = nn.LayerNorm(config.width)
        self.leave = nn.Linear(SIDE * SIDE * config.width, DIGITS)

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute scores, shape (images, 10), of pixels, shape (images, 8, 8)."""
        x = self.enter(pixels.flatten(1)[:, :, None]) + self.places
        return self.leave(self.norm(apply_layers(self.layers, x)).flatten(1))


def cnn(weights: int) -> nn.Sequential:
    """Make a CNN of about so many weights: three 3 x 3 convolutions, two poolings.

    The design is that of LeCun et al. (1998).
    """

    def made(channels: int) -> nn.Sequential:
        def convolution(count_in: int, count_out: int) -> list[nn.Module]:
            return [nn.Conv2d(count_in, count_out, 3, padding=1), nn.ReLU()]

        layers = [*convolution(1, channels), *convolution(channels, channels), nn.MaxPool2d(2)]
        layers += [*convolution(channels, 2 * channels), nn.MaxPool2d(2), nn.Flatten()]
        layers += [nn.Linear(2 * channels * (SIDE // 4) ** 2, DIGITS)]
        return nn.Sequential(nn.Unflatten(1, (1, SIDE)), *layers)

    channels = 1
    while weights_of(made(channels + 1)) <= weights:
        channels += 1
    return min((made(channels), made(channels + 1)), key=lambda m: abs(weights_of(m) - weights))


def read_images() -> Images:
    """Read the digits of scikit-learn.

    Raises:
        UsageError: if scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise missing("scikit-learn") from None
    digits = load_digits()
    return Images(
        torch.tensor(digits.images, dtype=torch.float32) / INK, torch.tensor(digits.target)
    )


def draw(digits: Tensor, count: int | None, seed: int) -> Tensor:
    """Draw images in turns of one image of every digit; return their indices.

    Args:
        digits: digits of all images, shape (images,).
        count: number of images to draw; None for all.
        seed: seed of the draw.
    """
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(seed))
    before = F.one_hot(digits[order], DIGITS).cumsum(0).gather(1, digits[order][:, None])[:, 0]
    return order[before.argsort(stable=True)][:count]


def check_images(config: Config, images: Images) -> Images:
    """Return the images for training.

    Raises:
        SpeechattnError: if they are fewer than the recipe says, or a digit has none.
    """
    train = images.part(slice(0, max(0, len(images.digits) - config.test)))
    counts = torch.bincount(train.digits, minlength=DIGITS)
    if not counts.all():
        digit = int((counts == 0).nonzero()[0])
        raise SpeechattnError(f"test: {config.test}: no image of {digit} to train on; lower it")
    most = max(count or 0 for count in config.images)
    if most > len(train.digits):
        raise SpeechattnError(
            f"images: {most}; there are {len(train.digits)} beside those for testing: give fewer, "
            "or null for all"
        )
    return train


def train_and_score(
    config: Config,
    images: Images,
    make: Callable[[], nn.Module],
    count: int | None,
    seed: int,
) -> dict[str, float]:
    """Train a model; return its accuracy on the test images and its number of weights.

    Args:
        config: recipe.
        images: all images.
        make: makes the model.
        count: number of images to train on; None for all.
        seed: seed of the images, the weights and the training.
    """
    train = check_images(config, images)
    train = train.part(draw(train.digits, count, seed))
    test = images.part(slice(len(images.digits) - config.test, None))
    torch.manual_seed(seed)
    model = make()

    def loss(chosen: Tensor) -> Tensor:
        return F.cross_entropy(model(train.pixels[chosen]), train.digits[chosen])

    fit(model, loss, len(train.digits), config.training, seed)
    with torch.inference_mode():
        right = model(test.pixels).argmax(1) == test.digits
    return {
        "images": len(train.digits),
        "accuracy": right.double().mean().item(),
        "weights": weights_of(model),
    }


def check_data(config: Config) -> None:
    """Raise what :func:`run` would raise before any training."""
    check_images(config, read_images())


def run(config: Config, force: bool, report: Callable[[str], None]) -> None:
    """Train every model on every number of images with every seed; see :func:`run_trials`."""
    images = read_images()
    check_images(config, images)
    weights = weights_of(PixelAttention(config, None))
    models: dict[str, Callable[[], nn.Module]] = {
        CNN: partial(cnn, weights),
        ATTENTION: partial(PixelAttention, config, None),
    }
    for reach in config.reaches:
        models[f"attention, {2 * reach + 1} x {2 * reach + 1}"] = partial(
            PixelAttention, config, reach
        )
    trials = {
        (f"{name}, {count or 'all'} images", seed): partial(
            train_and_score, config, images, make, count, seed
        )
        for seed in config.all_seeds
        for count in config.images
        for name, make in models.items()
    }
    data = fingerprint([images.pixels.tolist(), images.digits.tolist()])
    run_trials(config, data, trials, partial(write, config=config), force=force, report=report)


def write(rows: Sequence[dict], config: Config) -> str:
    """Write the report and its picture: accuracies by model and number of images."""
    accuracies: dict[str, dict[int, list[float]]] = {}
    weights = {}
    for row in rows:
        name = row["trial"].rpartition(", ")[0]
        accuracies.setdefault(name, {}).setdefault(row["images"], []).append(row["accuracy"])
        weights[name] = row["weights"]
    counts = sorted(accuracies[CNN])
    cells = [
        [name, f"{weights[name]:,}", *(percent(by_count[count]) for count in counts)]
        for name, by_count in accuracies.items()
    ]
    header = ("model", "weights", *(f"{count:,} images" for count in counts))
    learning_picture(Path(config.work_dir) / PICTURE, accuracies)
    comparisons = [
        compare(count, accuracies[CNN][count], accuracies[ATTENTION][count]) for count in counts
    ]
    measured = f"Percent right of {config.test} test images after {config.training.steps} updates"
    seeds = f"means of {config.seeds} seeds, each with images and weights of its own, ± 95 %"
    lines = (
        f"{measured}; {seeds}.",
        table(header, cells),
        "The CNN beside attention to everything, seed by seed:",
        "\n".join(comparisons),
        f"![accuracy by number of images]({PICTURE})",
    )
    return "\n\n".join(lines)


def compare(count: int, cnn: Sequence[float], attention: Sequence[float]) -> str:
    """Return a line on which model is more accurate, and whether the difference is significant.

    Args:
        count: number of images.
        cnn: accuracies of the CNN, by seed.
        attention: accuracies of attention, by seed.
    """
    difference, half = interval([a - b for a, b in zip(cnn, attention, strict=True)])
    name = "the CNN" if difference > 0 else "attention"
    line = f"- {count:,} images: {name} is ahead by {100 * abs(difference):.1f}"
    if math.isnan(half):
        return f"{line} points in the one seed"
    doubt = "" if abs(difference) > half else ", no more than chance may make"
    return f"{line} ± {100 * half:.1f} points{doubt}"


def learning_picture(
    path: str | Path, accuracies: Mapping[str, Mapping[int, Sequence[float]]]
) -> None:
    """Draw accuracy by number of images, a line for every model, with intervals over seeds.

    Args:
        path: PNG file to write.
        accuracies: model → number of images → accuracy of each seed.

    Raises:
        UsageError: if the file cannot be written.
    """
    figure = Figure(figsize=(6.4, 4.4), dpi=DPI, layout="constrained")
    axis = figure.subplots()
    counts = sorted({count for by_count in accuracies.values() for count in by_count})
    middle = (len(accuracies) - 1) / 2
    for number, (name, by_count) in enumerate(accuracies.items()):
        own = sorted(by_count)
        means, halves = np.array([interval(by_count[count]) for count in own]).T
        bars = np.minimum(halves, [means, 1 - means])  # accuracies are between 0 and 1
        beside = np.array(own) * APART ** (number - middle)
        marker = MARKERS[number % len(MARKERS)]
        axis.errorbar(beside, means, bars, marker=marker, markersize=4, capsize=3, label=name)
    axis.set_xscale("log")
    axis.set_xticks(counts, [f"{count:,}" for count in counts])
    axis.minorticks_off()
    axis.set_xlabel("images trained on")
    axis.set_ylabel("test images right")
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axis.grid(color="#e5e5e5", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False)
    save_figure(path, figure)
