"""One label for each recording: spoken digits, of speakers in the training set and of others."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

import speechattn
from speechattn.audio.features import FrontEndConfig
from speechattn.audio.filters import check_filters
from speechattn.checks import check
from speechattn.corpora.coded import add_coded
from speechattn.corpora.corpus import Corpus, read_entry
from speechattn.corpora.prepared import CODED, PreparedSet, PreparedUtterance, prepare_set
from speechattn.corpora.splits import chosen
from speechattn.decoder.lm.lexicon import named
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.kinds import AnyEncoderConfig
from speechattn.errors import ConfigError, CorpusError
from speechattn.evaluation.metrics import bootstrap
from speechattn.files import atomic_write_text
from speechattn.heads.config import POOLINGS, LabelHead, check_head
from speechattn.inference.checkpoint import pick_device
from speechattn.phones import arpabet
from speechattn.studies.sequence_data import SequenceSet, unaligned
from speechattn.studies.sequence_training import SequenceTrainer, train_head
from speechattn.studies.trials import StudyConfig, run_trials
from speechattn.text import table
from speechattn.training.config import check_splits
from speechattn.training.config_sections import AugmentationConfig, TrainingConfig
from speechattn.training.stages import STAMPS, Stage, StageRunner, files_fingerprint, fingerprint

GIVEN, WITHOUT = "as given", "without "  # experiments: the splits; "without " and a speaker


@dataclass(frozen=True)
class Config(StudyConfig):
    """The recipe of this study.

    Attributes:
        corpora: folder that holds the corpus folders.
        train, test: parts of corpora, as ``corpus/split``, for the first experiment.
        leave_out: speakers to leave out. There is one more experiment for each: training on all
            recordings of the other speakers, in ``train`` and ``test``, and testing on those of
            this speaker.
        classes: labels, as the texts of the corpora have them; empty for all texts in ``train``.
            Recordings with another text are left out.
        poolings: kinds of pooling to compare, ``"attention"`` and ``"mean"``.
        heads: number of heads of attention pooling.
        hold_out: share of the training recordings that is kept back for dev.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` … or ``"mps"``.
        front_end, encoder, augmentation: as in other recipes.
        training: as in other recipes; ``max_silence_frames`` has no effect.
    """

    name: str = "spoken_digits"
    work_dir: str = "data/runs/spoken_digits"
    seeds: int = 1
    corpora: str = "data/corpora"
    train: tuple = ("fsdd/train",)
    test: tuple = ("fsdd/test",)
    leave_out: tuple = ()
    classes: tuple = ()
    poolings: tuple = POOLINGS
    heads: int = 4
    hold_out: float = 0.05
    device: str = "auto"
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    encoder: AnyEncoderConfig = field(default_factory=EncoderConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_filters(self.front_end)
        for name in ("train", "test"):
            if not getattr(self, name):
                raise ConfigError(f"{name}: []; list at least one corpus/split")
            check_splits(name, getattr(self, name))
        for name in ("leave_out", "classes", "poolings"):
            values = getattr(self, name)
            if not all(isinstance(value, str) and value for value in values):
                raise ConfigError(
                    f"{name}: {list(values)}; a list of names (quote what is no text)"
                )
            if len(set(values)) != len(values):
                raise ConfigError(f"{name}: {list(values)}; list each once")
        if not self.poolings:
            raise ConfigError(f"poolings: empty; list some of {', '.join(POOLINGS)}")
        for pooling in self.poolings:
            check_head(LabelHead(pooling, self.heads), self.encoder.width)
        check("", self, ("hold_out",), lambda v: 0 < v < 1, "a share between 0 and 1")

    def to_dict(self) -> dict:
        """Return plain values."""
        return {**dataclasses.asdict(self), "encoder": self.encoder.to_dict()}


class SpokenDigits:
    """The trials of a recipe, and the data that they share.

    Args:
        config: recipe.
        force: whether trainings begin afresh.
        report: takes one line for the user.

    Raises:
        ConfigError: if a recording is in both ``train`` and ``test``.
    """

    _all: SequenceSet  # all recordings that have a class; set by :meth:`prepare`

    def __init__(self, config: Config, force: bool, report: Callable[[str], None]) -> None:
        self.config, self.force, self.report = config, force, report
        self.work, self.device = Path(config.work_dir), pick_device(config.device)
        self._corpora = {name: self._read(getattr(config, name)) for name in ("train", "test")}
        self._tested = {(c.name, u.id) for c in self._corpora["test"] for u in c}
        for corpus in self._corpora["train"]:
            for utterance in corpus:
                if (corpus.name, utterance.id) in self._tested:
                    raise ConfigError(
                        f"test: {corpus.name} {utterance.id} is in train too; nothing may be in "
                        "both"
                    )

    def prepare(self) -> list:
        """Prepare the set of all recordings; return a fingerprint of what it was made from."""
        config = self.config
        corpora = [*self._corpora["train"], *self._corpora["test"]]
        files = [u.path for corpus in corpora for u in corpus]
        files += [corpus.folder / name for corpus in corpora for name in ("text", "utt2spk")]
        facts = [speechattn.__version__, config.train, config.test, files_fingerprint(files)]
        coded = bool(config.augmentation.codec_probability)
        inputs = [*facts, config.front_end.to_dict(), *(["codecs"] if coded else [])]
        folder = self.work / "prepared"

        def make() -> None:
            problems = prepare_set(
                folder,
                map(unaligned, corpora),
                phones=arpabet(),
                front_end=config.front_end,
                progress="prepare",
            )
            for problem in problems:
                self.report(f"  left out: {problem}")
            if coded:
                add_coded(folder, config.front_end, progress="prepare codecs")

        outputs = [folder / "index.json", *([folder / CODED] if coded else [])]
        stage = Stage("prepare", make, lambda: inputs, outputs)
        StageRunner([stage], self.work / STAMPS, self.report).run(("prepare",))
        self._all = self._labelled(PreparedSet(folder), corpora)
        self._check_speakers()
        return [fingerprint(inputs)]

    def _read(self, entries: Sequence[str]) -> list[Corpus]:
        corpora = Path(self.config.corpora)
        return [read_entry(corpora, e, phones=arpabet(), alignments=False) for e in entries]

    def _labelled(self, prepared: PreparedSet, corpora: Sequence[Corpus]) -> SequenceSet:
        """Return the set of the recordings with a class; report the others."""
        texts = {(corpus.name, u.id): u.text for corpus in corpora for u in corpus}
        train = {u.text for corpus in self._corpora["train"] for u in corpus if u.text}
        classes = self.config.classes or tuple(sorted(train))
        labels, others = {}, []
        for key, text in texts.items():
            if text in classes:
                labels[key] = (classes.index(text),)
            else:
                others.append(key[1])
        if others:
            self.report(f"  left out, with no text or one that is no class: {named(others)}")
        return SequenceSet(prepared, labels, classes)

    def _check_speakers(self) -> None:
        """Raise a ConfigError if a speaker cannot be left out."""
        speakers = dict.fromkeys(entry.speaker for entry in self._all.entries)
        for speaker in self.config.leave_out:
            if speaker not in speakers:
                raise ConfigError(
                    f"leave_out: {speaker!r} has no recording; the speakers are {named(speakers)}"
                )
            if len(speakers) == 1:
                raise ConfigError(f"leave_out: {speaker!r} is the only speaker; nobody remains")

    def parts(self, experiment: str) -> tuple[SequenceSet, SequenceSet, SequenceSet]:
        """Return the training, development and test set of an experiment.

        Raises:
            ConfigError: if a class has no training recording, or the development set is empty.
        """
        speaker = experiment.removeprefix(WITHOUT)

        def in_test(entry: PreparedUtterance) -> bool:
            if experiment == GIVEN:
                return (entry.corpus, entry.id) in self._tested
            return entry.speaker == speaker

        def in_dev(entry: PreparedUtterance) -> bool:
            return chosen(entry.id, self.config.hold_out)

        train = self._all.where(lambda e: not in_test(e) and not in_dev(e))
        self._check_classes(train, experiment)
        try:
            dev = self._all.where(lambda e: not in_test(e) and in_dev(e))
        except CorpusError:
            raise ConfigError(
                f"hold_out: {self.config.hold_out}; of so few recordings it keeps none back: "
                "raise it"
            ) from None
        return train, dev, self._all.where(in_test)

    def _check_classes(self, train: SequenceSet, experiment: str) -> None:
        """Raise a ConfigError if a class has no training recording."""
        present = {int(train.labels(entry)[0]) for entry in train.entries}
        empty = [name for number, name in enumerate(train.phones) if number not in present]
        if empty:
            raise ConfigError(
                f"classes: {named(empty)}: no recording to learn from ({experiment}); record some, "
                "or take it out of classes"
            )

    def trial(self, pooling: str, experiment: str, seed: int) -> dict:
        """Train and test; return the scores."""
        train, dev, test = self.parts(experiment)
        config = dataclasses.replace(self.config, seed=seed)
        name = file_name(pooling, experiment, seed)

        def trainer(checkpoint: Path) -> SequenceTrainer:
            head = LabelHead(pooling, config.heads)
            return SequenceTrainer(
                config, train, dev, head, checkpoint=checkpoint, device=self.device
            )

        model, seconds = train_head(name, self.work, trainer, force=self.force, report=self.report)
        rows = []
        for entry in test.entries:
            frames = torch.from_numpy(test.frames(entry))[None].to(self.device)
            with torch.inference_mode():
                shares = model(frames)[0].softmax(-1)
            true, best = int(test.labels(entry)[0]), int(shares.argmax())
            names = test.phones[true], test.phones[best]
            rows.append((entry.corpus, entry.speaker, entry.id, *names, f"{shares.max():.4f}"))
        text = "".join("\t".join(row) + "\n" for row in [COLUMNS, *rows])
        atomic_write_text(self.work / "recordings" / f"{name}.tsv", text)
        right = sum(row[3] == row[4] for row in rows)
        return {
            "accuracy": right / len(rows),
            "right": right,
            "recordings": len(rows),
            "learnt_from": len(train),
            "training_seconds": seconds,
            "weights": model.num_weights,
        }

    def write(self, rows: list[dict]) -> str:
        """Write the report: accuracies with their intervals, by experiment and pooling."""
        experiments = [GIVEN, *(WITHOUT + speaker for speaker in self.config.leave_out)]
        lines = [self._line(experiment, [experiment]) for experiment in experiments]
        if len(self.config.leave_out) > 1:
            lines.append(self._line(f"all {len(experiments) - 1} left out", experiments[1:]))
        trained = [row["training_seconds"] for row in rows]
        weights = sorted({row["weights"] for row in rows})
        return (
            f"{table(('test', 'recordings', *self.config.poolings), lines)}\n\n"
            "Accuracy in percent by pooling, with 95 % bootstrap intervals: of recordings, or of "
            f"speakers where several are left out. {len(rows)} trainings of "
            f"{min(trained):.0f} to {max(trained):.0f} s, "
            f"{' and '.join(map(str, weights))} weights."
        )

    def _line(self, name: str, experiments: Sequence[str]) -> tuple[str, ...]:
        """Return a row of the report; several experiments are pooled."""
        cells, count = [], 0
        for pooling in self.config.poolings:
            found = [
                row
                for experiment in experiments
                for seed in self.config.all_seeds
                for row in self._recordings(pooling, experiment, seed)
            ]
            unit = "speaker" if len(experiments) > 1 else "recording"
            groups = [f"{row['corpus']}/{row[unit]}" for row in found]
            right = [row["said"] == row["heard"] for row in found]
            rate = bootstrap(groups, right, [1] * len(found))
            assert rate is not None  # every experiment has test recordings
            cells.append(f"{100 * rate.rate:.1f} ({100 * rate.low:.1f}–{100 * rate.high:.1f})")
            count = len(found) // len(self.config.all_seeds)
        return name, str(count), *cells

    def _recordings(self, pooling: str, experiment: str, seed: int) -> list[dict]:
        """Read the table that :meth:`trial` wrote."""
        path = self.work / "recordings" / f"{file_name(pooling, experiment, seed)}.tsv"
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


COLUMNS = ("corpus", "speaker", "recording", "said", "heard", "share")


def file_name(pooling: str, experiment: str, seed: int) -> str:
    """Return the name of the files of a training, without suffix."""
    safe = "".join(c if c.isalnum() or c in "-_" else f"%{ord(c):x}" for c in experiment)
    return f"{pooling}-{safe.replace('%20', '-')}-{seed}"


def check_data(config: Config) -> None:
    """Raise what :func:`run` would raise before anything is prepared."""
    SpokenDigits(config, False, lambda _: None)


def run(config: Config, force: bool, report: Callable[[str], None]) -> None:
    """Train and test every experiment; see :func:`speechattn.studies.trials.run_trials`."""
    digits = SpokenDigits(config, force, report)
    data = digits.prepare()
    experiments = [GIVEN, *(WITHOUT + speaker for speaker in config.leave_out)]
    for experiment in experiments:
        digits.parts(experiment)  # so that errors in one are found before any training
    trials = {
        (f"{pooling}, {experiment}", seed): partial(digits.trial, pooling, experiment, seed)
        for seed in config.all_seeds
        for experiment in experiments
        for pooling in config.poolings
    }
    run_trials(config, data, trials, digits.write, force=force, report=report)
