"""The options of every benchmark of ``speechattn bench``.

Imports no benchmark, so that ``speechattn --help`` starts at once.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

from speechattn.cli.arguments import add_precision
from speechattn.options import DEFAULT_MODEL, READINGS

PEERS = ("pocketsphinx", "hama")  # of speechattn.bench.peers; each needs the package of its name

DTYPES = ("fp32", "bf16")


class AttentionDefaults(NamedTuple):
    """What ``speechattn bench attention`` measures unless options say otherwise."""

    lengths: str  # frames
    windows: str  # frames
    heads: str
    dtypes: str
    repeats: int


# The last length is an hour.
FULL = AttentionDefaults("1000,6144,30720,360000", "16,32,64,128", "4", "fp32,bf16", 9)
QUICK = AttentionDefaults("512,2048", "32", "4", "fp32", 3)

CHUNKS = "100,200,400,1000"  # ms

SETS = "kathleen/test,speechocean762/test,kokoro/test,asterisk/all"
CONDITIONS = ("noise", "room", "8khz", "telephone", "gsm", "opus", "mp3")

ACCURACY_SETS = "librispeech/test,commonvoice/test,speechocean762/test,kathleen/test,asterisk/all"

SEEDS = 3  # trainings of each variant of encoder


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="NAME_OR_DIR",
        help=f"name or folder of a model (default: {DEFAULT_MODEL})",
    )


def _add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="threads of PyTorch (default: 1)"
    )


def _add_precision(parser: argparse.ArgumentParser) -> None:
    add_precision(
        parser, "of the encoder's products of matrices, as for transcribe (default: fp32)", "fp32"
    )


def _add_output_dir(parser: argparse.ArgumentParser, files: str) -> None:
    parser.add_argument("--output-dir", metavar="DIR", help=f"folder for {files}")


def add_cuda_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``speechattn bench cuda``."""
    _add_model(parser)
    parser.add_argument(
        "--dry", action="store_true", help="run everything small and on the CPU, as a trial"
    )
    _add_output_dir(parser, "cuda.md")


def add_align_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``speechattn bench align``."""
    parser.add_argument(
        "corpus", metavar="CORPUS", help="folder with wav.scp, text, words.ctm and phones.ctm"
    )
    parser.add_argument("--split", metavar="NAME", help="of the corpus (default: all of it)")
    _add_model(parser)
    parser.add_argument(
        "--lexicon", action="append", default=[], metavar="FILE", help="as for speechattn align"
    )
    parser.add_argument(
        "--wrong",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="share of the words that are replaced by others, to see what is reported (default: "
        "0.1)",
    )
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="for drawing those words (default: 1)"
    )
    _add_output_dir(parser, "align.md")


def add_transcribe_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``speechattn bench transcribe``."""
    parser.add_argument("inputs", nargs="*", metavar="AUDIO", help="audio file or folder")
    parser.add_argument("--list", metavar="FILE", help="text file with one audio path a line")
    _add_model(parser)
    parser.add_argument(
        "--peer",
        default=",".join(PEERS),
        metavar="LIST",
        help=f"what to compare with, of {', '.join(PEERS)}, or none (default: all of them)",
    )
    parser.add_argument(
        "--repeats",
        type=int,
        default=3,
        metavar="N",
        help="measure everything N times and report medians (default: 3)",
    )
    parser.add_argument(
        "--cores",
        default="1",
        metavar="LIST",
        help="numbers of cores to measure on, such as 1,2: every process is kept on the first so "
        "many of those that may be used, and our command uses as many workers (default: 1)",
    )
    parser.add_argument(
        "--long-minutes",
        default="6,20,60",
        metavar="LIST",
        help="lengths of the long recordings, or none; peers take the first (default: 6,20,60)",
    )
    _add_output_dir(parser, "transcribe.md and transcribe.csv")


def add_attention_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``speechattn bench attention``."""
    add = parser.add_argument
    add("--lengths", metavar="LIST", help=f"frames of a sequence (default: {FULL.lengths})")
    add(
        "--windows",
        metavar="LIST",
        help=f"frames that are seen, N to both sides or LEFT/RIGHT (default: {FULL.windows})",
    )
    add("--heads", metavar="LIST", help="numbers of heads (default: 4)")
    add("--dim", type=int, default=64, metavar="D", help="numbers a head (default: 64)")
    add("--dtypes", metavar="LIST", help="of fp32, bf16 (default: both)")
    add("--backward", action="store_true", help="time forward + backward too")
    add("--memory", action="store_true", help="measure the memory of our own method too")
    add("--own", action="store_true", help="measure our own method only")
    _add_threads(parser)
    add(
        "--repeats",
        type=int,
        metavar="N",
        help=f"rounds at most, of which medians are taken (default: {FULL.repeats})",
    )
    add("--quick", action="store_true", help="a small run to see that everything works")
    _add_output_dir(parser, "attention.md, .csv and .png")


def add_streaming_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``speechattn bench streaming``."""
    add = parser.add_argument
    add(
        "--model",
        metavar="NAME_OR_DIR",
        help="name or folder of a model (default: random weights, 6 blocks, width 256, "
        "feed-forward 1024, 4 heads)",
    )
    add(
        "--window",
        metavar="LEFT/RIGHT",
        help="10 ms frames that a block sees, of the random model (default: 32/32) or of one that "
        "works with any window",
    )
    add("--chunks", default=CHUNKS, metavar="LIST", help=f"milliseconds (default: {CHUNKS})")
    add("--seconds", type=int, default=60, metavar="N", help="of sound (default: 60)")
    _add_threads(parser)
    add("--repeats", type=int, default=7, metavar="N", help="rounds (default: 7)")
    _add_precision(parser)
    _add_output_dir(parser, "streaming.md and streaming.csv")


