"""Beam search against all strings there are."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechattn.heads.ctc import beam_search

pytestmark = pytest.mark.studies


class Table:
    """A decoder whose next label depends on all before it, by numbers from a seed."""

    def __init__(self, labels: int, seed: int, never_ends: bool = False):
        self.labels, self.seed, self.never_ends = labels, seed, never_ends
        self.strings: list[tuple[int, ...]] = [()]

    def log_probs(self, string: tuple[int, ...]) -> torch.Tensor:
        generator = torch.Generator().manual_seed(hash((self.seed, string)) % 2**40)
        scores = 2 * torch.randn(self.labels + 1, generator=generator)
        if self.never_ends:
            scores[self.labels] = -torch.inf
        return scores.log_softmax(-1)

    def __call__(self, last: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
        if self.strings == [()] and last.tolist() == [self.labels]:
            grown = [()]
        else:
            grown = [(*self.strings[i], label) for i, label in zip(origin.tolist(), last.tolist())]
        self.strings = grown
        return torch.stack([self.log_probs(string) for string in grown])

    def all_ended(self, limit: int) -> dict[tuple[int, ...], float]:
        found = {}
        for count in range(limit + 1):
            for string in itertools.product(range(self.labels), repeat=count):
                score = sum(
                    self.log_probs(string[:i])[label].item()
                    for i, label in enumerate((*string, self.labels))
                )
                found[string] = score
        return found


@given(
    labels=st.integers(1, 3), limit=st.integers(1, 3), seed=st.integers(0, 10**6),
    power=st.sampled_from([0.0, 0.6, 1.0]),
)  # fmt: skip
def test_a_wide_beam_finds_the_best_of_all_strings(labels, limit, seed, power):
    expected = Table(labels, seed).all_ended(limit)
    best = max(expected, key=lambda s: expected[s] / (len(s) + 1) ** power)
    found = beam_search(Table(labels, seed), labels, limit=limit, beam=1000, length_power=power)
    assert found[0].labels == best
    for hypothesis in found:
        assert hypothesis.ended
        assert hypothesis.score == pytest.approx(expected[hypothesis.labels], abs=1e-4)


@given(labels=st.integers(1, 4), seed=st.integers(0, 10**6))
def test_a_beam_of_one_takes_the_best_label_each_time(labels, seed):
    table, string, limit = Table(labels, seed), (), 5
    label = int(table.log_probs(string).argmax())
    while len(string) < limit and label != labels:
        string = (*string, label)
        label = int(table.log_probs(string).argmax())
    found, *_ = beam_search(Table(labels, seed), labels, limit=limit, beam=1)
    assert found.labels == string and found.ended == (label == labels)


@given(labels=st.integers(1, 4), beam=st.integers(1, 5), limit=st.integers(1, 6))
def test_a_decoder_that_never_ends_is_cut_off_and_says_so(labels, beam, limit):
    (found,) = beam_search(Table(labels, 3, never_ends=True), labels, limit=limit, beam=beam)
    assert not found.ended and len(found.labels) == limit
    assert math.isfinite(found.score)


def test_longer_strings_win_with_a_power_and_shorter_ones_without():
    def shorter(last, origin):
        shorter.count += 1
        end = {1: 0.6, 4: 1.0}.get(shorter.count, 1e-9)
        return torch.tensor([[1 - end, end]]).clamp(min=1e-12).log().expand(len(last), 2)

    lengths = []
    for power in (0.0, 1.0):
        shorter.count = 0
        found = beam_search(shorter, 1, limit=10, beam=4, length_power=power)
        lengths.append(len(found[0].labels))
    assert lengths == [0, 3]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"beam": 0}, "beam"), ({"limit": 0}, "limit"), ({"length_power": -1.0}, "length_power")],
)
def test_impossible_values_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        beam_search(Table(2, 0), 2, **{"limit": 3, **wrong})


def test_nan_is_refused():
    nan = lambda last, origin: torch.full((len(last), 3), torch.nan)
    with pytest.raises(ValueError, match="NaN"):
        beam_search(nan, 2, limit=3)
