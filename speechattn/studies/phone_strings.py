"""Phone strings learnt from text and a lexicon, without alignments: CTC and an attention decoder.

The models have the corpora, front end and encoder of an ordinary recipe, and are compared with its
frame classifier.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from speechattn.checks import check, is_int
from speechattn.corpora.prepared import PreparedSet, PreparedUtterance
from speechattn.decoder.lm.lexicon import POCKETSPHINX
from speechattn.errors import ConfigError
from speechattn.evaluation.metrics import bootstrap, phone_errors, resampling_units
from speechattn.files import atomic_write_text
from speechattn.heads.config import AnyHead, CtcHead, DecoderHead
from speechattn.heads.ctc import Hypothesis
from speechattn.heads.models import StringModel
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.head_checkpoint import SearchOptions
from speechattn.studies.sequence_data import SequenceSet, TextData
from speechattn.studies.sequence_training import SequenceTrainer, train_head
from speechattn.studies.trials import StudyConfig, run_trials
from speechattn.text import table
from speechattn.training.config_sections import AugmentationConfig, TrainingConfig
from speechattn.training.decoding import decode_set
from speechattn.training.recipe import Recipe
from speechattn.training.recipe_file import read_config
from speechattn.training.sources.recipe_check import check_recipe
from speechattn.training.stages import STAMPS, StageRunner, fingerprint

FRAMES, LEXICON = "frame classifier", "text through the lexicon"
Strings = Iterable[tuple[PreparedUtterance, Hypothesis]]  # strings of phones, without silence
System = Callable[[int], tuple[Strings, dict]]  # seed → test strings, facts for the scores


@dataclass(frozen=True)
class Config(StudyConfig):
    """The recipe of this study.

    Attributes:
        frames: recipe of the frame classifier; its data, front end, encoder and device are used.
        frames_changes: changes to that recipe, each ``key=value`` or ``section.key=value``. With
            some, its ``work_dir`` is a folder in that of this recipe.
        corpora: folder that holds the corpus folders; null for that of ``frames``.
        lexicon: dictionary files, in the folder of the corpora or elsewhere, or ``pocketsphinx``;
            the first one that lists a word is used for it.
        decoder: shape of the attention decoder, and the share of CTC in its loss.
        ctc_beam: number of strings that the beam search of CTC keeps.
        beam: number of strings that the beam search of the decoder keeps.
        length_power: strings are ranked by score / length ** ``length_power``. 0 favours short
            strings; 1 ranks by the mean score of a label.
        ctc_share: share of CTC in the scores by which the decoder's strings are ranked anew.
        decoder_from_ctc: whether training of the decoder begins with the encoder trained by CTC.
        training: training of CTC; ``max_silence_frames`` has no effect.
        decoder_training: training of the decoder; null for that of CTC.
        augmentation: augmentation of both.
    """

    name: str = "phone_strings"
    work_dir: str = "data/runs/phone_strings"
    seeds: int = 1
    frames: str = "kathleen"
    frames_changes: tuple = ()
    corpora: str | None = None
    lexicon: tuple = (POCKETSPHINX,)
    decoder: DecoderHead = field(default_factory=DecoderHead)
    ctc_beam: int = 16
    beam: int = 8
    length_power: float = 0.0
    ctc_share: float = 0.3
    decoder_from_ctc: bool = True
    decoder_training: TrainingConfig | None = None
    training: TrainingConfig = field(default_factory=TrainingConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        check("", self, ("ctc_beam", "beam"), lambda v: is_int(v, 1), "from 1 on")
        check("", self, ("length_power",), lambda v: v >= 0, "from 0 on")
        check("", self, ("ctc_share",), lambda v: 0 <= v < 1, "from 0 to below 1")
        for change in self.frames_changes:
            if not isinstance(change, str) or "=" not in change:
                raise ConfigError(f"frames_changes: {change!r}; each is key=value, as text")
        if not self.lexicon:
            raise ConfigError("lexicon: empty; list a dictionary file, or pocketsphinx")
        if self.ctc_share and not self.decoder.ctc_weight:
            raise ConfigError(
                f"ctc_share: {self.ctc_share} with decoder.ctc_weight 0, which trains no CTC; "
                "set the one or leave out the other"
            )


class PhoneStrings:
    """The trials of a recipe, and the data and models that they share.

    Args:
        config: recipe.
        force: whether trainings begin afresh.
        report: takes one line for the user.
    """

    def __init__(self, config: Config, force: bool, report: Callable[[str], None]) -> None:
        self.config, self.force, self.report = config, force, report
        self.work = Path(config.work_dir)
        changes = config.frames_changes
        if changes:  # not to replace the model of the recipe as it is
            changes = (f"work_dir={json.dumps(str(self.work / 'frames'))}", *changes)
        frames = read_config(config.frames, changes, said="frames_changes")
        corpora = config.corpora or frames.corpora
        frames = dataclasses.replace(frames, corpora=corpora, threads=config.threads)
        self.frames = Recipe(frames)
        self.device = self.frames.device
        self.recipe = dataclasses.replace(
            frames,
            seed=config.seed,
            realign=(),
            training=config.training,
            augmentation=config.augmentation,
        )
        self.data = TextData(self.recipe, self.work, config.lexicon, report)
        self._search = SearchOptions(
            config.ctc_beam, config.beam, config.length_power, config.ctc_share
        )
        self._models: dict[tuple[str, int], tuple[StringModel, float]] = {}

    def prepare(self) -> list:
        """Prepare the sets; return fingerprints of what they were made from."""
        self.frames.runner.run(("prepare",))
        stage = self.data.stage()
        StageRunner([stage], self.work / STAMPS, self.report).run(("prepare",))
        _ = self._sets  # so that errors in them are found before any training
        dictionaries = [
            Path(f).read_text(encoding="utf-8")
            for f in self.data.lexicon_files
            if Path(f).is_file()
        ]
        return [self.frames.runner.fingerprint("train"), stage.inputs(), fingerprint(dictionaries)]

    def by_frames(self, seed: int) -> tuple[Strings, dict]:
        """Return the strings of the frame classifier, and facts about its training."""
        self.frames.runner.run(("train",))
        model = Checkpoint.load(self.frames.work / "model", self.device)
        silence = self.data.phones.silence_index

        def strings() -> Strings:
            for entry, runs, _ in decode_set(model, self._test, self.device):
                phones = tuple(run.phone for run in runs if run.phone != silence)
                yield entry, Hypothesis(phones, 0.0)

        facts = {"training_seconds": model.training["seconds"]}
        return strings(), {**facts, "weights": model.classifier.num_weights}

    def by_lexicon(self, seed: int) -> tuple[Strings, dict]:
        """Return the pronunciations of the transcripts, which do not depend on the audio."""
        return ((entry, Hypothesis(phones, 0.0)) for entry, phones in self.listed), {}

    @functools.cached_property
    def listed(self) -> list[tuple[PreparedUtterance, tuple[int, ...]]]:
        """Test utterances whose words are all in the lexicon, and their phones."""
        texts, lexicon = self.data.texts(), self.data.lexicon
        spoken = [(entry, texts.get((entry.corpus, entry.id))) for entry in self._test.entries]
        known = [(entry, text) for entry, text in spoken if text and not lexicon.missing(text)]
        return [(entry, lexicon.pronounce(text)) for entry, text in known]

    def by_head(
        self, name: str, head: AnyHead, decode: Callable[..., list[Hypothesis]], seed: int
    ) -> tuple[Strings, dict]:
        """Return the strings of a trained head under ``decode``, and facts about its training."""
        model, seconds = self._trained(name, head, seed)

        def strings() -> Strings:
            for entry in self._test.entries:
                frames = torch.from_numpy(self._test.frames(entry))[None].to(self.device)
                best = decode(model, model.each(frames)[0])[0]
                yield entry, dataclasses.replace(best, labels=self.data.with_silence(best.labels))

        return strings(), {"training_seconds": seconds, "weights": model.num_weights}

    def trial(self, name: str, system: System, seed: int) -> dict:
        """Train and decode; return the scores."""
        strings, facts = system(seed)
        rows: list[dict] = []
        begin = time.perf_counter()
        phones, silence = self.data.phones, self.data.phones.silence_index
        fold = [phones.index.get(phones.folded(n), i) for i, n in enumerate(phones.names)]
        for entry, best in strings:
            spoken = [run.phone for run in self._test.runs(entry) if run.phone != silence]
            errors = sum(phone_errors([fold[p] for p in spoken], [fold[p] for p in best.labels]))
            rows.append({
                "corpus": entry.corpus, "speaker": entry.speaker, "utterance": entry.id,
                "phones": len(spoken), "errors": errors, "ended": best.ended,
                "reference": " ".join(phones.names[p] for p in spoken),
                "found": " ".join(phones.names[p] for p in best.labels),
            })  # fmt: skip
        seconds = time.perf_counter() - begin
        self._write(name, seed, rows)
        errors_of_each, phones_of_each = ([r[key] for r in rows] for key in ("errors", "phones"))
        rate = bootstrap(resampling_units(rows)[1], errors_of_each, phones_of_each)
        assert rate is not None  # a prepared test set has phones
        return {
            "per": rate.rate,
            "low": rate.low,
            "high": rate.high,
            "utterances": len(rows),
            "cut_off": sum(not row["ended"] for row in rows),
            "decoding_seconds": seconds,
            **facts,
        }

    def _write(self, name: str, seed: int, rows: Sequence[dict]) -> None:
        """Write a table with the reference and the decoded phones of every utterance."""
        lines = ["\t".join(rows[0]), *("\t".join(map(str, row.values())) for row in rows)]
        path = self.work / "strings" / f"{'-'.join(name.split())}-{seed}.tsv"
        atomic_write_text(path, "\n".join(lines) + "\n")

    @functools.cached_property
    def _test(self) -> PreparedSet:
        return self.frames.data.prepared("test")

    def _trained(self, name: str, head: AnyHead, seed: int) -> tuple[StringModel, float]:
        """Return the trained model of a head and the seconds of its training.

        The seconds include those of the CTC model that a decoder begins with.
        """
        if (name, seed) not in self._models:
            config = dataclasses.replace(self.recipe, seed=seed)
            start: StringModel | None = None
            before = 0.0
            if isinstance(head, DecoderHead) and self.config.decoder_from_ctc:
                start, before = self._trained("ctc", CtcHead(), seed)
            if isinstance(head, DecoderHead) and self.config.decoder_training:
                config = dataclasses.replace(config, training=self.config.decoder_training)

            def trainer(checkpoint: Path) -> SequenceTrainer:
                return SequenceTrainer(
                    config,
                    *self._sets,
                    head,
                    checkpoint=checkpoint,
                    device=self.device,
                    noises=self.data.noises(),
                    start=start,
                )

            model, seconds = train_head(
                f"{name}-{seed}",
                self.work,
                trainer,
                force=self.force,
                report=self.report,
                search=self._search,
            )
            assert isinstance(model, StringModel)
            self._models[name, seed] = model, before + seconds
        return self._models[name, seed]

    @functools.cached_property
    def _sets(self) -> tuple[SequenceSet, SequenceSet]:
        """Training set and development set."""
        return self.data.strings("train"), self.data.strings("dev")


def check_data(config: Config) -> None:
    """Raise what :func:`run` would raise before anything is prepared."""
    strings = PhoneStrings(config, False, lambda _: None)
    if found := check_recipe(strings.frames.config).problems:
        raise ConfigError(f"frames: {config.frames}: {found[0]}")


def run(config: Config, force: bool, report: Callable[[str], None]) -> None:
    """Train and score all systems; see :func:`speechattn.studies.trials.run_trials`."""
    strings = PhoneStrings(config, force, report)
    data = strings.prepare()
    search = partial(
        StringModel.decoder_strings, beam=config.beam, length_power=config.length_power
    )
    ctc, decoder = (
        partial(strings.by_head, "ctc", CtcHead()),
        partial(strings.by_head, "decoder", config.decoder),
    )
    systems: dict[str, System] = {
        **({LEXICON: strings.by_lexicon} if strings.listed else {}),
        "CTC, greedy": partial(ctc, StringModel.ctc_strings),
        "CTC, beam": partial(ctc, partial(StringModel.ctc_strings, beam=config.ctc_beam)),
        "decoder, greedy": partial(decoder, partial(StringModel.decoder_strings, beam=1)),
        "decoder, beam": partial(decoder, search),
    }
    if config.ctc_share:
        rescored = partial(search, ctc_share=config.ctc_share)
        systems["decoder, beam and CTC"] = partial(decoder, rescored)
    systems[FRAMES] = strings.by_frames
    trials = {
        (name, seed): partial(strings.trial, name, system, seed)
        for seed in config.all_seeds
        for name, system in systems.items()
        if seed == config.seed or system not in (strings.by_frames, strings.by_lexicon)
    }
    run_trials(config, data, trials, write, force=force, report=report)


def write(rows: list[dict]) -> str:
    """Write the report: a table of the scores, and how to read it."""

    def cells(row: dict) -> tuple[str, ...]:
        trained = row.get("training_seconds")
        return (
            row["trial"],
            str(row["seed"]) if trained else "",
            f"{100 * row['per']:.1f}",
            f"{100 * row['low']:.1f}–{100 * row['high']:.1f}",
            str(row["cut_off"]),
            f"{row['decoding_seconds']:.0f}",
            f"{trained / 60:.1f}" if trained else "",
            f"{row['weights'] / 1e6:.2f}" if trained else "",
        )

    header = (
        "",
        "seed",
        "PER (%)",
        "95 %",
        "cut off",
        "decoding (s)",
        "training (min)",
        "million weights",
    )
    return (
        f"{table(header, map(cells, rows))}\n\n"
        "Phone error rates against the reference alignments of the test set, silence dropped, "
        "AO = AA and ZH = SH folded, with bootstrap intervals. Only the frame classifier has "
        "learnt from alignments; the others have text and a lexicon. *Text through the lexicon* "
        "is what they learn to write, and hears nothing: its errors are those of the labels. "
        "*Cut off*: strings of the decoder that did not end within as many labels as there are "
        "vectors; they are scored as far as they came."
    )
