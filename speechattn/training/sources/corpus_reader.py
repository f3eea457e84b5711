"""The parts of corpora that a recipe names: how they are read, and aligned if they have no phones.

What is aligned is kept in ``work_dir/aligned/CORPUS-SPLIT`` as a corpus in Kaldi's form.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from speechattn.alignment.pronunciations import PronouncingDictionary, has_arpabet, open_dictionary
from speechattn.alignment.reductions import Reductions
from speechattn.corpora.corpus import Corpus, Utterance, read_entry
from speechattn.corpora.tables import CTM_NAMES, read_lines
from speechattn.corpora.writing import write_corpus
from speechattn.errors import ConfigError, CorpusError, ModelError, SpeechattnError
from speechattn.inference.model_files import FORMAT, find_model, read_model_config
from speechattn.inference.recognizer import Recognizer, load_model
from speechattn.phones import PhoneSet
from speechattn.text import one_line
from speechattn.training.config import RecipeConfig
from speechattn.training.sources.text_corpus import is_text_corpus, read_text_corpus

FLAT = "flat"  # value of the key align


class CorpusReader:
    """Reads and aligns what a recipe lists as ``corpus/split``.

    Args:
        config: recipe.
        corpora: folder that holds the corpora.
        work: work folder.
        phones: of the recipe.
        report: takes one line for the user.
    """

    def __init__(
        self,
        config: RecipeConfig,
        corpora: Path,
        work: Path,
        phones: PhoneSet,
        report: Callable[[str], None],
    ) -> None:
        self.config, self.corpora, self.work = config, corpora, work
        self.phones, self.report = phones, report

    def read(self, entry: str, *, alignments: bool | None = None) -> Corpus:
        """Read one entry of ``train``, ``dev`` or ``test``.

        Args:
            entry: ``corpus/split``.
            alignments: leave out utterances without phones, and refuse a corpus without them; None
                to do so unless the recipe aligns such corpora.

        Raises:
            CorpusError: as :func:`speechattn.corpora.corpus.read_corpus`.
        """
        name, split = entry.split("/")
        folder = self.corpora / name
        if is_text_corpus(folder) and self.aligner_name:
            if split != "all":
                raise CorpusError(
                    f"{folder}: a folder of recordings has no split {split!r}; write {name}/all, "
                    "or list its utterances in wav.scp and splits"
                )
            return read_text_corpus(folder)
        if alignments is None:
            alignments = not self.aligner_name or self.has_phones(entry)
        try:
            return read_entry(self.corpora, entry, phones=self.phones, alignments=alignments)
        except CorpusError as error:
            if alignments and not self.has_phones(entry) and (folder / "text").is_file():
                raise CorpusError(
                    f"{error}, or let a model align its texts: align=english (or align=flat, "
                    "without a model)"
                ) from None
            raise

    def has_phones(self, entry: str) -> bool:
        """Whether the corpus of an entry has phone alignments."""
        folder = self.corpora / entry.split("/")[0]
        return any((folder / name).is_file() for name in CTM_NAMES)

    @property
    def aligner_name(self) -> str | None:
        """What aligns corpora without phones: a model, ``flat``, or nothing."""
        return self.config.align or self.config.init

    @cached_property
    def dictionary(self) -> PronouncingDictionary:
        """How the words of texts are said.

        Raises:
            ConfigError: if a dictionary cannot be read.
            UsageError: if there is none at all.
        """
        return open_dictionary(self.config.lexicon, self.phones)

    @cached_property
    def dictionary_problem(self) -> str | None:
        """Why the dictionary cannot be read, in one line; None if it can."""
        try:
            _ = self.dictionary
        except SpeechattnError as error:
            return one_line(str(error))
        return None

    def model(self, device: str) -> Recognizer:
        """Load the model that aligns.

        Raises:
            ModelError: if there is no such model of phones, or it is damaged.
            ConfigError: if it is not of the recipe's phones.
        """
        name = self.aligner_name
        assert name is not None
        try:
            phones = PhoneSet.from_dict(read_model_config(find_model(name), FORMAT)["phones"])
            if phones.names != self.phones.names:
                raise ConfigError(
                    f"align: the phones of {name} are not the recipe's; name a model of these "
                    f"phones, or align={FLAT}, which needs none"
                )
            return load_model(name, device)
        except ModelError as error:
            raise ModelError(f"align: {error}") from None

    def aligning_problems(self, needed: bool) -> list[str]:
        """Return what is wrong with the dictionary and the model that align, one line each.

        Args:
            needed: whether a corpus is to be aligned; if not, the model has only to be there.
        """
        problems = [self.dictionary_problem] if needed and self.dictionary_problem else []
        if self.aligner_name not in (None, FLAT):
            try:
                if needed:
                    self.model("cpu")
                else:
                    find_model(self.aligner_name or "")
            except SpeechattnError as error:
                said = one_line(str(error))
                problems.append(said if needed else f"align: {said}")
        return problems

    def needs_alignment(self, corpus: Corpus) -> bool:
        """Whether a corpus that was read has no phones yet."""
        return not any(utterance.alignment for utterance in corpus)

    def text_problems(self, corpus: Corpus) -> list[str]:
        """Return what is wrong with the texts of a corpus that is to be aligned, one line each.

        Without a dictionary, there is nothing that could be said about them.
        """
        if not self.aligner_name or not self.needs_alignment(corpus) or self.dictionary_problem:
            return []
        problems = []
        path = corpus.folder / "text"
        numbers = {}
        if path.is_file():
            numbers = {line.split(None, 1)[0]: number for number, line in read_lines(path)}
        for utterance in corpus:
            where = f"{path}:{numbers[utterance.id]}" if utterance.id in numbers else path
            try:
                self._words(utterance)
            except SpeechattnError as error:
                problems.append(one_line(f"{where}: {utterance.id}: {error}"))
        return problems

    def _words(self, utterance: Utterance) -> list[str]:
        """The words of an utterance.

        Raises:
            SpeechattnError: if it has none, or some that have no pronunciation.
        """
        words = self.dictionary.read(utterance.text or "").words
        if not words:
            raise CorpusError("has no text; write its words, or leave it out")
        return [word.written for word in words]

    def align(self, sets: dict[str, list[Corpus]]) -> None:
        """Align the corpora that have no phones, in place.

        Args:
            sets: by name; what ``flat`` learns from is ``train``.

        Raises:
            ModelError: if there is no such model, or it is damaged.
            ConfigError: if the model is not of the recipe's phones.
            CorpusError: if nothing of a corpus can be aligned.
        """
        places = [
            (name, number)
            for name, corpora in sets.items()
            for number, corpus in enumerate(corpora)
            if self.needs_alignment(corpus)
        ]
        if not places:
            return
        found = self._aligned([sets[name][number] for name, number in places])
        for (name, number), corpus in zip(places, found):
            sets[name][number] = corpus
            folder = self.work / "aligned" / f"{corpus.name}-{corpus.split or 'all'}"
            shutil.rmtree(folder, ignore_errors=True)
            written = write_corpus(corpus, folder)
            self.report(f"  aligned {len(corpus)} utterances of {corpus.name}: {folder}")
            for problem in written.problems[len(corpus.problems) :]:
                self.report(f"  not in that folder: {problem}")

    def _aligned(self, corpora: list[Corpus]) -> list[Corpus]:
        from speechattn.training.realignment.align_text import align_corpus
        from speechattn.training.realignment.flat_start import FlatStart

        if self.aligner_name == FLAT:
            flat = FlatStart(self.dictionary, self.report)
            return flat.align(corpora)
        model = self.model(self.config.device)
        table = None
        if self.config.reductions and has_arpabet(self.phones):
            table = Reductions.read(self.config.reductions, self.phones)
        return [align_corpus(corpus, model, self.dictionary, table) for corpus in corpora]
