"""A new decoder for a model that is trained already; its encoder's weights are not touched.

What the decoder knows about phones and words comes from the model itself or from another one with
the same phones. Names are found for words that have none. The decoder's weights may be tuned anew,
which a new encoder needs.
"""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from speechattn.corpora.corpus import read_entry
from speechattn.corpora.prepared import PreparedSet, prepare_set
from speechattn.decoder.lm.english import english_lexicon, english_trigram
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.decoder.lm.pruning import with_names
from speechattn.decoder.options import DecoderOptions
from speechattn.errors import ModelError, UsageError
from speechattn.files import replace_folder
from speechattn.inference.checkpoint import NGRAMS, WORDS, Checkpoint
from speechattn.inference.model_files import (
    CONFIG,
    FORMAT_VERSION,
    WEIGHTS,
    may_replace,
    readable_json,
)
from speechattn.training.config_sections import DecodingConfig
from speechattn.training.decoding import tune_decoder


def new_decoder(
    model: Path,
    folder: Path,
    *,
    like: Path | None,
    tune: Sequence[str],
    corpora: Path,
    candidates: DecodingConfig,
    report: Callable[[str], None],
) -> None:
    """Write a model with another decoder.

    Args:
        model: its folder.
        folder: to write to; a model that is there is replaced. It may be the same.
        like: folder of the model whose decoder it gets; None for its own.
        tune: sets that the weights are tuned on, ``corpus/split`` each; none to keep them.
        corpora: folder of the corpora.
        candidates: values that are tried.
        report: takes one line for the user.

    Raises:
        ModelError: if a model cannot be read, or the phones of the two differ.
        UsageError: if pocketsphinx, from which the names come, is not installed.
        CorpusError: if the words are none of pocketsphinx's, or a set cannot be read.
    """
    if folder.exists() and not may_replace(folder):
        raise ModelError(f"{folder}: is there and no model; remove it or give another folder")
    checkpoint = Checkpoint.load(model)
    source = checkpoint if like is None else Checkpoint.load(like)
    if source.phones != checkpoint.phones:
        raise UsageError(f"--like {like}: its phones are not those of {model}; give another model")
    phone_model, options = source.phone_model, source.decoding
    words = phone_model.words
    if words is not None and words.names is None:
        named = with_names(words, english_trigram(), english_lexicon(checkpoint.phones))
        phone_model = replace(phone_model, words=named)
        report(f"found the names of {named.num_words} words")
    if tune:
        options = _tuned(checkpoint, phone_model, tune, corpora, candidates, report)
    write_with_decoder(model, folder, phone_model, options)


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
    model: Path, folder: Path, phone_model: PhoneModel, options: DecoderOptions
) -> None:
    """Copy a model folder, with another decoder; its other values stay to the last bit.

    Args:
        model: the folder.
        folder: to write to, whole or not at all; replaced if it is there. It may be the same.
        phone_model: order and duration of phones, with n-grams and words.
        options: weights of the decoder.
    """
    from safetensors.torch import load_file, save

    config = json.loads((model / CONFIG).read_text(encoding="utf-8"))
    config |= {
        "format_version": FORMAT_VERSION,
        "decoding": options.to_dict(),
        "phone_model": phone_model.to_dict(),
    }
    tensors = {
        name: values
        for name, values in load_file(model / WEIGHTS).items()
        if not name.startswith((NGRAMS, WORDS))
    }
    for begin, part in ((NGRAMS, phone_model.ngrams), (WORDS, phone_model.words)):
        if part is not None:
            found = part.tensors().items()
            tensors |= {f"{begin}{name}": torch.tensor(values) for name, values in found}
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        shutil.copytree(model, partial)
        (partial / CONFIG).write_text(readable_json(config), encoding="utf-8")
        (partial / WEIGHTS).write_bytes(save(tensors))
        replace_folder(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
