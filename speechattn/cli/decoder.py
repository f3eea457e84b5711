"""``speechattn decoder``: another decoder for a model that is trained already."""

from __future__ import annotations

import argparse
from pathlib import Path

from speechattn.cli.messages import OK, report
from speechattn.errors import SpeechattnError, cannot_write
from speechattn.inference.model_files import find_model
from speechattn.options import parse_window


def add_decoder(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of ``speechattn``.

    Args:
        commands: of the parser.
    """
    decoder = commands.add_parser(
        "decoder",
        allow_abbrev=False,
        help="make the decoder of a model anew; its encoder stays as it is",
        description="Write a model again with another decoder: the n-grams and words of another "
        "model (--like), the order of words in texts (--text), the names of its words, which "
        "models of formats up to 7 lack, and weights that are tuned anew (--tune). The encoder's "
        "weights are not touched.",
    )
    decoder.set_defaults(run=run_decoder)
    decoder.add_argument("model", metavar="MODEL", help="name or folder of the model")
    decoder.add_argument(
        "--output-dir",
        required=True,
        metavar="DIR",
        help="folder of the new model; a model that is there is replaced, and may be the same",
    )
    decoder.add_argument(
        "--like",
        metavar="MODEL",
        help="model whose n-grams, words and weights it gets (default: it keeps its own)",
    )
    decoder.add_argument(
        "--window",
        metavar="FRAMES",
        help="attention window of the new model, in 10 ms frames: LEFT/RIGHT for all blocks, or "
        "one for each, as 48/0,48/2,48/0,48/2 (default: it keeps its own)",
    )
    decoder.add_argument(
        "--share-weights",
        action="store_true",
        help="write no weights: the new model lies beside MODEL and has its weights",
    )
    decoder.add_argument(
        "--share-words",
        action="store_true",
        help="write no n-grams and words: the new model lies beside that of --like and has those",
    )
    decoder.add_argument(
        "--tune",
        default="",
        metavar="LIST",
        help="tune the decoder's weights and confidences on these sets, such as "
        "librispeech/dev,speechocean762/dev (default: they stay as they are)",
    )
    decoder.add_argument(
        "--corpora",
        default="../shared/corpora",
        metavar="DIR",
        help="folder of the corpora (default: ../shared/corpora)",
    )
    decoder.add_argument(
        "--recipe",
        default="english",
        metavar="RECIPE",
        help="recipe whose section decoding says which values are tried, and how many pairs and "
        "triples of words there may be (default: english)",
    )
    _add_texts(decoder)


def _add_texts(decoder: argparse.ArgumentParser) -> None:
    texts = decoder.add_argument_group(
        "words and their order",
        "What the decoder knows of words that follow each other is mixed with texts. Words that "
        "it lacks are added.",
    )
    texts.add_argument(
        "--text",
        action="append",
        default=[],
        metavar="FILE",
        help="text of the kind that will be said, in UTF-8, a sentence a line or as in a book; "
        "may be given several times",
    )
    texts.add_argument(
        "--text-weight",
        type=float,
        default=0.3,
        metavar="W",
        help="share of the texts in the mixture, between 0 and 1 (default: 0.3)",
    )
    texts.add_argument(
        "--transcripts",
        default="",
        metavar="LIST",
        help="sets, such as librispeech/train, whose transcripts are another text, each sentence "
        "once; none that models are measured on",
    )
    texts.add_argument(
        "--transcripts-weight",
        type=float,
        default=0.15,
        metavar="W",
        help="share of the transcripts in the mixture (default: 0.15)",
    )
    texts.add_argument(
        "--whole-trigram",
        action="store_true",
        help="begin with the whole trigram of US English, which pocketsphinx carries, in place of "
        "the pairs and triples that the model has",
    )


def run_decoder(arguments: argparse.Namespace) -> int:
    """Run ``decoder``; return the exit status."""
    from speechattn.training.config import check_splits
    from speechattn.training.new_decoder import new_decoder
    from speechattn.training.new_words import TextSources
    from speechattn.training.recipe_file import read_config

    tune, transcripts = _sets(arguments.tune), _sets(arguments.transcripts)
    check_splits("--tune", tune)
    check_splits("--transcripts", transcripts)
    texts = TextSources(
        files=tuple(map(Path, arguments.text)),
        weight=arguments.text_weight,
        transcripts=transcripts,
        transcripts_weight=arguments.transcripts_weight,
        whole_trigram=arguments.whole_trigram,
    )
    folder = Path(arguments.output_dir)
    try:
        new_decoder(
            find_model(arguments.model),
            folder,
            like=find_model(arguments.like) if arguments.like else None,
            tune=tune,
            corpora=Path(arguments.corpora),
            candidates=read_config(arguments.recipe).decoding,
            report=report,
            window=_windows(arguments.window) if arguments.window else None,
            share=arguments.share_weights,
            share_words=arguments.share_words,
            texts=texts,
        )
    except OSError as error:
        raise SpeechattnError(cannot_write(folder, error)) from error
    return OK


def _sets(text: str) -> tuple[str, ...]:
    """The sets of a list with commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _windows(text: str) -> tuple[int, int] | tuple[tuple[int, int], ...]:
    """Return a window for all blocks, or one for each.

    Raises:
        UsageError: if one is none.
    """
    windows = tuple(parse_window(window.strip()) for window in text.split(","))
    return windows[0] if len(windows) == 1 else windows
