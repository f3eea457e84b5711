"""CTC against all alignments there are, written out."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechattn.heads.ctc import ctc_beam_search, ctc_greedy, ctc_loss, vectors_needed

pytestmark = pytest.mark.studies


def random_log_probs(vectors: int, labels: int, seed: int, spread: float = 1.5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (spread * torch.randn(vectors, labels + 1, generator=generator)).log_softmax(-1)


def collapsed(path: tuple[int, ...], blank: int) -> tuple[int, ...]:
    return tuple(label for label, _ in itertools.groupby(path) if label != blank)


def all_strings(log_probs: torch.Tensor) -> dict[tuple[int, ...], float]:
    """The probability of every string, summed over every path."""
    vectors, classes = log_probs.shape
    found: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(classes), repeat=vectors):
        string = collapsed(path, classes - 1)
        share = math.exp(sum(log_probs[t, c].item() for t, c in enumerate(path)))
        found[string] = found.get(string, 0.0) + share
    return found


sizes = given(vectors=st.integers(1, 5), labels=st.integers(1, 3), seed=st.integers(0, 10**6))


@sizes
def test_a_wide_beam_finds_every_string_with_its_probability(vectors, labels, seed):
    log_probs = random_log_probs(vectors, labels, seed)
    expected = all_strings(log_probs)
    found = ctc_beam_search(log_probs, beam=10_000)
    assert {h.labels for h in found} == set(expected)
    for hypothesis in found:
        assert math.exp(hypothesis.score) == pytest.approx(expected[hypothesis.labels], rel=1e-4)
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)


@sizes
def test_the_loss_is_minus_the_logarithm_of_that_probability(vectors, labels, seed):
    log_probs = random_log_probs(vectors, labels, seed)
    for string, share in all_strings(log_probs).items():
        wanted = torch.tensor([string], dtype=torch.long).reshape(1, -1)
        loss = ctc_loss(log_probs[None], wanted, torch.tensor([vectors]))
        assert loss.item() == pytest.approx(-math.log(share), rel=1e-3, abs=1e-4)


@given(
    vectors=st.integers(1, 12), labels=st.integers(1, 4), beam=st.integers(1, 6),
    seed=st.integers(0, 10**6),
)  # fmt: skip
def test_a_narrow_beam_gives_distinct_strings_and_no_more_than_their_probability(
    vectors, labels, beam, seed
):
    log_probs = random_log_probs(vectors, labels, seed)
    found = ctc_beam_search(log_probs, beam)
    assert 1 <= len(found) <= beam
    assert len({h.labels for h in found}) == len(found)
    for hypothesis in found:
        wanted = torch.tensor([hypothesis.labels], dtype=torch.long).reshape(1, -1)
        loss = ctc_loss(log_probs[None], wanted, torch.tensor([vectors])).item()
        assert hypothesis.score <= -loss + 1e-4


def test_the_sum_of_many_ways_beats_the_best_one():
    # Graves et al., 2006: every vector prefers the blank, yet the label is likelier in all.
    log_probs = torch.tensor([[0.4, 0.6], [0.4, 0.6]]).log()
    assert ctc_greedy(log_probs).labels == ()
    assert ctc_beam_search(log_probs)[0].labels == (0,)
    assert math.exp(ctc_beam_search(log_probs)[0].score) == pytest.approx(0.64)


@given(path=st.lists(st.integers(0, 3), max_size=12))
def test_greedy_merges_repeats_and_drops_blanks(path):
    log_probs = torch.full((len(path), 4), -10.0)
    log_probs[torch.arange(len(path)), torch.tensor(path, dtype=torch.long)] = 0.0
    expected = collapsed(tuple(path), 3)
    assert ctc_greedy(log_probs).labels == expected


def test_nothing_heard_is_the_empty_string():
    nothing = torch.zeros(0, 4)
    assert ctc_greedy(nothing).labels == ()
    (found,) = ctc_beam_search(nothing)
    assert found.labels == () and found.score == 0


@given(string=st.lists(st.integers(0, 2), max_size=6))
def test_the_fewest_vectors_are_those_that_make_the_loss_finite(string):
    needed = vectors_needed(string)
    labels = torch.tensor([string], dtype=torch.long).reshape(1, -1)
    for vectors in range(max(1, needed - 1), needed + 2):
        log_probs = random_log_probs(vectors, 3, seed=vectors)[None]
        if vectors >= needed:
            assert ctc_loss(log_probs, labels, torch.tensor([vectors])).isfinite().all()
        else:
            with pytest.raises(ValueError, match=f"need {needed} vectors, and it has {vectors}"):
                ctc_loss(log_probs, labels, torch.tensor([vectors]))


def test_each_sequence_of_a_batch_is_as_if_alone():
    log_probs = torch.stack([random_log_probs(8, 3, seed) for seed in range(3)])
    labels = torch.tensor([[0, 1, 1, 2], [2, -100, -100, -100], [-100, -100, -100, -100]])
    lengths = torch.tensor([8, 3, 5])
    together = ctc_loss(log_probs, labels, lengths)
    for i, count in enumerate((4, 1, 0)):
        alone = ctc_loss(
            log_probs[i : i + 1, : lengths[i]], labels[i : i + 1, :count], lengths[i : i + 1]
        )
        assert together[i].item() == pytest.approx(alone.item(), rel=1e-5)


@pytest.mark.parametrize("beam", [0, -1, 1.5])
def test_impossible_beams_are_refused(beam):
    with pytest.raises(ValueError, match="beam"):
        ctc_beam_search(random_log_probs(2, 2, 0), beam)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        ctc_beam_search(torch.full((2, 3), torch.nan))
