"""Words as people write them, and what is assumed of those that no dictionary has."""

from __future__ import annotations

import pytest

from speechattn.alignment import pronunciations
from speechattn.alignment.pronunciations import PronouncingDictionary, open_dictionary
from speechattn.alignment.transcripts import AlignmentError
from speechattn.decoder.lm.lexicon import Lexicon
from speechattn.errors import UsageError
from speechattn.phones import PhoneSet, arpabet

PHONES = arpabet()
WORDS = """\
'em AH M
'tis T IH Z
cafe K AE F EY
don't D OW N T
dogs' D AO G Z
dog D AO G
horse HH AO R S
cat K AE T
mr M IH S T ER
u.s. Y UW EH S
twenty-one T W EH N T IY W AH N
well W EH L
known N OW N
"""


@pytest.fixture
def lexicon_file(tmp_path):
    path = tmp_path / "words.dict"
    path.write_text(WORDS)
    return path


@pytest.fixture
def dictionary(lexicon_file) -> PronouncingDictionary:
    return PronouncingDictionary(Lexicon([lexicon_file], PHONES))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Well, DOG!  (cat)", "Well DOG cat"),
        ("\u201cWell\u201d\u2014known...dog--cat/dog\u2026", "Well known dog cat dog"),
        ("well-known twenty-one Twenty-One", "well known twenty-one Twenty-One"),
        ("don\u2019t 'em 'tis 'dog' the dogs' dogs'.", "don't 'em 'tis dog the dogs' dogs'"),
        ("Mr. dog, the U.S. dog.", "Mr dog the U.S. dog"),
        ("caf\xe9 \ufb01g Zo\xeb", "cafe fig Zo\xeb"),
        ("-- ... ' \u2014", ""),
        ("R2D2 1984", "R2D2 1984"),
    ],
)
def test_words_without_punctuation(dictionary, text, words):
    assert dictionary.words(text) == words.split()


def said(dictionary, *words: str) -> dict[str, list[str]]:
    return {
        word: [" ".join(PHONES.names[phone] for phone in way) for way in ways]
        for word, ways in dictionary.assumed(words).items()
    }


def test_possessives_are_regular(dictionary):
    assert said(dictionary, "dog", "Dog's", "cat's", "horse's") == {
        "DOG'S": ["D AO G Z"],
        "CAT'S": ["K AE T S"],
        "HORSE'S": ["HH AO R S AH Z", "HH AO R S IH Z"],
    }


def test_unknown_words_are_named_with_the_way_out(dictionary):
    with pytest.raises(AlignmentError) as caught:
        dictionary.assumed(["dog", "Borogove", "mimsy's", "1984"])
    message = str(caught.value)
    assert message.startswith("no pronunciation of BOROGOVE, MIMSY'S, 1984; list how")
    assert "--lexicon, write numbers as words, or" in message and "--unknown spell" in message
    assert caught.value.kind == "unknown word"


def test_words_may_be_spelled(lexicon_file):
    dictionary = open_dictionary([lexicon_file], PHONES, "spell")
    assert said(dictionary, "Xz\xeb7q") == {"XZ\xcb7Q": ["EH K S Z IY IY S EH V AH N K Y UW"]}
    with pytest.raises(AlignmentError, match="\u043a\u043e\u0442".upper()):
        dictionary.assumed(["\u043a\u043e\u0442"])


def test_the_letters_are_those_of_the_alphabet():
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    assert "".join(pronunciations._LETTERS) == letters
    assert {
        label for way in pronunciations._LETTERS.values() for label in way
    } <= PHONES.index.keys()


def test_a_file_comes_before_the_dictionary(tmp_path):
    pytest.importorskip("pocketsphinx")
    path = tmp_path / "mine.dict"
    path.write_text("dog K AE T\n")
    dictionary = open_dictionary([path], PHONES)
    assert dictionary.lexicon.variants["DOG"] == [tuple(PHONES.index[p] for p in ("K", "AE", "T"))]
    assert "CAT" in dictionary.lexicon.variants


def test_without_any_dictionary_the_way_out_is_named(monkeypatch, lexicon_file):
    def absent(*_):
        raise UsageError("not installed")

    monkeypatch.setattr(pronunciations, "packaged_file", absent)
    with pytest.raises(UsageError, match=r"--lexicon FILE; .*pip install 'speechattn\[studies\]'"):
        open_dictionary([], PHONES)
    assert "DOG" in open_dictionary([lexicon_file], PHONES).lexicon.variants


def test_other_phones_need_a_file_and_cannot_be_spelled(tmp_path):
    phones = PhoneSet(("SIL", "a", "b"))
    with pytest.raises(UsageError, match="--lexicon FILE; .* phones of this model"):
        open_dictionary([], phones)
    path = tmp_path / "x.dict"
    path.write_text("")
    phones = PhoneSet(("SIL", "A", "B"))
    path.write_text("ab A B\n")
    assert open_dictionary([path], phones).lexicon.words == {"AB": (1, 2)}
    with pytest.raises(UsageError, match="ARPAbet"):
        open_dictionary([path], phones, "spell")
    with pytest.raises(UsageError, match="guess"):
        open_dictionary([path], phones, "guess")
