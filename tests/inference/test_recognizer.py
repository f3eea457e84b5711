"""The recognizer: the same phones however the audio comes in, and blocks that leave no seams."""

from __future__ import annotations

import gc
import json
import threading
import tracemalloc
import weakref
from unittest import mock

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.models import save_sure_model
from torch import nn

import speechattn
from speechattn.audio.features import FrontEnd
from speechattn.audio.load import array_blocks, read_audio
from speechattn.cli.main import main
from speechattn.decoder.decoder import Decoder, decode
from speechattn.errors import AudioError, ConfigError, ModelError, UsageError
from speechattn.inference import collector as collector_module
from speechattn.inference import reading as module
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.recognizer import Recognizer, load_model
from speechattn.inference.transcription import Prepared, TranscribeOptions
from speechattn.segments import check_tiling, num_frames

RATE = 16_000  # Hz
EVERYTHING = 1e6  # seconds: a block that holds any recording


def speech(seconds: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Noise and tones that change every tenth of a second, so that phones do."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    pieces = (time * 10).astype(int)
    hertz = random.uniform(100, 3500, pieces[-1] + 1)[pieces]
    level = random.choice([0.001, 0.1, 0.5], pieces[-1] + 1)[pieces]
    noise = 0.02 * random.standard_normal(len(time))
    return (level * np.sin(2 * np.pi * hertz * time) + noise).astype(np.float32)


@pytest.fixture(scope="module")
def recognizer(tiny_model_dir) -> Recognizer:
    checkpoint = Checkpoint.load(tiny_model_dir, torch.device("cpu"))
    checkpoint.classifier.classify.weight.mul_(5)  # random weights are rarely sure
    return Recognizer(checkpoint, torch.device("cpu"))


def labels(result) -> list[tuple[str, float]]:
    return [(segment.label, segment.start) for segment in result.phones]


def test_it_is_the_sum_of_its_parts(recognizer):
    """Front end, encoder and decoder, each called once on the whole recording."""
    samples = speech(2.03)
    found = recognizer.transcribe(samples, sample_rate=RATE)
    checkpoint = recognizer.checkpoint
    frames = FrontEnd(checkpoint.front_end)(torch.from_numpy(samples))
    with torch.inference_mode():
        scores = checkpoint.classifier(frames[None])[0].double().numpy()
    posteriors = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(found.posteriors, posteriors, atol=1e-5)
    runs = decode(np.log(posteriors), checkpoint.phone_model, checkpoint.decoding)
    expected = [(recognizer.phones.names[run.phone], run.start / 100) for run in runs]
    assert labels(found) == expected and len(set(labels(found))) > 5
    assert found.duration == 2.03 and found.sample_rate == RATE
    assert found.labels == recognizer.phones.names


@settings(max_examples=40)
@given(st.one_of(st.integers(80, 2000), st.integers(80, 12_000)))
def test_any_length_gives_frames_that_sum_to_one_and_segments_that_tile(recognizer, count):
    found = recognizer.transcribe(speech(count / RATE), sample_rate=RATE)
    assert found.duration == count / RATE
    assert found.posteriors.shape == ((count + 80) // 160, 40)
    assert found.posteriors.dtype == np.float32 and (found.posteriors >= 0).all()
    np.testing.assert_allclose(found.posteriors.sum(1), 1, atol=1e-5)
    check_tiling(found.phones, found.duration)
    assert all(0 <= segment.confidence <= 1 for segment in found.phones)
    assert {segment.label for segment in found.phones} <= set(recognizer.phones.names)


@settings(max_examples=25)
@given(st.integers(200, 40_000), st.floats(0.006, 1.2))
def test_blocks_leave_no_seams(recognizer, count, seconds):
    samples = speech(count / RATE, seed=count)
    with mock.patch.object(module, "BLOCK_SECONDS", EVERYTHING):
        whole = recognizer.transcribe(samples, sample_rate=RATE)
    with mock.patch.object(module, "BLOCK_SECONDS", seconds):
        blocks = recognizer.transcribe(samples, sample_rate=RATE)
    np.testing.assert_allclose(blocks.posteriors, whole.posteriors, atol=1e-4)
    assert labels(blocks) == labels(whole)


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (8_000, 1), (44_100, 2), (48_000, 3)])
def test_a_file_and_its_samples_give_the_same(recognizer, tmp_path, rate, channels):
    sound = np.stack([speech(1.234, rate, seed) for seed in range(channels)])
    path = tmp_path / "a.wav"
    soundfile.write(path, sound.T, rate, subtype="FLOAT")
    file = recognizer.transcribe(path)
    array = recognizer.transcribe(sound, sample_rate=rate)
    assert file.phones == array.phones and file.duration == array.duration
    np.testing.assert_array_equal(file.posteriors, array.posteriors)
    assert file.sample_rate == array.sample_rate == rate
    assert len(file.posteriors) == num_frames(len(read_audio(path)[0]))
    check_tiling(file.phones, sound.shape[1] / rate)
    assert recognizer.transcribe(str(path)).phones == file.phones


