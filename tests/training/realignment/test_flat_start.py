"""Flat start on words of tones, whose boundaries are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from support.commands import PHONES, make_corpus, message_of

from speechattn.alignment.pronunciations import PronouncingDictionary, open_dictionary
from speechattn.corpora.corpus import read_corpus, read_entry
from speechattn.decoder.lm.lexicon import Lexicon
from speechattn.errors import CorpusError
from speechattn.evaluation.metrics import match_boundaries
from speechattn.inference.recognizer import load_model
from speechattn.phones import arpabet
from speechattn.training.realignment.align_text import align_corpus
from speechattn.training.realignment.flat_start import TRAINING, FlatStart, equal_shares
from speechattn.training.realignment.gaussians import CEPSTRA, PhoneMixtures, cepstra

WORDS = {"BASH": ["B", "AA", "SH"], "ABBA": ["AA", "B", "AA"], "SHA": ["SH", "AA"]}
QUICK = replace(TRAINING, steps=15, batch_frames=1000, warmup_steps=3, learning_rate=1e-2)
TOLERANCE = 2  # 10 ms frames
UTTERANCES = 150  # of kathleen, eight minutes
LEAST_AGREEMENT = {"flat": 0.85, "english": 0.9}


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
    (found,) = FlatStart(dictionary(tmp_path), said.append, QUICK, (1, 1, 2)).align([bare])
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


def test_what_cannot_be_aligned_is_named(tmp_path):
    made = corpus_of_words(tmp_path, 3)
    (made / "text").write_text("u00 NOBODY\nu01 BASH\n")
    bare = read_corpus(made, phones=PHONES, alignments=False)
    flat = FlatStart(dictionary(tmp_path), lambda _: None, QUICK, (1,))
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


def test_mixtures_tell_phones_apart_and_their_densities_are_those_of_scipy():
    random = np.random.default_rng(1)
    frames = np.concatenate([random.normal(m, 0.5, (300, 3)) for m in (-2.0, 0.0, 2.0)])
    labels = np.repeat([0, 1, 1], 300)
    mixtures = PhoneMixtures(3)
    means = []
    for parts in (1, 2, 2, 2, 2, 2):
        mixtures.learn([frames.astype(np.float32)], [labels], parts)
        own = mixtures._mixtures[1]
        means.append(np.logaddexp.reduce(own.parts(frames[labels == 1]), axis=1).mean())
    assert (np.diff(means) > -1e-3).all()  # no round of EM makes the data less likely
    found = mixtures.scores(frames.astype(np.float32))
    assert (found[:, :2].argmax(1) == labels).mean() > 0.99
    assert 0 < (found.argmax(1) == 2).mean() < 0.1  # a phone that was never seen fits anything
    assert sorted(own.means.mean(1)) == pytest.approx([0, 2], abs=0.15)
    for number in range(2):
        density = multivariate_normal(own.means[number], np.diag(own.variances[number]))
        expected = density.logpdf(frames) + np.log(own.weights[number])
        np.testing.assert_allclose(own.parts(frames)[:, number], expected, rtol=1e-6, atol=1e-6)


def test_cepstra_are_those_of_librosa_with_their_differences():
    librosa = pytest.importorskip("librosa")
    log_mel = np.random.default_rng(2).normal(size=(40, 20)).astype(np.float32)
    found = cepstra(log_mel)
    plain = librosa.feature.mfcc(S=log_mel.T, n_mfcc=CEPSTRA).T
    plain = plain - plain.mean(0)
    np.testing.assert_allclose(found[:, :CEPSTRA], plain, atol=1e-4)
    slopes = librosa.feature.delta(plain, width=5, axis=0, mode="nearest")
    np.testing.assert_allclose(found[:, CEPSTRA : 2 * CEPSTRA], slopes, atol=1e-4)


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
    assert near / total > LEAST_AGREEMENT[way]
