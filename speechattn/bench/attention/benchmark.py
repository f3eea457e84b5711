"""``speechattn bench attention``: truncated attention against other ways to compute the same.

One sequence, on a CPU. All methods run in one process and in turn, so that a machine that slows
down does so for all of them. Each must also give the right numbers, which are compared with the
equation in float64. Attention to everything is there to show what truncation saves.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from speechattn.bench.attention.memory import peak_memory
from speechattn.bench.attention.peers import METHODS, OURS, Case
from speechattn.bench.attention.report import csv_report, markdown_report, plot
from speechattn.bench.attention.timing import measure
from speechattn.bench.output import prepare_folder, write_files
from speechattn.bench.process import machine_facts, torch_threads

PACKAGES = ("torch", "local-attention")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def bench_attention(
    *,
    lengths: Sequence[int],
    windows: Sequence[tuple[int, int]],
    heads: Sequence[int],
    dim: int,
    dtypes: Sequence[str],
    backward: bool,
    memory: bool,
    own: bool,
    threads: int,
    repeats: int,
    output_dir: str | Path | None,
    publish: Callable[[str], None],
    report: Callable[[str], None],
) -> None:
    """Time every method on every combination of lengths, windows, heads and dtypes.

    Args:
        lengths: frames of a sequence.
        windows: frames that a frame sees of the past and of the future.
        heads: numbers of heads.
        dim: numbers a head.
        dtypes: of ``fp32`` and ``bf16``.
        backward: time forward and backward as well.
        memory: measure the peak memory of our own method as well.
        own: measure our own method only.
        threads: of PyTorch.
        repeats: rounds at most.
        output_dir: folder for ``attention.md``, ``.csv`` and ``.png``; None to write no files.
        publish: receives the report, in Markdown, before files are written.
        report: receives a line for the user before each measurement.

    Raises:
        UsageError: if the folder cannot be written.
        SpeechattnError: if a process whose memory is measured fails.
    """
    folder = None if output_dir is None else Path(output_dir)
    if folder is not None:
        prepare_folder(folder)  # before minutes are spent
    facts = machine_facts(PACKAGES) | {"threads": str(threads), "rounds": str(repeats)}
    cases = make_cases(lengths, windows, heads, dim, dtypes, backward)
    with torch_threads(threads):
        measured, peaks = measure(
            cases,
            repeats,
            methods=[method for method in METHODS if method.name == OURS] if own else None,
            memory=peak_memory if memory else None,
            report=report,
        )
    text = markdown_report(measured, peaks, facts)
    publish(text)
    if folder is not None:
        table = csv_report(measured, peaks)
        write_files(folder, {"attention.md": text, "attention.csv": table})
        plot(folder / "attention.png", measured)


def make_cases(
    lengths: Sequence[int],
    windows: Sequence[tuple[int, int]],
    heads: Sequence[int],
    dim: int,
    dtypes: Sequence[str],
    backward: bool,
) -> list[Case]:
    """List what is measured, in order of dtype, pass, heads, window and length.

    The arguments are those of :func:`bench_attention`.
    """
    passes = (False, True) if backward else (False,)
    return [
        Case(length, left, right, count, dim, DTYPES[name], with_backward)
        for name, with_backward, count, (left, right), length in itertools.product(
            dtypes, passes, heads, windows, lengths
        )
    ]
