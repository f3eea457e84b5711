"""``speechattn warmup``: prepare this machine, or an image of one, for the first recording."""

from __future__ import annotations

import argparse
import time

from speechattn import cache
from speechattn.cli.arguments import add_precision
from speechattn.cli.messages import OK, print_line, report
from speechattn.errors import ConfigError
from speechattn.options import DEFAULT_MODEL

SECONDS = 2.0  # of noise that each model transcribes


def add_warmup(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of ``speechattn``."""
    warmup = commands.add_parser(
        "warmup",
        help="compile and prepare models, so that the first recording does not wait for it",
        description="Compile what transcription needs, --words included, and lay models out in the "
        "cache folder, as the first run would do. In an image, run it as the user who will "
        f"transcribe, and set {cache.VARIABLE} to a folder of the image.",
    )
    warmup.set_defaults(run=run_warmup)
    warmup.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help=f"names or folders of models (default: {DEFAULT_MODEL})",
    )
    add_precision(warmup, "as it will be given to transcribe (default: auto)")


def run_warmup(arguments: argparse.Namespace) -> int:
    """Run ``warmup``; return the exit status.

    Raises:
        SpeechattnError: if a model cannot be loaded.
    """
    from speechattn.transcription.model_spec import ModelSpec

    for name in arguments.models or [DEFAULT_MODEL]:
        began = time.perf_counter()
        model = ModelSpec(name, "cpu", precision=arguments.precision)
        recognizer, facts = model.load(to_decode=True)

        import numpy as np

        from speechattn.inference.transcription import TranscribeOptions
        from speechattn.segments import SAMPLE_RATE

        noise = np.random.default_rng(0).normal(0, 0.01, round(SECONDS * SAMPLE_RATE))
        samples = noise.astype(np.float32)
        try:
            recognizer.check(TranscribeOptions(words=True))
        except ConfigError:  # it knows none
            recognizer.transcribe(samples, sample_rate=SAMPLE_RATE)
        else:
            recognizer.transcribe(samples, sample_rate=SAMPLE_RATE, words=True)
        seconds = time.perf_counter() - began
        print_line(f"{name}: ready in {facts['precision']} ({seconds:.1f} s)")
    folder = cache.folder()
    if folder is None:
        report(f"no cache: set {cache.VARIABLE} to a folder, or the next run starts anew")
    else:
        print_line(f"cache: {folder}")
    return OK
