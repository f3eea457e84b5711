"""The attention of a stretch of a recording, as the page shows it."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

import torch

from speechattn.audio.features import FrontEnd
from speechattn.encoder.attention_weights import attention_weights
from speechattn.encoder.config import EncoderConfig
from speechattn.errors import UsageError
from speechattn.segments import FRAMES_PER_SECOND, SHIFT_MS, SHIFT_SAMPLES, num_frames
from speechattn.viewer.pictures import ATTENTION_LEVELS, attention_tiles
from speechattn.viewer.tiles import Tiles

if TYPE_CHECKING:
    from speechattn.inference.recognizer import Recognizer
    from speechattn.viewer.recording import Shown

MOST_VALUES = 1_500_000  # weights of a page by default, some 0.7 MB: a minute of the English model
LONGEST = 600.0  # seconds that may be asked for
_RELATIVE = ("none", "rotary", "distance")  # positions whose weights do not depend on the start
_EDGE = 8  # frames at a cut that see mirrored samples, and some to spare


def attention_part(
    recognizer: Recognizer, shown: Shown, span: tuple[float, float] | str | None, executor: Executor
) -> tuple[dict[str, Any], Tiles] | None:
    """Compute the attention weights of a stretch.

    Args:
        recognizer: the model.
        shown: the recording.
        span: stretch in seconds of the recording; None for as much of its beginning as a small
            page holds.
        executor: that encodes the pictures.

    Returns:
        What the page needs to know and the tiles; None for a model without attention in windows,
        if no span was asked for.

    Raises:
        UsageError: if the stretch is empty or too long, or the model has no attention to show.
    """
    classifier = recognizer.checkpoint.classifier
    config = classifier.config
    if not isinstance(config, EncoderConfig) or None in config.windows[0]:
        if span is None:
            return None
        raise UsageError(
            f"--attention: {recognizer.checkpoint.name} has no attention in windows with limits; "
            "leave it out, or give --window"
        )
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
        if end - first > LONGEST * FRAMES_PER_SECOND:
            raise UsageError(
                f"--attention {span[0]:g}-{span[1]:g}: more than {LONGEST:g} s; name a part of it"
            )
    stack = config.stack
    if span is None:
        keys = sum((w[0] or 0) // stack + 1 + (w[1] or 0) // stack for w in config.windows)
        end = min(end, MOST_VALUES // (keys * config.heads) * stack)
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
