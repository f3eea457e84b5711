"""Words divided into graphones, on words whose division is plain to see."""

from __future__ import annotations

import math

import pytest

from speechattn.alignment.g2p.graphones import GraphoneAligner

WORDS = """\
bat B AE T
tab T AE B
bats B AE T S
pat P AE T
tap T AE P
phat F AE T
paph P AE F
box B AA K S
axe AE K S
at AE T
as AE Z
"""
ENTRIES = [(word, tuple(way)) for word, *way in map(str.split, WORDS.splitlines())]


def test_every_word_is_divided_into_what_its_letters_stand_for():
    aligner = GraphoneAligner(ENTRIES)
    likelihoods = list(aligner.run())
    assert all(math.isfinite(value) for value in likelihoods)
    # Expectation maximization never makes the data less likely.
    assert all(after >= before - 1e-9 for before, after in zip(likelihoods, likelihoods[1:]))
    found = {"".join(letters for letters, _ in parts): parts for parts in aligner.best()}
    for word, way in ENTRIES:
        assert [phone for _, phones in found[word] for phone in phones] == list(way)
    assert found["bat"] == [("b", ("B",)), ("a", ("AE",)), ("t", ("T",))]
    assert ("ph", ("F",)) in found["phat"] and ("x", ("K", "S")) in found["box"]
    assert found["axe"] == [("a", ("AE",)), ("x", ("K", "S")), ("e", ())]


def brute_force(word: str, way: tuple[str, ...], weights) -> float:
    """The likelihood of an entry: the sum over all ways to divide it."""
    if not word and not way:
        return 1.0
    total = 0.0
    for (letters, phones), weight in weights.items():
        if word.startswith(letters) and way[: len(phones)] == phones:
            total += weight * brute_force(word[len(letters) :], way[len(phones) :], weights)
    return total


def test_the_likelihood_is_the_sum_over_all_divisions():
    aligner = GraphoneAligner(ENTRIES)
    next(aligner.run(1))  # the counts of one pass are the weights of the next
    letters, phones = aligner._letters, aligner._phones
    weights = {}
    for (a, b), values in aligner._weights.items():
        for place, weight in enumerate(values.tolist()):
            rest, parts = place, []
            for kind in reversed([letters] * a + [phones] * b):
                rest, number = divmod(rest, len(kind))
                parts.insert(0, kind[number])
            weights["".join(parts[:a]), tuple(parts[a:])] = weight
    expected = [math.log(brute_force(word, way, weights)) for word, way in ENTRIES]
    assert next(aligner.run(1)) == pytest.approx(sum(expected) / len(expected))


def test_what_cannot_be_divided_is_left_out():
    aligner = GraphoneAligner([*ENTRIES, ("w", ("D", "AH", "B")), ("mute", ())])
    list(aligner.run(2))
    words = ["".join(letters for letters, _ in parts) for parts in aligner.best()]
    assert words == [word for word, _ in ENTRIES]
