"""Words as people write them, and what is assumed of those that no dictionary has."""

from __future__ import annotations

import pytest

from speechattn.alignment import guesses
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
        ("caf\xe9 \ufb01g Zo\xeb", "caf\xe9 fig Zo\xeb"),
        ("-- ... ' \u2014", ""),
        ("R2D2 1984", "R2D2 1984"),
        ("well [door slams] dog <noise>cat {breath} <unk> horse 3 < 4", "well dog cat horse 3 4"),
    ],
)
def test_words_without_punctuation(dictionary, text, words):
    assert dictionary.words(text) == words.split()


def said(dictionary, text: str) -> dict[str, list[str]]:
    """The words of a text that the lexicon lacks, and their pronunciations."""
    found = dictionary.read(text).ways
    return {word: [labels(way) for way in ways] for word, ways in found.items()}


def labels(way) -> str:
    return " ".join(PHONES.names[phone] for phone in way)


def test_possessives_and_contractions_are_regular(dictionary):
    assert said(dictionary, "dog Dog's cat's horse's dog'll well've cat'd") == {
        "DOG'S": ["D AO G Z"],
        "CAT'S": ["K AE T S"],
        "HORSE'S": ["HH AO R S AH Z", "HH AO R S IH Z"],
        "DOG'LL": ["D AO G AH L"],
        "WELL'VE": ["W EH L AH V"],
        "CAT'D": ["K AE T D", "K AE T AH D", "K AE T IH D"],
    }


def test_words_of_a_lexicon_say_how_their_like_are_said(tmp_path, dictionary):
    path = tmp_path / "names.dict"
    path.write_text("blorf B L UW F\n")
    knowing = guesses.WordGuesser(Lexicon([path], PHONES))
    for word, way in (("BLORFS", "B L UW F S"), ("BLORFING", "B L UW F IH NG")):
        assert way in map(labels, knowing.guess(word).ways)
        assert way not in map(labels, guesses.WordGuesser(dictionary.lexicon).guess(word).ways)


def test_unknown_words_are_guessed_and_listed(dictionary):
    read = dictionary.read("The Borogove's dog, borogove dog")
    assert [word.written for word in read.words] == [
        "The", "Borogove's", "dog", "borogove", "dog"
    ]  # fmt: skip
    assert set(read.ways) == {"THE", "BOROGOVE'S", "BOROGOVE"}
    guess = labels(read.ways["BOROGOVE"][0])
    assert guess.startswith("B ") and guess.endswith("V")
    assert labels(read.ways["BOROGOVE'S"][0]) == guess + " Z"
    assert read.assumed["BOROGOVE"].startswith(guess)
    assert read.assumed["BOROGOVE"].endswith("(guessed)")
    assert read.assumed["BOROGOVE'S"].endswith(" Z (guessed)")


def test_unknown_words_may_fail(lexicon_file):
    dictionary = PronouncingDictionary(Lexicon([lexicon_file], PHONES), "fail")
    with pytest.raises(AlignmentError) as caught:
        dictionary.read("dog Borogove mimsy dog's")
    message = str(caught.value)
    assert message.startswith("no pronunciation of BOROGOVE, MIMSY; list how")
    assert "--lexicon" in message and "--unknown guess" in message
    assert caught.value.kind == "unknown word"


def test_words_may_be_spelled(lexicon_file):
    dictionary = open_dictionary([lexicon_file], PHONES, "spell")
    assert said(dictionary, "xz\xebq") == {"XZ\xcbQ": ["EH K S Z IY IY K Y UW"]}


def test_other_scripts_are_named(dictionary):
    with pytest.raises(AlignmentError, match="pronunciation of \u041a\u041e\u0422: other letters"):
        dictionary.read("the \u043a\u043e\u0442")


def test_accents_and_special_letters_are_read_as_plain_ones(dictionary):
    plain = dictionary.read("Zoe Straszewski Grosse")
    accented = dictionary.read("Zo\xeb Straszewski Gro\xdfe")
    assert list(plain.ways.values()) == list(accented.ways.values())


def test_readings_are_kept_apart_and_what_was_heard_is_told(lexicon_file):
    dictionary = open_dictionary([lexicon_file], PHONES)
    read = dictionary.read("On May 5 he had 5 dogs, and $5 million or a million.")
    written = [word.written for word in read.words]
    assert written == "On May 5 he had 5 dogs and $5 million or a million".split()
    assert len({word.key for word in read.words}) == 13  # "5" and "million" stand twice
    ways = {labels(way): way for way in read.ways[read.words[2].key.upper()]}
    assert read.spoken(2, ways["F IH F TH"]) == "fifth"
    assert read.spoken(2, ways["F AY V"]) == "five"
    assert [labels(way) for way in read.ways[read.words[5].key.upper()]] == ["F AY V"]
    assert read.words[9].readings == ("million dollars",)
    assert read.words[12].readings == () and read.spoken(12, (1,)) == ""
    assert read.text.split() == [word.key for word in read.words]


def test_a_token_of_many_readings_stays_small(dictionary):
    read = dictionary.read("1984 1,234,567 $12.50 12/11/2010")
    assert all(0 < len(ways) <= 24 for ways in read.ways.values())


def test_the_letters_are_those_of_the_alphabet():
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    assert "".join(guesses.LETTERS) == letters
    assert {label for way in guesses.LETTERS.values() for label in way} <= PHONES.index.keys()


def test_a_file_comes_before_the_dictionary(tmp_path):
    path = tmp_path / "mine.dict"
    path.write_text("dog K AE T\n")
    dictionary = open_dictionary([path], PHONES)
    assert dictionary.lexicon.variants["DOG"] == [tuple(PHONES.index[p] for p in ("K", "AE", "T"))]
    assert "CAT" in dictionary.lexicon.variants


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
    with pytest.raises(UsageError, match="shout"):
        open_dictionary([path], phones, "shout")
    with pytest.raises(AlignmentError, match="pronunciation of BA; list how"):
        open_dictionary([path], phones).read("ab ba")