@settings(max_examples=25)
@given(st.sampled_from([8000, 11_025, 22_050, 44_100, 48_000]), st.integers(300, 9000))
def test_other_rates_tile_to_their_own_duration(recognizer, rate, count):
    found = recognizer.transcribe(speech(count / rate, rate), sample_rate=rate)
    assert found.duration == count / rate
    check_tiling(found.phones, count / rate)
    assert abs(len(found.posteriors) / 100 - found.duration) < 0.006


def test_channels_are_mixed_or_chosen(recognizer, tmp_path):
    left, right = speech(1.0), speech(1.0, seed=1)
    both = np.stack([left, right])
    soundfile.write(tmp_path / "a.wav", both.T, RATE, subtype="FLOAT")
    for channel, mono in ((None, (left + right) / 2), (0, left), (1, right)):
        expected = recognizer.transcribe(mono, sample_rate=RATE).phones
        assert recognizer.transcribe(both, sample_rate=RATE, channel=channel).phones == expected
        assert recognizer.transcribe(tmp_path / "a.wav", channel=channel).phones == expected
    with pytest.raises(AudioError, match="channel"):
        recognizer.transcribe(both, sample_rate=RATE, channel=2)


def test_integers_tensors_and_other_floats_are_the_same_samples(recognizer):
    integers = np.round(speech(1.0) * 32000).astype(np.int16)
    expected = recognizer.transcribe((integers / 32768).astype(np.float32), sample_rate=RATE)
    same = [
        integers,
        integers.astype(np.int32) * 65536,
        integers / 32768,
        torch.from_numpy(integers),
        torch.from_numpy(integers / 32768).requires_grad_(),
        torch.from_numpy(integers)[None],
        np.asfortranarray(np.stack([integers, integers])),
        (integers / 32768).tolist(),
    ]
    for samples in same:
        found = recognizer.transcribe(samples, sample_rate=RATE)
        assert found.phones == expected.phones and found.duration == expected.duration


def test_a_rate_may_be_of_any_numeric_type(recognizer):
    for rate in (16_000.0, np.int32(16_000), np.float32(16_000)):
        found = recognizer.transcribe(speech(0.3), sample_rate=rate)
        assert type(found.sample_rate) is int and type(found.duration) is float


def test_posteriors_can_be_left_out(recognizer):
    samples = speech(1.0)
    without = recognizer.transcribe(samples, sample_rate=RATE, posteriors=False)
    assert without.posteriors is None
    assert without.phones == recognizer.transcribe(samples, sample_rate=RATE).phones


def test_one_recording_leaves_no_trace_in_the_next(recognizer):
    first = recognizer.transcribe(speech(1.0), sample_rate=RATE)
    with pytest.raises(AudioError):
        recognizer.transcribe(np.full(RATE, np.nan, np.float32), sample_rate=RATE)
    recognizer.transcribe(speech(0.7, seed=5), sample_rate=RATE)
    again = recognizer.transcribe(speech(1.0), sample_rate=RATE)
    assert first.phones == again.phones


