"""Fixtures that several test modules share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CORPORA = Path(__file__).resolve().parents[2] / "shared" / "corpora"


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real corpora; tests that need it are skipped, loudly, where it is missing."""
    folder = Path(os.environ.get("SPEECHATTN_CORPORA", CORPORA))
    if not folder.is_dir():
        pytest.skip(f"no corpora at {folder}; set SPEECHATTN_CORPORA to run this test")
    return folder


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory) -> Path:
    """A saved model with random weights, small enough to run in milliseconds."""
    import torch

    from speechattn.checkpoint import Checkpoint
    from speechattn.decoder import DecoderOptions
    from speechattn.encoder import EncoderConfig, PhoneClassifier
    from speechattn.frontend import FrontEndConfig
    from speechattn.phonemodel import PhoneModel
    from speechattn.phones import arpabet

    torch.manual_seed(0)
    phones, front_end = arpabet(), FrontEndConfig(num_mel_bins=40)
    encoder = EncoderConfig(
        width=32, heads=2, feedforward=64, blocks=2, window=(8, 4), conv_kernel=3, stack=2
    )
    classifier = PhoneClassifier(front_end.dim, len(phones), encoder).eval()
    classifier.mean.fill_(8.0)
    classifier.std.fill_(4.0)
    torch.nn.init.normal_(classifier.classify.weight, std=0.5)
    phone_model = PhoneModel.uniform(len(phones), min_frames=3)
    folder = tmp_path_factory.mktemp("model") / "tiny"
    Checkpoint(
        "tiny", classifier, front_end, phones, phone_model, DecoderOptions(prior_scale=0.0)
    ).save(folder)
    return folder
