"""The attention of a stretch of a recording, as the page shows it."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch

from speechattn.audio.features import FrontEnd
from speechattn.encoder.attention_weights import attention_weights
from speechattn.encoder.config import EncoderConfig
from speechattn.errors import UsageError
from speechattn.segments import FRAMES_PER_SECOND, SHIFT_MS, SHIFT_SAMPLES, num_frames
from speechattn.viewer.pictures import ATTENTION_LEVELS, attention_tiles
from speechattn.viewer.tiles import Tiles

if TYPE_CHECKING:
    from speechattn.inference.checkpoint import Checkpoint
    from speechattn.inference.recognizer import Recognizer
    from speechattn.viewer.recording import Shown

MOST_VALUES = 10_000_000  # weights of a page by default, some 2.4 MB: 21 s of the English model
LONGEST = 600.0  # seconds that may be asked for, of all recordings of a page
LEAST = 1.0  # seconds that are worth a picture, where a recording is longer
_RELATIVE = ("none", "rotary", "distance")  # positions whose weights do not depend on the start
_EDGE = 8  # frames at a cut that see mirrored samples, and some to spare


@dataclass
class Room:
    """What a page still holds of attention that nobody asked for.

    Attributes:
        values: weights.
        left_out: recordings that found no room.
    """

    values: int
    left_out: int = 0


def shown_config(checkpoint: Checkpoint) -> EncoderConfig | None:
    """Return the configuration of a model whose attention can be shown; None for another."""
    config = checkpoint.classifier.config
    fits = isinstance(config, EncoderConfig) and None not in config.windows[0]
    return cast(EncoderConfig, config) if fits else None


def check_head(checkpoint: Checkpoint, head: tuple[int, int]) -> None:
    """Refuse a head that a model does not have.

    Args:
        checkpoint: the model.
        head: layer and head, from 0.

    Raises:
        UsageError: if it has none such, or no attention to show.
    """
    (layer, number), config = head, shown_config(checkpoint)
    option = f"--head {layer + 1}/{number + 1}"
    if config is None:
        raise _nothing_to_show(option, checkpoint)
    if not (0 <= layer < len(config.windows) and 0 <= number < config.heads):
        raise UsageError(
            f"{option}: {checkpoint.name} has {len(config.windows)} layers of {config.heads} heads"
        )


def _nothing_to_show(option: str, checkpoint: Checkpoint) -> UsageError:
    return UsageError(
        f"{option}: {checkpoint.name} has no attention in windows with limits; leave it out, or "
        "give --window"
    )


def attention_part(
    recognizer: Recognizer,
    shown: Shown,
    span: tuple[float, float] | str | None,
    executor: Executor,
    room: Room,
) -> tuple[dict[str, Any], Tiles] | None:
    """Compute the attention weights of a stretch.

    Args:
        recognizer: the model.
        shown: the recording.
        span: stretch in seconds of the recording; None for as much of its beginning as there is
            room for.
        executor: that encodes the pictures.
        room: in the page, which becomes less.

    Returns:
        What the page needs to know and the tiles; None, if no span was asked for, for a model
        without attention in windows and where there is no room.

    Raises:
        UsageError: if the stretch is empty, or the model has no attention to show.
    """
    classifier = recognizer.checkpoint.classifier
    config = shown_config(recognizer.checkpoint)
    if config is None:
        if span is None:
            return None
        raise _nothing_to_show("--attention", recognizer.checkpoint)
    frames_in_all = num_frames(len(shown.samples))
    first, end = 0, frames_in_all
    if isinstance(span, tuple):
        first, end = (round((time - shown.origin) * FRAMES_PER_SECOND) for time in span)
        first, end = max(0, first), min(end, frames_in_all)
        if not first < end:
            raise UsageError(
                f"--attention {span[0]:g}-{span[1]:g}: {shown.file} has {shown.duration:.2f} s "
                f"from {shown.origin:g} s on; name a stretch of it"
            )
    stack = config.stack
    if span is None:
        keys = sum((w[0] or 0) // stack + 1 + (w[1] or 0) // stack for w in config.windows)
        of_vector = keys * config.heads
        end = min(end, room.values // of_vector * stack)
        if end < min(frames_in_all, LEAST * FRAMES_PER_SECOND):
            room.left_out += 1
            return None
        room.values -= -(-end // stack) * of_vector
    first = first // stack * stack
    context = config.context(0), config.context(1)
    begin, stop = 0, frames_in_all
    if config.positions in _RELATIVE and None not in context:
        begin = max(0, first - (context[0] or 0) - _EDGE) // stack * stack
        stop = min(stop, end + (context[1] or 0) + stack + _EDGE)
    part = shown.samples[begin * SHIFT_SAMPLES :]
    if stop < frames_in_all:
        part = part[: (stop - begin) * SHIFT_SAMPLES]
    device = next(classifier.parameters()).device
    frames = FrontEnd(recognizer.checkpoint.front_end)(torch.from_numpy(part)).to(device)
    layers = attention_weights(classifier, frames, first - begin, end - begin)
    rate = FRAMES_PER_SECOND / stack
    tiles = attention_tiles(layers, first / FRAMES_PER_SECOND, rate, executor)
    facts = {
        "heads": config.heads,
        "left": [layer.left for layer in layers],
        "right": [layer.weights.shape[2] - layer.left - 1 for layer in layers],
        "vectorSeconds": stack * SHIFT_MS / 1000,
        "levels": ATTENTION_LEVELS,
        "start": first / FRAMES_PER_SECOND,
        "end": end / FRAMES_PER_SECOND,
    }
    return facts, tiles
