"""Recordings that go through the encoder together: each as if it were alone, to the last bit."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.encoder import shape, varlen
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.kinds import CnnConfig
from speechattn.encoder.precision import with_packed_linears
from speechattn.encoder.varlen import can_concatenate, forward_varlen

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN to pack with"
)
KINDS = {
    "rotary": {},
    "convolution": {"conv_kernel": 5},
    "causal": {"conv_kernel": 3, "conv_right": 0, "window": (8, 0)},
    "sinusoidal": {"positions": "sinusoidal"},
    "distance": {"positions": "distance", "reach": 8},
    "everything": {"window": (None, None)},
    "subsampled": {"subsampling": "convolution", "positions": "distance", "activation": "gelu"},
}


# In a process of our own, where parts of PyTorch are left out.
OWN_PROCESS = """
from speechattn import process
process.start_own_process()
process.import_torch()
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.precision import with_packed_linears
from speechattn.encoder.varlen import can_concatenate
config = EncoderConfig(width=32, heads=2, feedforward=64, blocks=1, window=(8, 4))
assert can_concatenate(with_packed_linears(PhoneClassifier(8, 5, config).eval()))
"""


def classifier(kind: str = "convolution", **changes) -> PhoneClassifier:
    torch.manual_seed(1)
    settings = {"width": 32, "heads": 2, "feedforward": 64, "blocks": 2, "window": (8, 4)}
    settings |= {"stack": 2, "positions": "rotary"} | KINDS[kind] | changes
    return with_packed_linears(PhoneClassifier(8, 5, EncoderConfig(**settings)).eval())


def recordings(lengths, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(n, 8, generator=draw) for n in lengths]


def alone(model, frames):
    return model.stream().push(frames, last=True)


@needs_onednn
@pytest.mark.parametrize("kind", KINDS)
def test_every_recording_has_the_bits_it_has_alone(kind):
    model, given_ = classifier(kind), recordings((1, 200, 2, 37, 64, 15))
    assert can_concatenate(model)
    for frames, scores in zip(given_, forward_varlen(model, given_)):
        assert torch.equal(scores, alone(model, frames))


@needs_onednn
@pytest.mark.parametrize("lengths", [(40, 0), (0, 13, 0), (0, 0)])
@pytest.mark.parametrize("kind", KINDS)
def test_empty_recordings_give_no_scores(kind, lengths):
    model, given_ = classifier(kind), recordings(lengths)
    for frames, scores in zip(given_, forward_varlen(model, given_)):
        assert torch.equal(scores, alone(model, frames))


@needs_onednn
@pytest.mark.slow
def test_recordings_are_concatenated_in_processes_of_our_own():
    subprocess.run([sys.executable, "-c", OWN_PROCESS], check=True)


@needs_onednn
@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 90), max_size=6),
    st.integers(1, 90),
    st.lists(st.integers(1, 90), max_size=6),
    st.integers(0, 5),
    st.integers(20, 200),
)
def test_no_neighbours_change_a_bit(before, own, after, seed, most):
    model, (frames,) = classifier(), recordings([own])
    near, far = recordings(before, seed + 1), recordings(after, seed + 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shape, "MAX_ROWS", most)
        patch.setattr(varlen, "MAX_ROWS", most)
        scores = forward_varlen(model, [*near, frames, *far])
    assert torch.equal(scores[len(before)], alone(model, frames))


@needs_onednn
def test_a_model_whose_rows_depend_on_their_neighbours_is_found_out(monkeypatch):
    def rows_that_lean(x):
        return product(x) + x.shape[-2]

    model = classifier()
    assert can_concatenate(model)
    product = model.classify.forward
    monkeypatch.setattr(model.classify, "forward", rows_that_lean)
    assert not can_concatenate(model)


def test_models_it_is_not_for_are_refused():
    assert not can_concatenate(PhoneClassifier(8, 5, EncoderConfig(width=32, heads=2)).eval())
    assert not can_concatenate(classifier(width=24))
    learned = {"positions": "learned", "trained_length": 100}
    assert not can_concatenate(classifier("rotary", **learned))
    cnn = PhoneClassifier(8, 5, CnnConfig(width=32)).eval()
    assert not can_concatenate(with_packed_linears(cnn))


@needs_onednn
def test_frames_that_are_no_numbers_are_refused():
    frames = recordings((20, 30))
    frames[1][3, 2] = float("nan")
    with pytest.raises(ValueError, match="number 2 of frame 3"):
        forward_varlen(classifier(), frames)


@needs_onednn
@pytest.mark.parametrize("shape", [(20, 1), (20, 7), (8,)])
def test_frames_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"frames: shape .*; \(frames, 8\)"):
        forward_varlen(classifier(), [*recordings((20,)), torch.zeros(shape)])
