"""Makes a model of pronunciations of a dictionary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from speechattn.alignment.g2p.analogy import Analogies, Way, learn_rules, reversed_lexicon
from speechattn.alignment.g2p.estimate import estimate
from speechattn.alignment.g2p.graphones import PASSES, Entry, GraphoneAligner
from speechattn.alignment.g2p.model import GraphoneModel
from speechattn.alignment.g2p.pronouncer import Pronouncer
from speechattn.progress import with_progress

ORDER = 7  # graphones of the longest n-grams


def train(entries: Sequence[Entry], order: int = ORDER) -> Pronouncer:
    """Make a model: n-grams of graphones, and rules for analogies.

    Args:
        entries: words in lower case, and their phones.
        order: length of the longest n-grams.
    """
    lexicon: dict[str, list[Way]] = {}
    for word, way in entries:
        lexicon.setdefault(word, []).append(way)
    ends = Analogies(learn_rules(lexicon))
    fronts = Analogies(learn_rules(reversed_lexicon(lexicon)), front=True)
    return Pronouncer(train_graphones(entries, order), ends, fronts)


def train_graphones(entries: Sequence[Entry], order: int = ORDER) -> GraphoneModel:
    """Count and smooth the n-grams of graphones of some words; arguments as for :func:`train`."""
    aligner = GraphoneAligner(entries)
    for _ in with_progress(aligner.run(), "divide words", PASSES, unit="round"):
        pass
    words = [division[::-1] for division in aligner.best()]  # read from the end
    counts = Counter(graphone for word in words for graphone in word)
    graphones = [graphone for graphone, _ in sorted(counts.items(), key=lambda x: (-x[1], x[0]))]
    number = {graphone: token for token, graphone in enumerate(graphones)}
    sequences = [[number[graphone] for graphone in word] for word in words]
    orders = estimate(sequences, len(graphones), len(graphones) + 1, order)
    return GraphoneModel(graphones, orders)
