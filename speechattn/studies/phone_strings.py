"""Phone strings learnt from text and a lexicon alone, without any time: CTC and an attention decoder.

They are scored beside the frame classifier of an ordinary recipe, whose corpora, front end and encoder
they have.
"""

from __future__ import annotations

import dataclasses
import functools
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
from speechattn.inference.checkpoint import Checkpoint
from speechattn.studies.ctc import Hypothesis
from speechattn.studies.head_config import AnyHead, CtcHead, DecoderHead
from speechattn.studies.heads import StringModel
from speechattn.studies.sequence_data import SequenceSet, TextData
from speechattn.studies.sequence_training import SequenceTrainer, train_head
from speechattn.studies.trials import StudyConfig, run_trials
from speechattn.text import table
from speechattn.training.config_sections import AugmentationConfig, TrainingConfig
from speechattn.training.decoding import decode_set
from speechattn.training.recipe import Recipe
from speechattn.training.recipe_file import read_config
from speechattn.training.stages import StageRunner, fingerprint

FRAMES, LEXICON = "frame classifier", "text through the lexicon"
Strings = Iterable[tuple[PreparedUtterance, Hypothesis]]  # of phones, silence left out


@dataclass(frozen=True)
class Config(StudyConfig):
    """The recipe of this study.

    Attributes:
        frames: recipe of the frame classifier; its data, front end, encoder and device are used.
        corpora: folder that holds the corpus folders; null for that of ``frames``.
        lexicon: dictionaries, files among the corpora or elsewhere, or ``pocketsphinx``; the first
            one that lists a word counts.
        decoder: shape of the attention decoder, and the share of CTC in its loss.
        ctc_beam: number of strings that the beam search of CTC keeps.
        beam: number of strings that the beam search of the decoder keeps.
        length_power: strings are ranked by score / length ** ``length_power``. 0 favours short
            strings, 1 compares means.
        ctc_share: share of CTC in the score of strings that the decoder has found.
        decoder_from_ctc: whether the encoder of the decoder begins with the weights that CTC has
            learned.
        training: training of CTC; ``max_silence_frames`` has no effect.
        decoder_training: training of the decoder; null for that of CTC.
        augmentation: augmentation of both.
    """

    name: str = "phone_strings"
    work_dir: str = "data/runs/phone_strings"
    seeds: int = 1
    frames: str = "kathleen"
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
        if not self.lexicon:
            raise ConfigError("lexicon: empty; list a dictionary file, or pocketsphinx")
        if self.ctc_share and not self.decoder.ctc_weight:
            raise ConfigError(
                f"ctc_share: {self.ctc_share} with decoder.ctc_weight 0, which trains no CTC; "
                "set the one or leave out the other"
            )