def test_what_does_not_go_together_is_refused(recognizer, tmp_path):
    soundfile.write(tmp_path / "a.wav", speech(0.5), RATE)
    with pytest.raises(UsageError, match=r"sample_rate: 8000 given with .*a\.wav"):
        recognizer.transcribe(tmp_path / "a.wav", sample_rate=8000)
    with pytest.raises(UsageError, match="sample_rate: missing"):
        recognizer.transcribe(speech(0.5))


@pytest.mark.parametrize(
    ("samples", "rate", "said"),
    [
        (np.zeros(79, np.float32), RATE, "array"),
        (np.zeros(0, np.float32), RATE, "array"),
        (np.zeros((2, 2, 800), np.float32), RATE, "shape"),
        (np.zeros(800, complex), RATE, "complex"),
        (np.zeros(800, np.int64), RATE, "int64"),
        (np.where(np.arange(50_000) == 40_000, np.nan, 0).astype(np.float32), RATE, "array"),
        (np.where(np.arange(5000) == 4000, np.inf, 0).astype(np.float32), RATE, "array"),
        (np.zeros(800, np.float32), 0, "array"),
        (np.zeros(800, np.float32), 16_000.5, "16000.5"),
    ],
)
def test_samples_that_cannot_be_trusted_are_refused(recognizer, samples, rate, said):
    with pytest.raises(AudioError) as caught:
        recognizer.transcribe(samples, sample_rate=rate)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_weights_as_loaded_can_be_freed(tiny_model_dir):
    recognizer, sound = load_model(tiny_model_dir), speech(1.5)
    before = recognizer.transcribe(sound, sample_rate=RATE)
    linears = (m for m in recognizer.checkpoint.classifier.modules() if isinstance(m, nn.Linear))
    loaded = weakref.ref(next(linears).weight)
    del linears
    recognizer.free_loaded_weights()
    gc.collect()
    assert loaded() is None
    after = recognizer.transcribe(sound, sample_rate=RATE)
    assert labels(after) == labels(before) and np.array_equal(after.posteriors, before.posteriors)


@pytest.mark.parametrize("name", ["gone.wav", "empty.wav", "text.wav", "cut.wav", "nan.wav"])
def test_files_that_cannot_be_trusted_are_named(recognizer, tmp_path, name):
    path = tmp_path / name
    if name in ("cut.wav", "nan.wav"):
        samples = speech(3.0)
        samples[-1] = np.nan if name == "nan.wav" else 0
        soundfile.write(path, samples, RATE, subtype="FLOAT")
    if name == "cut.wav":
        path.write_bytes(path.read_bytes()[:-5000])
    if name in ("empty.wav", "text.wav"):
        path.write_bytes(b"" if name == "empty.wav" else b"no sound at all")
    with pytest.raises(AudioError) as caught:
        recognizer.transcribe(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [False, True])
def test_a_long_recording_is_never_held_as_a_whole(recognizer, keep):
    """At most a few blocks of samples and of posteriors are alive at any time, of sixty."""
    alive: list[weakref.ref] = []
    most = 0

    def count() -> None:
        nonlocal most
        most = max(most, sum(ref() is not None for ref in alive))

    def blocks(*_, **__):
        for number in range(60):
            block = speech(0.5, seed=number)
            alive.append(weakref.ref(block))
            yield block
            del block
            count()

    class Watched(Decoder):
        def push(self, log_posteriors):
            alive.append(weakref.ref(log_posteriors))
            count()
            return super().push(log_posteriors)

    zeros = np.zeros(30 * RATE, np.int8)
    with mock.patch.object(module, "array_blocks", blocks), mock.patch.object(collector_module, "Decoder", Watched):  # fmt: skip
        found = recognizer.transcribe(zeros, sample_rate=RATE, posteriors=keep)
    check_tiling(found.phones, 30.0)
    assert len(alive) > 110 and 2 <= most <= 6


def test_without_posteriors_memory_does_not_grow_with_the_recording(recognizer):
    def peak(seconds: int) -> int:
        """Most bytes of NumPy arrays and Python objects alive at a time."""
        blocks = (speech(0.5, seed=number) for number in range(2 * seconds))
        options = TranscribeOptions(posteriors=False)
        prepared = Prepared(options, recognizer.phones.names, seconds, RATE, None, blocks)
        tracemalloc.start()
        try:
            recognizer.finish(prepared, None)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    short, long = peak(10), peak(60)
    # Of the bytes of 50 s of posteriors; stages that run side by side need some room.
    assert long - short < 0.4 * (50 * 100 * 40 * 4)


