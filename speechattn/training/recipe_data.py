"""The data of a recipe: its corpora, their utterances, and the sets prepared from them."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np

from speechattn.corpora.corpus import CTM_NAMES, Corpus, read_entry
from speechattn.corpora.prepared import (
    PreparedSet,
    held_out,
    prepare_noises,
    prepare_set,
    read_noises,
)
from speechattn.decoder.lm.jsgf import Grammar
from speechattn.decoder.lm.lexicon import POCKETSPHINX, Lexicon
from speechattn.errors import CorpusError
from speechattn.files import resource
from speechattn.inference.checkpoint import pick_device
from speechattn.inference.recognizer import Recognizer
from speechattn.phones import arpabet, read_phone_table
from speechattn.training.config import RecipeConfig
from speechattn.training.realign import INTENTS, SentenceHypotheses, realign
from speechattn.training.stages import content_fingerprint, files_fingerprint
from speechattn.training.warm_start import load_initial_model, weights_digest

# What the prepared sets depend on, beside the files that the fingerprint is of.
PREPARED_FROM = ("train", "dev", "test", "noise", "hold_out", "front_end", "synth", "seed")


class RecipeData:
    """Makes and finds the sets ``train``, ``dev`` and ``test``.

    Args:
        config: of the recipe.
        work: its work folder.
        say: takes one line for the user.
    """

    def __init__(self, config: RecipeConfig, work: Path, say: Callable[[str], None]):
        self.config = config
        self.work = work
        self.say = say
        self.phones = read_phone_table(config.phones) if config.phones else arpabet()

    @property
    def corpora(self) -> Path:
        """The folder the corpora lie in; a synthesised one lies in the work folder."""
        return self.work / "corpora" if self.config.synth else Path(self.config.corpora)

    @cached_property
    def fingerprint(self) -> list:
        """Of the phones, the corpora and what realigns them, as they were when the recipe began.

        Looking at thousands of files takes its time: it is done once.
        """
        config, folders = self.config, set()
        if not config.synth:  # which makes its corpus from the configuration alone
            entries = (*config.train, *config.dev, *config.test)
            folders |= {self.corpora / entry.split("/")[0] for entry in entries}
        if config.noise:
            folders.add(self._noise_folder)
        files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        aligner = [config.realign, *self.start_digest] if config.realign else []
        if config.grammar:
            aligner.append(content_fingerprint(self._grammar))  # a checkout writes it anew
        return [self.phones.to_dict(), files_fingerprint(files) if folders else None, *aligner]

    @cached_property
    def start_digest(self) -> list:
        """Of the weights of ``start_from``, one value; none where training begins at random."""
        return [weights_digest(self.config.start_from)] if self.config.start_from else []

    def prepared(self, name: str) -> PreparedSet:
        """A set that :meth:`prepare` made."""
        return PreparedSet(self.work / "prepared" / name)

    @property
    def outputs(self) -> list[Path]:
        """The files that :meth:`prepare` leaves, enough of them to tell that it has finished."""
        sets = [self.work / "prepared" / name / "index.json" for name in ("train", "dev", "test")]
        return [*sets, self._noises] if self.config.noise else sets

    @property
    def _noise_folder(self) -> Path:
        return Path(self.config.corpora) / self.config.noise

    @property
    def _noises(self) -> Path:
        return self.work / "prepared" / "noises.safetensors"

    def noises(self) -> list[np.ndarray]:
        """Log-mel frames of the recorded noises, shape (frames, bins) each."""
        return read_noises(self._noises) if self.config.noise else []

    def prepare(self) -> None:
        """Read the corpora and compute the frames and labels of every set."""
        config = self.config
        if config.synth:
            self._synthesise()
        share = config.hold_out
        train = [self._training_corpus(entry) for entry in config.train]
        sets = {
            "train": [_part(corpus, share, kept_back=False) for corpus in train],
            "dev": [self._corpus(entry) for entry in config.dev],
            "test": [self._corpus(entry) for entry in config.test],
        }
        if share:
            sets["dev"] += [_part(corpus, share, kept_back=True) for corpus in train]
        sets["train"] = self._without_test_sentences(sets["train"], sets["test"])
        if config.noise:
            prepare_noises(self._noises, self._noise_folder, config.front_end)
        for name, corpora in sets.items():
            problems = prepare_set(
                self.work / "prepared" / name,
                corpora,
                phones=self.phones,
                front_end=config.front_end,
                progress=f"prepare {name}",
            )
            for problem in problems:
                self.say(f"  left out of {name}: {problem}")

    def _corpus(self, entry: str, alignments: bool = True) -> Corpus:
        return read_entry(self.corpora, entry, phones=self.phones, alignments=alignments)

    def _training_corpus(self, entry: str) -> Corpus:
        if entry not in self.config.realign:
            return self._corpus(entry)
        folder = self.corpora / entry.split("/")[0]
        aligned = any((folder / name).is_file() for name in CTM_NAMES)
        sentences = None
        if self.config.grammar and not aligned and (folder / INTENTS).is_file():
            lexicon = Lexicon([POCKETSPHINX], self.phones)
            sentences = SentenceHypotheses(Grammar(self._grammar), lexicon, folder)
        return realign(self._corpus(entry, alignments=aligned), self._aligner, sentences)

    @property
    def _grammar(self) -> Path:
        packaged = resource("recipes", self.config.grammar)
        path = Path(self.config.grammar)
        return packaged if packaged.is_file() and not path.is_file() else path

    @cached_property
    def _aligner(self) -> Recognizer:
        device = pick_device(self.config.device)
        return Recognizer(load_initial_model(self.config, self.phones, device), device)

    def _without_test_sentences(self, train: list[Corpus], test: list[Corpus]) -> list[Corpus]:
        """The training corpora without the utterances whose sentence a test set has too.

        Raises:
            CorpusError: if nothing remains.
        """
        spoken = {_words(u.text) for corpus in test for u in corpus if u.text}
        kept = []
        for corpus in train:
            own = tuple(u for u in corpus if not u.text or _words(u.text) not in spoken)
            if left_out := len(corpus) - len(own):
                self.say(
                    f"  left out of train: {corpus.name}: {left_out} of {len(corpus)} utterances, "
                    "whose sentences a test set has too"
                )
            kept.append(dataclasses.replace(corpus, utterances=own))
        if any(map(len, train)) and not any(map(len, kept)):
            raise CorpusError(
                "train: a test set has all of its sentences too, and none may be in both; "
                "train on other sentences, or remove the corpora's text files"
            )
        return kept

    def _synthesise(self) -> None:
        from speechattn.corpora.synth.corpus import synthesize_corpus

        folder = self.corpora / "espeak"
        if folder.exists():  # of other settings, or this stage would have been skipped
            shutil.rmtree(folder)
        sizes = self.config.synth
        synthesize_corpus(
            folder,
            utterances=sizes.train,
            dev_utterances=sizes.dev,
            test_utterances=sizes.test,
            seed=self.config.seed,
        )


def _words(text: str) -> str:
    """A sentence as it counts when sentences are compared: letters, digits and apostrophes."""
    return " ".join("".join(c if c.isalnum() or c == "'" else " " for c in text.upper()).split())


def _part(corpus: Corpus, share: float, *, kept_back: bool) -> Corpus:
    """The utterances of a training corpus that are kept back for dev, or all others."""
    chosen = [u for u in corpus.utterances if held_out(u, share) == kept_back]
    problems = () if kept_back else corpus.problems  # said once
    return dataclasses.replace(corpus, utterances=tuple(chosen), problems=problems)
