"""``speechattn transcribe`` and ``align`` without an output folder: results on standard output."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from speechattn.cli.messages import FAILED, INTERRUPTED, OK, print_text, report
from speechattn.cli.transcribe_options import (
    PRINTED_FORMAT,
    model_spec,
    parse_formats,
    transcribe_options,
)
from speechattn.errors import UsageError
from speechattn.inference.model_files import find_model
from speechattn.transcription.batch import choose_pool, write_errors
from speechattn.transcription.inputs import Input, Recording, find_recordings, left_out_message
from speechattn.transcription.outputs import OutputOptions
from speechattn.transcription.printing import PrinterSpec, check_printable, print_all
from speechattn.transcription.run_record import Summary
from speechattn.transcription.transcriber import TranscriberSpec

# Options that are about files, with what stands for "not given".
_ABOUT_FILES = (
    ("posteriors", None), ("resume", False), ("shard", None), ("ray", None), ("keep_suffix", False)
)  # fmt: skip


def print_transcripts(arguments: argparse.Namespace, inputs: Sequence[Input]) -> int:
    """Print what is heard in recordings; return the exit status.

    Args:
        arguments: of the command.
        inputs: lists expanded.

    Raises:
        UsageError: if an option is about files, or recordings cannot be printed in the format.
    """
    format = printed_format(arguments, "txt" if arguments.words else PRINTED_FORMAT)
    options = transcribe_options(arguments, (format,))
    recordings = recordings_to_print(inputs, format, words=options.words)
    model = model_spec(arguments, find_model(arguments.model))
    outputs = OutputOptions((format,), None, options.words)
    spec = PrinterSpec(model, TranscriberSpec(model, outputs, options), format)
    return print_recordings(arguments, spec, recordings)


def printed_format(arguments: argparse.Namespace, default: str) -> str:
    """Return the format that is printed.

    Args:
        arguments: of the command.
        default: format where none is given.

    Raises:
        UsageError: if there are several, or an option is about files.
    """
    for name, without in _ABOUT_FILES:
        if getattr(arguments, name) != without:
            raise UsageError(f"--{name.replace('_', '-')}: is about files; give --output-dir")
    formats = parse_formats(arguments.format or default)
    if len(formats) > 1:
        raise UsageError(
            f"--format {arguments.format}: one is printed; give --output-dir to write several"
        )
    return formats[0]


def recordings_to_print(inputs: Sequence[Input], format: str, *, words: bool) -> list[Recording]:
    """Return the recordings, each once, in their order.

    Args:
        inputs: lists expanded.
        format: that is printed.
        words: whether words are printed too.

    Raises:
        UsageError: if there are none, or they cannot be printed in the format.
    """
    left_out: list[str] = []
    found = dict.fromkeys(find_recordings(inputs, left_out))
    if left_out:
        report(left_out_message(left_out))
    check_printable(format, len(found), words=words)
    return [Recording(path, file, {}) for path, file in found]


def print_recordings(
    arguments: argparse.Namespace,
    spec: PrinterSpec,
    recordings: Sequence[Recording],
    at_end: Callable[[Sequence[dict[str, Any]], Summary], None] | None = None,
) -> int:
    """Print recordings in their order; return the exit status.

    Args:
        arguments: of the command.
        spec: what each process needs.
        recordings: without outputs.
        at_end: writes the file of ``--errors`` and reports more, from the records of the
            recordings; None to write the failures alone.
    """
    pool = choose_pool(spec, arguments.workers, recordings, grouping=None)
    summary, began = Summary(), time.perf_counter()
    records = []
    progress = not arguments.quiet and not sys.stdout.isatty()
    try:
        for printed in print_all(recordings, pool, progress=progress):
            summary.add(printed.record)
            records.append(printed.record)
            if printed.text is not None:
                print_text(printed.text)
                for warning in () if arguments.quiet else printed.record["warnings"]:
                    report(f"warning: {printed.record['file']}: {warning}")
                continue
            report(f"failed: {printed.record['error']}")
            if arguments.fail_fast:
                break
    except KeyboardInterrupt:
        report("interrupted")
        return INTERRUPTED
    summary.wall_seconds = time.perf_counter() - began
    if at_end is not None:
        at_end(records, summary)
    elif arguments.errors:
        write_errors(arguments.errors, summary)
    if len(recordings) > 1 and not arguments.quiet:
        report(str(summary))
    return FAILED if summary.failures else OK
