"""What was said in a recording, among all that a grammar allows: without a transcript, phones.

Of the sentences that :class:`speechattn.decoder.lm.jsgf.Grammar` draws with the slots of a recording
(``intents.json``: what it is about, without the words around that), the ones whose phones are the
closest to those that a model hears are aligned with it; the one that fits best counts as said.
"""

from __future__ import annotations

import json
from pathlib import Path

import kaldialign
import numpy as np

from speechattn.decoder.decoder import decode
from speechattn.decoder.forced_alignment import LEAST_PHONE_FRAMES, Alignment, force_align
from speechattn.decoder.lm.jsgf import Grammar
from speechattn.decoder.lm.lexicon import Lexicon
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.errors import CorpusError

INTENTS = "intents.json"
DRAWN = 1000  # sentences for a recording
ALIGNED = 10  # of them, the closest


class Sentences:
    """What may have been said in the recordings of a corpus.

    Args:
        grammar: of its sentences; slots that it does not know are left out.
        lexicon: how its words are said, in any of the ways.
        folder: of the corpus, with ``intents.json``: recording (as ``name`` or ``name.wav``) →
            ``slots`` → the words of each.

    Raises:
        CorpusError: if the intents cannot be read.
    """

    def __init__(self, grammar: Grammar, lexicon: Lexicon, folder: Path):
        self._grammar = grammar
        self._lexicon = lexicon
        self._hearing = PhoneModel.uniform(len(lexicon.phones), min_frames=LEAST_PHONE_FRAMES)
        self._slots = _read_slots(folder / INTENTS)

    def align(self, name: str, log_posteriors: np.ndarray) -> Alignment:
        """Find the sentence that was said, and where its phones lie.

        Args:
            name: of the recording.
            log_posteriors: what a model heard in it, shape (frames, classes).

        Raises:
            CorpusError: if the recording is not listed, the grammar has no sentence for its slots
                or the lexicon not all words, or it is too short for the sentences.
        """
        slots = self._slots.get(name, self._slots.get(f"{name}.wav"))
        if slots is None:
            raise CorpusError(f"{INTENTS} does not list it; add it or leave the recording out")
        random = np.random.default_rng([*name.encode()])
        drawn = self._grammar.sentences(DRAWN, random, slots)
        said = list(dict.fromkeys(self._pronounce(words, random) for words in drawn))
        silence = self._lexicon.phones.silence_index
        heard = decode(log_posteriors, self._hearing)
        heard = [run.phone for run in heard if run.phone != silence]
        said.sort(key=lambda phones: kaldialign.edit_distance(heard, list(phones))["total"])
        found = [force_align(log_posteriors, phones, silence) for phones in said[:ALIGNED]]
        fitting = [alignment for alignment in found if alignment is not None]
        if not fitting:
            raise CorpusError("too short for any sentence of the grammar")
        return max(fitting, key=lambda alignment: _fit(alignment, log_posteriors))

    def _pronounce(self, words: list[str], random: np.random.Generator) -> tuple[int, ...]:
        self._lexicon.require(" ".join(words))
        return tuple(phone for word in words for phone in self._lexicon.draw(word, random))


def _fit(alignment: Alignment, log_posteriors: np.ndarray) -> tuple[float, int]:
    """Log likelihood; of what is as likely, such as a phone and the same one twice, the shorter."""
    parts = (log_posteriors[run.start : run.end, run.phone].sum() for run in alignment.runs)
    return round(float(sum(parts)), 3), -len(alignment.runs)


def _read_slots(path: Path) -> dict[str, dict[str, str]]:
    """Recording → slots → words."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): _words(entry["slots"]) for name, entry in entries.items()}
    except OSError as error:
        reason = error.strerror or str(error)
        raise CorpusError(f"{path}: cannot be read ({reason}); a grammar needs it") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise CorpusError(
            f'{path}: not understood; write {{"recording": {{"slots": {{"slot": "words"}}}}}}'
        ) from None


def _words(slots: dict) -> dict[str, str]:
    if not all(isinstance(words, str) for words in slots.values()):
        raise TypeError
    return {name: words.lower() for name, words in slots.items()}
