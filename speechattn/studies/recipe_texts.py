"""The data of a recipe without its alignments: frames, and phone strings from text and a lexicon."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import speechattn
from speechattn.corpora.corpus import Corpus
from speechattn.corpora.prepared import Entry
from speechattn.decoder.lm.lexicon import POCKETSPHINX, Lexicon
from speechattn.errors import CorpusError
from speechattn.studies.ctc import vectors_needed
from speechattn.studies.sequence_data import SequenceSet, unaligned
from speechattn.training.recipe_config import RecipeConfig
from speechattn.training.recipe_data import PREPARED_FROM, RecipeData
from speechattn.training.stages import Stage


class TextData(RecipeData):
    """The sets of a recipe without its alignments: frames, and what was said.

    Args:
        config: of the recipe.
        work: where the sets are kept.
        lexicon: files, looked for among the corpora first, or ``pocketsphinx``.
        say: takes one line for the user.

    Raises:
        CorpusError: if the corpora's folder is missing.
        ConfigError: if the lexicon is no good.
        UsageError: if pocketsphinx is not installed.
    """

    def __init__(
        self, config: RecipeConfig, work: Path, lexicon: tuple, say: Callable[[str], None]
    ):
        super().__init__(config, work, say)
        if not config.synth and not Path(config.corpora).is_dir():
            raise CorpusError(
                f"corpora: {config.corpora}: no such folder; give one that holds them"
            )
        self.lexicon_files = [self._lexicon_file(str(name)) for name in lexicon]
        self.lexicon = Lexicon(self.lexicon_files, self.phones)

    def _lexicon_file(self, name: str) -> str | Path:
        among = Path(self.config.corpora) / name
        return among if name != POCKETSPHINX and among.is_file() else name

    def stage(self) -> Stage:
        """What prepares the sets."""
        parts = self.config.to_dict()

        def inputs() -> list:
            used = [parts[name] for name in PREPARED_FROM]
            return [speechattn.__version__, *used, self.fingerprint]

        return Stage("prepare", self.prepare, inputs, self.outputs)

    def strings(self, name: str) -> SequenceSet:
        """The set ``train`` or ``dev``; utterances without a string are named and left out.

        Raises:
            CorpusError: if nothing remains.
        """
        prepared, texts = self.prepared(name), self.texts()
        labels = {}
        for entry in prepared.entries:
            try:
                string = self.lexicon.pronounce(texts.get((entry.corpus, entry.id)))
                self._check_room(entry, string)
                labels[entry.corpus, entry.id] = string
            except CorpusError as error:
                self.say(f"  left out of {name}: {entry.corpus}: {entry.id}: {error}")
        names = tuple(phone for phone in self.phones.names if phone != self.phones.silence)
        return SequenceSet(prepared, {k: self.without_silence(v) for k, v in labels.items()}, names)

    def without_silence(self, phones: tuple[int, ...]) -> tuple[int, ...]:
        """Classes of phones as those of strings, which have none for silence."""
        silence = self.phones.silence_index
        return tuple(phone - (phone > silence) for phone in phones if phone != silence)

    def with_silence(self, labels: tuple[int, ...]) -> tuple[int, ...]:
        """Classes of strings as those of phones."""
        silence = self.phones.silence_index
        return tuple(label + (label >= silence) for label in labels)

    def texts(self) -> dict[tuple[str, str], str | None]:
        """What was said in every utterance of the recipe, by corpus and id."""
        config = self.config
        corpora = map(self._corpus, dict.fromkeys((*config.train, *config.dev, *config.test)))
        return {(corpus.name, u.id): u.text for corpus in corpora for u in corpus}

    def _check_room(self, entry: Entry, string: tuple[int, ...]) -> None:
        """Raise a CorpusError if a string is too long for its utterance at the fastest tempo."""
        frames = round(entry.frames / (1 + self.config.augmentation.speed))
        vectors = -(-frames // self.config.encoder.stack)
        if (needed := vectors_needed(string)) > vectors:
            raise CorpusError(
                f"its {len(string)} phones need {needed} vectors, and at the fastest tempo it has "
                f"{vectors}; correct its text, or lower encoder.stack or augmentation.speed"
            )

    def _corpus(self, entry: str, alignments: bool = False) -> Corpus:
        return unaligned(super()._corpus(entry, alignments=False))

    def _training_corpus(self, entry: str) -> Corpus:
        return self._corpus(entry)
