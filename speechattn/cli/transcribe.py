"""``speechattn transcribe``: the phones of recordings, one file a recording and format."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechattn.cli.arguments import add_model_settings, int_argument
from speechattn.cli.messages import report
from speechattn.errors import UsageError
from speechattn.inference.model_files import find_model, model_digest
from speechattn.inference.transcription import TranscribeOptions
from speechattn.options import (
    ALL_CHANNELS,
    DEFAULT_MODEL,
    FORMS,
    MOST_THREADS,
    PRECISIONS,
    READINGS,
)
from speechattn.phones import LABELS
from speechattn.transcription.batch import WORKERS_ON_CUDA, choose_pool, run_batch, write_errors
from speechattn.transcription.formats.registry import (
    NEED_WORDS,
    POSTERIORS,
    WORDS_CTM,
    WRITERS,
    check_channels,
)
from speechattn.transcription.inputs import Recording, collect, left_out_message, parse_shard
from speechattn.transcription.outputs import OutputOptions
from speechattn.transcription.remote import is_url
from speechattn.transcription.run_record import LOCK, RunFiles, Summary
from speechattn.transcription.transcriber import ModelSpec, TranscriberSpec
from speechattn.transcription.workers.pool import Pool

if TYPE_CHECKING:
    from speechattn.transcription.workers.ray_pool import RayPool

OK, SOME_FAILED, INTERRUPTED = 0, 1, 130
MOST_WORKERS = 1024
MOST_ALTERNATIVES = 100


def parse_formats(text: str) -> list[str]:
    """Split a list such as ``textgrid,ctm``; a format that stands in it twice counts once.

    Raises:
        UsageError: if a format is unknown or none is named.
    """
    names = list(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in WRITERS]
    if unknown or not names:
        what = f"unknown format {unknown[0]!r}" if unknown else "no format"
        raise UsageError(f"--format {text}: {what}; choose from {', '.join(WRITERS)}")
    return names


def parse_channel(text: str) -> int | str:
    """Parse a channel number, counted from 0, or ``all``."""
    if text == ALL_CHANNELS:
        return text
    try:
        channel = int(text)
    except ValueError:
        channel = -1
    if channel < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no channel; the first one is 0, or all")
    return channel


def add_transcribe(commands: argparse._SubParsersAction, devices: Iterable[str]) -> None:
    """Add the command to those of ``speechattn``.

    Args:
        commands: of the parser.
        devices: where a model may compute.
    """
    transcribe = commands.add_parser(
        "transcribe",
        allow_abbrev=False,
        help="write the phones of recordings and when they are spoken",
        description="Write the phones of recordings and when they are spoken, one file a "
        "recording and format, and transcripts.jsonl with all of them. Folders are searched with "
        "all their folders, and the output folder gets the same ones.",
        epilog="Exit status: 0 all recordings went well, 1 some failed (each is named), 2 nothing "
        "could be done, 130 interrupted.",
    )
    transcribe.set_defaults(run=run_transcribe)
    transcribe.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="audio file or folder, or a URL of one (extra fsspec), such as s3://bucket/folder",
    )
    transcribe.add_argument(
        "--output-dir", required=True, metavar="DIR", help="folder for the results"
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
        help="channel to take from recordings with several, counted from 0; all for each by "
        "itself, as tiers of one file (default: their mean)",
    )
    add_model_settings(transcribe)
    _add_contents(transcribe)
    _add_words(transcribe)
    _add_work(transcribe, devices)
    _add_run(transcribe)


def _add_contents(transcribe: argparse.ArgumentParser) -> None:
    """Add the options about the contents of the outputs."""
    transcribe.add_argument(
        "--format",
        default="textgrid",
        metavar="LIST",
        help=f"of {', '.join(WRITERS)}, separated by commas (default: textgrid)",
    )
    transcribe.add_argument(
        "--phones",
        choices=LABELS,
        default="arpabet",
        help="what phones are called in all outputs: arpabet, the model's own labels, or ipa "
        "(default: arpabet)",
    )
    transcribe.add_argument(
        "--alternatives",
        type=int_argument(0, MOST_ALTERNATIVES),
        default=0,
        metavar="N",
        help="give the N most probable other phones with each, in json and in "
        "transcripts.jsonl (default: 0)",
    )
    transcribe.add_argument(
        "--posteriors",
        choices=tuple(POSTERIORS),
        help="write the probability of every phone in every 10 ms as well: npz with the arrays "
        "posteriors, labels and frame_shift, or a Kaldi archive",
    )


def _add_words(transcribe: argparse.ArgumentParser) -> None:
    """Add the options about words."""
    transcribe.add_argument(
        "--words",
        action="store_true",
        help="write the words as well, as tier, list or captions; formats with one sequence of "
        f"labels write them to a file of their own, such as *{WORDS_CTM.suffix}. Implied by "
        f"{' and '.join(NEED_WORDS)}. What is none of the model's words is <unk>",
    )
    transcribe.add_argument(
        "--forms",
        choices=FORMS,
        default=FORMS[0],
        help="phones of words: heard, as they were said, or dictionary, as a dictionary lists "
        "them (default: heard)",
    )


def _add_work(transcribe: argparse.ArgumentParser, devices: Iterable[str]) -> None:
    """Add the options about the use of the machine."""
    transcribe.add_argument(
        "--device", choices=devices, default="auto", help="where to compute (default: auto)"
    )
    transcribe.add_argument(
        "--workers",
        type=int_argument(0, MOST_WORKERS),
        default=0,
        metavar="N",
        help="processes that transcribe side by side, of some 600 MB each; the results are the "
        "same (default: 0, one for each core that may be used, with CUDA "
        f"{WORKERS_ON_CUDA} at most)",
    )
    transcribe.add_argument(
        "--threads",
        type=int_argument(0, MOST_THREADS),
        default=1,
        metavar="N",
        help="threads of each worker, for long recordings that are fewer than the cores; another "
        "number may change the last digits of results (default: 1; 0 is PyTorch's own choice)",
    )
    transcribe.add_argument(
        "--precision",
        choices=("auto", *PRECISIONS),
        default="auto",
        help="bf16 and int8 multiply matrices in 16 and 8 bits, on processors with instructions "
        "for it: faster, and probabilities differ in the third or second decimal; fp32 is the same "
        "everywhere (default: auto, the fastest there is; run.json says which)",
    )
    transcribe.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="let the workers of a Ray cluster transcribe (extra ray): HOST:PORT, auto, or local "
        "to start one here; --workers 0 is one for each of its cores. Its machines must find "
        "recordings, output folder and model under the same paths as this one. --device auto is "
        "the CPU there, cuda a GPU for each worker",
    )
    transcribe.add_argument(
        "--shard",
        type=parse_shard,
        metavar="I/N",
        help="transcribe only the recordings of the Ith of N shards, on each of several machines; "
        "then run once more with --resume and without --shard to put the shards together",
    )


def _add_run(transcribe: argparse.ArgumentParser) -> None:
    """Add the options about the beginning and the end of a run."""
    transcribe.add_argument(
        "--resume",
        action="store_true",
        help="go on with a run that was interrupted: leave out what has been done and has not "
        "changed since",
    )
    transcribe.add_argument(
        "--fail-fast", action="store_true", help="stop at the first recording that fails"
    )
    transcribe.add_argument(
        "--errors",
        metavar="FILE",
        help="write a line of JSON for each recording that failed: file, kind, error",
    )
    transcribe.add_argument(
        "--quiet", action="store_true", help="print failures only, no progress and no summary"
    )


def run_transcribe(arguments: argparse.Namespace) -> int:
    """Run ``transcribe``; return the exit status."""
    formats = tuple(parse_formats(arguments.format))
    words = arguments.words or any(name in NEED_WORDS for name in formats)
    outputs = OutputOptions(formats, arguments.posteriors, words)
    options = TranscribeOptions(
        channel=arguments.channel,
        posteriors=False,  # in memory: files of them are written block by block
        labels=arguments.phones,
        alternatives=arguments.alternatives,
        words=words,
        forms=arguments.forms,
    )
    if options.every_channel:
        check_channels(outputs.formats)
    left_out: list[str] = []
    recordings = collect(arguments.inputs, arguments.output_dir, outputs.kinds, left_out)
    if arguments.shard:
        recordings = arguments.shard.pick(recordings)
    model = find_model(arguments.model)
    files = RunFiles(Path(arguments.output_dir), arguments.shard)
    record = _record(arguments, model, outputs, options)
    if left_out:
        record["left_out"] = left_out
        report(left_out_message(left_out))
    model_spec = ModelSpec(
        str(model),
        arguments.device,
        arguments.threads,
        arguments.precision,
        arguments.window,
        arguments.lm_scale,
        arguments.reading,
    )
    spec = TranscriberSpec(model_spec, outputs, options)
    try:
        summary = run_batch(
            recordings,
            _choose_pool(arguments, spec, recordings, record["model"]["sha256"]),
            files,
            record,
            resume=arguments.resume,
            fail_fast=arguments.fail_fast,
            progress=not arguments.quiet,
        )
    except KeyboardInterrupt:
        report(f"interrupted; {_how_to_go_on(files)}")
        return INTERRUPTED
    if arguments.errors:
        write_errors(arguments.errors, summary)
    _report_summary(summary, files, len(recordings), quiet=arguments.quiet)
    return SOME_FAILED if summary.failures else OK


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
            **({"window": list(arguments.window)} if arguments.window else {}),
            **({} if arguments.lm_scale is None else {"lm_scale": arguments.lm_scale}),
            **({} if arguments.reading == READINGS[0] else {"reading": arguments.reading}),
            **({"words": True} if options.words else {}),
            **({} if options.forms == FORMS[0] else {"forms": options.forms}),
        },
        "inputs": [str(item) for item in arguments.inputs],
        "shard": str(arguments.shard) if arguments.shard else None,
    }


def _report_summary(summary: Summary, files: RunFiles, recordings: int, *, quiet: bool) -> None:
    for error in summary.errors:
        report(f"failed: {error}")
    if not summary.complete:
        report(f"stopped at the first failure; {_how_to_go_on(files)}")
    if quiet:
        return
    if recordings and summary.kept == recordings:
        report(f"nothing to do: all {recordings} recordings were done before")
    report(str(summary))


def _how_to_go_on(files: RunFiles) -> str:
    return f"what has been done is in {files.journal}; go on with --resume"


def _choose_pool(
    arguments: argparse.Namespace,
    spec: TranscriberSpec,
    recordings: Sequence[Recording],
    digest: str,
) -> Pool:
    if arguments.ray:
        return ray_pool_from(arguments, spec, recordings, digest)
    return choose_pool(spec, arguments.workers, len(recordings), arguments.resume)


def ray_pool_from(
    arguments: argparse.Namespace,
    spec: TranscriberSpec,
    recordings: Sequence[Recording],
    digest: str,
) -> RayPool:
    """Return the pool of ``speechattn transcribe --ray``.

    Args:
        arguments: of the command.
        spec: what each worker needs. The model is found by the name given, because a model that
            comes with the package lies elsewhere on each machine.
        recordings: to transcribe.
        digest: of the model.
    """
    from speechattn.transcription.workers.ray_cluster import shared_by
    from speechattn.transcription.workers.ray_pool import RayPool

    device = "cpu" if spec.model.device == "auto" else spec.model.device  # alike for all workers
    shared = shared_by(
        [item for item in arguments.inputs if not is_url(item)],
        next((each.path for each in recordings if isinstance(each.path, Path)), None),
        arguments.output_dir,
        arguments.model,
        digest,
        lock=LOCK,
    )
    return RayPool(
        replace(spec, model=replace(spec.model, name=arguments.model, device=device)),
        arguments.ray,
        count=arguments.workers,
        most=len(recordings),
        threads=spec.model.threads,
        gpus=int(device.startswith("cuda")),
        shared=shared,
    )
