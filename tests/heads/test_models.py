"""Encoders with heads for whole sequences: any encoder, any batch, learning, and what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.audio.features import FrontEndConfig
from speechattn.encoder.kinds import AnyEncoderConfig
from speechattn.errors import ConfigError, ModelError
from speechattn.heads.attention_decoder import AttentionDecoder, DecoderSession
from speechattn.heads.config import AnyHead, CtcHead, DecoderHead, LabelHead
from speechattn.heads.ctc import Hypothesis, ctc_greedy, ctc_loss
from speechattn.heads.models import LabelModel, StringModel, head_model
from speechattn.inference.head_checkpoint import HeadCheckpoint
from speechattn.schema import build
from speechattn.studies.sequence_training import head_loss
from speechattn.training.batches import PADDING, Batch
from speechattn.training.config_sections import TrainingConfig

pytestmark = pytest.mark.studies

DIM, LABELS = 5, 3
ENCODERS = {
    "attention": {"width": 8, "heads": 2, "feedforward": 16, "blocks": 2, "window": [4, 4], "stack": 2},
    "whole": {"width": 8, "heads": 2, "feedforward": 16, "blocks": 1, "window": [None, None]},
    "frames": {"kind": "frames", "width": 8, "window": [2, 2], "layers": 2, "stack": 2},
    "cnn": {"kind": "cnn", "width": 8, "kernels": [3, 3], "dilations": [1, 2], "stack": 3},
    "rnn": {"kind": "rnn", "width": 8, "layers": 1, "bidirectional": True, "stack": 2},
}  # fmt: skip
SMALL = {"width": 6, "attention": 4, "kernel": 3, "channels": 2}
HEADS = {
    "label": {"kind": "label", "heads": 2},
    "mean": {"kind": "label", "pooling": "mean"},
    "ctc": {"kind": "ctc"},
    "decoder": {"kind": "decoder", **SMALL, "ctc_weight": 0.0},
    "both": {"kind": "decoder", **SMALL, "ctc_weight": 0.3},
}
SETTINGS = TrainingConfig(label_smoothing=0.1)


def made(head: str, encoder: str = "attention", seed: int = 0) -> LabelModel | StringModel:
    torch.manual_seed(seed)
    config = build(AnyEncoderConfig, dict(ENCODERS[encoder]), "encoder.")
    model = head_model(DIM, LABELS, config, build(AnyHead, dict(HEADS[head]), "head."))
    model.mean.uniform_(-1, 1)
    return model.eval()


def batch_of(lengths: list[int], counts: list[int], seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randn(len(lengths), max(lengths), DIM, generator=generator)
    labels = torch.randint(LABELS, (len(lengths), max(counts)), generator=generator)
    for row, length, label, count in zip(frames, lengths, labels, counts):
        row[length:], label[count:] = torch.nan, PADDING
    return Batch(frames, labels, torch.tensor(lengths))


@pytest.mark.parametrize(("head", "encoder"), list(itertools.product(HEADS, ENCODERS)))
def test_the_loss_of_a_batch_is_the_sum_of_those_alone(head, encoder):
    model, lengths = made(head, encoder), [24, 17, 30]
    counts = [1, 1, 1] if isinstance(model, LabelModel) else [2, 3, 1]
    batch = batch_of(lengths, counts)
    alone = sum(
        head_loss(model, Batch(
            batch.frames[i : i + 1, : lengths[i]], batch.labels[i : i + 1, : counts[i]],
            batch.lengths[i : i + 1],
        ), SETTINGS)
        for i in range(3)
    )  # fmt: skip
    assert head_loss(model, batch, SETTINGS).item() == pytest.approx(alone.item(), rel=1e-4)


@pytest.mark.parametrize("head", HEADS)
def test_the_loss_reaches_every_weight(head):
    model = made(head)
    counts = [1, 1] if isinstance(model, LabelModel) else [2, 3]
    head_loss(model, batch_of([24, 30], counts), SETTINGS).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


@settings(max_examples=20)
@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=3), extra=st.integers(0, 5),
    seed=st.integers(0, 1000),
)  # fmt: skip
def test_padding_leaves_no_trace_in_labels_or_strings(lengths, extra, seed):
    label, strings = made("label"), made("both")
    frames = torch.full((len(lengths), max(lengths) + extra, DIM), torch.nan)
    generator = torch.Generator().manual_seed(seed)
    for row, length in zip(frames, lengths):
        row[:length] = torch.randn(length, DIM, generator=generator)
    with torch.inference_mode():
        together = label(frames, torch.tensor(lengths))
    vectors = strings.each(frames, torch.tensor(lengths))
    for i, length in enumerate(lengths):
        alone = frames[i : i + 1, :length]
        torch.testing.assert_close(together[i : i + 1], label(alone).detach())
        (of_one,) = strings.each(alone)
        torch.testing.assert_close(vectors[i], of_one, atol=1e-5, rtol=1e-4)
        for decode in (strings.ctc_strings, strings.decoder_strings):
            assert decode(vectors[i])[0].score == pytest.approx(decode(of_one)[0].score, abs=1e-3)


def test_teacher_forcing_gives_what_the_search_sees_step_by_step():
    model = made("decoder")
    vectors, labels = torch.randn(1, 9, 8), torch.tensor([[2, 0, 1, 1]])
    with torch.inference_mode():
        expected = model.decoder(vectors, labels).log_softmax(-1)[0]
    session, origin = DecoderSession(model.decoder, vectors), torch.tensor([0])
    for step, label in enumerate([LABELS, *labels[0].tolist()]):
        found = session.advance(torch.tensor([label]), origin)
        torch.testing.assert_close(found[0], expected[step], atol=1e-5, rtol=1e-4)


def test_a_string_goes_on_from_the_one_it_is_said_to_continue():
    model, vectors = made("decoder"), torch.randn(1, 9, 8)
    session = DecoderSession(model.decoder, vectors)
    session.advance(torch.tensor([LABELS]), torch.tensor([0]))
    session.advance(torch.tensor([0, 1]), torch.tensor([0, 0]))
    found = session.advance(torch.tensor([2, 2]), torch.tensor([1, 0]))
    with torch.inference_mode():
        for row, string in zip(found, ([1, 2], [0, 2])):
            wanted = model.decoder(vectors, torch.tensor([string])).log_softmax(-1)[0, -1]
            torch.testing.assert_close(row, wanted, atol=1e-5, rtol=1e-4)


def test_a_step_is_location_aware_attention_and_an_lstm():
    torch.manual_seed(1)
    decoder = AttentionDecoder(4, LABELS, DecoderHead(width=6, attention=5, kernel=3, channels=2))
    vectors, labels = torch.randn(1, 7, 4), torch.tensor([[1, 0]])
    lstm = torch.nn.LSTM(10, 6)
    weights = dict(zip(("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"),
                       (decoder.cell.weight_ih, decoder.cell.weight_hh, decoder.cell.bias_ih,
                        decoder.cell.bias_hh)))  # fmt: skip
    lstm.load_state_dict(weights)
    looked = np.zeros((2, 9))  # padded by one at either end
    looked[:, 1] = 1
    state, context, expected = None, torch.zeros(1, 1, 4), []
    matrix = {n: p.detach().numpy() for n, p in decoder.named_parameters()}
    for label in (LABELS, 1, 0):
        y = torch.cat([decoder.embed.weight[label].view(1, 1, -1), context], -1)
        out, state = lstm(y, state)
        s, h = out[0, 0].detach().numpy(), vectors[0].numpy()
        f = np.stack([
            [(matrix["convolve.weight"][c] * looked[:, j : j + 3]).sum() for c in range(2)]
            for j in range(7)
        ])  # fmt: skip
        inner = (
            matrix["from_state.weight"] @ s
            + h @ matrix["from_vector.weight"].T + matrix["from_vector.bias"]
            + f @ matrix["from_looked.weight"].T
        )  # fmt: skip
        energy = np.exp(np.tanh(inner) @ matrix["energy.weight"][0])
        a = energy / energy.sum()
        looked[0, 1:8] = a
        looked[1, 1:8] += a
        c = a @ h
        context = torch.from_numpy(c).float().view(1, 1, -1)
        expected.append(
            matrix["classify.weight"] @ np.concatenate([s, c]) + matrix["classify.bias"]
        )
    found = decoder.eval()(vectors, labels)[0].detach()
    np.testing.assert_allclose(found, np.stack(expected), atol=1e-4)


@pytest.mark.parametrize("ended", [True, False])
def test_a_decoder_has_as_many_labels_as_vectors_at_most(ended):
    model = made("decoder")
    torch.nn.init.zeros_(model.decoder.classify.weight)
    bias = torch.tensor([1.0, 0.0, 0.0, 30.0 if ended else -300.0])
    model.decoder.classify.bias.data = bias
    found = model.decoder_strings(torch.randn(6, 8), beam=2)  # of four continuations
    assert found[0].ended == ended and len(found[0].labels) == (0 if ended else 6)


def test_ctc_puts_what_the_decoder_found_in_another_order():
    model, vectors = made("both"), torch.randn(9, 8)
    alone = model.decoder_strings(vectors, beam=6)
    both = model.decoder_strings(vectors, beam=6, ctc_share=0.4)
    assert {h.labels for h in alone} == {h.labels for h in both}
    log_probs = model.ctc_log_probs(vectors[None])
    by_decoder = {h.labels: h.score for h in alone}
    for hypothesis in both:
        labels = torch.tensor([hypothesis.labels], dtype=torch.long).reshape(1, -1)
        if len(hypothesis.labels) <= 4:
            loss = ctc_loss(log_probs, labels, torch.tensor([9])).item()
            wanted = 0.6 * by_decoder[hypothesis.labels] - 0.4 * loss
            assert hypothesis.score == pytest.approx(wanted, abs=1e-4)
    assert [h.score for h in both] == sorted((h.score for h in both), reverse=True)


def test_ctc_of_a_streaming_encoder_comes_as_frames_do():
    model = made("ctc")
    frames = torch.randn(41, DIM, generator=torch.Generator().manual_seed(2))
    (vectors,) = model.each(frames[None])
    stream, log_probs = model.stream(), []
    for start in range(0, 41, 7):
        ready = stream.push(frames[start : start + 7], last=start + 7 >= 41)
        with torch.inference_mode():
            log_probs.append(model.ctc_log_probs(ready))
    found = ctc_greedy(torch.cat(log_probs)).labels
    assert found == model.ctc_strings(vectors)[0].labels and len(found) > 0


@pytest.mark.parametrize("head", ["label", "ctc", "both"])
def test_a_saved_model_gives_the_same(head, tmp_path):
    model = made(head)
    names = ("a", "b", "c")
    front_end = FrontEndConfig()
    torch.manual_seed(0)
    model = head_model(front_end.dim, 3, model.config, model.head).eval()
    HeadCheckpoint("m", model, front_end, names, {"seconds": 1.0}).save(tmp_path / "m")
    loaded = HeadCheckpoint.load(tmp_path / "m")
    assert loaded.labels == names and loaded.model.head == model.head
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    frames = torch.randn(1, 12, front_end.dim)
    torch.testing.assert_close(loaded.model.vectors(frames), model.vectors(frames).detach())
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"kind": "ctc"', '"kind": "no"', "head.kind: 'no'"),
        ('"labels": ["a", "b", "c"]', '"labels": ["a"]', "do not belong together"),
        ('"labels"', '"names"', "no key 'labels'"),
        ('"format": "speechattn-head-model"', '"format": "x"', "not the configuration of a"),
    ],
)
def test_a_damaged_model_is_refused(tmp_path, old, new, said):
    front_end = FrontEndConfig()
    model = head_model(front_end.dim, 3, made("ctc").config, CtcHead())
    HeadCheckpoint("m", model, front_end, ("a", "b", "c")).save(tmp_path / "m")
    path = tmp_path / "m/config.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ModelError, match=said) as caught:
        HeadCheckpoint.load(tmp_path / "m")
    assert "\n" not in str(caught.value)


def test_a_head_is_asked_only_for_what_it_has():
    with pytest.raises(ValueError, match="has no attention decoder"):
        made("ctc").decoder_strings(torch.randn(3, 8))
    with pytest.raises(ValueError, match="has no CTC"):
        made("decoder").ctc_strings(torch.randn(3, 8))
    with pytest.raises(ValueError, match="nothing to attend to"):
        made("decoder").decoder_strings(torch.randn(0, 8))


def test_labels_too_many_for_their_frames_are_refused_by_name():
    with pytest.raises(ValueError, match="of sequence 1 need 3 vectors, and it has 2"):
        head_loss(made("ctc"), batch_of([24, 4], [2, 3], seed=1), SETTINGS)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kind": "label", "pooling": "max"}, "head.pooling: 'max'"),
        ({"kind": "label", "heads": 0}, "head.heads: 0"),
        ({"kind": "decoder", "kernel": 4}, "head.kernel: 4; an odd number"),
        ({"kind": "decoder", "ctc_weight": 1.0}, "head.ctc_weight: 1.0"),
        ({"kind": "ctc", "width": 3}, "head.width: a key of kind decoder"),
        ({"kind": "none"}, "head.kind: 'none'; one of label, ctc, decoder"),
    ],
)
def test_impossible_heads_are_refused(values, said):
    with pytest.raises(ConfigError) as caught:
        build(AnyHead, values, "head.")
    assert str(caught.value).startswith(said)


def test_pooling_heads_divide_the_width():
    config = build(AnyEncoderConfig, dict(ENCODERS["attention"]), "encoder.")
    with pytest.raises(ConfigError, match=r"head.heads: 3 do not divide encoder.width 8"):
        LabelModel(DIM, LABELS, config, LabelHead(heads=3))


def test_hypotheses_say_whether_they_ended():
    assert Hypothesis((1,), -1.0).ended


@pytest.mark.parametrize("kind", ["label", "ctc"])
def test_a_model_without_labels_is_refused(kind):
    config = build(AnyEncoderConfig, dict(ENCODERS["cnn"]), "encoder.")
    with pytest.raises(ValueError, match="num_labels: 0; a whole number, 1 or more"):
        head_model(DIM, 0, config, build(AnyHead, dict(HEADS[kind]), "head."))


def test_a_share_is_a_number():
    with pytest.raises(ConfigError, match="head.ctc_weight: '0.3'; from 0 to below 1"):
        DecoderHead(ctc_weight="0.3")