def test_labels_alternatives_and_posteriors_on_request(recognizer):
    samples, seen = speech(2.03), []
    plain = recognizer.transcribe(samples, sample_rate=RATE)
    found = recognizer.transcribe(
        samples,
        sample_rate=RATE,
        posteriors=False,
        labels="ipa",
        alternatives=2,
        on_posteriors=seen.append,
    )
    np.testing.assert_array_equal(np.concatenate(seen), plain.posteriors)
    assert found.posteriors is None and found.labels == recognizer.phones.labels("ipa")
    ipa = dict(zip(plain.labels, found.labels))
    assert ipa["SH"] == "ʃ" and ipa["SIL"] == "SIL"
    assert [p.label for p in found.phones] == [ipa[p.label] for p in plain.phones]
    assert [(p.start, p.end, p.confidence) for p in found.phones] == [
        (p.start, p.end, p.confidence) for p in plain.phones
    ]
    for phone in found.phones:
        frames = plain.posteriors[round(phone.start * 100) : round(phone.end * 100)]
        mean = dict(zip(found.labels, frames.astype(np.float64).mean(axis=0)))
        del mean[phone.label]
        best = sorted(mean.values(), reverse=True)[:2]
        np.testing.assert_allclose([p for _, p in phone.alternatives], best, atol=1e-6)
        assert all(abs(mean[label] - p) < 1e-6 for label, p in phone.alternatives)
    assert all(phone.alternatives == () for phone in plain.phones)
    stream = recognizer.stream(labels="ipa")
    segments = [*stream.push(samples).segments, *stream.finish().segments]
    assert [p.label for p in segments] == [p.label for p in found.phones]
    for options in ({"labels": "sampa"}, {"alternatives": -1}):
        with pytest.raises(UsageError):
            recognizer.transcribe(samples, sample_rate=RATE, **options)


def test_log_posteriors_follow_the_blocks(recognizer):
    """They come as soon as the look-ahead allows, and all of them come."""
    samples = speech(3.0)
    pieces = list(recognizer.log_posteriors(array_blocks(samples, RATE, seconds=0.5)))
    whole = recognizer.transcribe(samples, sample_rate=RATE).posteriors
    np.testing.assert_allclose(np.exp(np.concatenate(pieces)), whole, atol=1e-4)
    ahead = recognizer.checkpoint.classifier.config.look_ahead
    assert len(pieces) == 6
    given = 0
    for i, piece in enumerate(pieces[:-1], 1):
        given += len(piece)
        assert 50 * i - ahead - 5 <= given <= 50 * i
    assert list(recognizer.log_posteriors(iter([]))) == []


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_blocks_may_be_in_a_list(recognizer, number):
    blocks = [speech(0.3)] * number
    found = [piece.tolist() for piece in recognizer.log_posteriors(blocks)]
    assert found == [piece.tolist() for piece in recognizer.log_posteriors(iter(blocks))]


def test_stages_side_by_side_give_the_same_bytes(recognizer, monkeypatch):
    samples = speech(3.0)
    found = []
    for cores in (1, 3):
        monkeypatch.setattr(
            "speechattn.inference.streaming.num_usable_cores", lambda cores=cores: cores
        )
        blocks = array_blocks(samples, RATE, seconds=0.5)
        found.append(np.concatenate(list(recognizer.log_posteriors(blocks))))
    np.testing.assert_array_equal(*found)
    before = threading.active_count()
    samples[-1] = np.nan  # noticed when the blocks before it have gone on
    with pytest.raises(AudioError, match="nan"):
        recognizer.transcribe(np.tile(samples, 10), sample_rate=RATE)
    assert threading.active_count() == before


