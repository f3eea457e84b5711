"""``speechattn bench conditions``: how a model holds up, for its model card.

Scores on recordings as they are and as they would sound in noise, in a room, at 8 kHz and through
a telephone; by group of speakers; how far confidences can be trusted; and what the model claims to
hear where nobody speaks.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from speechattn.errors import UsageError
from speechattn.options import DEFAULT_MODEL, PRECISIONS
from speechattn.text import one_line

if TYPE_CHECKING:
    from speechattn.bench.conditions_measure import Found
    from speechattn.inference.recognizer import Recognizer

SETS = "kathleen/test,speechocean762/test,kokoro/test,asterisk/all"
CONDITIONS = ("noise", "room", "8khz", "telephone")
MOST_THREADS = 1024
MOST_UTTERANCES = 10_000_000
NAME = "conditions"  # of the files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options; imports neither PyTorch nor matplotlib."""
    add = parser.add_argument
    add("--model", default=DEFAULT_MODEL, metavar="NAME_OR_DIR", help="name or folder of a model")
    add("--corpora", required=True, metavar="DIR", help="folder of the corpora")
    add(
        "--sets",
        default=SETS,
        metavar="LIST",
        help=f"corpus/split each, corpus/all for a whole corpus (default: {SETS})",
    )
    add(
        "--conditions",
        default=",".join(CONDITIONS),
        metavar="LIST",
        help=f"of {', '.join(CONDITIONS)}, beside clean, or none (default: all)",
    )
    add(
        "--noise",
        metavar="DIR",
        help="folder with recordings of noise (default: noise, beside the corpora)",
    )
    add(
        "--limit",
        type=int,
        default=0,
        metavar="N",
        help="utterances of a set, evenly spread over it (default: 0, all)",
    )
    add(
        "--precision",
        choices=("auto", *PRECISIONS),
        default="fp32",
        help="of the encoder's products of matrices, as for transcribe (default: fp32)",
    )
    add("--threads", type=int, default=1, metavar="N", help="threads of PyTorch (default: 1)")
    add("--output-dir", metavar="DIR", help=f"folder for {NAME}.md, .csv, .json and pictures")


def run(arguments: argparse.Namespace) -> int:
    """Measure; the report goes to standard output, and into a folder if one is given.

    Args:
        arguments: as :func:`add_arguments` defines them.

    Returns:
        0, or 1 if some recordings could not be read (each is named).

    Raises:
        SpeechattnError: if the options make no sense or something that is needed is missing.
    """
    conditions = _names("conditions", arguments.conditions)
    if conditions == ["none"]:
        conditions = []
    unknown = [name for name in conditions if name not in CONDITIONS]
    if unknown:
        raise UsageError(
            f"--conditions: {unknown[0]!r} is none of {', '.join(CONDITIONS)}; or write none"
        )
    sets = _names("sets", arguments.sets)
    for name in sets:
        if len(name.split("/")) != 2 or not all(name.split("/")):
            raise UsageError(f"--sets: {name!r} is no set; write corpus/split or corpus/all")
    for name, value, low, high in (
        ("limit", arguments.limit, 0, MOST_UTTERANCES),
        ("threads", arguments.threads, 1, MOST_THREADS),
    ):
        if not low <= value <= high:
            raise UsageError(f"--{name} {value}: choose a number from {low} to {high}")
    folder = None if arguments.output_dir is None else Path(arguments.output_dir)
    _prepare(folder)  # before minutes are spent

    import torch

    from speechattn.bench.conditions_measure import ConditionsBench
    from speechattn.bench.conditions_report import markdown_report
    from speechattn.bench.sounds import Noises
    from speechattn.inference.recognizer import load_model

    corpora = Path(arguments.corpora)
    recognizer = load_model(arguments.model, "cpu", precision=arguments.precision)
    noises = Noises(arguments.noise or corpora / "noise") if "noise" in conditions else None
    bench = ConditionsBench(recognizer, corpora, sets, conditions, noises, arguments.limit)
    before = torch.get_num_threads()
    torch.set_num_threads(arguments.threads)
    try:
        found = bench.measure()
    finally:
        torch.set_num_threads(before)
    report = markdown_report(found, _facts(arguments, recognizer, found))
    print(report, end="")
    if folder is not None:
        _write(folder, report, found)
    for problem in found.problems:
        _tell(f"left out: {problem}")
    for failure in found.failures:
        _tell(f"failed: {failure}")
    return 1 if found.failures else 0


def _facts(arguments: argparse.Namespace, recognizer: Recognizer, found: Found) -> dict[str, str]:
    from speechattn import __version__

    model = recognizer.describe()
    chosen = f"{arguments.limit} of each set, evenly spread" if arguments.limit else "all"
    facts = {
        "model": model["name"],
        "weights": f"{model['weights']:,}",
        "precision": recognizer.precision,
        "speechattn": __version__,
        "utterances": chosen,
        "left out": str(len(found.problems)),
    }
    return facts | ({"not readable": str(len(found.failures))} if found.failures else {})


def _names(option: str, text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise UsageError(f"--{option} {text!r}: names nothing; see --help")
    return names


def _prepare(folder: Path | None) -> None:
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = None if os.access(folder, os.W_OK) else "no permission to write"
    except OSError as error:
        reason = error.strerror
    if reason:
        raise UsageError(f"--output-dir {folder}: {reason}; choose another")


def _write(folder: Path, report: str, found: Found) -> None:
    from speechattn.bench.conditions_report import csv_report, to_dict, write_pictures
    from speechattn.files import atomic_write_text

    text = json.dumps(to_dict(found), indent=1) + "\n"
    files: list[tuple[str, Callable[[], str]]] = [
        (".md", lambda: report),
        (".csv", lambda: csv_report(found)),
        (".json", lambda: text),
    ]
    for suffix, content in files:
        try:
            atomic_write_text(folder / f"{NAME}{suffix}", content())
        except OSError as error:
            raise UsageError(f"--output-dir {folder}: {error.strerror}; choose another") from None
    write_pictures(folder, found)


def _tell(line: str) -> None:
    print(f"speechattn: {one_line(line)}", file=sys.stderr)
