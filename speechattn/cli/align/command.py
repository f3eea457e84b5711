"""``speechattn align``: when the words and phones of known texts are said."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from speechattn.alignment.encodings import Encoding
from speechattn.alignment.transcripts import find_transcripts
from speechattn.cli.align.options import (
    DESCRIPTION,
    EPILOG,
    NO_REDUCTIONS,
    add_options,
    check_formats,
)
from speechattn.cli.lexicons import report_lexicons
from speechattn.cli.messages import FAILED, OK, report, standard_input
from speechattn.cli.print_transcripts import print_recordings, recordings_to_print
from speechattn.cli.runs import run_recordings
from speechattn.errors import ConfigError, UsageError
from speechattn.inference.model_files import find_model, model_digest
from speechattn.inference.transcription import TranscribeOptions
from speechattn.transcription.inputs import Input, collect
from speechattn.transcription.lists import STANDARD_INPUT, expanded
from speechattn.transcription.model_spec import ModelSpec
from speechattn.transcription.outputs import OutputOptions
from speechattn.transcription.printing import PrinterSpec
from speechattn.transcription.run_record import RunFiles, Summary

MOST_NOTES = 20  # of a kind that are printed one by one


def add_align(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of ``speechattn``.

    Args:
        commands: of the parser.
    """
    align = commands.add_parser(
        "align",
        allow_abbrev=False,
        help="write when the words and phones of known texts are said",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    align.set_defaults(run=run_align)
    add_options(align)


def run_align(arguments: argparse.Namespace) -> int:
    """Run ``align``; return the exit status."""
    with contextlib.ExitStack() as stack:
        where = arguments.text
        if where == STANDARD_INPUT:
            where = _piped_text(arguments.inputs, stack)
        return _align(arguments, expanded(arguments.inputs, stack, standard_input), where)


def _piped_text(inputs: Sequence[str], stack: contextlib.ExitStack) -> str:
    """Copy the text of standard input to a file, and return its path.

    Args:
        inputs: of the command.
        stack: removes the file when it is closed.

    Raises:
        UsageError: if recordings come from there too, or it is a terminal.
    """
    if {STANDARD_INPUT, "@-"} & set(inputs):
        raise UsageError("--text -: recordings come from standard input too; give a file")
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="speechattn-"))
    path = Path(folder, "stdin.txt")
    path.write_bytes(standard_input().read())
    return str(path)


def _align(arguments: argparse.Namespace, inputs: Sequence[Input], where: str) -> int:
    # Imported here: the search is compiled by Numba, which `speechattn --help` does without.
    from speechattn.alignment.reductions import ENGLISH
    from speechattn.alignment.task import AlignerSpec, with_texts
    from speechattn.cli.align.report import AlignReport, records_of

    formats = check_formats(arguments)
    outputs = OutputOptions(formats, arguments.posteriors, words=True)
    options = TranscribeOptions(arguments.channel, posteriors=False, labels=arguments.phones)
    left_out: list[str] = []
    if arguments.output_dir is None:
        recordings = recordings_to_print(inputs, formats[0], words=True)
    else:
        recordings = collect(
            *(inputs, arguments.output_dir, outputs.kinds, left_out),
            keep_suffix=arguments.keep_suffix,
        )
    found = find_transcripts(
        where,
        [recording.file for recording in recordings],
        Encoding(arguments.encoding, "--encoding {}"),
    )
    recordings = with_texts(recordings, found)
    if arguments.shard:
        recordings = arguments.shard.pick(recordings)
    model = find_model(arguments.model)
    files = [str(each) for each in arguments.lexicon]
    if arguments.reductions not in (ENGLISH, NO_REDUCTIONS):
        files.append(arguments.reductions)
    for note in _some(found.notes):
        report(f"note: {note}")
    lines_left_out = report_lexicons(arguments.lexicon, model)
    spec = AlignerSpec(
        ModelSpec(
            str(model),
            arguments.device,
            arguments.threads,
            arguments.precision,
            arguments.window,
        ),
        outputs,
        options,
        tuple(arguments.lexicon),
        arguments.unknown,
        arguments.reductions,
        arguments.every_word,
    )

    def tell(records: Iterable[dict[str, Any]], summary: Summary) -> None:
        AlignReport(records, summary).tell(arguments.errors, quiet=arguments.quiet)

    def at_end(files: RunFiles, summary: Summary) -> None:
        tell(records_of(files, {recording.file for recording in recordings}), summary)

    if arguments.output_dir is None:
        printer = PrinterSpec(spec.model, spec, formats[0])
        status = print_recordings(arguments, printer, recordings, tell)
    else:
        record = _record(arguments, model, outputs, options)
        status = run_recordings(
            *(arguments, spec, inputs, recordings, record),
            left_out=left_out,
            also_shared=files,
            at_end=at_end,
        )
    return FAILED if status == OK and lines_left_out else status


def _record(
    arguments: argparse.Namespace, model: Path, outputs: OutputOptions, options: TranscribeOptions
) -> dict[str, Any]:
    """Return what ``run.json`` says about the run before it begins."""
    from speechattn import __version__

    return {
        "speechattn": __version__,
        "model": {"name": arguments.model, "sha256": model_digest(model)},
        "settings": {
            "task": "align",
            "formats": list(outputs.formats),
            "labels": options.labels,
            "posteriors": outputs.posteriors,
            "channel": options.channel,
            "threads": arguments.threads,
            "precision": arguments.precision,
            "lexicon": [_digest(path) for path in arguments.lexicon],
            "unknown": arguments.unknown,
            "reductions": _digest(arguments.reductions),
            **({"every_word": True} if arguments.every_word else {}),
            **({"keep_suffix": True} if arguments.keep_suffix else {}),
            **({"window": list(arguments.window)} if arguments.window else {}),
        },
        "text": str(arguments.text),
        "shard": str(arguments.shard) if arguments.shard else None,
    }


def _digest(table: str) -> str:
    """What stands for a file in ``run.json``: its SHA-256, or its name if it is ours.

    Raises:
        ConfigError: if it cannot be read.
    """
    from speechattn.alignment.reductions import ENGLISH

    if table in (ENGLISH, NO_REDUCTIONS):
        return table
    try:
        return hashlib.sha256(Path(table).read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(f"{table}: cannot be read ({error.strerror}); check the file") from None


def _some(notes: Sequence[str]) -> Iterator[str]:
    """The first notes, and how many more there are."""
    yield from notes[:MOST_NOTES]
    if len(notes) > MOST_NOTES:
        yield f"and {len(notes) - MOST_NOTES} more like these"
