"""Sentences of plain texts: where they end, and the words that somebody would say."""

from __future__ import annotations

import pytest

from speechattn.alignment.pronunciations import PronouncingDictionary
from speechattn.alignment.sentences import read_sentences, split_sentences
from speechattn.decoder.lm.lexicon import ENGLISH, Lexicon
from speechattn.errors import CorpusError
from speechattn.phones import arpabet


@pytest.fixture(scope="module")
def dictionary():
    return PronouncingDictionary(Lexicon([ENGLISH], arpabet()))


def read(tmp_path, dictionary, text):
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8")
    return [" ".join(words) for words in read_sentences(path, dictionary)]


@pytest.mark.parametrize(
    "text, sentences",
    [
        ("One two. Three! Four? Five; six: seven", ["One two", "Three", "Four", "Five", "six",
                                                     "seven"]),
        ('He said: "Come. Now." She came.', ["He said", '"Come', "Now", "She came"]),
        ("Mr. Smith met Dr. Jones. They left.", ["Mr. Smith met Dr. Jones", "They left"]),
        ("He said no. She went.", ["He said no", "She went"]),
        ("No. We stay.", ["No", "We stay"]),
        ("See No. 5 now.", ["See No. 5 now"]),
        ("J. R. Smith and I. Then we ran.", ["J. R. Smith and I", "Then we ran"]),
        ("It costs 3.50 in the U.S. today.", ["It costs 3.50 in the U.S. today"]),
        ("at 5:30 he left", ["at 5:30 he left"]),
        ("a line\nanother line\n", ["a line", "another line"]),
        ("a line\nthat goes on\n\nanother one\n", ["a line that goes on", "another one"]),
        ("\n\na line\nanother line\n\n\n", ["a line", "another line"]),
    ],
)  # fmt: skip
def test_where_sentences_end(text, sentences):
    assert [each for each in split_sentences(text) if each] == sentences


@pytest.mark.parametrize(
    "text, words",
    [
        ("On 3 May 1813 he paid $5.50.", "on third may eighteen thirteen he paid five dollars and "
                                         "fifty cents"),
        ("Dr. Watson of the U.S. met Mr. O\u2019Hara", "doctor watson of the u. s. met mister o'hara"),
        ("na\u00efve, well-known [laughs] and *so* on\u2014and on", "naive well-known and so on and on"),
        ("CHAPTER TWO: HE WENT", "chapter two\nhe went"),
        ("don't 'tis rock-'n'-roll", "don't 'tis rock 'n roll"),
    ],
)  # fmt: skip
def test_words_as_they_are_said(tmp_path, dictionary, text, words):
    assert "\n".join(read(tmp_path, dictionary, text)) == words


def test_files_without_a_text_are_named(tmp_path, dictionary):
    with pytest.raises(CorpusError, match=r"gone.txt: cannot be read \(No such file"):
        read_sentences(tmp_path / "gone.txt", dictionary)
    for text in ("", "\n \n", "... -- !\n"):
        with pytest.raises(CorpusError, match=r"text.txt: no words in it; give a text"):
            read(tmp_path, dictionary, text)
    (tmp_path / "latin.txt").write_bytes("caf\u00e9 au lait\n".encode("latin-1"))
    with pytest.raises(CorpusError, match=r"latin.txt:1: byte 0xe9 is not UTF-8.*save it as UTF-8"):
        read_sentences(tmp_path / "latin.txt", dictionary)


def test_other_encodings_that_say_so(tmp_path, dictionary):
    (tmp_path / "wide.txt").write_text("One day.\r\nTwo days.", encoding="utf-16")
    assert read_sentences(tmp_path / "wide.txt", dictionary) == [["one", "day"], ["two", "days"]]
