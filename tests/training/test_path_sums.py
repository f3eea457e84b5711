"""Compiled sums over paths against those by PyTorch and against all paths of tiny cases."""

from __future__ import annotations

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.references.path import gradient_over_paths, sum_over_paths
from torch import Tensor

from speechattn.training import losses, path_sums
from speechattn.training.batches import PADDING
from speechattn.training.losses import LOWEST, SCALE, path_loss

# Labels, how many there are, by frame: runs that are shorter and longer than the slack.
RUNS = st.lists(st.tuples(st.integers(0, 99), st.integers(1, 9)), min_size=1, max_size=8)


def pad(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Labels of utterances, shape (batch, frames), and their lengths."""
    longest = max(map(len, rows))
    padded = torch.tensor([row + [PADDING] * (longest - len(row)) for row in rows])
    return padded, torch.tensor([len(row) for row in rows])


def draw(seed: int, shape: tuple[int, ...], spread: float = 3.0) -> tuple[Tensor, Tensor]:
    """Log probabilities and transitions, at random."""
    generator = torch.Generator().manual_seed(seed)
    log_probs = spread * torch.randn(shape, generator=generator)
    transitions = 2 * torch.randn(shape[2], shape[2], generator=generator)
    return log_probs.log_softmax(2), transitions.log_softmax(1)


def loss_and_gradient(
    log_probs: Tensor, labels: Tensor, lengths: Tensor, transitions: Tensor, compiled: bool = True
) -> tuple[float, Tensor]:
    """Of the path loss, compiled or by PyTorch."""
    with pytest.MonkeyPatch.context() as patch:
        if not compiled:
            patch.setattr(losses, "_compiled", lambda device: None)
        log_probs = log_probs.clone().requires_grad_()
        loss = path_loss(log_probs, labels, lengths, transitions)
        assert loss.dtype == torch.float32 and loss.shape == ()
        (7 * loss).backward()
    return loss.item(), log_probs.grad / 7


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    utterances=st.lists(RUNS, min_size=1, max_size=4),
    classes=st.integers(1, 45),
    spread=st.sampled_from([0.0, 1.0, 5.0, 20.0]),
    slack=st.integers(0, 5),
)
def test_they_are_those_of_pytorch(seed, utterances, classes, spread, slack):
    rows = [[label % classes for label, n in runs for _ in range(n)] for runs in utterances]
    labels, lengths = pad(rows)
    log_probs, transitions = draw(seed, (*labels.shape, classes), spread)
    highest = log_probs.amax(2, keepdim=True)
    emission = torch.exp(SCALE * (log_probs - highest).clamp_min(LOWEST))
    step = torch.exp(SCALE * transitions)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(losses, "SLACK_FRAMES", slack)
        runs = losses._runs(labels, lengths)[1:]
        total, share = path_sums.differences(emission, runs, lengths, step, slack, losses.LEAST)
        exact = losses._differences(emission.double(), labels, lengths, step.double())
    assert total.dtype == torch.float64 and share.dtype == torch.float32
    torch.testing.assert_close(total, exact[0], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(share.double(), exact[1], rtol=1e-6, atol=1e-6)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=1, max_size=3),
    slack=st.integers(0, 3),
)
@pytest.mark.parametrize("compiled", [True, False])
def test_loss_and_gradient_are_those_of_all_paths(compiled, seed, rows, slack):
    labels, lengths = pad(rows)
    log_probs, transitions = draw(seed, (*labels.shape, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(losses, "SLACK_FRAMES", slack)
        loss, gradient = loss_and_gradient(log_probs, labels, lengths, transitions, compiled)
    expected = 0.0
    for scores, row, found in zip(log_probs.tolist(), rows, gradient):
        case = scores[: len(row)], row, transitions.tolist(), slack
        expected += sum_over_paths(*case)
        exact = torch.tensor(gradient_over_paths(*case))
        torch.testing.assert_close(found[: len(row)], exact, rtol=1e-4, atol=1e-5)
        assert not found[len(row) :].any(), "padding has no gradient"
    assert loss == pytest.approx(expected, rel=1e-4, abs=1e-4)


def typical() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A batch such as training has: log probabilities, labels, lengths and transitions."""
    torch.manual_seed(2)
    rows = [torch.randint(40, (n,)).repeat_interleave(6).tolist() for n in (66, 50, 1, 13)]
    labels, lengths = pad(rows)
    log_probs, transitions = draw(3, (*labels.shape, 40))
    right = torch.nn.functional.one_hot(labels.clamp_min(0), 40)
    return (log_probs + 6 * right).log_softmax(2), labels, lengths, transitions


def test_long_utterances_keep_their_accuracy():
    loss, gradient = loss_and_gradient(*typical())
    expected, exact = loss_and_gradient(*typical(), compiled=False)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert (gradient - exact).norm() < 1e-5 * exact.norm()
    assert (gradient - exact).abs().max() < 1e-5 * exact.abs().max()


@pytest.mark.parametrize("compiled", [True, False])
def test_what_is_impossible_stays_finite(compiled):
    log_probs, labels, lengths, transitions = typical()
    some = torch.rand(log_probs.shape, generator=torch.Generator().manual_seed(4)) < 0.5
    some[:, :, 0] = False  # some label is possible
    log_probs[some] = -math.inf
    transitions[::2, 1::2] = -math.inf
    loss, gradient = loss_and_gradient(log_probs, labels, lengths, transitions, compiled)
    assert math.isfinite(loss) and loss > 0
    assert gradient.isfinite().all() and gradient.abs().max() <= 1 + 1e-6


def test_what_is_no_number_is_not_hidden():
    log_probs, labels, lengths, transitions = typical()
    log_probs[1, 20] = math.nan
    loss, gradient = loss_and_gradient(log_probs, labels, lengths, transitions)
    assert math.isnan(loss) and gradient[1, 20].isnan().all()
    assert gradient[0].isfinite().all()


def test_frames_beyond_the_lengths_do_not_count():
    log_probs, labels, lengths, transitions = typical()
    expected = loss_and_gradient(log_probs, labels, lengths, transitions)
    for row, length in enumerate(lengths):
        log_probs[row, length:], labels[row, length:] = math.nan, 5
    found = loss_and_gradient(log_probs, labels, lengths, transitions)
    assert found[0] == expected[0] and found[1].equal(expected[1])


def test_frames_without_a_label_are_those_of_the_first():
    log_probs, labels, lengths, transitions = typical()
    labels[0, 100:120] = PADDING
    loss, gradient = loss_and_gradient(log_probs, labels, lengths, transitions)
    expected, exact = loss_and_gradient(log_probs, labels, lengths, transitions, compiled=False)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert (gradient - exact).norm() < 1e-5 * exact.norm()


def test_memory_may_lie_in_any_order():
    log_probs, labels, lengths, transitions = typical()
    expected = loss_and_gradient(log_probs, labels, lengths, transitions)
    turned = log_probs.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    found = loss_and_gradient(turned, labels.T.contiguous().T, lengths, transitions.T.clone().T)
    assert found[0] == expected[0] and found[1].equal(expected[1])


def test_what_does_not_fit_is_refused():
    log_probs, labels, lengths, transitions = typical()
    wrong = [
        (log_probs[:, :, :39], labels, lengths, transitions[:39, :39]),  # no such label
        (log_probs[:, :99], labels, lengths, transitions),  # no such frame
        (log_probs, labels, lengths, transitions[:39, :39]),
        (log_probs, labels[:3], lengths[:3], transitions),
    ]
    for case in wrong:
        with pytest.raises(IndexError, match="do not fit"):
            path_loss(*case)


def test_threads_do_not_disturb_each_other():
    cases = [
        tuple(part[:count] for part in typical()[:3]) + typical()[3:] for count in (1, 2, 3, 4)
    ]
    expected = [loss_and_gradient(*case) for case in cases]

    def repeat(case: tuple[Tensor, ...]) -> list[tuple[float, Tensor]]:
        log_probs = case[0].clone().requires_grad_()
        found = []
        for _ in range(10):
            loss = path_loss(log_probs, *case[1:])
            found.append((loss.item(), torch.autograd.grad(loss, log_probs)[0]))
        return found

    with ThreadPoolExecutor(len(cases)) as threads:
        for (loss, gradient), found in zip(expected, threads.map(repeat, cases)):
            for other, other_gradient in found:
                assert other == loss
                torch.testing.assert_close(other_gradient, gradient, rtol=1e-6, atol=1e-7)


SCRIPT = """
import sys
import torch
from speechattn.training.losses import path_loss
assert "speechattn.training.path_sums" not in sys.modules
path_loss(torch.zeros(1, 1, 1), torch.zeros(1, 1).long(), torch.ones(1).long(), torch.zeros(1, 1))
assert "speechattn.training.path_sums" in sys.modules
"""


def test_they_are_compiled_when_first_used():
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT], check=False, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("classes", [1, 3, 40])
def test_on_a_gpu_they_are_those_of_the_processor(classes):
    rows = [[i % classes for i in range(60) for _ in range(7)], [0] * 9, [0]]
    labels, lengths = pad(rows)
    log_probs, transitions = draw(0, (*labels.shape, classes), 5.0)
    right = loss_and_gradient(log_probs, labels, lengths, transitions)
    arguments = (x.cuda() for x in (log_probs, labels, lengths, transitions))
    loss, gradient = loss_and_gradient(*arguments)
    assert loss == pytest.approx(right[0], rel=1e-5)
    torch.testing.assert_close(gradient.cpu(), right[1], rtol=1e-4, atol=1e-5)
