"""The benchmark of guessed pronunciations: its scores by hand, and the command."""

from __future__ import annotations

import re

import pytest

from speechattn.alignment.g2p.model import Pronunciation
from speechattn.alignment.g2p.network import LeftOut, SpellingNetwork
from speechattn.alignment.g2p.storage import load_model
from speechattn.bench.g2p import draw, nearest, score
from speechattn.cli.main import main

WORDS = """\
bat B AE T|tab T AE B|bats B AE T S|pat P AE T|tap T AE P|phat F AE T|pate P EY T|tape T EY P
bate B EY T|axe AE K S|box B AA K S|at AE T|ate EY T|pots P AA T S|pot P AA T|bob B AA B|u.s. Y UW"""


class Guesser:
    """Guesses what it is told."""

    def __init__(self, **guesses: list[str]) -> None:
        self.guesses = guesses

    def pronounce(self, word: str, most: int, lookup=None) -> list[Pronunciation]:
        if lookup is not None and lookup(word):
            return [Pronunciation(way, 1.0) for way in lookup(word)]
        return [Pronunciation(tuple(way.split()), 0.5) for way in self.guesses[word][:most]]


def test_scores_by_hand():
    ways = {"read": [("R", "IY", "D"), ("R", "EH", "D")], "one": [("W", "AH", "N")], "x": [("K",)]}
    model = Guesser(read=["R EH D"], one=["OW N", "AA N", "W AH N", "N"], x=[])
    found = score(model, ways)
    # read: the second way; one: two errors, right in the third guess; x: nothing guessed.
    assert (found.words, found.phones, found.phone_errors) == (3, 7, 3)
    assert (found.word_errors, found.missed) == (2, 1)
    assert nearest(("R", "IY"), ways["read"]) == (1, 3)
    # With all of them known, nothing is wrong.
    found = score(model, ways, lambda word: ways[word])
    assert (found.phone_errors, found.word_errors, found.missed) == (0, 0, 0)


def test_words_are_drawn_once():
    words = [str(number) for number in range(50)]
    first = draw(words, 0.2, 3)
    assert len(first) == 10 and first < set(words) and first == draw(words, 0.2, 3)
    assert first != draw(words, 0.2, 4) and draw(words, 2.0, 1) == set(words)


def test_the_command(tmp_path, capsys):
    path = tmp_path / "words.dict"
    path.write_text(WORDS.replace("|", "\n") + "\n")
    options = ["bench", "g2p", "--dictionary", str(path), "--output", str(tmp_path / "m.npz")]
    assert main([*options, "--share", "0.25"]) == 0
    said = capsys.readouterr().out
    assert "| words left out | 4 |" in said and "| phone errors |" in said
    assert "| phone errors, by letters alone |" in said
    assert "| words in the training | 12 |" in said  # u.s. is none
    assert load_model(tmp_path / "m.npz").pronounce("bat")
    assert main([*options, "--share", "0"]) == 0
    assert "16" in capsys.readouterr().out
    for wrong in (["--share", "1.5"], ["--words", "0"], ["--dictionary", "none.dict"]):
        assert main([*options, *wrong]) == 2
    assert main(["bench", "g2p", "--share", "0"]) == 2
    assert "--output" in capsys.readouterr().err


def test_the_network_of_the_command(tmp_path, capsys):
    path, network = tmp_path / "words.dict", tmp_path / "network.safetensors"
    path.write_text(WORDS.replace("|", "\n") + "\n")
    options = ["bench", "g2p", "--dictionary", str(path), "--share", "0.25"]

    def said(*more: str) -> str:
        assert main([*options, *more]) == 0
        return capsys.readouterr().out

    # That of the package has learned words of its own dictionary.
    assert "| network | not used, because it has learned" in said()
    assert "| network | none |" in said("--network", "none")
    trained = said("--network", str(network), "--epochs", "2")
    rows = [line for line in trained.splitlines() if line.startswith("| phone errors")]
    assert re.search(r"\| network \| \d[\d,]+ weights", trained) and len(rows) == 4
    assert [", without the network" in row for row in rows] == [False, False, True, True]
    assert SpellingNetwork.load(network).left_out == LeftOut(16, 0.25, 0)
    again = said("--network", str(network))
    assert [line for line in again.splitlines() if line.startswith("| phone errors")] == rows
    assert "| network | not used" in said("--network", str(network), "--seed", "1")
    for wrong, message in (
        (["--epochs", "-1"], "--epochs"),
        (["--epochs", "1"], "--network"),
        (["--epochs", "1", "--network", str(tmp_path / "no" / "n.st")], "no such folder"),
        (["--output", str(tmp_path / "no" / "m.npz")], "no such folder"),
        (["--network", str(path)], "words.dict: is no network"),
    ):
        assert main([*options, *wrong]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.slow
def test_errors_on_words_left_out(capsys):
    """Fewer than the best published n-grams of graphones, 5.9 % and 24.5 %."""
    assert main(["bench", "g2p", "--words", "2000"]) == 0
    rows = dict(line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:])
    for what, most in (("phone errors", 5.7), ("words with an error", 23.0)):
        share = float(rows[what].split()[0])
        assert share < most and share < float(rows[f"{what}, by letters alone"].split()[0])
