"""``speechattn stream``: sound of a pipe or file, phones on standard output as they come."""

from __future__ import annotations

import argparse
import contextlib
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from speechattn.cli.arguments import add_device, add_model_settings, add_precision, int_argument
from speechattn.cli.messages import FAILED, INTERRUPTED, OK, print_line, report
from speechattn.errors import EMPTY, AudioError
from speechattn.inference.transcription import phones_within
from speechattn.options import FORMS, STREAMING_MODEL
from speechattn.phones import LABELS
from speechattn.segments import rounded
from speechattn.text import json_line

# The model is loaded when the command runs, so that help comes at once.
if TYPE_CHECKING:
    from speechattn.cli.stream_sound import StreamSound
    from speechattn.inference.recognizer import Recognizer
    from speechattn.inference.streaming import RecognizerStream, StreamResult
    from speechattn.segments import Segment

T = TypeVar("T")

CHUNK_MS = 100
MOST_CHANNELS = 8
FORMATS = ("text", "jsonl")
PROBABILITY_DECIMALS = 4  # in JSON
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
        help="print phones while sound comes in",
        description="Read sound from standard input (raw samples, or a WAV, whose header is "
        "obeyed) or from a file and print a line for each phone as soon as it is decided: start "
        "and end in seconds, label, confidence.",
        epilog="Examples: `arecord -q -f S16_LE -r 16000 -t raw | speechattn stream`; `speechattn "
        "stream a.flac --format jsonl`. "
        "Exit status: 0 all went well, 1 the sound was no good (phones up to there are printed), 2 "
        "nothing could be done, 130 interrupted, 141 nobody reads the output any more.",
    )
    stream.set_defaults(run=run_stream)
    stream.add_argument(
        "input",
        nargs="?",
        default="-",
        metavar="FILE",
        help="recording of any kind that transcribe reads; a pipe, or, with one of the options "
        "that say how samples are written, a file of raw samples (default: -, standard input)",
    )
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
        "end in seconds, word, confidence, its phones; in jsonl the phones have lines as well",
    )
    stream.add_argument(
        "--format",
        choices=FORMATS,
        default=FORMATS[0],
        help="of the lines: text, or jsonl, a JSON object each: start, end, phone and confidence; "
        "of a word start, end, word, confidence and phones (default: text)",
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
        UsageError: if there is no such file, or standard input is a terminal or closed.
        SpeechattnError: if the model cannot be loaded or cannot stream.
    """
    from speechattn.cli.stream_sound import DEFAULT_RATE, STANDARD_INPUT, check_source, open_sound
    from speechattn.inference.recognizer import load_model

    check_source(arguments)
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
    _stream(model, arguments, arguments.sample_rate or DEFAULT_RATE)
    name = STANDARD_INPUT if arguments.input == "-" else arguments.input
    with contextlib.ExitStack() as stack:
        try:
            sound = open_sound(arguments, stack)
            return _transcribe(model, arguments, sound)
        except AudioError as error:
            report(f"error: {_named(name, error)}")
            return FAILED
        except KeyboardInterrupt:
            return INTERRUPTED


def _stream(model: Recognizer, arguments: argparse.Namespace, rate: int) -> RecognizerStream:
    return model.stream(
        sample_rate=rate, labels=arguments.phones, words=arguments.words, forms=arguments.forms
    )


def _named(name: str, error: AudioError) -> str:
    """The message of an error, with the name of what is heard before it."""
    message = str(error).removeprefix("stream: ")
    return message if message.startswith(f"{name}: ") else f"{name}: {message}"


def _transcribe(model: Recognizer, arguments: argparse.Namespace, sound: StreamSound) -> int:
    """Print the phones or the words of a stream; return the exit status.

    Raises:
        AudioError: if the sound is no good.
    """
    stream = _stream(model, arguments, sound.sample_rate)
    printer = _JsonPrinter() if arguments.format == "jsonl" else _Printer()
    status = OK
    for samples in _until_interrupted(sound.pieces(arguments.chunk_ms)):
        if samples is None:
            status = INTERRUPTED
            break
        printer.add(stream.push(samples))
    if sound.problem and status == OK:
        report(f"error: {sound.name}: {sound.problem}")
        status = FAILED
    try:
        printer.add(stream.finish())
    except AudioError as error:
        if error.kind == EMPTY:
            error = AudioError("holds no samples; check the program that writes them")
        report(f"error: {_named(sound.name, error)}")
        return status or FAILED
    for warning in dict.fromkeys((*sound.warnings, *stream.warnings)):
        report(f"warning: {sound.name}: {warning}")
    return status


def _until_interrupted(pieces: Iterator[T]) -> Iterator[T | None]:
    """Yield pieces of sound; None if interrupted.

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
            piece: T | None = None
            try:
                reading = True
                if not interrupted:
                    piece = next(pieces)
            except StopIteration:
                return
            except KeyboardInterrupt:
                piece = None
            finally:
                reading = False
            yield piece
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
        for word, said in self._words(result):
            print_line(" ".join([_line(word), *said]))

    def _words(self, result: StreamResult) -> Iterator[tuple[Segment, list[str]]]:
        """Yield the words that are new, with the labels of their phones."""
        if result.words is None:
            return
        self._phones += result.segments
        for word in result.words:
            said = [one.label for one in phones_within(self._phones, word)]
            self._phones = [one for one in self._phones if one.start >= word.end]
            yield word, said


class _JsonPrinter(_Printer):
    """Prints a JSON object for each phone and, where there are words, for each word."""

    def add(self, result: StreamResult) -> None:
        """Print what is new."""
        for phone in result.segments:
            print_line(json_line(_record(phone, "phone")))
        for word, said in self._words(result):
            print_line(json_line({**_record(word, "word"), "phones": said}))


def _line(segment: Segment) -> str:
    times = f"{segment.start:.2f} {segment.end:.2f}"
    return f"{times} {segment.label} {segment.confidence:.3f}"


def _record(segment: Segment, key: str) -> dict[str, Any]:
    """A phone or word as JSON values; ``key`` is that of its label."""
    return {
        "start": rounded(segment.start),
        "end": rounded(segment.end),
        key: segment.label,
        "confidence": round(float(segment.confidence), PROBABILITY_DECIMALS),
    }
