"""A recipe and its corpora, looked at before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from speechattn.corpora.corpus import Corpus
from speechattn.corpora.readers.kaldi import check_length, length_of
from speechattn.errors import CorpusError, SpeechattnError
from speechattn.files import is_file, is_folder
from speechattn.inference.checkpoint import pick_device
from speechattn.text import one_line
from speechattn.training.config import RecipeConfig
from speechattn.training.decoding import decoder_grid
from speechattn.training.recipe_data import RecipeData
from speechattn.training.sources.whisper_file import find_weights
from speechattn.training.warm_start import load_initial_model, load_teacher

THREADS = 4  # that open recordings


@dataclass
class Findings:
    """What a look at a recipe found.

    Attributes:
        problems: everything that is wrong, one line each.
        summary: what there is, one line for each part of a corpus.
    """

    problems: list[str] = field(default_factory=list)
    summary: list[str] = field(default_factory=list)


def check_recipe(config: RecipeConfig) -> Findings:
    """Read all that a recipe names, and list what is wrong with it.

    Every recording is opened, but none is decoded.

    Args:
        config: recipe, whose values are possible by themselves.
    """
    found = Findings()
    try:
        data = RecipeData(config, Path(config.work_dir), found.summary.append)
    except SpeechattnError as error:
        return Findings([one_line(str(error))])
    for check in _checks(config, data):
        try:
            check()
        except SpeechattnError as error:
            found.problems.append(one_line(str(error)))
    if not config.synth:
        _check_corpora(config, data, found)
    return found


def _checks(config: RecipeConfig, data: RecipeData) -> Iterator[Callable[[], object]]:
    """Everything that may be wrong apart from the corpora."""
    yield lambda: pick_device(config.device)
    yield lambda: decoder_grid(config.decoding)
    if config.start_from and not config.first_pass and not config.first_pass_changes:
        yield lambda: load_initial_model(config, data.phones, pick_device("cpu"))
    if config.teacher and not config.first_pass and not config.first_pass_changes:
        yield lambda: load_teacher(config, data.phones, pick_device("cpu"))
    if config.whisper:
        yield lambda: find_weights(config.whisper or "")
    if config.card and not is_file(config.card):
        yield lambda: _raise(f"card: {config.card}: no such file")
    for path in config.decoding.texts:
        if not is_file(path):
            message = f"decoding.texts: {path}: no such file; give one, or leave it out"
            yield partial(_raise, message)
    noise = Path(config.corpora, config.noise) if config.noise else None
    if noise is not None and not is_folder(noise):
        yield lambda: _raise(f"noise: {noise}: no such folder")
    yield data.check_sources


def _raise(message: str) -> None:
    raise CorpusError(message)


def _check_corpora(config: RecipeConfig, data: RecipeData, found: Findings) -> None:
    """Read every part of a corpus once, and open its recordings, as ``corpus check`` does."""
    parts = {"train": config.train, "dev": config.dev, "test": config.test}
    lengths: dict[Path, float | str] = {}
    aligning = False
    for name, entries in parts.items():
        for entry in entries:
            try:
                corpus = data.corpus(entry)
            except (SpeechattnError, OSError) as error:
                found.problems.append(f"{name}: {one_line(str(error))}")
                continue
            found.problems += [f"{name}: {line}" for line in (*corpus.problems, *corpus.notes)]
            found.problems += [f"{name}: {line}" for line in data.text_problems(corpus)]
            aligning = aligning or data.is_aligned_by_text(corpus)
            unread = dict.fromkeys(u.path for u in corpus if u.path not in lengths)
            with ThreadPoolExecutor(THREADS) as pool:
                lengths.update(zip(unread, pool.map(length_of, unread)))
            for utterance in corpus:
                try:
                    check_length(utterance, lengths)
                except CorpusError as error:
                    found.problems.append(f"{name}: {entry}: {error}")
            found.summary.append(f"{name}: {entry}: {_size(corpus)}")
    found.problems += data.aligning_problems(aligning)


def _size(corpus: Corpus) -> str:
    speakers = len({utterance.speaker for utterance in corpus})
    hours = sum(utterance.duration or 0.0 for utterance in corpus) / 3600
    known = all(utterance.duration for utterance in corpus)
    length = f"{hours:.2f} hours, " if known else ""
    return f"{len(corpus)} utterances, {length}{speakers} speakers"