class PhoneStrings:
    """What the trials of a recipe share.

    Args:
        config: of the recipe.
        force: whether trainings begin afresh.
        say: takes one line for the user.
    """

    def __init__(self, config: Config, force: bool, say: Callable[[str], None]):
        self.config, self.force, self.say = config, force, say
        self.work = Path(config.work_dir)
        frames = read_config(config.frames)
        corpora = config.corpora or frames.corpora
        frames = dataclasses.replace(frames, corpora=corpora, threads=config.threads)
        self.frames = Recipe(frames)
        self.device = self.frames.device
        own = {"training": config.training, "augmentation": config.augmentation}
        self.recipe = dataclasses.replace(frames, seed=config.seed, realign=(), **own)
        self.data = TextData(self.recipe, self.work, config.lexicon, say)
        self._models: dict[tuple[str, int], tuple[StringModel, float]] = {}

    def prepare(self) -> list:
        """Make the sets; returns what tells them apart from others."""
        self.frames.runner.run(("prepare",))
        stage = self.data.stage()
        StageRunner([stage], self.work / "stamps.json", self.say).run(("prepare",))
        _ = self._sets  # what is wrong with them shows before any training
        read = [
            Path(f).read_text(encoding="utf-8")
            for f in self.data.lexicon_files
            if Path(f).is_file()
        ]
        return [self.frames.runner.fingerprint("train"), stage.inputs(), fingerprint(read)]

    def by_frames(self, seed: int) -> tuple[Strings, dict]:
        """Strings of the frame classifier, and how it came about."""
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
        """What the lexicon makes of what was said; not heard at all."""
        return ((entry, Hypothesis(phones, 0.0)) for entry, phones in self.listed), {}

    @functools.cached_property
    def listed(self) -> list[tuple[PreparedUtterance, tuple[int, ...]]]:
        """The test utterances whose words the lexicon has, and their phones."""
        texts, lexicon = self.data.texts(), self.data.lexicon
        said = [(entry, texts.get((entry.corpus, entry.id))) for entry in self._test.entries]
        known = [(entry, text) for entry, text in said if text and not lexicon.missing(text)]
        return [(entry, lexicon.pronounce(text)) for entry, text in known]

    def by_head(
        self, name: str, head: AnyHead, decode: Callable[..., list[Hypothesis]], seed: int
    ) -> tuple[Strings, dict]:
        """Strings of a head, decoded in one way."""
        model, seconds = self._trained(name, head, seed)

        def strings() -> Strings:
            for entry in self._test.entries:
                frames = torch.from_numpy(self._test.frames(entry))[None].to(self.device)
                best = decode(model, model.each(frames)[0])[0]
                yield entry, dataclasses.replace(best, labels=self.data.with_silence(best.labels))

        return strings(), {"training_seconds": seconds, "weights": model.num_weights}

    def trial(self, name: str, found: Callable[[int], tuple[Strings, dict]], seed: int) -> dict:
        """Train and decode; returns the scores."""
        strings, facts = found(seed)
        begin, rows = time.perf_counter(), []
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
        counts = [[row[key] for row in rows] for key in ("errors", "phones")]
        rate = bootstrap(resampling_units(rows)[1], *counts)
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
        """A line for every utterance: what the reference has and what was found."""
        lines = ["\t".join(rows[0]), *("\t".join(map(str, row.values())) for row in rows)]
        path = self.work / "strings" / f"{'-'.join(name.split())}-{seed}.tsv"
        atomic_write_text(path, "\n".join(lines) + "\n")

    @functools.cached_property
    def _test(self) -> PreparedSet:
        return self.frames.data.prepared("test")

    def _trained(self, name: str, head: AnyHead, seed: int) -> tuple[StringModel, float]:
        """A model and the seconds of its training; once in a run."""
        if (name, seed) not in self._models:
            config, start, before = dataclasses.replace(self.recipe, seed=seed), None, 0.0
            if isinstance(head, DecoderHead) and self.config.decoder_from_ctc:
                start, before = self._trained("ctc", CtcHead(), seed)
            if isinstance(head, DecoderHead) and self.config.decoder_training:
                config = dataclasses.replace(config, training=self.config.decoder_training)

            def trainer(checkpoint: Path) -> SequenceTrainer:
                return SequenceTrainer(
                    config, *self._sets, head,
                    checkpoint=checkpoint, device=self.device, noises=self.data.noises(), start=start,
                )  # fmt: skip

            model, seconds = train_head(
                f"{name}-{seed}", self.work, trainer, force=self.force, say=self.say
            )
            self._models[name, seed] = model, before + seconds
        return self._models[name, seed]

    @functools.cached_property
    def _sets(self) -> tuple[SequenceSet, SequenceSet]:
        """To learn from, and to measure on."""
        return self.data.strings("train"), self.data.strings("dev")


def run(config: Config, force: bool, say: Callable[[str], None]) -> None:
    """Train and score what the recipe says; see :func:`speechattn.studies.trials.run_trials`."""
    strings = PhoneStrings(config, force, say)
    data = strings.prepare()
    beam = {"beam": config.beam, "length_power": config.length_power}
    ctc, decoder = (
        partial(strings.by_head, "ctc", CtcHead()),
        partial(strings.by_head, "decoder", config.decoder),
    )
    ways: dict[str, Callable[[int], tuple[Strings, dict]]] = {
        **({LEXICON: strings.by_lexicon} if strings.listed else {}),
        "CTC, greedy": partial(ctc, StringModel.ctc_strings),
        "CTC, beam": partial(ctc, partial(StringModel.ctc_strings, beam=config.ctc_beam)),
        "decoder, greedy": partial(decoder, partial(StringModel.decoder_strings, beam=1)),
        "decoder, beam": partial(decoder, partial(StringModel.decoder_strings, **beam)),
    }
    if config.ctc_share:
        both = partial(StringModel.decoder_strings, **beam, ctc_share=config.ctc_share)
        ways["decoder, beam and CTC"] = partial(decoder, both)
    ways[FRAMES] = strings.by_frames
    trials = {
        (name, seed): partial(strings.trial, name, found, seed)
        for seed in config.all_seeds
        for name, found in ways.items()
        if seed == config.seed or found not in (strings.by_frames, strings.by_lexicon)
    }
    run_trials(config, data, trials, report, force=force, say=say)


def report(rows: list[dict]) -> str:
    """The scores as a table."""

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
        "Phone error rates against the reference alignments of the test set, silence dropped, AO = AA "
        "and ZH = SH folded, with bootstrap intervals. Only the frame classifier has learnt from "
        "alignments; the others have text and a lexicon. *Text through the lexicon* is what they "
        "learn to write, and hears nothing: its errors are those of the labels. *Cut off*: strings of the "
        "decoder that did not end within as many labels as there are vectors; they are scored as far "
        "as they came."
    )
