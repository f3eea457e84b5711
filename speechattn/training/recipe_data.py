"""The data of a recipe: its corpora, and the sets that are prepared from them."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np

from speechattn.alignment.reductions import Reductions, table_path
from speechattn.alignment.spoken import SPOKEN, read_spoken, spoken_lexicon, write_spoken
from speechattn.audio.codecs import check_codecs
from speechattn.corpora.coded import add_coded
from speechattn.corpora.corpus import Corpus
from speechattn.corpora.prepared import (
    CODED,
    PreparedSet,
    prepare_noises,
    prepare_set,
    read_noises,
)
from speechattn.corpora.splits import split_off
from speechattn.decoder.lm.jsgf import Grammar
from speechattn.decoder.lm.lexicon import POCKETSPHINX, Lexicon
from speechattn.errors import CorpusError
from speechattn.files import atomic_write_text, is_file, resource
from speechattn.inference.checkpoint import pick_device
from speechattn.inference.recognizer import Recognizer
from speechattn.phones import PhoneSet, phone_set
from speechattn.text import sentence
from speechattn.training.config import RecipeConfig
from speechattn.training.realignment.given_times import keep_given_times
from speechattn.training.realignment.realign import INTENTS, SentenceHypotheses, realign
from speechattn.training.realignment.realign_text import TextRealigner
from speechattn.training.sources.corpus_reader import FLAT, CorpusReader
from speechattn.training.sources.shorthand import model_config
from speechattn.training.sources.whisper_file import find_weights
from speechattn.training.stages import STAMPS, content_fingerprint, files_fingerprint
from speechattn.training.warm_start import load_aligner, weights_digest

SHARES = "reductions.json"  # how often each rule was heard
# Recipe keys that the prepared sets depend on; their files have a fingerprint.
PREPARED_FROM = ("train", "dev", "test", "noise", "hold_out", "front_end", "synth", "seed")


class RecipeData:
    """The sets ``train``, ``dev`` and ``test`` of a recipe.

    Args:
        config: recipe.
        work: its work folder.
        report: takes one line for the user.
    """

    def __init__(self, config: RecipeConfig, work: Path, report: Callable[[str], None]) -> None:
        self.config = config
        self.work = work
        self.report = report
        self.phones = recipe_phones(config)
        self._reader = CorpusReader(config, self.corpora, work, self.phones, report)

    @property
    def corpora(self) -> Path:
        """Folder that holds the corpora; a synthesised corpus is in the work folder."""
        return self.work / "corpora" if self.config.synth else Path(self.config.corpora)

    @cached_property
    def fingerprint(self) -> list:
        """Fingerprint of the phones, the corpora and the realignment, when the recipe began.

        It is computed once, because looking at thousands of files takes time. Hidden files and the
        work folders of runs, which may lie in the folder of a corpus, have no part in it.
        """
        config, folders = self.config, set()
        if not config.synth:  # which makes its corpus from the configuration alone
            entries = (*config.train, *config.dev, *config.test)
            folders |= {self.corpora / entry.split("/")[0] for entry in entries}
        if config.noise:
            folders.add(self._noise_folder)
        files = [path for folder in folders for path in _corpus_files(folder, self.work)]
        aligner = []
        if config.realign:
            digest = weights_digest(config.aligner or "")
            aligner += [config.realign, config.keep_times_ms, digest]
        if config.grammar:
            # Not its time of change: a checkout writes the file anew.
            aligner.append(content_fingerprint(self._grammar))
        if config.reductions:
            aligner.append(content_fingerprint(table_path(config.reductions)))
        aligner += [content_fingerprint(Path(path)) for path in config.lexicon]
        if self._reader.aligner_name not in (None, FLAT):
            aligner.append(weights_digest(self._reader.aligner_name or ""))
        codecs = ["codecs"] if config.augmentation.codec_probability else []
        stamped = files_fingerprint(files) if folders else None
        return [self.phones.to_dict(), stamped, *aligner, *codecs]

    @cached_property
    def start_digest(self) -> list:
        """Digests of the models that training begins with and learns from."""
        config = self.config
        digests: list[str | None]
        if config.whisper:
            digests = [content_fingerprint(file) for file in find_weights(config.whisper)]
        else:
            digests = [] if not config.start_from else [weights_digest(config.start_from)]
        if config.teacher:
            digests.append(weights_digest(config.teacher))
        return digests

    def prepared(self, name: str) -> PreparedSet:
        """Open a set that :meth:`prepare` wrote."""
        return PreparedSet(self.work / "prepared" / name)

    @property
    def outputs(self) -> list[Path]:
        """Files that exist when :meth:`prepare` has finished."""
        sets = [self.work / "prepared" / name / "index.json" for name in ("train", "dev", "test")]
        coded = self.work / "prepared" / "train" / CODED
        return [
            *sets,
            *([self._noises] if self.config.noise else []),
            *([coded] if self.config.augmentation.codec_probability else []),
        ]

    @property
    def _noise_folder(self) -> Path:
        return Path(self.config.corpora) / (self.config.noise or "")

    @property
    def _noises(self) -> Path:
        return self.work / "prepared" / "noises.safetensors"

    def noises(self) -> list[np.ndarray]:
        """Read the log-mel frames of the recorded noises, shape (frames, bins) each."""
        return read_noises(self._noises) if self.config.noise else []

    def _align(self, sets: dict[str, list[Corpus]]) -> None:
        """Align corpora that have no phones."""
        self._reader.align(sets)

    def prepare(self) -> None:
        """Read the corpora and compute the frames and labels of every set."""
        config = self.config
        if config.augmentation.codec_probability:
            check_codecs()  # now, not after everything else
        if config.synth:
            self._synthesise()
        train = self._training_corpora()
        sets = {
            "train": train,
            "dev": [self._corpus(entry) for entry in config.dev],
            "test": [self._corpus(entry) for entry in config.test],
        }
        self._align(sets)
        split_off(sets, config.hold_out, config.hold_out_test)
        sets["train"] = self._without_test_sentences(sets["train"], sets["test"])
        if config.noise:
            prepare_noises(self._noises, self._noise_folder, config.front_end)
        for name, corpora in sets.items():
            for note in chain.from_iterable(corpus.notes for corpus in corpora):
                self.report(f"  note on {name}: {note}")
            problems = prepare_set(
                self.work / "prepared" / name,
                corpora,
                phones=self.phones,
                front_end=config.front_end,
                progress=f"prepare {name}",
            )
            for problem in problems:
                self.report(f"  left out of {name}: {problem}")
        if config.augmentation.codec_probability:
            train_folder = self.work / "prepared" / "train"
            add_coded(train_folder, config.front_end, progress="prepare codecs")

    def corpus(self, entry: str) -> Corpus:
        """Read one entry of ``train``, ``dev`` or ``test``, before anything is aligned."""
        if entry in self.config.realign and not self.config.reductions:
            return self._corpus(entry, self._reader.has_phones(entry))
        return self._corpus(entry)

    def _corpus(self, entry: str, alignments: bool | None = None) -> Corpus:
        """Read one entry; ``alignments`` as for :meth:`CorpusReader.read`."""
        return self._reader.read(entry, alignments=alignments)

    def text_problems(self, corpus: Corpus) -> list[str]:
        """Return what is wrong with the texts of a corpus that is to be aligned, one line each."""
        return self._reader.text_problems(corpus)

    def is_aligned_by_text(self, corpus: Corpus) -> bool:
        """Whether a corpus that was read has no phones, and the recipe aligns it by its texts."""
        return bool(self._reader.aligner_name) and self._reader.needs_alignment(corpus)

    def aligning_problems(self, needed: bool) -> list[str]:
        """Return what is wrong with what aligns; see :meth:`CorpusReader.aligning_problems`."""
        return self._reader.aligning_problems(needed)

    def check_sources(self) -> None:
        """Read the grammar and the table of reductions, if the recipe has them.

        Raises:
            SpeechattnError: if one cannot be read.
        """
        if self.config.grammar:
            Grammar(self._grammar)
        if self.config.reductions:
            Reductions.read(self.config.reductions, self.phones)

    def _training_corpora(self) -> list[Corpus]:
        """Read the entries of ``train``, realigned as the recipe says."""
        config = self.config
        if not (config.reductions and config.realign):
            return [self._training_corpus(entry) for entry in config.train]
        table = Reductions.read(config.reductions, self.phones)
        lexicon = Lexicon([POCKETSPHINX], self.phones)
        realigner = TextRealigner(self._aligner, lexicon, table, self.report)
        corpora = {entry: self._corpus(entry) for entry in config.train}
        realigner.learn([corpora[entry] for entry in config.realign])
        train = [
            self._with_given_times(realigner.realign(corpus), corpus)
            if entry in config.realign
            else corpus
            for entry, corpus in corpora.items()
        ]
        write_spoken(self.work / "prepared" / SPOKEN, realigner.spoken, self.phones)
        shares = json.dumps(realigner.reductions.shares, indent=1)
        atomic_write_text(self.work / "prepared" / SHARES, shares + "\n")
        return train

    def _with_given_times(self, realigned: Corpus, given: Corpus) -> Corpus:
        within = self.config.keep_times_ms / 1000
        return keep_given_times(realigned, given, within) if within else realigned

    def heard_lexicon(self) -> Lexicon | None:
        """Read the words of English as they were said in the realigned corpora.

        Returns:
            None if nothing was realigned with reductions.
        """
        config, prepared = self.config, self.work / "prepared"
        if not (config.reductions and config.realign):
            return None
        shares = json.loads((prepared / SHARES).read_text(encoding="utf-8"))
        table = Reductions.read(config.reductions, self.phones).given(shares)
        spoken = read_spoken(prepared / SPOKEN, self.phones)
        return spoken_lexicon(Lexicon([POCKETSPHINX], self.phones), table, spoken)

    def _training_corpus(self, entry: str) -> Corpus:
        """Read one entry of ``train``, realigned if it is in ``realign``."""
        if entry not in self.config.realign:
            return self._corpus(entry)
        folder = self.corpora / entry.split("/")[0]
        aligned = self._reader.has_phones(entry)
        sentences = None
        if self.config.grammar and not aligned and (folder / INTENTS).is_file():
            lexicon = Lexicon([POCKETSPHINX], self.phones)
            sentences = SentenceHypotheses(Grammar(self._grammar), lexicon, folder)
        return realign(self.corpus(entry), self._aligner, sentences)

    @property
    def _grammar(self) -> Path:
        name = self.config.grammar or ""
        path, packaged = Path(name), resource("recipes", name)
        return packaged if is_file(packaged) and not is_file(path) else path

    @cached_property
    def _aligner(self) -> Recognizer:
        device = pick_device(self.config.device)
        precision = "auto" if self.config.reductions else "fp32"
        return Recognizer(load_aligner(self.config, self.phones, device), device, precision)

    def _without_test_sentences(self, train: list[Corpus], test: list[Corpus]) -> list[Corpus]:
        """Remove the training utterances whose sentence is in a test set too.

        Raises:
            CorpusError: if nothing remains.
        """
        test_sentences = {sentence(u.text) for corpus in test for u in corpus if u.text}
        remaining = []
        for corpus in train:
            own = tuple(u for u in corpus if not u.text or sentence(u.text) not in test_sentences)
            if left_out := len(corpus) - len(own):
                self.report(
                    f"  left out of train: {corpus.name}: {left_out} of {len(corpus)} utterances, "
                    "whose sentences a test set has too"
                )
            remaining.append(dataclasses.replace(corpus, utterances=own))
        if any(map(len, train)) and not any(map(len, remaining)):
            raise CorpusError(
                "train: a test set has all of its sentences too, and none may be in both; "
                "train on other sentences, or remove the corpora's text files"
            )
        return remaining

    def _synthesise(self) -> None:
        """Make the synthetic corpus anew."""
        from speechattn.corpora.synth.corpus import synthesize_corpus

        folder = self.corpora / "espeak"
        if folder.exists():  # made with other settings, or this stage would have been skipped
            shutil.rmtree(folder)
        sizes = self.config.synth
        assert sizes is not None
        synthesize_corpus(
            folder,
            utterances=sizes.train,
            dev_utterances=sizes.dev,
            test_utterances=sizes.test,
            seed=self.config.seed,
        )


def _corpus_files(folder: Path, work: Path) -> Iterator[Path]:
    """The files of a corpus, without hidden ones and what runs have written.

    Args:
        folder: of the corpus.
        work: the work folder of this run; those of other runs have ``stamps.json`` in them.
    """
    for parent, folders, names in os.walk(folder):
        below = [(name, Path(parent, name)) for name in folders if not name.startswith(".")]
        folders[:] = [
            name
            for name, path in below
            if path.resolve() != work.resolve() and not (path / STAMPS).exists()
        ]
        paths = (Path(parent, name) for name in names if not name.startswith("."))
        yield from (path for path in paths if path.is_file())


def recipe_phones(config: RecipeConfig) -> PhoneSet:
    """Return the phone set of a recipe: its table, else that of ``init``, else ARPAbet."""
    if config.init and not config.phones:
        return PhoneSet.from_dict(model_config(config.init)["phones"])
    return phone_set(config.phones or "arpabet")
