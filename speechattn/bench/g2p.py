"""``speechattn bench g2p``: errors of guessed pronunciations, on words that were left out.

Some words of the dictionary are left out with all their pronunciations, a model is made of the
rest, and its first guess for each of them is compared with the nearest of its pronunciations, as
is the rule for this dictionary. It guesses as in alignment, from the letters and from the words of
the rest that are like them, and from the letters alone; with the network, and without it. The same
command makes the model that comes with the package: n-grams and rules of all words, and a network
that has not learned the words that are left out here. With others left out, it is not used.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import kaldialign
import numpy as np

from speechattn.alignment.g2p.analogy import Lookup
from speechattn.alignment.g2p.graphones import Entry
from speechattn.alignment.g2p.network import LeftOut, SpellingNetwork
from speechattn.alignment.g2p.pronouncer import Pronouncer
from speechattn.alignment.g2p.storage import load_model, save_model
from speechattn.alignment.g2p.train import ORDER, train
from speechattn.alignment.g2p.train_network import train_network
from speechattn.alignment.guesses import NETWORK
from speechattn.decoder.lm.lexicon import ENGLISH, Lexicon
from speechattn.errors import UsageError
from speechattn.files import resource
from speechattn.phones import arpabet
from speechattn.text import table

VARIANTS = 3  # ways of each word that the aligner lets the sound choose from
_WORD = re.compile(r"[a-z']+")  # what is guessed; the dictionary also has u.s. and twenty-one
Ways = Mapping[str, Sequence[tuple[str, ...]]]


@dataclass(frozen=True)
class G2PScores:
    """Errors of a model on some words.

    Attributes:
        words: how many.
        phones: of the pronunciations that are compared with.
        phone_errors: insertions, deletions and substitutions.
        word_errors: words whose first guess is none of their pronunciations.
        missed: words of which none of the first ``VARIANTS`` guesses is a pronunciation.
        seconds: for a word.
    """

    words: int
    phones: int
    phone_errors: int
    word_errors: int
    missed: int
    seconds: float


def bench_g2p(
    dictionary: str | Path = ENGLISH,
    *,
    share: float = 0.1,
    most: int = 3000,
    order: int = ORDER,
    seed: int = 0,
    output: Path | None = None,
    network: str | Path | None = ENGLISH,
    epochs: int = 0,
) -> str:
    """Measure errors on words left out; return a report in Markdown.

    Args:
        dictionary: a file, or ``english`` for the one of the package.
        share: of the words that is left out of the training.
        most: of them that are guessed, drawn at random.
        order: graphones of the longest n-grams.
        seed: draws the words.
        output: file for the model of the other words; with ``share`` 0, of all words.
        network: file of a network, ``english`` for the one of the package, or None.
        epochs: passes over the words in which a new network is trained and written to its file; 0
            reads it.

    Raises:
        ConfigError: if the dictionary or the network cannot be read.
        UsageError: if nothing is left out and no file is named, or none for a new network, or its
            folder does not exist.
    """
    if not share and output is None:
        raise UsageError("--share 0: leaves out no words; give a share, or a file for --output")
    if epochs and (network is None or network == ENGLISH):
        raise UsageError("--epochs: give --network a file for the network")
    for option, file in (("--output", output), ("--network", network if epochs else None)):
        if file is not None and not Path(file).parent.is_dir():  # before minutes are spent
            raise UsageError(f"{option} {file}: there is no such folder; make it first")
    ways = dictionary_ways(Lexicon([dictionary], arpabet()))
    held_out = draw(sorted(ways), share, seed)
    left = {word: found for word, found in ways.items() if word not in held_out}
    entries: list[Entry] = [(word, way) for word, found in left.items() for way in found]
    left_out = LeftOut(len(ways), share, seed)
    if epochs and network is not None:
        train_network(entries, epochs, seed, left_out).save(Path(network))
    found, said = _network(
        network, left_out
    )  # an unreadable file is named before minutes are spent
    model = train(entries, order)
    size = sum(len(each) for each in model.graphones.orders)
    rows = [
        ("words in the training", f"{len(left):,}"),
        ("n-grams", f"{size:,}, up to {order} graphones"),
    ]
    if output is not None:
        save_model(output, model)
        model = load_model(output)  # with its numbers rounded, as it is used
        rows.append(("file", f"{output.stat().st_size / 1e6:.2f} MB"))
    if held_out:
        drawn = draw(sorted(held_out), most / len(held_out), seed)
        guessed = {word: ways[word] for word in sorted(drawn)}
        rows.append(("words left out", f"{len(guessed):,}"))

        def lookup(word: str) -> Sequence[tuple[str, ...]]:
            return left.get(word, ())

        rows.append(("network", said))
        if found is not None:
            model.network = found
            rows += report_rows(score(model, guessed, lookup))
            rows += report_rows(score(model, guessed), ", by letters alone")
            model.network = None
        without = ", without the network" if found else ""
        rows += report_rows(score(model, guessed, lookup), without)
        rows += report_rows(score(model, guessed), f", by letters alone{without}")
    return table(("pronunciations guessed", ""), rows) + "\n"


def _network(network: str | Path | None, left_out: LeftOut) -> tuple[SpellingNetwork | None, str]:
    """The network, if it has not learned what is left out, and what is said of it."""
    if network is None:
        return None, "none"
    path = resource("data", NETWORK) if network == ENGLISH else Path(network)
    found = SpellingNetwork.load(path)
    if found.left_out != left_out:
        return None, "not used, because it has learned some of the words left out"
    size = path.stat().st_size / 1e6
    return found, f"{found.model.num_weights:,} weights, {size:.2f} MB"


def report_rows(scores: G2PScores, how: str = "") -> list[tuple[str, str]]:
    """What is said of the words that were left out; ``how`` they were guessed."""
    return [
        (f"phone errors{how}", f"{100 * scores.phone_errors / scores.phones:.1f} %"),
        (f"words with an error{how}", f"{100 * scores.word_errors / scores.words:.1f} %"),
        (
            f"words with an error in each of {VARIANTS} guesses{how}",
            f"{100 * scores.missed / scores.words:.1f} %",
        ),
        (f"time for a word{how}", f"{1000 * scores.seconds:.1f} ms"),
    ]


def dictionary_ways(lexicon: Lexicon) -> Ways:
    """The words of a lexicon that are made of letters, in lower case, and their phones."""
    names = lexicon.phones.names
    return {
        word.lower(): [tuple(names[phone] for phone in way) for way in ways]
        for word, ways in lexicon.variants.items()
        if _WORD.fullmatch(word.lower())
    }


def draw(words: Sequence[str], share: float, seed: int) -> set[str]:
    """Some of the words, at random; all of them for a share of 1 or more."""
    chosen = np.random.default_rng(seed).permutation(len(words))[: round(share * len(words))]
    return {words[index] for index in chosen}


def score(model: Pronouncer, ways: Ways, lookup: Lookup | None = None) -> G2PScores:
    """Compare what a model guesses with the pronunciations of some words.

    Args:
        model: guesses.
        ways: words and their pronunciations.
        lookup: finds other words, from which it may guess too.
    """
    phones = phone_errors = word_errors = missed = 0
    seconds = 0.0
    for word, known in ways.items():
        began = time.perf_counter()
        guesses = [guess.phones for guess in model.pronounce(word, VARIANTS, lookup)]
        seconds += time.perf_counter() - began
        errors, length = nearest(guesses[0] if guesses else (), known)
        phone_errors, phones = phone_errors + errors, phones + length
        word_errors += errors > 0
        missed += not set(guesses) & set(known)
    return G2PScores(len(ways), phones, phone_errors, word_errors, missed, seconds / len(ways))


def nearest(guess: Sequence[str], known: Iterable[Sequence[str]]) -> tuple[int, int]:
    """Errors of a guess against the nearest pronunciation, and how long that one is."""
    return min(
        (kaldialign.edit_distance(list(way), list(guess))["total"], len(way)) for way in known
    )
