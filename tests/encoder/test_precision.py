"""Models with packed layers, in every precision: the same scores, and what is shared with the model."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from speechattn.encoder import precision as precision_module
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.int8 import Int8FeedForward, Int8Linear, input_ranges
from speechattn.encoder.int8_matrix import fast_int8
from speechattn.encoder.onednn import fast_bfloat16
from speechattn.encoder.packed_linear import PackedLinear
from speechattn.encoder.precision import fastest_precision, with_packed_linears
from speechattn.encoder.varlen import can_concatenate, forward_varlen
from speechattn.errors import ConfigError

needs_int8 = pytest.mark.skipif(
    not fast_int8(), reason="this processor has no products of 8-bit numbers"
)


def classifier(**changes) -> PhoneClassifier:
    torch.manual_seed(1)
    config = EncoderConfig(width=32, heads=2, feedforward=64, blocks=2, window=(8, 4), **changes)
    return PhoneClassifier(8, 5, config).eval()


def test_a_packed_model_gives_the_scores_of_the_model_whole_and_in_chunks():
    model = classifier(conv_kernel=3, stack=2)
    packed = with_packed_linears(model)
    layers = [m for m in packed.modules() if isinstance(m, (nn.Linear, PackedLinear))]
    assert layers and all(isinstance(layer, PackedLinear) for layer in layers)
    x = torch.randn(1, 50, 8)
    with torch.inference_mode():
        expected = model(x)
        torch.testing.assert_close(packed(x), expected, rtol=1e-5, atol=1e-5)
    stream = packed.stream()
    chunks = [stream.push(x[0, i : i + 7], last=i + 7 >= 50) for i in range(0, 50, 7)]
    torch.testing.assert_close(torch.cat(chunks), expected[0], rtol=1e-5, atol=1e-5)


def test_layers_with_a_gelu_are_packed_one_by_one():
    model = classifier(activation="gelu", subsampling="convolution", stack=2)
    packed = with_packed_linears(model)
    assert not any(isinstance(m, nn.Linear) for m in packed.modules())
    x = torch.randn(1, 50, 8)
    with torch.inference_mode():
        torch.testing.assert_close(packed(x), model(x), rtol=1e-5, atol=1e-5)


def test_the_model_stays_as_it_is_and_can_be_trained():
    model = classifier()
    before = {name: p.clone() for name, p in model.named_parameters()}
    packed = with_packed_linears(model)
    assert packed is not model and packed.mean is model.mean
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    model(torch.randn(1, 9, 8)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_packed_model_can_be_copied_and_sent_to_another_process(copied):
    packed, x = with_packed_linears(classifier()), torch.randn(1, 20, 8)
    with torch.inference_mode():
        assert torch.equal(copied(packed)(x), packed(x))


def test_other_weights_are_left_as_they_are():
    model = classifier().double()
    assert with_packed_linears(model) is model


@pytest.mark.skipif(not fast_bfloat16(), reason="this processor has no products in bfloat16")
def test_half_precision_gives_nearly_the_scores():
    model = classifier(conv_kernel=3)
    packed = with_packed_linears(model, "bf16")
    x = torch.randn(1, 50, 8)
    with torch.inference_mode():
        found, expected = packed(x), model(x)
    assert found.dtype == torch.float32
    difference = (found - expected).abs().max().item()
    assert 1e-5 < difference < 0.03 * expected.abs().max().item()


def with_ranges(**changes):
    """A model and the ranges of its inputs."""
    model = classifier(conv_kernel=3, **changes)
    recordings = [torch.randn(60, 8).numpy() for _ in range(5)]
    return model, input_ranges(model, recordings)


@needs_int8
def test_eight_bits_give_nearly_the_scores():
    model, ranges = with_ranges()
    packed = with_packed_linears(model, "int8", ranges)
    kinds = [type(m) for m in packed.modules()]
    assert kinds.count(Int8FeedForward) == 2 and kinds.count(Int8Linear) == 6
    assert kinds.count(PackedLinear) == 2 and kinds.count(nn.Linear) == 0  # the first, the last
    x = torch.randn(1, 50, 8)
    with torch.inference_mode():
        found, expected = packed(x), model(x)
    assert found.dtype == torch.float32
    difference = (found - expected).abs().mean().item()
    assert 1e-4 < difference < 0.03 * expected.abs().mean().item()


@needs_int8
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_model_in_eight_bits_can_be_copied_and_sent_to_another_process(copied):
    model, ranges = with_ranges()
    packed, x = with_packed_linears(model, "int8", ranges), torch.randn(1, 20, 8)
    with torch.inference_mode():
        assert torch.equal(copied(packed)(x), packed(x))


@needs_int8
def test_eight_bits_do_not_depend_on_chunks_or_on_other_recordings():
    model, ranges = with_ranges(stack=2)
    packed, x = with_packed_linears(model, "int8", ranges), torch.randn(50, 8)
    whole = packed.stream().push(x, last=True)
    stream = packed.stream()
    chunks = [stream.push(x[i : i + 7], last=i + 7 >= 50) for i in range(0, 50, 7)]
    # What is added up in another order may round to the next whole number.
    assert (torch.cat(chunks) - whole).abs().max() < 0.02 * whole.abs().max()
    assert can_concatenate(packed)  # to the last bit


@needs_int8
def test_eight_bits_of_many_rows_are_those_of_each_recording_alone():
    """From some hundreds of rows on, oneDNN may add up products in bfloat16 in another order."""
    torch.manual_seed(1)
    config = EncoderConfig(width=256, heads=4, feedforward=512, blocks=1, window=(8, 4))
    model = PhoneClassifier(240, 40, config).eval()
    recordings = [torch.randn(count, 240) for count in (90, 300, 1400, 7)]
    packed = with_packed_linears(model, "int8", input_ranges(model, recordings))
    alone = [packed.stream().push(frames, last=True) for frames in recordings]
    assert all(map(torch.equal, forward_varlen(packed, recordings), alone))


def test_eight_bits_need_ranges(monkeypatch):
    monkeypatch.setattr(precision_module, "fast_int8", lambda: True)
    with pytest.raises(ConfigError, match="precision: int8; .*train it again, or use bf16 or fp32"):
        with_packed_linears(classifier(), "int8")


@pytest.mark.parametrize(
    "bfloat16, int8, with_ranges_it_is, without",
    [(True, True, "int8", "bf16"), (True, False, "bf16", "bf16"), (False, True, "int8", "fp32"),
     (False, False, "fp32", "fp32")],
)  # fmt: skip
def test_the_fastest_precision_is_that_of_the_device(
    bfloat16, int8, with_ranges_it_is, without, monkeypatch
):
    monkeypatch.setattr(precision_module, "fast_bfloat16", lambda: bfloat16)
    monkeypatch.setattr(precision_module, "fast_int8", lambda: int8)
    cpu, cuda, ranges = torch.device("cpu"), torch.device("cuda"), {"x": torch.ones(1)}
    assert fastest_precision(cpu, ranges) == with_ranges_it_is
    assert fastest_precision(cpu) == fastest_precision(cpu, {}) == without
    assert fastest_precision(cuda, ranges) == "fp32"


def test_a_precision_that_is_not_there(monkeypatch):
    with pytest.raises(ConfigError, match="precision: 'int4'; choose from fp32, bf16, int8"):
        with_packed_linears(classifier(), "int4")
    for name in ("fast_bfloat16", "fast_int8"):
        monkeypatch.setattr(precision_module, name, lambda: False)
    for precision in ("bf16", "int8"):
        with pytest.raises(ConfigError, match=f"precision: {precision}; .* use fp32"):
            with_packed_linears(classifier(), precision)
