"""Models of labels and of strings, as studies leave them, through the API and the commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import speechattn
from speechattn.audio.features import FrontEnd, FrontEndConfig
from speechattn.cli.main import main
from speechattn.encoder.config import EncoderConfig
from speechattn.errors import ConfigError, ModelError, UsageError
from speechattn.heads.config import AnyHead, CtcHead, DecoderHead, LabelHead
from speechattn.heads.ctc import ctc_beam_search
from speechattn.heads.models import LabelModel, StringModel, head_model
from speechattn.inference.head_checkpoint import HeadCheckpoint, SearchOptions
from speechattn.inference.transcription import TranscribeOptions

RATE = 16_000
HEADS = {
    "labels": (LabelHead(heads=2), ("ZERO", "SWITCH OFF", "ONE")),
    "strings": (CtcHead(), ("AA", "B", "SH")),
    "decoder": (DecoderHead(width=6, attention=4, kernel=3, channels=2), ("AA", "B", "SH")),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model with each head, and a short and a long recording."""
    folder = tmp_path_factory.mktemp("sequence")
    encoder = EncoderConfig(width=8, heads=2, feedforward=16, blocks=1, window=(4, 4), stack=2)
    for name, (head, labels) in HEADS.items():
        save(folder / name, head, labels, encoder)
    noise = np.random.default_rng(0).normal(0, 0.1, 25 * RATE)
    soundfile.write(folder / "long.wav", noise, RATE)
    soundfile.write(folder / "short.wav", noise[: RATE // 2], RATE)
    return folder


def save(folder: Path, head: AnyHead, labels: tuple[str, ...], encoder: EncoderConfig) -> None:
    torch.manual_seed(1)
    front_end = FrontEndConfig()
    model = head_model(front_end.dim, len(labels), encoder, head).eval()
    search = SearchOptions(ctc_beam=3, beam=2)
    HeadCheckpoint(folder.name, model, front_end, labels, {"steps": 1}, search).save(folder)


def frames_of(path: Path) -> torch.Tensor:
    samples, _ = soundfile.read(path, dtype="float32")
    return FrontEnd(FrontEndConfig())(torch.from_numpy(samples))


def test_a_label_is_that_of_the_model(folder):
    recognizer = speechattn.load_model(folder / "labels", device="cpu")
    model = HeadCheckpoint.load(folder / "labels").model
    assert isinstance(model, LabelModel)
    for name in ("short.wav", "long.wav"):
        shares = model(frames_of(folder / name)[None])[0].softmax(-1)
        found = recognizer.transcribe(folder / name, alternatives=2)
        (segment,) = found.phones
        order = shares.argsort(descending=True).tolist()
        names = [HEADS["labels"][1][i] for i in order]
        assert [segment.label, *(label for label, _ in segment.alternatives)] == names
        assert segment.confidence == pytest.approx(shares.max().item(), abs=1e-4)
        assert (segment.start, segment.end) == (0.0, found.duration)
        assert found.posteriors is None


def test_a_string_is_that_of_the_search(folder):
    found = speechattn.load_model(folder / "strings", device="cpu").transcribe(
        folder / "short.wav", alternatives=5, labels="ipa"
    )
    checkpoint = HeadCheckpoint.load(folder / "strings")
    model = checkpoint.model
    assert isinstance(model, StringModel) and checkpoint.search == SearchOptions(3, 2)
    with torch.inference_mode():
        vectors = model.each(frames_of(folder / "short.wav")[None])[0]
        best = ctc_beam_search(model.ctc_log_probs(vectors[None])[0], 3)
    ipa = {0: "ɑ", 1: "b", 2: "ʃ"}
    strings = [" ".join(ipa[i] for i in each.labels) for each in best]
    (segment,) = found.phones
    assert [segment.label, *(text for text, _ in segment.alternatives)] == strings
    assert 0 < segment.confidence <= 1


def test_the_commands_take_them(folder, capsys, tmp_path):
    assert main(["info", str(folder / "labels")]) == 0
    said = capsys.readouterr().out
    assert "writes: one label for each recording" in said
    assert 'labels: ["ZERO", "SWITCH OFF", "ONE"]' in said
    for name in HEADS:
        command = ["transcribe", str(folder / "short.wav"), "--model", str(folder / name)]
        assert main([*command, "--format", "json", "--device", "cpu"]) == 0
        (phone,) = json.loads(capsys.readouterr().out)["phones"]
        assert set(phone["label"].split()) <= set(" ".join(HEADS[name][1]).split())
    out = [*command, "--output-dir", str(tmp_path / "out")]
    assert main([*out, "--format", "textgrid,csv"]) == 0
    assert main([*out, "--posteriors", "npz"]) == 2  # at once, whatever the recordings
    assert "only a model of phones has posteriors of frames" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"precision": "int8"}, "in fp32 only"),
        ({"lm_scale": 0.0}, "has no language model; leave out lm_scale"),
        ({"reading": "none"}, "leave out reading"),
        ({"window": 2}, r"^window: 2; \(left, right\), whole numbers"),
        ({"window": (2, 2)}, r"for its own window alone \(\[4, 4\]\)"),
    ],
)
def test_settings_of_other_models_are_refused(folder, settings, said):
    with pytest.raises(ConfigError, match=said):
        speechattn.load_model(folder / "labels", device="cpu", **settings)


def test_what_needs_times_is_refused(folder):
    model = speechattn.load_model(folder / "labels", device="cpu", precision="auto")
    for call in (model.stream, lambda: model.log_posteriors(iter(()))):
        with pytest.raises(ConfigError, match="labels: writes one label .* without times"):
            call()
    with pytest.raises(ModelError, match="only a model of phones"):
        _ = model.checkpoint
    with pytest.raises(ConfigError, match="no IPA for 'ZERO'"):
        model.transcribe(folder / "short.wav", labels="ipa")
    asked = {"words": True, "forms": "dictionary", "posteriors": True, "on_posteriors": print}
    for name, value in asked.items():
        with pytest.raises(ConfigError, match=f"has what {name} asks for"):
            model.transcribe(folder / "short.wav", **{name: value})
    off = {"words": False, "forms": "heard", "posteriors": False, "on_posteriors": None}
    assert model.transcribe(folder / "short.wav", **off).words is None
    with pytest.raises(ConfigError, match="has words"):
        model.prepare(folder / "short.wav", TranscribeOptions(forms="dictionary"))
    with pytest.raises(UsageError, match="forms: 'said' is unknown"):
        model.transcribe(folder / "short.wav", forms="said")
    with pytest.raises(TypeError, match="wrods"):
        model.transcribe(folder / "short.wav", wrods=True)
