"""``speechattn stream``: raw samples on standard input, phones on standard output as they come."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from speechattn.cli.arguments import add_model_settings, int_argument
from speechattn.cli.messages import print_line, report
from speechattn.errors import AudioError, UsageError
from speechattn.options import STREAMING_MODEL

# PyTorch is imported when the command runs, so that help comes at once.
if TYPE_CHECKING:
    from speechattn.segments import Segment

OK, FAILED, INTERRUPTED = 0, 1, 130
BYTES = 2  # of a sample: signed, little-endian
CHUNK_MS = 100
MOST_CHANNELS = 8
FULL_SCALE = 32768.0


def add_stream(commands: argparse._SubParsersAction, devices: Iterable[str]) -> None:
    """Add the command to those of ``speechattn``.

    Args:
        commands: of the parser.
        devices: where a model may compute.
    """
    stream = commands.add_parser(
        "stream",
        allow_abbrev=False,
        help="print phones while sound comes in on standard input",
        description="Read raw sound from standard input (16-bit signed little-endian samples "
        "without a header) and print a line for each phone as soon as it is decided: start and "
        "end in seconds, label, confidence.",
        epilog="Example: arecord -q -f S16_LE -r 16000 -t raw | speechattn stream --model MODEL. "
        "Exit status: 0 all went well, 1 the sound was no good (phones up to there are printed), 2 "
        "nothing could be done, 130 interrupted, 141 nobody reads the output any more.",
    )
    stream.set_defaults(run=run_stream)
    stream.add_argument(
        "--model",
        default=STREAMING_MODEL,
        metavar="NAME_OR_DIR",
        help=f"name or folder of a model (default: {STREAMING_MODEL}, which comes with the "
        "package)",
    )
    add_model_settings(stream)
    stream.add_argument(
        "--sample-rate",
        type=int_argument(1, 1_000_000),
        default=16_000,
        metavar="HZ",
        help="of the samples (default: 16000)",
    )
    stream.add_argument(
        "--channels",
        type=int_argument(1, MOST_CHANNELS),
        default=1,
        metavar="N",
        help="interleaved channels, of which the mean is heard (default: 1)",
    )
    stream.add_argument(
        "--chunk-ms",
        type=int_argument(1, 60_000),
        default=CHUNK_MS,
        metavar="N",
        help="sound that is worked on at a time; longer costs less, shorter answers sooner "
        f"(default: {CHUNK_MS})",
    )
    stream.add_argument(
        "--device", choices=devices, default="auto", help="where to compute (default: auto)"
    )


def run_stream(arguments: argparse.Namespace) -> int:
    """Run ``stream``; return the exit status.

    Raises:
        UsageError: if standard input is a terminal or closed.
        SpeechattnError: if the model cannot be loaded or cannot stream.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(
            "standard input: a terminal, or closed; pipe raw samples into the command, such as "
            "those of `arecord -f S16_LE -r 16000 -t raw`"
        )
    import numpy as np

    from speechattn.inference.recognizer import load_model

    model = load_model(
        arguments.model,
        device=arguments.device,
        window=arguments.window,
        lm_scale=arguments.lm_scale,
    )
    stream = model.stream(sample_rate=arguments.sample_rate)
    size = BYTES * arguments.channels
    chunk = size * max(1, arguments.sample_rate * arguments.chunk_ms // 1000)
    status = OK
    try:
        for data in _pieces(sys.stdin.buffer, chunk):
            if data is None:
                status = INTERRUPTED
                break
            whole = len(data) - len(data) % size
            samples = np.frombuffer(data[:whole], "<i2").reshape(-1, arguments.channels)
            _print(stream.push(samples.T / FULL_SCALE).segments)
            if whole < len(data):
                status = FAILED
                report(
                    f"error: standard input: ends after {len(data) - whole} bytes of a sample of "
                    f"{size} ({BYTES} a channel); the sound is cut off or of another format"
                )
        _print(stream.finish().segments)
    except AudioError as error:
        report(f"error: standard input: {error}")
        return status or FAILED
    return status


def _pieces(source: BinaryIO, size: int) -> Iterator[bytes | None]:
    """Yield pieces of ``size`` bytes, the last one shorter; None if interrupted.

    An interrupt, the usual end of a recording from a microphone, stops only the reading. What has
    been read is still transcribed.
    """
    reading = interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        if reading:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        while True:
            try:
                reading = True
                data = None if interrupted else source.read(size)
            except KeyboardInterrupt:
                data = None
            finally:
                reading = False
            if data == b"":
                return
            yield data
    finally:
        signal.signal(signal.SIGINT, before)


def _print(segments: Iterable[Segment]) -> None:
    for segment in segments:
        times = f"{segment.start:.2f} {segment.end:.2f}"
        print_line(f"{times} {segment.label} {segment.confidence:.3f}")
