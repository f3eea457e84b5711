"""Flat start on words of tones, whose boundaries are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.commands import PHONES, make_corpus, message_of

from speechattn.alignment.pronunciations import PronouncingDictionary, open_dictionary
from speechattn.corpora.corpus import read_corpus, read_entry
from speechattn.decoder.lm.lexicon import Lexicon
from speechattn.errors import CorpusError
from speechattn.evaluation.metrics import match_boundaries
from speechattn.inference.recognizer import load_model
from speechattn.phones import arpabet
from speechattn.training.realignment.align_text import align_corpus
from speechattn.training.realignment.flat_start import FlatStart, equal_shares

WORDS = {"BASH": ["B", "AA", "SH"], "ABBA": ["AA", "B", "AA"], "SHA": ["SH", "AA"]}
TOLERANCE = 2  # 10 ms frames
UTTERANCES = 150  # of kathleen, eight minutes
LEAST_AGREEMENT = 0.9


def dictionary(folder: Path) -> PronouncingDictionary:
    lines = [f"{word} {' '.join(phones)}" for word, phones in WORDS.items()]
    (folder / "words.dict").write_text("\n".join(lines))
    return PronouncingDictionary(Lexicon([folder / "words.dict"], PHONES))


def corpus_of_words(folder: Path, count: int) -> Path:
    """A corpus with an alignment, and the words that it was made from."""
    random = np.random.default_rng(0)
    utterances, texts = {}, []
    for number in range(count):
        words = random.choice(list(WORDS), 3)
        spoken = [(p, int(random.integers(6, 30))) for word in words for p in WORDS[str(word)]]
        name = f"u{number:02d}"
        utterances[name] = [("SIL", 12), *spoken, ("SIL", int(random.integers(8, 40)))]
        texts.append(f"{name} {' '.join(map(str, words))}\n")
    made = make_corpus(folder / "c", utterances)
    (made / "text").write_text("".join(texts))
    return made


def test_boundaries_are_found_without_a_model(tmp_path):
    made = corpus_of_words(tmp_path, 14)
    given = read_corpus(made, phones=PHONES)
    bare = read_corpus(made, phones=PHONES, alignments=False)
    said: list[str] = []
    flat = FlatStart(dictionary(tmp_path), said.append, (1, 1, 1, 2))
    (found,) = flat.align([bare])
    assert len(found) == len(given) and not found.problems
    near = total = 0
    for one, other in zip(given, found):
        assert [s.label for s in one.alignment] == [s.label for s in other.alignment]
        assert [w.label for w in other.words] == one.text.split()
        following = [segment.label for segment in one.alignment[1:]]
        for a, b, label in zip(one.alignment, other.alignment, following):
            if a.label == label:
                continue  # one tone: nothing tells where the second begins
            near += abs(a.end - b.end) < 0.01 * TOLERANCE + 1e-6
            total += 1
    assert near / total > 0.95
    assert said[0].startswith("  flat start: round 1 of ")
    heard = next(flat._read(bare, []))
    heard.variants = [[(PHONES.index["SH"],)]]
    (path,) = flat._paths([heard])
    with pytest.raises(CorpusError, match="its words do not fit the audio"):
        flat._aligned(heard, path)


def test_what_cannot_be_aligned_is_named(tmp_path):
    made = corpus_of_words(tmp_path, 3)
    (made / "text").write_text("u00 NOBODY\nu01 BASH\n")
    bare = read_corpus(made, phones=PHONES, alignments=False)
    flat = FlatStart(dictionary(tmp_path), lambda _: None, (1,))
    problems: list[str] = []
    read = list(flat._read(bare, problems))
    assert [heard.utterance.id for heard in read] == ["u01"]
    assert "no pronunciation of NOBODY" in problems[0] and "u02: has no text" in problems[1]
    (made / "text").write_text("")
    (made / "text").unlink()
    with pytest.raises(CorpusError) as caught:
        flat.align([read_corpus(made, phones=PHONES, alignments=False)])
    assert "no utterance could be aligned" in message_of(caught)


def test_phones_share_the_time_between_the_silences():
    frames = np.full((20, 4), -10.0, np.float32)
    frames[5:14] = 0.0
    labels = equal_shares(frames, [3, 1, 3], silence=0)
    assert labels.tolist() == [0] * 5 + [3] * 3 + [1] * 3 + [3] * 3 + [0] * 6


@pytest.mark.slow
@pytest.mark.corpora
@pytest.mark.parametrize("way", ["flat", "english"])
def test_kathleen_without_her_alignments(corpora, way):
    """Prints the share of the given boundaries (but for the ends) that have one within 20 ms."""
    phones = arpabet()
    given = read_entry(corpora, "kathleen/train", phones=phones)
    given = replace(given, utterances=given.utterances[:UTTERANCES])
    bare = replace(given, utterances=tuple(replace(u, alignment=None) for u in given))
    words = open_dictionary([], phones)
    if way == "flat":
        (found,) = FlatStart(words).align([bare])
    else:
        found = align_corpus(bare, load_model("english", "cpu"), words)
    aligned = {utterance.id: utterance.alignment for utterance in found}
    near = total = 0
    for utterance in given:
        if utterance.id in aligned:
            reference, own = (
                [round(100 * segment.start) for segment in alignment[1:]]
                for alignment in (utterance.alignment, aligned[utterance.id])
            )
            near, total = near + match_boundaries(reference, own), total + len(reference)
    print(f"{way}: {100 * near / total:.1f} % of {total} boundaries within 20 ms")
    assert len(found) > 0.95 * len(given)
    assert near / total > LEAST_AGREEMENT
