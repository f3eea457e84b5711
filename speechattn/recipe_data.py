"""The data of a recipe: which corpora, which utterances of them, and the sets prepared from them."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from speechattn.config import RecipeConfig
from speechattn.corpus import Corpus, read_corpus
from speechattn.phones import arpabet, read_phone_table
from speechattn.prepare import PreparedSet, held_out, prepare_set
from speechattn.stages import files_fingerprint


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
        """Of the phones and the corpora, as they were when the recipe began.

        Looking at thousands of files takes its time: it is done once.
        """
        config = self.config
        if config.synth:  # made from the configuration alone
            return [self.phones.to_dict(), None]
        names = {entry.split("/")[0] for entry in (*config.train, *config.dev, *config.test)}
        files = [p for name in names for p in (self.corpora / name).rglob("*") if p.is_file()]
        return [self.phones.to_dict(), files_fingerprint(files)]

    def prepared(self, name: str) -> PreparedSet:
        """A set that :meth:`prepare` made."""
        return PreparedSet(self.work / "prepared" / name)

    def prepare(self) -> None:
        """Read the corpora and compute the frames and labels of every set."""
        config = self.config
        if config.synth:
            self._synthesise()
        share = config.hold_out
        train = [self._corpus(entry) for entry in config.train]
        sets = {
            "train": [_part(corpus, share, kept_back=False) for corpus in train],
            "dev": [self._corpus(entry) for entry in config.dev],
            "test": [self._corpus(entry) for entry in config.test],
        }
        if share:
            sets["dev"] += [_part(corpus, share, kept_back=True) for corpus in train]
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

    def _corpus(self, entry: str) -> Corpus:
        name, split = entry.split("/")
        return read_corpus(
            self.corpora / name, phones=self.phones, split=None if split == "all" else split
        )

    def _synthesise(self) -> None:
        from speechattn.synth import synthesize_corpus

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


def _part(corpus: Corpus, share: float, *, kept_back: bool) -> Corpus:
    """The utterances of a training corpus that are kept back for dev, or all others."""
    chosen = [u for u in corpus.utterances if held_out(u, share) == kept_back]
    problems = () if kept_back else corpus.problems  # said once
    return dataclasses.replace(corpus, utterances=tuple(chosen), problems=problems)
