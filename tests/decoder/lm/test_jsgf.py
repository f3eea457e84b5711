"""Grammars: sentences that the rules allow, all of them, and no others; errors that say where."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.commands import message_of

from speechattn.decoder.lm.jsgf import DEEPEST, Grammar
from speechattn.errors import ConfigError, CorpusError
from speechattn.files import resource

HEADER = "#JSGF V1.0;\ngrammar test;\n"


@pytest.fixture
def grammar(tmp_path):
    def make(rules: str, header: str = HEADER) -> Grammar:
        path = tmp_path / "test.jsgf"
        path.write_text(header + rules)
        return Grammar(path)

    return make


def drawn(grammar: Grammar, count: int = 300, **slots: str) -> set[str]:
    random = np.random.default_rng(0)
    return {" ".join(words) for words in grammar.sentences(count, random, slots)}


@pytest.mark.parametrize(
    "rules, sentences",
    [
        ("public <a> = one two;", {"one two"}),
        ("public <a> = one | two three;", {"one", "two three"}),
        ("public <a> = [one] two [three | four];", {
            "two", "one two", "two three", "two four", "one two three", "one two four",
        }),
        ("public <a> = (one | two) (one | two);", {"one one", "one two", "two one", "two two"}),
        ("<b> = i'd like; public <a> = <b> <c> please; <c> = tea|milk-tea;", {
            "i'd like tea please", "i'd like milk-tea please",
        }),
        ("public <a> = one // two\n /* three\n four */ five;", {"one five"}),
        ("<unused> = <x>; public <a> = one;", {"one"}),
    ],
)  # fmt: skip
def test_all_that_the_rules_allow_is_said_and_nothing_else(grammar, rules, sentences):
    assert drawn(grammar(rules)) == sentences


def test_slots_are_said_where_they_are_known_and_all_of_them(grammar):
    found = grammar("public <a> = get [<size>] [<roast>] coffee [with <milk> [and <sugar>]];")
    assert found.slots == ("size", "roast", "milk", "sugar")
    assert drawn(found) == {"get coffee"}
    assert drawn(found, size="very large") == {"get very large coffee"}
    everything = {"size": "small", "roast": "dark", "milk": "cream", "sugar": "honey"}
    assert drawn(found, **everything) == {"get small dark coffee with cream and honey"}
    assert drawn(found, size="small", unheard="of") == {"get small coffee"}
    with pytest.raises(CorpusError) as caught:
        drawn(found, sugar="honey")  # which the grammar only has after milk
    message = message_of(caught)
    assert "test.jsgf: no sentence with these slots: sugar; write a rule for it" in message


def test_a_sentence_that_needs_a_slot_is_not_said_without(grammar):
    found = grammar("public <a> = <b>; <b> = a <size> one;")
    assert drawn(found, size="big") == {"a big one"}
    with pytest.raises(CorpusError, match="no sentence with these slots: none"):
        drawn(found)


def test_alternatives_are_equally_likely(grammar):
    found = grammar("public <a> = one | two | <b>; <b> = three | four;")
    said = [" ".join(w) for w in found.sentences(6000, np.random.default_rng(1), {})]
    shares = [said.count(word) / 6000 for word in ("one", "two", "three", "four")]
    np.testing.assert_allclose(shares, [1 / 3, 1 / 3, 1 / 6, 1 / 6], atol=0.02)


@pytest.mark.parametrize(
    "rules, said",
    [
        ("", "has no public rule"),
        ("<a> = one;", "has no public rule"),
        ("public <a> = one", "ends where the end of the rule, ; was expected"),
        ("public <a> = (one;", "';' where ')' was expected"),
        ("public <a> = one];", "']' where ';' was expected"),
        ("public <a> = [one);", "')' where ']' was expected"),
        ("public <a> = one | ;", "has an empty alternative"),
        ("public <a> = ();", "has an empty alternative"),
        ("public <a> = one*;", "'one*' is not understood"),
        ("public <a> = /2/ one;", "'/2/' is not understood"),
        ("public <a> = one {tag};", "'{tag}' is not understood"),
        ("public <a> = one = two;", "'=' is not understood"),
        ("public <a = one;", "'<' where a rule was expected"),
        ("public a = one;", "'a' where a rule was expected"),
        ("import <b.c>;", "'import' where a rule was expected"),
        ("public <a> = one; <a> = two;", "<a> is there twice"),
        ("public <a> = one; public <b> = two;", "<b> and <a> are public"),
        ("public <a> = <b>; <b> = one | <a>;", "<a> holds itself"),
        ("public <a> = " + "(" * (DEEPEST + 2), "brackets within each other"),
    ],
)
def test_what_is_not_understood_is_named_with_its_file(grammar, rules, said):
    with pytest.raises(ConfigError) as caught:
        grammar(rules)
    message = message_of(caught)
    assert message.startswith("grammar: ") and "test.jsgf: " in message and said in message


def test_files_that_are_no_grammars(grammar, tmp_path):
    with pytest.raises(ConfigError, match="does not begin with #JSGF"):
        grammar("public <a> = one;", header="")
    with pytest.raises(ConfigError, match="missing.jsgf: cannot be read"):
        Grammar(tmp_path / "missing.jsgf")
    (tmp_path / "bytes.jsgf").write_bytes(b"#JSGF V1.0;\xff")
    with pytest.raises(ConfigError, match="bytes.jsgf: cannot be read"):
        Grammar(tmp_path / "bytes.jsgf")
    (tmp_path / "mark.jsgf").write_text("\ufeff" + HEADER + "public <a> = one;", encoding="utf-8")
    assert drawn(Grammar(tmp_path / "mark.jsgf"), 1) == {"one"}


@given(st.text(st.sampled_from("<>[]()|=; ab\n/*"), max_size=60))
def test_no_text_does_anything_but_parse_or_say_why(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("g") / "any.jsgf"
    path.write_text(HEADER + text)
    try:
        found = Grammar(path)
        assert drawn(found, 2)
    except (ConfigError, CorpusError) as error:
        assert "any.jsgf" in str(error)


def test_the_orders_of_barista():
    grammar = Grammar(Path(resource("recipes", "barista.jsgf")))
    slots = {"size": "large", "coffeeDrink": "iced coffee", "milkAmount": "some cream"}
    said = drawn(grammar, 2000, **slots)
    pattern = r"[a-z' ]+ large iced coffee with some cream"
    assert all(re.fullmatch(pattern, sentence) for sentence in said) and len(said) > 50
    assert "can i get a large iced coffee with some cream" in said
