"""A new decoder for a model that is trained already; its encoder's weights are not touched.

What the decoder knows about phones and words comes from the model itself or from another one with
the same phones, and may be mixed with texts. Names are found for words that have none. The
decoder's weights may be tuned anew, which a new encoder needs.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from speechattn.corpora.corpus import read_entry
from speechattn.corpora.prepared import PreparedSet, prepare_set
from speechattn.decoder.lm.english import english_lexicon, english_trigram
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.decoder.lm.pruning import with_names
from speechattn.decoder.options import DecoderOptions
from speechattn.errors import ModelError, UsageError
from speechattn.files import atomic_folder
from speechattn.inference.checkpoint import LANGUAGE, NGRAMS, WORDS, Checkpoint
from speechattn.inference.model_files import (
    CARD,
    CONFIG,
    FORMAT_VERSION,
    WEIGHTS,
    may_replace,
    model_files,
    readable_json,
)
from speechattn.inference.model_tensors import packed_tensors, unpacked_tensors
from speechattn.training.config_sections import DecodingConfig
from speechattn.training.decoding import tune_decoder
from speechattn.training.new_words import TextSources, with_texts

NO_TEXTS = TextSources()


def new_decoder(
    model: Path,
    folder: Path,
    *,
    like: Path | None,
    tune: Sequence[str],
    corpora: Path,
    candidates: DecodingConfig,
    report: Callable[[str], None],
    window: tuple | None = None,
    share: bool = False,
    share_words: bool = False,
    texts: TextSources = NO_TEXTS,
) -> None:
    """Write a model with another decoder.

    Args:
        model: its folder.
        folder: to write to; a model that is there is replaced. It may be the same.
        like: folder of the model whose decoder it gets; None for its own.
        tune: sets that the weights are tuned on, ``corpus/split`` each; none to keep them.
        corpora: folder of the corpora.
        candidates: of a recipe: values that are tried, and numbers of pairs and triples.
        report: takes one line for the user.
        window: attention window that it has from now on, as ``encoder.window`` may be; None for its
            own.
        share: write no weights, but the name of ``model``, which must lie beside ``folder``.
        share_words: write no n-grams and words, but the name of ``like``, which must lie beside
            ``folder``.
        texts: what its words learn from, with as many pairs and triples as ``candidates`` says.

    Raises:
        ConfigError: if the model was not trained for the window.
        ModelError: if a model cannot be read, or the phones of the two differ.
        UsageError: if pocketsphinx, from which the names come, is not installed, or what is to be
            shared cannot be.
        CorpusError: if the words are none of pocketsphinx's, or a set cannot be read.
    """
    _check_place(model, folder, keeps_words=not share_words)
    if texts.option:
        _check_texts(texts.option, candidates, share, share_words)
    if share:
        _check_weights_beside(model, folder, like)
    if share_words:
        _check_words_beside(folder, like)
    checkpoint = Checkpoint.load(model)
    if window is not None:
        checkpoint.classifier.set_window(window)
    source = checkpoint if like is None else Checkpoint.load(like)
    if source.phones != checkpoint.phones:
        raise UsageError(f"--like {like}: its phones are not those of {model}; give another model")
    phone_model, options = source.phone_model, source.decoding
    words = phone_model.words
    if share_words and words is None and phone_model.ngrams is None:
        raise UsageError(f"--share-words: {like} has no n-grams and words; give another model")
    if words is not None and words.names is None:
        if share or share_words:
            option, holder = ("--share-words", like) if share_words else ("--share-weights", model)
            raise UsageError(
                f"{option}: the words of {holder} have no names; write it anew with names "
                "first: speechattn decoder"
            )
        named = with_names(words, english_trigram(), english_lexicon(checkpoint.phones))
        phone_model = replace(phone_model, words=named)
        report(f"found the names of {named.num_words} words")
    if texts.option:
        if phone_model.words is None:
            holder = model if like is None else like
            raise UsageError(
                f"{texts.option}: {holder} knows no words; give a model that does, or --like one"
            )
        learned = with_texts(
            phone_model.words,
            checkpoint.phones,
            texts,
            corpora=corpora,
            pairs=candidates.word_pairs,
            triples=candidates.word_triples,
            report=report,
        )
        phone_model = replace(phone_model, words=learned)
    if tune:
        options = _tuned(checkpoint, phone_model, tune, corpora, candidates, report)
    changes: dict = {"decoding": options.to_dict(), "phone_model": phone_model.to_dict()}
    if window is not None:
        changes["encoder"] = checkpoint.classifier.config.to_dict()
    if share:
        _write_sharing(model, folder, changes)
    else:
        if share_words and like is not None:
            changes["words_of"] = model_files(like.resolve()).words.parent.name
        write_with_decoder(model, folder, phone_model, changes)


def _check_place(model: Path, folder: Path, keeps_words: bool) -> None:
    """Check that a model may be written to a folder, and no other model loses anything by it.

    Raises:
        ModelError: if something else is there.
        UsageError: if it lies in the model's own folder, or a model beside it has its weights or
            words from what would be replaced.
    """
    if folder.exists() and not may_replace(folder):
        raise ModelError(f"{folder}: is there and no model; remove it or give another folder")
    here, source = folder.resolve(), model.resolve()
    if source in here.parents:
        raise UsageError(f"--output-dir {folder}: lies in {model}; give a folder beside it")
    if here == source and keeps_words:
        return
    for config in sorted(here.parent.glob(f"*/{CONFIG}")):
        other = config.parent
        try:
            files = model_files(other).all[1:]
        except ModelError:
            continue  # it can be loaded neither before nor after
        if other != here and here in (path.parent for path in files):
            raise UsageError(
                f"--output-dir {folder}: {other} has weights or words of the model that is there; "
                "give another folder"
            )


def _check_texts(option: str, candidates: DecodingConfig, share: bool, share_words: bool) -> None:
    """Check that words of the new model can be others than those of the model beside it.

    Raises:
        UsageError: if they are shared, or the recipe has no room for pairs of words.
    """
    for shares, sharing in ((share, "--share-weights"), (share_words, "--share-words")):
        if shares:
            raise UsageError(
                f"{option}: changes words, which {sharing} has from another model; leave one out, "
                "or change the words of that model"
            )
    if not candidates.word_pairs:
        raise UsageError(
            f"{option}: the recipe's decoding.word_pairs is 0, so no pair would stay; give "
            "--recipe english, or one with pairs"
        )


def _check_weights_beside(model: Path, folder: Path, like: Path | None) -> None:
    """Check that a model in ``folder`` can have the weights of ``model``.

    Raises:
        UsageError: if it does not lie beside it, has other words, or would take the place of the
            weights.
    """
    holder = model_files(model.resolve()).weights.parent
    if like is not None or folder.resolve().parent != holder.parent:
        raise UsageError(
            f"--share-weights: {folder} must lie beside {model}, and have its n-grams and words "
            "(no --like)"
        )
    if folder.resolve() == holder:
        raise UsageError(f"--share-weights: {folder} has these weights itself; give another folder")


def _check_words_beside(folder: Path, like: Path | None) -> None:
    """Check that a model in ``folder`` can have the words of ``like``.

    Raises:
        UsageError: if it does not lie beside it, or would take its place.
    """
    if like is None:
        raise UsageError("--share-words: needs --like, the model whose words it has")
    holder = model_files(like.resolve()).words.parent
    if folder.resolve().parent != holder.parent:
        raise UsageError(f"--share-words: {folder} must lie beside {holder}, which has the words")
    if folder.resolve() == holder:
        raise UsageError(f"--share-words: {folder} has these words itself; give another folder")


def _tuned(
    checkpoint: Checkpoint,
    phone_model: PhoneModel,
    sets: Sequence[str],
    corpora: Path,
    candidates: DecodingConfig,
    report: Callable[[str], None],
) -> DecoderOptions:
    phones = checkpoint.phones
    read = [read_entry(corpora, name, phones=phones) for name in sets]
    with tempfile.TemporaryDirectory() as place:
        dev = Path(place) / "dev"
        problems = prepare_set(
            dev, read, phones=phones, front_end=checkpoint.front_end, progress="prepare"
        )
        for problem in problems:
            report(f"left out: {problem}")
        model = checkpoint.classifier, phone_model, PreparedSet(dev)
        device = torch.device("cpu")
        options, rows = tune_decoder(*model, candidates, phones.silence_index, device)
    report(f"tuned: {json.dumps(options.to_dict())}; PER {100 * rows[0]['per']:.2f} % on dev")
    return options


def write_with_decoder(
    model: Path, folder: Path, phone_model: PhoneModel, changes: dict[str, Any]
) -> None:
    """Copy a model folder, with another decoder; its other values stay to the last bit.

    Args:
        model: the folder.
        folder: to write to, whole or not at all; replaced if it is there. It may be the same.
        phone_model: order and duration of phones, with n-grams and words.
        changes: of the configuration. With ``words_of``, n-grams and words are left out.
    """
    stored, small = unpacked_tensors(model_files(model).weights)
    tensors = {name: values for name, values in stored.items() if not name.startswith(LANGUAGE)}
    shared = "weights_of", "words_of"  # by the model that is copied
    config = {k: v for k, v in _changed(model, folder, changes).items() if k not in shared}
    config |= changes
    for begin, part in ((NGRAMS, phone_model.ngrams), (WORDS, phone_model.words)):
        if part is not None and "words_of" not in config:
            found = part.tensors().items()
            tensors |= {f"{begin}{name}": torch.tensor(values) for name, values in found}
    files = {CONFIG: readable_json(config).encode(), WEIGHTS: packed_tensors(tensors, small)}
    _write(model, folder, files)


def _write_sharing(model: Path, folder: Path, changes: dict[str, Any]) -> None:
    """Write a model that has the weights of the one beside it."""
    name = model_files(model.resolve()).weights.parent.name
    config = _changed(model, folder, changes) | {"weights_of": name}
    _write(model, folder, {CONFIG: readable_json(config).encode()}, leave_out=WEIGHTS)


def _changed(model: Path, folder: Path, changes: dict[str, Any]) -> dict[str, Any]:
    config = json.loads((model / CONFIG).read_text(encoding="utf-8"))
    if folder.resolve() != model.resolve():
        config["name"] = folder.resolve().name
    return config | {"format_version": FORMAT_VERSION} | changes


def _write(model: Path, folder: Path, files: dict[str, bytes], leave_out: str = "") -> None:
    """Write a folder with what is beside the files of a model, whole or not at all.

    The card stays behind, unless the model is written in its own place: its figures are of another
    decoder.
    """
    others = [leave_out] if folder.resolve() == model.resolve() else [leave_out, CARD]
    with atomic_folder(folder.resolve(), shared=True) as partial:
        shutil.copytree(model, partial, ignore=shutil.ignore_patterns(*others), dirs_exist_ok=True)
        for name, data in files.items():
            (partial / name).write_bytes(data)