def test_describe_is_json_and_tells_the_look_ahead(recognizer):
    told = json.loads(json.dumps(recognizer.describe()))
    # two blocks look 4 frames ahead each, their convolutions a stack of 2; half a stack more
    assert told["look_ahead_ms"] == 10 * (2 * (4 + 2) + 1) + 7.5  # and of the front end
    assert told["receptive_field_ms"] == 10 * (2 * (8 + 2) + 1 + 2 * (4 + 2) + 1 + 1)
    assert told["window_ms"] == [[80, 40]] * 2
    assert told["name"] == "tiny" and told["device"] == "cpu"
    assert told["phones"].split() == list(recognizer.phones.names)
    assert told["weights"] == sum(p.numel() for p in recognizer.checkpoint.classifier.parameters())


def test_models_are_loaded_by_the_public_name(tiny_model_dir, tmp_path):
    assert isinstance(speechattn.load_model(tiny_model_dir), Recognizer)
    with pytest.raises(ModelError, match="gone"):
        speechattn.load_model(tmp_path / "gone")
    with pytest.raises(ConfigError, match="device: 'abacus'"):
        speechattn.load_model(tiny_model_dir, "abacus")


def test_the_order_of_phones_can_count_for_less_or_more(tiny_model_dir, tmp_path):
    """In a file, a folder and a stream; the uniform bigram of the tiny model costs each phone."""
    sure = save_sure_model(tiny_model_dir, tmp_path / "sure")
    soundfile.write(tmp_path / "a.wav", speech(2.0), RATE)

    def phones(**options) -> list:
        found = speechattn.load_model(sure, "cpu", **options).transcribe(tmp_path / "a.wav").phones
        (result,) = speechattn.transcribe_folder(
            tmp_path / "a.wav", model=sure, device="cpu", **options
        )
        assert result.transcription.phones == found
        return found

    own = speechattn.load_model(sure, "cpu").checkpoint.decoding.bigram_scale
    assert phones() == phones(lm_scale=own)
    assert len(phones(lm_scale=0)) > len(phones(lm_scale=4.0))
    for bad in (-1, float("nan"), "x"):
        with pytest.raises(ConfigError, match="bigram_scale is"):
            speechattn.load_model(sure, "cpu", lm_scale=bad)


def test_the_commands_take_the_scale(tiny_model_dir, tmp_path, capsys):
    sure = save_sure_model(tiny_model_dir, tmp_path / "sure")
    soundfile.write(tmp_path / "a.wav", speech(2.0), RATE)

    def transcribe(out: str, *options: str) -> int:
        words = ["transcribe", str(tmp_path / "a.wav"), "--model", str(sure), "--quiet"]
        return main([*words, "--format", "ctm", "--output-dir", str(tmp_path / out), *options])

    def lines(out: str) -> int:
        return (tmp_path / out / "a.ctm").read_text().count("\n")

    assert transcribe("few", "--lm-scale", "4") == transcribe("many", "--lm-scale", "0") == 0
    assert lines("few") < lines("many")
    assert json.loads((tmp_path / "many/run.json").read_text())["settings"]["lm_scale"] == 0
    assert transcribe("many", "--resume", "--lm-scale", "1") == 2
    assert "lm_scale" in capsys.readouterr().err
    assert transcribe("none", "--lm-scale", "-1") == 2
    assert "--lm-scale: '-1' is no number from 0 on" in capsys.readouterr().err


def test_a_result_carries_the_warnings_about_its_recording(recognizer, tmp_path):
    samples = speech(1.0)
    path = tmp_path / "a.wav"
    soundfile.write(path, 30 * samples, RATE, subtype="FLOAT")
    of_file = recognizer.transcribe(path).warnings
    assert "beyond full scale" in "".join(of_file)
    assert recognizer.transcribe(30 * samples, sample_rate=RATE).warnings == of_file
    with path.open("rb") as file:
        assert recognizer.transcribe(file).warnings == of_file and file.tell() == 0
        with pytest.raises(UsageError, match="says its own"):
            recognizer.transcribe(file, sample_rate=RATE)
    assert "beyond" not in "".join(recognizer.transcribe(samples, sample_rate=RATE).warnings)


def test_a_result_tells_its_channel(recognizer):
    both = np.stack([speech(0.2), speech(0.2, seed=1)])
    for channel in (None, 0, 1):
        assert recognizer.transcribe(both, sample_rate=RATE, channel=channel).channel == channel
