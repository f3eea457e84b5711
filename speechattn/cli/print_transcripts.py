"""``speechattn transcribe`` without an output folder: results on standard output."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

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
from speechattn.transcription.printing import PrinterSpec, check_printable, print_all
from speechattn.transcription.run_record import Summary

# Options that are about files, with what stands for "not given".
_ABOUT_FILES = (
    ("posteriors", None), ("resume", False), ("shard", None), ("ray", None), ("keep_suffix", False)
)  # fmt: skip


def print_transcripts(arguments: argparse.Namespace, inputs: Sequence[Input]) -> int:
    """Print recordings in their order; return the exit status.

    Args:
        arguments: of the command.
        inputs: lists expanded.

    Raises:
        UsageError: if an option is about files, or recordings cannot be printed in the format.
    """
    for name, default in _ABOUT_FILES:
        if getattr(arguments, name) != default:
            raise UsageError(f"--{name.replace('_', '-')}: is about files; give --output-dir")
    format = _format(arguments)
    options = transcribe_options(arguments, (format,))
    left_out: list[str] = []
    found = dict.fromkeys(find_recordings(inputs, left_out))  # each once
    recordings = [Recording(path, file, {}) for path, file in found]
    if left_out:
        report(left_out_message(left_out))
    check_printable(format, options, len(recordings))
    spec = PrinterSpec(model_spec(arguments, find_model(arguments.model)), options, format)
    pool = choose_pool(spec, arguments.workers, recordings, grouping=None)
    summary, began = Summary(), time.perf_counter()
    progress = not arguments.quiet and not sys.stdout.isatty()
    try:
        for printed in print_all(recordings, pool, progress=progress):
            summary.add(printed.record)
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
    if arguments.errors:
        write_errors(arguments.errors, summary)
    if len(recordings) > 1 and not arguments.quiet:
        report(str(summary))
    return FAILED if summary.failures else OK


def _format(arguments: argparse.Namespace) -> str:
    """Return the format that is printed."""
    if arguments.format is None:
        return "txt" if arguments.words else PRINTED_FORMAT
    formats = parse_formats(arguments.format)
    if len(formats) > 1:
        raise UsageError(
            f"--format {arguments.format}: one is printed; give --output-dir to write several"
        )
    return formats[0]
