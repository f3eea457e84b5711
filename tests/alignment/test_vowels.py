"""Weak vowels: told apart by their own frames, whatever a model expects."""

from __future__ import annotations

import numpy as np
import pytest

from speechattn.alignment.vowels import LEAST_EXAMPLES, VowelEvidence, vowel_frames
from speechattn.errors import CorpusError
from speechattn.segments import FrameSegment

SIL, LOW, HIGH = 0, 1, 2
BINS = 12


def vowel(random, phone: int, loudness: float, frames: int = 9) -> np.ndarray:
    shape = np.zeros(BINS)
    shape[2 : 5 if phone == LOW else 9] = 2.0
    return shape + loudness + random.normal(0, 0.5, (frames, BINS))


@pytest.fixture(scope="module")
def learnt() -> VowelEvidence:
    random = np.random.default_rng(0)
    examples = []
    for number in range(3 * LEAST_EXAMPLES):
        loudness = random.normal(0, 5)
        phone = HIGH if number % 3 else LOW
        frames = np.concatenate([vowel(random, p, loudness) for p in (LOW, HIGH, phone)])
        speech = np.ones(len(frames), dtype=bool)
        run = FrameSegment(phone, 18, 27)
        examples += [(frame, phone) for frame in vowel_frames(frames, speech, [run])]
    return VowelEvidence.learn((LOW, HIGH), examples)


def test_the_sound_overrules_the_model_but_not_what_both_have_together(learnt):
    random = np.random.default_rng(1)
    frames = np.concatenate([vowel(random, p, 3.0, 20) for p in (LOW, HIGH)])
    logs = np.log(np.tile([0.1, 0.85, 0.05], (40, 1))).astype(np.float32)
    changed = learnt.applied(logs, frames, SIL, threshold=0.0)
    assert changed[2:18].argmax(1).tolist() == [LOW] * 16
    assert changed[22:38].argmax(1).tolist() == [HIGH] * 16
    np.testing.assert_allclose(np.exp(changed).sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(changed[:, SIL], logs[:, SIL])
    reluctant = learnt.applied(logs, frames, SIL, threshold=100.0)
    assert set(reluctant.argmax(1)) == {LOW}


def test_too_few_examples_are_refused(learnt):
    with pytest.raises(CorpusError, match="examples"):
        VowelEvidence.learn((LOW, HIGH), [(np.zeros(BINS), LOW)] * 1000)
