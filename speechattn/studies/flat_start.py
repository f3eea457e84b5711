"""What alignments without a model are worth, where alignments are given to compare them with.

The given alignments of a corpus are set aside and found anew from recordings, texts and a
dictionary (``align: flat``). The report says how far the boundaries agree, and what a model that
learns from either recognises.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from speechattn.alignment.pronunciations import open_dictionary
from speechattn.corpora.corpus import Corpus, Utterance, read_entry
from speechattn.corpora.writing import write_corpus
from speechattn.errors import ConfigError, CorpusError
from speechattn.evaluation.metrics import BOUNDARY_TOLERANCE_FRAMES, match_boundaries
from speechattn.files import atomic_write_text
from speechattn.phones import PhoneSet, arpabet
from speechattn.segments import SHIFT_MS, Segment, seconds_to_frame
from speechattn.studies.trials import StudyConfig, remove_damaged
from speechattn.text import table
from speechattn.training.config import RecipeConfig
from speechattn.training.realignment.flat_start import FlatStart
from speechattn.training.recipe import Recipe
from speechattn.training.recipe_file import read_config
from speechattn.training.stages import fingerprint
from speechattn.training.work_folder import at_work
from speechattn.viewer.phone_order import by_class

MEASURES = {
    "per_folded": "PER, folded",
    "frame_accuracy": "frames right",
    "boundary_f1": "boundary F1",
}
Aligned = Sequence[Segment]


@dataclass(frozen=True)
class Config(StudyConfig):
    """The recipe of this study.

    Attributes:
        corpora: folder that holds the corpus folders.
        train: what is aligned and learned from, as ``corpus/split``, with alignments and texts.
        test: what the models are tested on, likewise; none of its sentences may be in ``train``.
        utterances: of ``train``, the first so many; 0 for all.
        lexicon: pronouncing dictionaries beside that of US English, as the key of other recipes.
        recipe: what the models are trained with, a file or a name; "" to train none.
        changes: of that recipe, each ``key=value``.
    """

    name: str = "flat_start"
    work_dir: str = "data/runs/flat_start"
    seeds: int = 1
    corpora: str = "data/corpora"
    train: str = ""
    test: str = ""
    utterances: int = 0
    lexicon: tuple = ()
    recipe: str = "kathleen"
    changes: tuple = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("train", "test"):
            value = getattr(self, key)
            if value and value.count("/") != 1:
                raise ConfigError(f"{key}: {value!r}; it is corpus/split")
        if self.utterances < 0:
            raise ConfigError(f"utterances: {self.utterances}; from 0 on")


def run(config: Config, force: bool, report: Callable[[str], None]) -> None:
    """Align, compare, train twice and write the report.

    Args:
        config: recipe of the study.
        force: align and train again what was done on these inputs.
        report: takes one line for the user.
    """
    sets = _read(config)
    if config.threads:
        torch.set_num_threads(config.threads)
    with at_work(Path(config.work_dir)):
        _compare(config, sets, force, report)


def check_data(config: Config) -> None:
    """Raise what :func:`run` would raise before anything is aligned."""
    _read(config)


def _read(config: Config) -> dict[str, Corpus]:
    """Read ``given`` and, if models are trained, ``test``."""
    if not config.train or (config.recipe and not config.test):
        raise ConfigError("train, test: each names a part of a corpus, as corpus/split")
    corpora, phones = Path(config.corpora), arpabet()
    given = read_entry(corpora, config.train, phones=phones)
    if config.utterances:
        given = dataclasses.replace(given, utterances=given.utterances[: config.utterances])
    sets = {"given": given}
    if config.recipe:
        sets["test"] = read_entry(corpora, config.test, phones=phones)
        _values(config, corpora, "given", config.seed)
    open_dictionary(config.lexicon, phones)
    return sets


def _compare(
    config: Config, sets: dict[str, Corpus], force: bool, report: Callable[[str], None]
) -> None:
    """See :func:`run`."""
    work, phones, given = Path(config.work_dir), arpabet(), sets["given"]
    found = _found(config, given, phones, report)
    lines = [f"# {config.name}", "", *_agreement(given, found, phones)]
    if config.recipe:
        rows = _models(config, {**sets, "flat": found}, force, report)
        _write_scores(work, rows)
        head = ["learned from", *MEASURES.values()]
        cells = [[r["labels"], *(f"{100 * r[m]:.1f} %" for m in MEASURES)] for r in rows]
        lines += ["", table(head, cells)]
    atomic_write_text(work / "report.md", "\n".join(lines) + "\n")
    report((work / "report.md").read_text(encoding="utf-8"))


def _found(
    config: Config, given: Corpus, phones: PhoneSet, report: Callable[[str], None]
) -> Corpus:
    """The corpus with alignments of its texts alone."""
    utterances = tuple(dataclasses.replace(u, alignment=None, words=()) for u in given)
    bare = dataclasses.replace(given, utterances=utterances)
    (found,) = FlatStart(open_dictionary(config.lexicon, phones), report).align([bare])
    for problem in found.problems:
        report(problem)
    return found


def _agreement(given: Corpus, found: Corpus, phones: PhoneSet) -> list[str]:
    """Lines that say how many given boundaries were found, and by the phone that begins there."""
    others = {u.id: u.alignment for u in found}
    kinds = {phones.names[number]: kind for number, kind in by_class(phones)}
    near = total = 0
    shifts: dict[str, list[int]] = defaultdict(list)
    for utterance in given:
        own, other = utterance.alignment, others.get(utterance.id)
        if not own or not other:
            continue
        reference, hypothesis = _starts(own), _starts(other)
        near, total = near + match_boundaries(reference, hypothesis), total + len(reference)
        for place, segment in zip(reference, own[1:]):
            apart = np.array(hypothesis or [0]) - place
            shifts[kinds[segment.label]].append(int(apart[np.abs(apart).argmin()]))
    if not total:
        raise CorpusError("train: no boundary to compare; name a corpus with alignments")
    rows = []
    for kind, values in sorted(shifts.items(), key=lambda pair: -len(pair[1])):
        right = np.mean(np.abs(values) <= BOUNDARY_TOLERANCE_FRAMES)
        median = f"{SHIFT_MS * float(np.median(values)):+.0f} ms"
        rows.append([kind, str(len(values)), f"{100 * right:.1f} %", median])
    tolerance = f"{BOUNDARY_TOLERANCE_FRAMES * SHIFT_MS:.0f} ms"
    return [
        f"{len(found)} of {len(given)} utterances aligned. {100 * near / total:.1f} % of {total} "
        f"given boundaries have one within {tolerance}, paired one to one; those at the ends of "
        "recordings do not count. By the phone that begins there, the nearest one:",
        "",
        table(["class", "boundaries", f"within {tolerance}", "median shift"], rows),
    ]


def _starts(alignment: Aligned) -> list[int]:
    """Frames where segments begin, without the first."""
    return [seconds_to_frame(segment.start) for segment in alignment[1:]]


def _models(
    config: Config, sets: dict[str, Corpus], force: bool, report: Callable[[str], None]
) -> list[dict]:
    """Train on the given and on the found alignments, and test both on given ones."""
    work = Path(config.work_dir)
    facts = {name: [_facts(u) for u in corpus] for name, corpus in sets.items()}
    folder = work / "corpora" / fingerprint(facts)[:12]
    for name, corpus in sets.items():
        if not (folder / name).is_dir():
            write_corpus(dataclasses.replace(corpus, splits={}), folder / name)
    rows = []
    for labels in ("given", "flat"):
        for seed in config.all_seeds:
            recipe = Recipe(_values(config, folder, labels, seed), report)
            path = recipe.work / "evaluate/scores.json"
            remove_damaged(path, report)
            recipe.runner.run(("prepare", "train", "evaluate"), force)
            scores = json.loads(path.read_text("utf-8"))["overall"]
            rows.append({"labels": labels, "seed": seed} | {m: scores[m] for m in MEASURES})
    return [_mean([row for row in rows if row["labels"] == each]) for each in ("given", "flat")]


def _values(config: Config, corpora: Path, labels: str, seed: int) -> RecipeConfig:
    """The recipe of the training on one kind of labels."""
    folder = Path(config.work_dir) / "runs" / f"{labels}-{seed}"
    values = [
        f"corpora={corpora}", f"train=[{labels}/all]", "test=[test/all]",
        f"work_dir={folder}", f"seed={seed}", f"threads={config.threads}", *config.changes,
    ]  # fmt: skip
    return read_config(config.recipe, values, said="changes")


def _facts(utterance: Utterance) -> list:
    return [utterance.id, [[s.label, s.start, s.end] for s in utterance.alignment or ()]]


def _mean(rows: list[dict]) -> dict:
    means = {m: sum(row[m] for row in rows) / len(rows) for m in MEASURES}
    return {"labels": rows[0]["labels"], **means}


def _write_scores(work: Path, rows: list[dict]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["labels", *MEASURES], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic_write_text(work / "scores.csv", text.getvalue())
