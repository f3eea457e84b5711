"""Scores against counts by hand and over concatenated utterances."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.labels import segments_from_labels

from speechattn.errors import CorpusError
from speechattn.evaluation.scores import Counts, Scores
from speechattn.phones import PhoneSet
from speechattn.segments import FrameSegment

PHONES = PhoneSet(("SIL", "AA", "AO", "B"), fold={"AO": "AA"})
SIL, AA, AO, B = range(4)


def runs(*spans: tuple[int, int], confidence: float = 1.0) -> list[FrameSegment]:
    """Runs from (phone, length) pairs."""
    made, at = [], 0
    for phone, length in spans:
        made.append(FrameSegment(phone, at, at + length, confidence))
        at += length
    return made


def test_counts_by_hand():
    scores = Scores(PHONES)
    #            0123456789          SIL AA AO | hypothesis: SIL AA AA B
    reference = runs((SIL, 3), (AA, 4), (AO, 3))
    hypothesis = runs((SIL, 2), (AA, 4), (AO, 1), (B, 3))
    argmax = np.array([SIL, SIL, SIL, AA, AA, AA, B, AO, AO, B])
    counts = scores.add(reference, hypothesis, argmax, speaker="ann", corpus="c")
    assert counts == Counts(
        utterances=1,
        frames=10,
        path_correct=2 + 3,
        speech_frames=7,
        path_speech=3,
        classified_frames=10,
        classifier_correct=8,
        classified_speech=7,
        classifier_speech=5,
        phones=2,
        substitutions=0,
        insertions=1,
        deletions=0,
        folded_substitutions=0,
        folded_insertions=1,
        folded_deletions=0,
        reference_boundaries=2,
        found_boundaries=3,
        matched_boundaries=2,
    )
    rates = counts.rates()
    assert rates["per"] == 0.5 and rates["frame_accuracy"] == 0.8
    assert rates["boundary_precision"] == pytest.approx(2 / 3)
    assert rates["boundary_f1"] == pytest.approx(2 * (2 / 3) / (2 / 3 + 1))


def test_folding_and_equal_neighbours_across_silence():
    scores = Scores(PHONES)
    reference = runs((AO, 3), (SIL, 2), (AO, 3), (B, 2), (B, 2))
    counts = scores.add(reference, runs((AA, 3), (SIL, 2), (AO, 3), (B, 4)), speaker="s")
    assert counts.phones == 4  # neither AO SIL AO nor B B are one phone
    assert (counts.substitutions, counts.deletions) == (1, 1)
    assert (counts.folded_substitutions, counts.folded_deletions) == (0, 1)
    assert counts.rates()["frame_accuracy"] is None  # no classifier labels were given


labels = st.integers(1, 30).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 3), min_size=n, max_size=n)] * 3)
)


@given(st.lists(labels, min_size=1, max_size=4))
def test_pooled_scores_equal_direct_counts(utterances):
    scores = Scores(PHONES)
    for i, (reference, path, argmax) in enumerate(utterances):
        scores.add(
            segments_from_labels(reference),
            segments_from_labels(path),
            np.array(argmax),
            speaker=f"s{i % 2}",
            corpus=f"c{i % 3}",
        )
    r, p, a = (np.concatenate(parts) for parts in zip(*utterances))
    rates = scores.counts().rates()
    assert rates["path_accuracy"] == np.mean(r == p)
    assert rates["frame_accuracy"] == np.mean(r == a)
    speech = r != SIL
    expected = np.mean((r == a)[speech]) if speech.any() else None
    assert rates["frame_accuracy_speech"] == expected
    matrix = scores.confusions()
    assert matrix.sum() == len(r) and np.trace(matrix) == np.sum(r == p)
    assert all(matrix[x, y] == np.sum((r == x) & (p == y)) for x in range(4) for y in range(4))
    parts = [scores.counts(name) for name in scores.corpora()]
    assert sum(parts, start=Counts()) == scores.counts()


@given(labels)
def test_a_perfect_recognizer_scores_perfectly(utterance):
    reference = segments_from_labels(utterance[0])
    scores = Scores(PHONES)
    counts = scores.add(reference, reference, np.array(utterance[0]), speaker="s")
    rates = {name: rate for name, rate in counts.rates().items() if rate is not None}
    assert rates.pop("per", 0) == 0 and rates.pop("per_folded", 0) == 0
    assert set(rates.values()) == {1}
    assert scores.calibration().error() in (None, 0)


def test_calibration_leaves_silence_out():
    scores = Scores(PHONES)
    found = [FrameSegment(SIL, 0, 5, 0.9), FrameSegment(AA, 5, 9, 0.8), FrameSegment(B, 9, 12, 0.6)]
    scores.add(runs((SIL, 5), (AA, 7)), found, speaker="s")
    assert scores.calibration().error() == pytest.approx((0.2 + 0.6) / 2)


def test_summary_is_json_and_tables_have_every_row():
    scores = Scores(PHONES)
    with pytest.raises(CorpusError, match="no utterance was scored"):
        scores.table()
    for corpus, speaker in [("one", "ann"), ("one", "bob"), ("two|x", "ann")]:
        reference = runs((SIL, 3), (AA, 4))
        scores.add(reference, runs((SIL, 3), (B, 4)), speaker=speaker, corpus=corpus)
    values = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert values["overall"]["per"] == 1 and values["overall"]["utterances"] == 3
    assert [s["speaker"] for s in values["speakers"]] == ["ann", "bob", "ann"]
    assert values["corpora"]["one"]["top_confusions"][0]["frames"] == 8
    rows = scores.table().splitlines()
    assert [row.split(" ")[1] for row in rows[2:]] == ["one", "two\\|x", "all"]
    assert len({row.replace("\\|", "").count("|") for row in rows}) == 1
    assert len(scores.table(by="speaker").splitlines()) == 2 + 3 + 1
    with pytest.raises(ValueError, match="by = "):
        scores.table(by="phone")


@pytest.mark.parametrize(
    ("hypothesis", "argmax"),
    [
        (runs((AA, 6)), None),
        ([FrameSegment(AA, 1, 7)], None),
        ([FrameSegment(AA, 0, 3), FrameSegment(B, 4, 7)], None),
        ([FrameSegment(4, 0, 7)], None),
        ([FrameSegment(AA, 0, 7, float("nan"))], None),
        (runs((AA, 7)), np.zeros(6, dtype=int)),
        (runs((AA, 7)), np.zeros((7, 4))),
    ],
)
def test_what_does_not_fit_is_refused(hypothesis, argmax):
    scores = Scores(PHONES)
    with pytest.raises(ValueError):
        scores.add(runs((AA, 7)), hypothesis, argmax, speaker="s")
    with pytest.raises(CorpusError):
        scores.counts()
