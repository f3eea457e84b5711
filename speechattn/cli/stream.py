"""``speechattn stream``: sound on standard input, phones on standard output as they come."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from speechattn.cli.arguments import add_device, add_model_settings, add_precision, int_argument
from speechattn.cli.messages import FAILED, INTERRUPTED, OK, print_line, report
from speechattn.errors import EMPTY, AudioError, UsageError
from speechattn.inference.transcription import phones_within
from speechattn.options import FORMS, STREAMING_MODEL
from speechattn.phones import LABELS

# The model is loaded when the command runs, so that help comes at once.
if TYPE_CHECKING:
    from speechattn.inference.recognizer import Recognizer
    from speechattn.inference.streaming import StreamResult
    from speechattn.segments import Segment

CHUNK_MS = 100
DEFAULT_RATE = 16_000  # Hz
MOST_CHANNELS = 8
# Keys of speechattn.audio.encodings.ENCODINGS, which needs NumPy.
ENCODING_NAMES = (
    ("s16le", "s16be", "u8", "s24le", "s32le", "f32le", "f64le", "mulaw", "alaw")
)  # fmt: skip


def add_stream(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of ``speechattn``.

    Args:
        commands: of the parser.
    """
    stream = commands.add_parser(
        "stream",
        allow_abbrev=False,
        help="print phones while sound comes in on standard input",
        description="Read sound from standard input (raw samples, or a WAV, whose header is "
        "obeyed) and print a line for each phone as soon as it is decided: start and end in "
        "seconds, label, confidence.",
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
        metavar="HZ",
        help="samples a second (default: that of the WAV header, or 16000)",
    )
    stream.add_argument(
        "--channels",
        type=int_argument(1, MOST_CHANNELS),
        metavar="N",
        help="number of interleaved channels, whose mean is heard (default: that of the WAV "
        "header, or 1)",
    )
    stream.add_argument(
        "--encoding",
        choices=ENCODING_NAMES,
        help="how a sample is written (default: as the WAV header says, or s16le: 16-bit signed, "
        "little-endian)",
    )
    stream.add_argument(
        "--phones",
        choices=LABELS,
        default="arpabet",
        help="what phones are called: arpabet, the model's own labels, or ipa (default: arpabet)",
    )
    stream.add_argument(
        "--words",
        action="store_true",
        help="print a line for each word in place of each phone, once it is decided: start and "
        "end in seconds, word, confidence, its phones",
    )
    stream.add_argument(
        "--forms",
        choices=FORMS,
        default=FORMS[0],
        help="which phones a word has: heard, those that were said; dictionary, those that the "
        "dictionary lists for it, which are printed with their word (default: heard)",
    )
    stream.add_argument(
        "--chunk-ms",
        type=int_argument(1, 60_000),
        default=CHUNK_MS,
        metavar="N",
        help="milliseconds of sound that are worked on at a time; longer costs less, shorter "
        f"answers sooner (default: {CHUNK_MS})",
    )
    add_precision(stream, "number format, as for transcribe (default: auto)")
    add_device(stream)


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
    from speechattn.inference.recognizer import load_model

    model = load_model(
        arguments.model,
        device=arguments.device,
        precision=arguments.precision,
        window=arguments.window,
        lm_scale=arguments.lm_scale,
        reading=arguments.reading,
    )
    model.free_loaded_weights()
    # Refuse what cannot be done before any sound has come.
    rate = arguments.sample_rate or DEFAULT_RATE
    model.stream(
        sample_rate=rate, labels=arguments.phones, words=arguments.words, forms=arguments.forms
    )
    try:
        return _transcribe(model, arguments, sys.stdin.buffer)
    except AudioError as error:
        report(f"error: standard input: {error}")
        return FAILED


def _transcribe(model: Recognizer, arguments: argparse.Namespace, source: BinaryIO) -> int:
    """Print the phones or the words of a stream; return the exit status.

    Raises:
        AudioError: if the sound is no good.
        UsageError: if options contradict its header.
    """
    from speechattn.audio.encodings import ENCODINGS
    from speechattn.audio.piped import PipedSamples
    from speechattn.audio.raw import read_start

    try:
        start = read_start(source.read)
    except KeyboardInterrupt:
        return INTERRUPTED
    default = start.header or ("s16le", DEFAULT_RATE, 1)
    name: str = arguments.encoding or default[0]
    rate: int = arguments.sample_rate or default[1]
    channels: int = arguments.channels or default[2]
    if start.header not in (None, (name, rate, channels)):
        has = "{} samples, {} Hz, {} channels".format(*start.header)
        raise UsageError(
            f"standard input: the WAV header says {has}; leave out --encoding, --sample-rate and "
            "--channels"
        )
    encoding = ENCODINGS[name]
    stream = model.stream(
        sample_rate=rate, labels=arguments.phones, words=arguments.words, forms=arguments.forms
    )
    printer = _Printer()
    size = encoding.width * channels
    chunk = size * max(1, rate * arguments.chunk_ms // 1000)
    status, sound = OK, PipedSamples(source.read, start)
    for data in _pieces(sound.read, chunk):
        if data is None:
            status = INTERRUPTED
            break
        whole = len(data) - len(data) % size
        samples = encoding.decode(data[:whole]).reshape(-1, channels)
        printer.add(stream.push(samples.T))
        if whole < len(data):
            status = FAILED
            report(
                f"error: standard input: ends after {len(data) - whole} bytes of a sample of "
                f"{size} ({encoding.width} a channel); the sound is cut off or of another format"
            )
    try:
        printer.add(stream.finish())
    except AudioError as error:
        problem = str(error).removeprefix("stream: ")
        if error.kind == EMPTY:
            problem = "holds no samples; check the program that writes into the pipe"
        report(f"error: standard input: {problem}")
        return status or FAILED
    for warning in (*sound.warnings, *stream.warnings):
        report(f"warning: standard input: {warning}")
    if sound.problem and status == OK:
        report(f"error: standard input: {sound.problem}")
        return FAILED
    return status


def _pieces(read: Callable[[int], bytes], size: int) -> Iterator[bytes | None]:
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
            data: bytes | None = None
            try:
                reading = True
                if not interrupted:
                    data = read(size)
            except KeyboardInterrupt:
                data = None
            finally:
                reading = False
            if data == b"":
                return
            yield data
    finally:
        signal.signal(signal.SIGINT, before)


class _Printer:
    """Prints a line for each phone, or, where there are words, for each word and its phones."""

    def __init__(self) -> None:
        self._phones: list[Segment] = []  # that a word may have which is not decided yet

    def add(self, result: StreamResult) -> None:
        """Print what is new."""
        if result.words is None:
            for phone in result.segments:
                print_line(_line(phone))
            return
        self._phones += result.segments
        for word in result.words:
            said = [one.label for one in phones_within(self._phones, word)]
            self._phones = [one for one in self._phones if one.start >= word.end]
            print_line(" ".join([_line(word), *said]))


def _line(segment: Segment) -> str:
    times = f"{segment.start:.2f} {segment.end:.2f}"
    return f"{times} {segment.label} {segment.confidence:.3f}"
