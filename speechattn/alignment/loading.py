"""From the name of a model to an aligner: what Python and the command ``align`` both call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from speechattn.alignment.aligner import Aligner
from speechattn.alignment.network import Doubt
from speechattn.alignment.pronunciations import GUESS, has_arpabet, open_dictionary
from speechattn.alignment.reductions import ENGLISH, Reductions
from speechattn.inference.recognizer import DEFAULT_MODEL, load_model

if TYPE_CHECKING:
    from speechattn.inference.recognizer import Recognizer

NO_REDUCTIONS = "none"


def load_aligner(
    name_or_dir: str | Path = DEFAULT_MODEL,
    device: str = "auto",
    *,
    lexicons: str | Path | Sequence[str | Path] = (),
    unknown: str = GUESS,
    reductions: str | Path = ENGLISH,
    every_word: bool = False,
    precision: str = "fp32",
    window: tuple[int, int] | None = None,
) -> Aligner:
    """Load a model that aligns texts with recordings.

    Lines of a lexicon that are not understood are left out;
    ``aligner.dictionary.lexicon.problems`` names them.

    Args:
        name_or_dir: a model folder, or the name of a model of the package (default: English).
        device: as for :func:`speechattn.load_model`.
        lexicons: a file or several that say how words are pronounced, in the form of CMU or MFA,
            before the dictionary of US English that comes with the package; the first that lists
            a word counts.
        unknown: what becomes of a word of no dictionary: ``"guess"`` its pronunciation,
            ``"spell"`` it letter by letter, or ``"fail"``.
        reductions: what may be said instead of the dictionary's forms, such as a dropped T: a table
            in the form of ``data/reductions.tsv``, ``"english"``, or ``"none"``.
        every_word: give every word of a text a time, whether it was said or not.
        precision: as for :func:`speechattn.load_model`.
        window: as for :func:`speechattn.load_model`.

    Raises:
        ModelError: if there is no such model, or it is damaged.
        ConfigError: if the device, the precision or the window is not available, or a file of
            ``lexicons`` or ``reductions`` cannot be read.
        UsageError: if there is no dictionary for the model's phones, or ``unknown`` is none of
            the three.
    """
    recognizer = load_model(name_or_dir, device, precision=precision, window=window)
    return make_aligner(recognizer, lexicons, unknown, reductions, every_word=every_word)


def make_aligner(
    recognizer: Recognizer,
    lexicons: str | Path | Sequence[str | Path] = (),
    unknown: str = GUESS,
    reductions: str | Path = ENGLISH,
    *,
    every_word: bool = False,
) -> Aligner:
    """Make an aligner of a model that is loaded; see :func:`load_aligner`.

    The reductions of English are left out for a model without all phones of ARPAbet.
    """
    phones = recognizer.phones
    dictionary = open_dictionary(lexicons, phones, unknown)
    unsuited = reductions == ENGLISH and not has_arpabet(phones)
    without = reductions == NO_REDUCTIONS or unsuited
    table = None if without else Reductions.read(str(reductions), phones)
    return Aligner(recognizer, dictionary, table, doubt=None if every_word else Doubt())
