"""``speechattn bench conditions``: how a model holds up, for its model card.

Scores on recordings as they are and as they would sound in noise, in a room, at 8 kHz, through a
telephone and through codecs; by group of speakers; how far confidences can be trusted; and what the
model claims to recognise where nobody speaks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from speechattn import __version__
from speechattn.bench.conditions_measure import ConditionsBench, Found
from speechattn.bench.conditions_report import csv_report, markdown_report, to_dict, write_pictures
from speechattn.bench.output import prepare_folder, write_files
from speechattn.bench.process import torch_threads
from speechattn.bench.sounds import Noises
from speechattn.inference.recognizer import Recognizer, load_model

NAME = "conditions"  # of the files


def bench_conditions(
    *,
    model: str,
    corpora: str | Path,
    sets: Sequence[str],
    conditions: Sequence[str],
    noise: str | Path | None,
    limit: int,
    precision: str,
    threads: int,
    output_dir: str | Path | None,
    publish: Callable[[str], None],
    report: Callable[[str], None],
) -> Found:
    """Score a model on test sets under several conditions.

    Args:
        model: name or folder.
        corpora: folder of the corpora.
        sets: ``corpus/split`` or ``corpus/all`` each.
        conditions: of ``noise``, ``room``, ``8khz``, ``telephone``, ``gsm``, ``opus`` and ``mp3``;
            clean is always measured.
        noise: folder with recordings of noise; None for ``noise`` beside the corpora.
        limit: utterances of a set, evenly spread over it; 0 for all.
        precision: of the encoder's matrix products.
        threads: of PyTorch.
        output_dir: folder for ``conditions.md``, ``.csv``, ``.json`` and pictures; None to write no
            files.
        publish: receives the report, in Markdown, before files are written.
        report: receives a line for the user for every utterance that is not scored.

    Returns:
        All results.

    Raises:
        SpeechattnError: if something that is needed is missing or cannot be read.
        UsageError: if the folder cannot be written.
    """
    folder = None if output_dir is None else Path(output_dir)
    if folder is not None:
        prepare_folder(folder)  # before minutes are spent
    recognizer = load_model(model, "cpu", precision=precision)
    noises = Noises(noise or Path(corpora) / "noise") if "noise" in conditions else None
    bench = ConditionsBench(recognizer, Path(corpora), sets, conditions, noises, limit)
    with torch_threads(threads):
        results = bench.measure()
    text = markdown_report(results, _facts(recognizer, results, limit))
    publish(text)
    if folder is not None:
        contents = {".md": text, ".csv": csv_report(results)}
        contents[".json"] = json.dumps(to_dict(results), indent=1) + "\n"
        write_files(folder, {f"{NAME}{suffix}": content for suffix, content in contents.items()})
        write_pictures(folder, results)
    for problem in results.problems:
        report(f"left out: {problem}")
    for failure in results.failures:
        report(f"failed: {failure}")
    return results


def _facts(recognizer: Recognizer, results: Found, limit: int) -> dict[str, str]:
    """What was measured, for the head of the report."""
    model = recognizer.describe()
    facts = {
        "model": str(model["name"]),
        "weights": f"{model['weights']:,}",
        "precision": recognizer.precision,
        "speechattn": __version__,
        "utterances": f"{limit} of each set, evenly spread" if limit else "all",
        "left out": str(len(results.problems)),
    }
    return facts | ({"not readable": str(len(results.failures))} if results.failures else {})
