"""Corpora that people have before anybody aligned them: recordings with their texts beside them."""

from __future__ import annotations

import os
from pathlib import Path

from speechattn.alignment.transcripts import find_transcripts
from speechattn.audio.load import AUDIO_SUFFIXES, audio_info
from speechattn.corpora.corpus import Corpus, Utterance
from speechattn.corpora.readers.texts import name_and_speaker
from speechattn.errors import CorpusError, SpeechattnError
from speechattn.text import one_line


def is_text_corpus(folder: Path) -> bool:
    """Whether a folder is no corpus in Kaldi's form, and may be one of recordings and texts."""
    return folder.is_dir() and not (folder / "wav.scp").exists()


def read_text_corpus(folder: Path) -> Corpus:
    """Read a folder of recordings and, beside each, its words in a ``.txt`` or ``.lab`` file.

    See :func:`~speechattn.corpora.readers.texts.name_and_speaker` for what utterances and speakers
    are called.

    Args:
        folder: searched with all its folders; names that begin with a dot are left out.

    Raises:
        CorpusError: if nothing in it is usable.
    """
    files = _recordings(folder)
    if not files:
        raise CorpusError(
            f"{folder}: neither a wav.scp nor a recording in it; give a folder in Kaldi's form, or "
            "one of recordings with their texts beside them"
        )
    transcripts = find_transcripts(folder, files)
    problems = [f"{folder / file}: {error}" for file, error in transcripts.problems.items()]
    utterances, seen = [], dict[str, str]()
    for file, transcript in transcripts.texts.items():
        name, speaker = name_and_speaker(folder, folder / file)
        try:
            if name in seen:
                raise CorpusError(
                    f"{folder / file}: would be called {name}, as {seen[name]} is; rename one"
                )
            duration = audio_info(folder / file).duration
        except (SpeechattnError, OSError) as error:
            problems.append(str(error))
            continue
        seen[name] = file
        utterances.append(
            Utterance(name, folder / file, speaker, duration=duration, text=transcript.text)
        )
    if not utterances:
        raise CorpusError(f"{folder}: no usable recording; the first problem: {problems[0]}")
    return Corpus(
        folder,
        None,
        tuple(utterances),
        tuple(map(one_line, problems)),
        notes=tuple(map(one_line, transcripts.notes)),
    )


def _recordings(folder: Path) -> list[str]:
    """Relative paths of the recordings of a folder, parts separated by ``/``."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if path.suffix.lower() in AUDIO_SUFFIXES and not name.startswith("."):
                found.append(path.relative_to(folder).as_posix())
    return found
