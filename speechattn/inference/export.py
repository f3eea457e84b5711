"""Models for other runtimes: the encoder and classifier as an ONNX file.

Frames of the front end go in, natural logarithms of posteriors come out, for any number of frames.
Front end and decoder stay in this package: the file's metadata say what they are.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from speechattn.encoder.export import ExportableClassifier
from speechattn.errors import ConfigError, ModelError, cannot_write
from speechattn.files import atomic_path
from speechattn.inference.checkpoint import Checkpoint
from speechattn.segments import SHIFT_MS

INSTALL = "pip install 'speechattn[onnx]'"
INPUT, OUTPUT = "frames", "log_posteriors"
MOST_FRAMES, MOST_SEQUENCES = 1 << 24, 1 << 10  # that the graph is checked for
_EXAMPLE_FRAMES = 123


def export_program(checkpoint: Checkpoint) -> torch.export.ExportedProgram:
    """Return the encoder and classifier as a program of ``torch.export``.

    It takes frames of shape (batch, frames, dimension), more of them than the model stacks, and
    returns natural logarithms of posteriors, shape (batch, frames, phones).

    Raises:
        ConfigError: if its encoder has no attention.
    """
    model = ExportableClassifier(checkpoint.classifier)
    least = checkpoint.classifier.config.stack + 1
    sizes = {
        0: torch.export.Dim("batch", min=1, max=MOST_SEQUENCES),
        1: torch.export.Dim("frames", min=least, max=MOST_FRAMES),
    }
    example = torch.zeros(2, _EXAMPLE_FRAMES, checkpoint.front_end.dim)
    return torch.export.export(
        model,
        (example,),
        dynamic_shapes={"frames": sizes},
        strict=False,
        prefer_deferred_runtime_asserts_over_guards=True,
    )


def export_onnx(checkpoint: Checkpoint, path: str | Path) -> None:
    """Write the encoder and classifier as an ONNX file, whole or not at all.

    Args:
        checkpoint: the model, as ``load_model(...).checkpoint``.
        path: of the file; one that is there is replaced.

    Raises:
        ConfigError: if its encoder has no attention, or the extra ``onnx`` is missing.
        ModelError: if the file cannot be written.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - what torch.onnx writes with
    except ImportError as error:
        raise ConfigError(f"onnx: {error.name} is missing; run `{INSTALL}`") from None
    path, buffer = Path(path), io.BytesIO()
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            export_program(checkpoint),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            verbose=False,
        )
    assert program is not None
    onnx.save_model(program.model_proto, buffer)
    model = onnx.load_model_from_string(buffer.getvalue())
    for value in (*model.graph.input, *model.graph.output):
        for dimension, name in zip(value.type.tensor_type.shape.dim, ("batch", "frames")):
            dimension.dim_param = name
    onnx.helper.set_model_props(model, _metadata(checkpoint))
    try:
        with atomic_path(path) as temporary:
            onnx.save_model(model, str(temporary))
    except OSError as error:
        raise ModelError(cannot_write(path, error)) from error


def _metadata(checkpoint: Checkpoint) -> dict[str, str]:
    values: dict[str, Any] = {
        "name": checkpoint.name,
        "phones": list(checkpoint.phones.names),
        "front_end": checkpoint.front_end.to_dict(),
        "frame_shift_ms": SHIFT_MS,
    }
    return {key: v if isinstance(v, str) else json.dumps(v) for key, v in values.items()}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what PyTorch says of packages that are not needed from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
