"""Plain texts as the sentences that somebody would say: words in lower case, numbers in words.

The decoder learns from them which words follow each other. Words are found as in the transcripts of
``align`` (:mod:`speechattn.alignment.pronunciations`), so numbers and abbreviations are read as
they are there.

A sentence ends after ``.``, ``!``, ``?``, ``;`` or ``:``, at an empty line and at the end of the
text. In a text without empty lines it also ends with its line: such a file has a sentence a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from speechattn.alignment.english.reader import core_of
from speechattn.alignment.english.table import spoken_table
from speechattn.alignment.pronunciations import PronouncingDictionary
from speechattn.decoder.lm.text_files import read_text
from speechattn.errors import CorpusError
from speechattn.progress import Progress

_EMPTY_LINE = re.compile(r"\n[ \t]*\n")
_END = re.compile(r"[.!?;:]+[\"'\u201d\u2019)\]\u00bb_*]*")  # of a sentence, behind its last word
_ONLY_WITH_NUMBERS = ("no", "nos")  # else they are the word that they are written as


def read_sentences(path: Path, dictionary: PronouncingDictionary) -> list[list[str]]:
    """Read the sentences of a file.

    Args:
        path: of a text in UTF-8.
        dictionary: whose words are found in it.

    Returns:
        The words of each sentence, at least one, in lower case.

    Raises:
        CorpusError: if it cannot be read or decoded, or has no words.
    """
    text = read_text(path)
    found = []
    with Progress(f"read {path.name}", len(text), unit="letter") as progress:
        for sentence in split_sentences(text):
            progress.update(len(sentence) + 1)
            if words := dictionary.spoken_words(sentence):
                found.append(words)
    if not found:
        raise CorpusError(f"{path}: no words in it; give a text, a sentence a line or as a book")
    return found


def split_sentences(text: str) -> Iterator[str]:
    r"""Split a text at the ends of its sentences.

    Args:
        text: whose lines end in ``\n``.

    Yields:
        Sentences, without what ends them; some may have no words.
    """
    parts = _EMPTY_LINE.split(text.strip())
    for part in parts if len(parts) > 1 else text.split("\n"):
        yield from _sentences_of(part.split())


def _sentences_of(tokens: list[str]) -> Iterator[str]:
    """The sentences of a paragraph."""
    first = 0
    for place, token in enumerate(tokens):
        if token[-1].isalnum() or token[-1] == ",":
            continue  # most tokens
        end = next((m.start() for m in _END.finditer(token) if m.end() == len(token)), None)
        after = tokens[place + 1] if place + 1 < len(tokens) else ""
        if end is None or (after and token[end:] == "." and _is_short(core_of(token), after)):
            continue
        yield " ".join([*tokens[first:place], token[:end]]).rstrip()
        first = place + 1
    if first < len(tokens):
        yield " ".join(tokens[first:])


def _is_short(core: str, after: str) -> bool:
    """Whether a token with a period is an abbreviation, or an initial, and not a sentence's end.

    Args:
        core: the token without its punctuation.
        after: the token behind it.
    """
    if len(core) == 1 and core.isupper():
        return core != "I"
    if "." in core:  # "U.S.", "e.g."
        return True
    name = core.lower()
    if name not in spoken_table().abbreviations:
        return False
    number = after[0].isdecimal()
    return number or (core[0].isupper() and name not in _ONLY_WITH_NUMBERS)
