"""Readers of published corpora: a module for each format, from a folder to a ``Corpus``.

Each module has ``read(folder, phones=…)``, which lists everything that is wrong at once, with file
and line, and ``matches(folder)``, which is true only where the format is certain. What they share
is in ``builder.py`` (read it first), ``labels.py`` (phones of one set as those of another),
``textgrid.py`` and ``finding.py``.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from speechattn.errors import CorpusError, UsageError
from speechattn.files import exists, is_folder

if TYPE_CHECKING:
    from speechattn.corpora.corpus import Corpus

__all__ = ["READERS", "detect_format", "read_published"]

# Format → its module. The first ones are told by more of their layout.
READERS = {
    "speechocean762": "speechattn.corpora.readers.speechocean762",
    "kaldi": "speechattn.corpora.readers.kaldi",
    "timit": "speechattn.corpora.readers.timit",
    "librispeech": "speechattn.corpora.readers.librispeech",
    "buckeye": "speechattn.corpora.readers.buckeye",
    "l2arctic": "speechattn.corpora.readers.l2arctic",
    "commonvoice": "speechattn.corpora.readers.commonvoice",
    "lhotse": "speechattn.corpora.readers.lhotse",
    "mfa": "speechattn.corpora.readers.mfa",
    "texts": "speechattn.corpora.readers.texts",
}


def _module(name: str) -> ModuleType:
    return importlib.import_module(READERS[name])


def detect_format(folder: str | Path) -> str:
    """Find the format of a corpus folder.

    Raises:
        CorpusError: if there is no such folder, or nothing tells its format.
    """
    folder = Path(folder)
    if not exists(folder):
        raise CorpusError(f"{folder}: no such folder; give the one that holds the corpus")
    for name in READERS:
        if _module(name).matches(folder):
            return name
    raise CorpusError(
        f"{folder}: of no format that is certain; name one with --format: {', '.join(READERS)}"
    )


def read_published(
    folder: str | Path,
    format: str | None = None,
    *,
    phones: str | Path = "arpabet",
    alignments: str | Path | None = None,
) -> Corpus:
    """Read a corpus in the form in which it is published.

    Args:
        folder: of the corpus; for ``lhotse`` also a file of cuts.
        format: name of a reader; None to find out.
        phones: the phone set that its labels become, by name or as a file.
        alignments: folder of TextGrids, for the formats that look for them elsewhere too.

    Raises:
        CorpusError: if it cannot be read at all; what is wrong with single utterances is in the
            ``problems`` of the corpus.
        UsageError: if there is no such format, or it has no alignments of its own.
    """
    name = format or detect_format(folder)
    if name not in READERS:
        raise UsageError(f"format {name!r} is unknown; choose from {', '.join(READERS)}")
    read: Callable[..., Corpus] = _module(name).read
    options: dict[str, object] = {"phones": phones}
    if alignments is not None:
        if "alignments" not in inspect.signature(read).parameters:
            raise UsageError(f"format {name} takes no folder of alignments; leave it out")
        if not is_folder(alignments):
            raise UsageError(f"{alignments}: no such folder; give the one that holds TextGrids")
        options["alignments"] = Path(alignments)
    if not exists(folder):
        raise CorpusError(f"{folder}: no such folder; give the one that holds the corpus")
    return read(Path(folder), **options)
