"""``speechattn export``: a model's encoder and classifier as an ONNX file."""

from __future__ import annotations

import argparse

from speechattn.cli.messages import OK, report


def add_export(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of ``speechattn``."""
    export = commands.add_parser(
        "export",
        help="write a model's encoder and classifier as an ONNX file",
        description="Write a model's encoder and classifier as an ONNX file (extra onnx), for "
        "other runtimes: frames of the front end in, log posteriors out, for any number of "
        "frames. Phones and front end are in the file's metadata.",
    )
    export.set_defaults(run=run_export)
    export.add_argument("model", metavar="MODEL", help="name or folder of a model")
    export.add_argument("output", metavar="OUT.onnx", help="file to write")


def run_export(arguments: argparse.Namespace) -> int:
    """Run ``export``; return the exit status.

    Raises:
        SpeechattnError: if there is no such model, or it cannot be exported or written.
    """
    from speechattn.inference.checkpoint import Checkpoint
    from speechattn.inference.export import export_onnx
    from speechattn.inference.model_files import find_model

    export_onnx(Checkpoint.load(find_model(arguments.model)), arguments.output)
    report(f"{arguments.output}: written")
    return OK