def add_conditions_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``speechattn bench conditions``."""
    add = parser.add_argument
    _add_model(parser)
    _add_set_options(parser, SETS)
    add(
        "--conditions",
        default=",".join(CONDITIONS),
        metavar="LIST",
        help=f"of {', '.join(CONDITIONS)}, beside clean, or none (default: all)",
    )
    add(
        "--noise",
        metavar="DIR",
        help="folder with recordings of noise (default: noise, beside the corpora)",
    )
    _add_precision(parser)
    _add_threads(parser)
    _add_output_dir(parser, "conditions.md, .csv, .json and pictures")


def add_accuracy_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``speechattn bench accuracy``."""
    add = parser.add_argument
    add(
        "--model",
        action="append",
        metavar="NAME_OR_DIR",
        help=f"name or folder of a model; may be given several times (default: {DEFAULT_MODEL})",
    )
    add(
        "--peer",
        metavar="LIST",
        help=f"other recognizers, of {', '.join(PEERS)}, or none (default: those installed)",
    )
    _add_set_options(parser, ACCURACY_SETS)
    add(
        "--reading",
        default=READINGS[0],
        metavar="LIST",
        help="what the models know of the order of phones, each measured: words (all that a model "
        "has), dictionary (the same, words as the dictionary has them), phones (n-grams of "
        "phones alone), none (what is heard alone) (default: words)",
    )
    add(
        "--lm-scale",
        default="",
        metavar="LIST",
        help="weights of words and n-grams that are measured as well, such as 0.5,1",
    )
    add(
        "--window",
        metavar="LEFT/RIGHT",
        help="10 ms frames that a block sees, of models that work with any window",
    )
    _add_precision(parser)
    _add_threads(parser)
    _add_output_dir(parser, "accuracy.md, .csv and .png")


def _add_set_options(parser: argparse.ArgumentParser, sets: str) -> None:
    """Add the options that choose labelled recordings; ``sets``: the default of ``--sets``."""
    add = parser.add_argument
    add("--corpora", required=True, metavar="DIR", help="folder of the corpora")
    add(
        "--sets",
        default=sets,
        metavar="LIST",
        help=f"corpus/split each, corpus/all for a whole corpus (default: {sets})",
    )
    add(
        "--limit",
        type=int,
        default=0,
        metavar="N",
        help="utterances of a set, evenly spread over it (default: 0, all)",
    )


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``speechattn bench training``."""
    add = parser.add_argument
    add("config", metavar="RECIPE", nargs="?", default="english", help="default: english")
    add("overrides", nargs="*", metavar="key=value", help="of the recipe, as training.steps=500")
    add("--updates", type=int, default=5, metavar="N", help="updates to count (default: 5)")


def add_windows_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``speechattn bench windows``."""
    add = parser.add_argument
    add("config", metavar="CONFIG", help="recipe: a YAML file, or the name of one")
    add("overrides", nargs="*", metavar="key=value", help="of the recipe, as training.steps=500")
    add(
        "--variants",
        metavar="FILE",
        help="YAML, a name and an encoder's keys each; width: auto for equal weights (default: a "
        "ladder of attention windows, full attention, frames, cnn, lstm)",
    )
    add("--only", metavar="NAMES", help="variants to take, separated by semicolons")
    add(
        "--seeds",
        type=int,
        metavar="N",
        help=f"trainings of each variant (default: {SEEDS}, quick: 1)",
    )
    add(
        "--quick",
        action="store_true",
        help="a first picture in minutes: fewer variants, 100 updates, one seed",
    )
    add("--list", action="store_true", help="say which variants there are, and train nothing")
    add(
        "--output-dir",
        metavar="DIR",
        help="folder for the trainings, windows.md, .csv and pictures (default: windows in the "
        "recipe's work_dir)",
    )


def add_g2p_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``speechattn bench g2p``."""
    add = parser.add_argument
    add(
        "--dictionary",
        default="english",
        metavar="FILE",
        help="pronouncing dictionary in ARPAbet (default: english, which comes with the package)",
    )
    add(
        "--share",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="share of its words that is left out of the training; 0 for a model of all words "
        "(default: 0.1)",
    )
    add(
        "--words",
        type=int,
        default=3000,
        metavar="N",
        help="how many of the words left out are guessed (default: 3000)",
    )
    add("--seed", type=int, default=0, metavar="N", help="draws the words (default: 0)")
    add("--output", metavar="FILE", help="write the model to this file, *.npz")
    add(
        "--network",
        default="english",
        metavar="FILE",
        help="network that scores pronunciations beside the model, or none (default: english, "
        "which comes with the package)",
    )
    add(
        "--epochs",
        type=int,
        default=0,
        metavar="N",
        help="train the network in so many passes, write it to the file of --network, and use it "
        "(default: 0, as it is)",
    )
