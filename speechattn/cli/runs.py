"""Runs over many recordings, as the commands share them: the pool, the end, what is reported."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from speechattn.cli.messages import FAILED, INTERRUPTED, OK, report
from speechattn.errors import UsageError
from speechattn.transcription.batch import choose_pool, run_batch, write_errors
from speechattn.transcription.inputs import Input, Recording, left_out_message
from speechattn.transcription.lists import described
from speechattn.transcription.remote import Remote, is_url
from speechattn.transcription.run_record import RunFiles, Summary
from speechattn.transcription.workers.pool import Pool

if TYPE_CHECKING:
    from speechattn.transcription.model_spec import TaskSpec
    from speechattn.transcription.workers.ray_pool import RayPool


def run_recordings(
    arguments: argparse.Namespace,
    spec: TaskSpec,
    inputs: Sequence[Input],
    recordings: Sequence[Recording],
    record: dict[str, Any],
    *,
    left_out: Sequence[str] = (),
    also_shared: Sequence[str] = (),
    at_end: Callable[[RunFiles, Summary], None] | None = None,
) -> int:
    """Do a task with recordings and report how that went; return the exit status.

    Args:
        arguments: of the command, with those of ``add_work`` and ``add_run``.
        spec: what each worker needs.
        inputs: of the command, lists expanded.
        recordings: of this shard.
        record: what ``run.json`` says about the run before it begins; it gets the inputs, and what
            was left out of them.
        left_out: recordings in folders that are not read; they are reported.
        also_shared: files that all machines of a Ray cluster must have, beside the inputs.
        at_end: writes the file of ``--errors`` and reports more, before the summary; None to write
            the failures alone.
    """
    record["inputs"] = described(arguments.inputs, inputs)
    if left_out:
        record["left_out"] = list(left_out)
        report(left_out_message(left_out))
    files = RunFiles(Path(arguments.output_dir), arguments.shard)
    try:
        summary = run_batch(
            recordings,
            _choose_pool(arguments, spec, [*inputs, *also_shared], recordings, record),
            files,
            record,
            resume=arguments.resume,
            fail_fast=arguments.fail_fast,
            progress=not arguments.quiet,
        )
    except KeyboardInterrupt:
        report(f"interrupted; {_how_to_go_on(files)}")
        return INTERRUPTED
    if at_end is not None:
        at_end(files, summary)
    elif arguments.errors:
        write_errors(arguments.errors, summary)
    _report_summary(summary, files, len(recordings), quiet=arguments.quiet)
    return FAILED if summary.failures else OK


def _report_summary(summary: Summary, files: RunFiles, recordings: int, *, quiet: bool) -> None:
    for error in summary.errors:
        report(f"failed: {error}")
    if not summary.complete:
        report(f"stopped at the first failure; {_how_to_go_on(files)}")
    if quiet:
        return
    if recordings and summary.kept == recordings:
        every = "the recording was" if recordings == 1 else f"all {recordings} recordings were"
        report(f"nothing to do: {every} done before")
    report(str(summary))


def _how_to_go_on(files: RunFiles) -> str:
    return f"what has been done is in {files.journal}; go on with --resume"


def _choose_pool(
    arguments: argparse.Namespace,
    spec: TaskSpec,
    inputs: Sequence[Input],
    recordings: Sequence[Recording],
    record: dict[str, Any],
) -> Pool:
    if arguments.ray:
        return ray_pool_from(arguments, spec, inputs, recordings, record["model"]["sha256"])
    return choose_pool(spec, arguments.workers, recordings, arguments.resume)


def ray_pool_from(
    arguments: argparse.Namespace,
    spec: TaskSpec,
    inputs: Sequence[Input],
    recordings: Sequence[Recording],
    digest: str,
) -> RayPool:
    """Return the pool of ``--ray``.

    Args:
        arguments: of the command.
        spec: what each worker needs. The model is found by the name given, because a model that
            comes with the package lies elsewhere on each machine.
        inputs: of the command, lists expanded.
        recordings: to transcribe.
        digest: of the model.

    Raises:
        UsageError: if a recording came through standard input, which no other machine sees, or
            a GPU is given by its number.
    """
    from speechattn.transcription.workers.ray_cluster import shared_by
    from speechattn.transcription.workers.ray_pool import RayPool

    device = "cpu" if spec.model.device == "auto" else spec.model.device  # alike for all workers
    if any(isinstance(item, Remote) for item in inputs):
        raise UsageError("--ray: its machines do not see standard input; give a file")
    if ":" in device:
        raise UsageError(
            f"--device {device}: with --ray each worker has a GPU of its own; --device cuda"
        )
    shared = shared_by(
        [item for item in inputs if not isinstance(item, Remote) and not is_url(item)],
        next((each.path for each in recordings if isinstance(each.path, Path)), None),
        arguments.output_dir,
        arguments.model,
        digest,
    )
    return RayPool(
        replace(cast(Any, spec), model=replace(spec.model, name=arguments.model, device=device)),
        arguments.ray,
        count=arguments.workers,
        most=len(recordings),
        threads=spec.model.threads,
        gpus=int(device.startswith("cuda")),
        shared=shared,
    )
