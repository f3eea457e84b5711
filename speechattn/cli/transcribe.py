"""``speechattn transcribe``: the phones of recordings, one file a recording and format."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speechattn.cli.arguments import add_model_settings
from speechattn.cli.messages import standard_input
from speechattn.cli.print_transcripts import print_transcripts
from speechattn.cli.runs import run_recordings
from speechattn.cli.transcribe_options import (
    FORMAT,
    add_contents,
    add_run,
    add_words,
    add_work,
    model_spec,
    parse_channel,
    parse_formats,
    transcribe_options,
)
from speechattn.inference.model_files import find_model, model_digest
from speechattn.inference.transcription import TranscribeOptions
from speechattn.options import DEFAULT_MODEL, FORMS, READINGS
from speechattn.transcription.inputs import Input, collect
from speechattn.transcription.lists import expanded
from speechattn.transcription.outputs import OutputOptions
from speechattn.transcription.transcriber import TranscriberSpec


def add_transcribe(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of ``speechattn``.

    Args:
        commands: of the parser.
    """
    transcribe = commands.add_parser(
        "transcribe",
        allow_abbrev=False,
        help="write the phones of recordings and when they are spoken",
        description="Write the phones of recordings and when they are spoken. Without "
        "--output-dir they are printed. With it, that folder gets a file for each recording and "
        "format, and transcripts.jsonl with all of them. Folders are searched with all their "
        "folders, and the output folder gets the same ones.",
        epilog="Examples: `speechattn transcribe a.wav`; `speechattn transcribe recordings "
        "--output-dir out --format textgrid,json --words`. Exit status: 0 all recordings went "
        "well, 1 some failed (each is named), 2 nothing could be done, 130 interrupted.",
    )
    transcribe.set_defaults(run=run_transcribe)
    transcribe.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="audio file or folder, or a URL of one (extra fsspec), such as s3://bucket/folder; "
        "- for a recording on standard input, @FILE for a list with an input on each line, @- for "
        "such a list on standard input",
    )
    transcribe.add_argument(
        "--output-dir",
        metavar="DIR",
        help="folder for the results (default: print them on standard output)",
    )
    transcribe.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="NAME_OR_DIR",
        help=f"name or folder of a model (default: {DEFAULT_MODEL}, which comes with the package)",
    )
    transcribe.add_argument(
        "--channel",
        type=parse_channel,
        metavar="N",
        help="of recordings with several channels, the one to take, counted from 0; or all, to "
        "transcribe each by itself, as tiers of one file (default: the mean of all)",
    )
    add_model_settings(transcribe)
    add_contents(transcribe)
    add_words(transcribe)
    add_work(transcribe)
    add_run(transcribe)


def run_transcribe(arguments: argparse.Namespace) -> int:
    """Run ``transcribe``; return the exit status."""
    with contextlib.ExitStack() as stack:
        inputs = expanded(arguments.inputs, stack, standard_input)
        if arguments.output_dir is None:
            return print_transcripts(arguments, inputs)
        return _write_transcripts(arguments, inputs)


def _write_transcripts(arguments: argparse.Namespace, inputs: Sequence[Input]) -> int:
    """Write files into the output folder."""
    formats = tuple(parse_formats(arguments.format or FORMAT))
    options = transcribe_options(arguments, formats)
    outputs = OutputOptions(formats, arguments.posteriors, options.words)
    left_out: list[str] = []
    recordings = collect(
        inputs,
        arguments.output_dir,
        outputs.kinds,
        left_out,
        keep_suffix=arguments.keep_suffix,
    )
    if arguments.shard:
        recordings = arguments.shard.pick(recordings)
    model = find_model(arguments.model)
    record = _record(arguments, model, outputs, options)
    spec = TranscriberSpec(model_spec(arguments, model), outputs, options)
    return run_recordings(arguments, spec, inputs, recordings, record, left_out=left_out)


def _record(
    arguments: argparse.Namespace, model: Path, outputs: OutputOptions, options: TranscribeOptions
) -> dict[str, Any]:
    """Return what ``run.json`` says about the run before it begins."""
    from speechattn import __version__

    return {
        "speechattn": __version__,
        "model": {"name": arguments.model, "sha256": model_digest(model)},
        "settings": {
            "formats": list(outputs.formats),
            "labels": options.labels,
            "alternatives": options.alternatives,
            "posteriors": outputs.posteriors,
            "channel": options.channel,
            "threads": arguments.threads,
            "precision": arguments.precision,
            **({"keep_suffix": True} if arguments.keep_suffix else {}),
            **({"window": list(arguments.window)} if arguments.window else {}),
            **({} if arguments.lm_scale is None else {"lm_scale": arguments.lm_scale}),
            **({} if arguments.reading == READINGS[0] else {"reading": arguments.reading}),
            **({"words": True} if options.words else {}),
            **({} if options.forms == FORMS[0] else {"forms": options.forms}),
        },
        "shard": str(arguments.shard) if arguments.shard else None,
    }
