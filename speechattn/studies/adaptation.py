"""What minutes of one speaker give over a model that never heard this speaker.

Some utterances of the speaker are the test. The model is fine-tuned (``recipes/finetune.yaml``) on
so many minutes of the others, and tested before and after.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from speechattn.corpora.corpus import Corpus, Utterance, read_entry
from speechattn.corpora.writing import write_corpus
from speechattn.errors import ConfigError, CorpusError
from speechattn.evaluation.scores import Scores
from speechattn.files import atomic_write_text
from speechattn.inference.checkpoint import Checkpoint, pick_device
from speechattn.inference.model_files import find_model
from speechattn.phones import PhoneSet
from speechattn.studies.trials import StudyConfig, remove_damaged
from speechattn.text import sentence, table
from speechattn.training.config import RecipeConfig
from speechattn.training.decoding import decode_set
from speechattn.training.recipe import Recipe
from speechattn.training.recipe_file import read_config
from speechattn.training.sources.shorthand import model_config
from speechattn.training.stages import fingerprint
from speechattn.training.work_folder import at_work

MEASURES = {
    "per_folded": "PER, folded",
    "frame_accuracy": "frames right",
    "boundary_f1": "boundary F1",
}
SCORES = "evaluate/scores.json"  # in the work folder of a fine-tuning
DEV_SHARE = 0.15  # of the minutes, for early stopping; they count as minutes of the speaker


@dataclass(frozen=True)
class Config(StudyConfig):
    """The recipe of this study.

    Attributes:
        corpora: folder that holds the corpus folders.
        speakers: who is learned, as ``corpus/split/speaker``; the corpora have alignments.
        minutes: of each speaker, to learn from.
        test_minutes: of each speaker, to test with.
        init: model to begin with, which must not have heard them.
        changes: of ``recipes/finetune.yaml``, each ``key=value``.
    """

    name: str = "adaptation"
    work_dir: str = "data/runs/adaptation"
    seeds: int = 1
    corpora: str = "data/corpora"
    speakers: tuple = ()
    minutes: tuple = (2.0, 10.0, 30.0)
    test_minutes: float = 2.5
    init: str = "english"
    changes: tuple = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for speaker in self.speakers:
            if not isinstance(speaker, str) or len(speaker.split("/")) != 3:
                raise ConfigError(f"speakers: {speaker!r}; each is corpus/split/speaker")
        for value in (*self.minutes, self.test_minutes):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise ConfigError(f"minutes: {value!r}; numbers above 0")


def run(config: Config, force: bool, report: Callable[[str], None]) -> None:
    """Fine-tune and test for every speaker and number of minutes; write the report.

    Args:
        config: recipe of the study.
        force: train again what has been trained on these inputs.
        report: takes one line for the user.
    """
    check_data(config)
    if config.threads:
        torch.set_num_threads(config.threads)
    with at_work(Path(config.work_dir)):
        _adapt(config, force, report)


def check_data(config: Config) -> None:
    """Raise what :func:`run` raises before any training."""
    if not config.speakers:
        raise ConfigError("speakers: empty; list at least one corpus/split/speaker")
    enough = False
    for speaker in config.speakers:
        _, rest = _test_and_rest(_utterances(config, speaker), config.test_minutes)
        enough |= any(_has_minutes(_cut(rest, minutes)[0], minutes) for minutes in config.minutes)
    if not enough:
        raise CorpusError("speakers: none has so many minutes; lower minutes or test_minutes")
    _values(config, Path(config.corpora), Path(config.work_dir), config.seed)


def _adapt(config: Config, force: bool, report: Callable[[str], None]) -> None:
    """See :func:`run`."""
    work = Path(config.work_dir)
    rows = []
    for speaker in config.speakers:
        utterances = _utterances(config, speaker)
        test, rest = _test_and_rest(utterances, config.test_minutes)
        before = None
        for minutes in config.minutes:
            part, _ = _cut(rest, minutes)
            if not _has_minutes(part, minutes):
                report(f"{speaker}: has no {minutes:g} minutes beside the test")
                continue
            for seed in config.all_seeds:
                folder = work / "runs" / f"{speaker.replace('/', '-')}-{minutes:g}-{seed}"
                recipe = _recipe(config, folder, speaker, part, test, seed, report)
                remove_damaged(folder / SCORES, report)
                recipe.runner.run(("prepare", "train", "evaluate"), force)
                if before is None:
                    before = _tested(config, recipe)
                    rows.append({"speaker": speaker, "minutes": 0.0, "seed": seed, **before})
                scores = json.loads((folder / SCORES).read_text("utf-8"))
                rows.append(
                    {"speaker": speaker, "minutes": minutes, "seed": seed}
                    | {name: scores["overall"][name] for name in MEASURES}
                )
                _write(config, rows, report)
    report((work / "report.md").read_text(encoding="utf-8"))


def _utterances(config: Config, speaker: str) -> list[Utterance]:
    """The utterances of a speaker with alignments and durations, in an order drawn once."""
    corpus, split, name = speaker.split("/")
    phones = PhoneSet.from_dict(model_config(config.init)["phones"])
    found = read_entry(Path(config.corpora), f"{corpus}/{split}", phones=phones)
    own = [u for u in found if u.speaker == name and u.duration]
    if not own:
        known = sorted({u.speaker for u in found})
        raise CorpusError(
            f"speakers: {speaker}: no such speaker; {corpus}/{split} has {', '.join(known[:10])}"
        )
    order = np.random.default_rng(0).permutation(len(own))
    return [own[number] for number in order]


def _minutes(utterances: Sequence[Utterance]) -> float:
    return sum(u.duration or 0.0 for u in utterances) / 60


def _has_minutes(part: Sequence[Utterance], minutes: float) -> bool:
    """Whether what was cut is about as long as was asked for."""
    return _minutes(part) >= 0.9 * minutes


def _cut(
    utterances: Sequence[Utterance], minutes: float
) -> tuple[list[Utterance], list[Utterance]]:
    """The first so many minutes, and the rest."""
    for count in range(len(utterances) + 1):
        if _minutes(utterances[:count]) >= minutes:
            return list(utterances[:count]), list(utterances[count:])
    return list(utterances), []


def _test_and_rest(
    utterances: Sequence[Utterance], minutes: float
) -> tuple[list[Utterance], list[Utterance]]:
    """The first so many minutes, and the rest without sentences that are among them."""
    test, rest = _cut(utterances, minutes)
    known = {sentence(u.text) for u in test if u.text}
    return test, [u for u in rest if not u.text or sentence(u.text) not in known]


def _recipe(
    config: Config,
    folder: Path,
    speaker: str,
    part: list[Utterance],
    test: list[Utterance],
    seed: int,
    report: Callable[[str], None],
) -> Recipe:
    """The fine-tuning on some utterances, whose corpus is written to the folder."""
    dev, train = _cut(part, DEV_SHARE * _minutes(part))
    sets = {"train": train, "dev": dev, "test": test}
    corpus = Corpus(
        folder,
        None,
        tuple(u for each in sets.values() for u in each),
        splits={name: tuple(u.id for u in each) for name, each in sets.items()},
    )
    facts = [dataclasses.asdict(config)["init"], [[u.id for u in each] for each in sets.values()]]
    target = folder / "corpora" / fingerprint(facts)[:12] / speaker.split("/")[0]
    if not target.is_dir():
        write_corpus(corpus, target)
    return Recipe(_values(config, target, folder, seed), report)


def _values(config: Config, corpus: Path, folder: Path, seed: int) -> RecipeConfig:
    """The recipe of the fine-tuning on a corpus."""
    values = [
        f"corpus={corpus}",
        f"init={config.init}",
        f"work_dir={folder}",
        f"seed={seed}",
        f"threads={config.threads}",
        *config.changes,
    ]
    return read_config("finetune", values, said="changes")


def _tested(config: Config, recipe: Recipe) -> dict[str, float | None]:
    """The scores of the model that fine-tuning begins with."""
    device = pick_device("auto")
    model = Checkpoint.load(find_model(config.init), device)
    test, scores = recipe.data.prepared("test"), Scores(model.phones)
    for entry, runs, labels in decode_set(model, test, device):
        scores.add(test.runs(entry), runs, labels, speaker=entry.speaker, corpus=entry.corpus)
    overall = scores.to_dict()["overall"]
    return {name: overall[name] for name in MEASURES}


def _write(config: Config, rows: list[dict], report: Callable[[str], None]) -> None:
    """Write ``scores.csv`` and ``report.md``."""
    work = Path(config.work_dir)
    text = io.StringIO()
    writer = csv.DictWriter(text, ["speaker", "minutes", "seed", *MEASURES], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic_write_text(work / "scores.csv", text.getvalue())
    lines = []
    for speaker in dict.fromkeys(row["speaker"] for row in rows):
        own = [row for row in rows if row["speaker"] == speaker]
        for minutes in dict.fromkeys(row["minutes"] for row in own):
            some = [row for row in own if row["minutes"] == minutes]
            means = [
                f"{100 * sum(row[name] for row in some) / len(some):.1f} %" for name in MEASURES
            ]
            lines.append([speaker, f"{minutes:g}" if minutes else "none", *means])
    head = ["speaker", "minutes learned", *MEASURES.values()]
    atomic_write_text(
        work / "report.md",
        f"# {config.name}\n\nFrom {config.init}; {config.test_minutes:g} other minutes of each "
        f"speaker are the test.\n\n{table(head, lines)}\n",
    )
