"""Costs counted from a configuration, against what PyTorch counts while it computes."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.kinds import CnnConfig, FramesConfig, RnnConfig
from speechattn.inference.describe import costs, describe_costs

DIM, PHONES, FRAMES = 10, 7, 60
# The counter knows this kernel for GPUs only.
ON_CPU = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: (
        lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v)
    )
}
CONFIGS = [
    EncoderConfig(width=16, heads=2, feedforward=24, blocks=2, window=(None, None)),
    EncoderConfig(
        width=16, heads=2, feedforward=24, blocks=1, window=(None, None), conv_kernel=3, stack=3
    ),
    FramesConfig(window=(4, 2), layers=3, width=20),
    FramesConfig(window=(4, 2), layers=2, width=20, stack=2),
    CnnConfig(width=12, kernels=(3, 5), dilations=(1, 2)),
    CnnConfig(width=12, kernels=(3, 4), dilations=(2, 1), right=(0, 1), stack=3),
    RnnConfig(width=12, layers=2),
    RnnConfig(width=12, layers=2, cell="gru", stack=2),
    RnnConfig(width=12, layers=1, bidirectional=True),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.kind}")
def test_multiply_adds_are_half_of_what_pytorch_counts(config):
    # Recurrent layers in 64 bits are computed, and counted, product by product.
    model = PhoneClassifier(DIM, PHONES, config).double().eval()
    frames = torch.randn(1, FRAMES, DIM, dtype=torch.float64)
    # With gradients: without, a depthwise convolution is a sum of shifted rows, which is not counted.
    with FlopCounterMode(display=False, custom_mapping=ON_CPU) as counter:
        model(frames)
    found = costs(config, DIM, PHONES, FRAMES)
    assert found.multiply_adds * FRAMES == pytest.approx(counter.get_total_flops() / 2)
    assert found.weights == model.num_weights


@pytest.mark.parametrize("stack", [1, 2])
@pytest.mark.parametrize(
    "window", [(4, 2), (0, 0), (8, 0), (None, 4), (2, None), (None, None), (400, 2)]
)
@pytest.mark.parametrize("frames", [1, 7, 30])
def test_attention_by_counting_who_sees_whom(window, stack, frames):
    config = EncoderConfig(
        width=8, heads=2, feedforward=8, blocks=3, window=window, stack=stack, positions="none"
    )
    vectors = -(-frames // stack)
    left, right = (vectors if side is None else side // stack for side in window)
    seen = sum(-left <= j - i <= right for i in range(vectors) for j in range(vectors))
    # Each pair: width numbers of a query with a key, width numbers of a value; in three blocks.
    expected = 3 * 2 * 8 * seen / vectors / stack
    assert costs(config, DIM, PHONES, frames).attention == pytest.approx(expected)


def test_far_from_the_ends_a_window_is_full():
    config = EncoderConfig(width=8, heads=2, blocks=2, window=((4, 2), (6, 0)), stack=2)
    assert costs(config, DIM, PHONES).attention == 2 * 8 * (4 + 4) / 2
    endless = EncoderConfig(width=8, heads=2, blocks=2, window=((4, 2), (None, 0)))
    found = costs(endless, DIM, PHONES)
    assert found.attention is None and found.multiply_adds is None and found.matrices > 0


def test_description():
    config = EncoderConfig(width=8, heads=2, feedforward=8, blocks=1, window=(4, 2))
    matrices = DIM * 8 + 8 * 24 + 8 * 8 + 2 * 8 * 8 + 8 * PHONES
    expected = {"multiply_adds_a_frame": matrices + 2 * 8 * 7}
    assert describe_costs(config, DIM, PHONES) == expected
    full = EncoderConfig(width=8, heads=2, feedforward=8, blocks=1, window=(None, None))
    expected = {"multiply_adds_a_frame_of_10_s": matrices + 2 * 8 * 1000}
    assert describe_costs(full, DIM, PHONES) == expected
