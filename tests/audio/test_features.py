"""The front end against torchaudio's Kaldi compliance, kaldi-native-fbank and slow NumPy."""

from __future__ import annotations

import math
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.audio import features
from speechattn.audio.features import (
    ENERGY_FLOOR,
    FrontEnd,
    FrontEndConfig,
    mirrored,
)
from speechattn.audio.filters import FFT_SIZE, cepstral_transform, mel_filters
from speechattn.errors import ConfigError
from speechattn.segments import SAMPLE_RATE
from speechattn.training.augmentation import import_torchaudio

TOLERANCE = 1e-3  # of natural logarithms of energies, both sides computed in float32


def noise(n: int, seed: int = 0, level: float = 0.1) -> torch.Tensor:
    return level * torch.randn(n, generator=torch.Generator().manual_seed(seed))


def sine(n: int, hertz: float = 440.0) -> torch.Tensor:
    return 0.5 * torch.sin(2 * math.pi * hertz * torch.arange(n) / SAMPLE_RATE)


def voiced(n: int) -> torch.Tensor:
    """Harmonics of a gliding pitch with a syllable's envelope, an offset and a little breath."""
    t = torch.arange(n) / SAMPLE_RATE
    phase = 2 * math.pi * (120 * t + 20 * t**2)
    harmonics = sum(torch.sin(h * phase) / h for h in range(1, 30))
    return 0.05 + 0.2 * harmonics * torch.sin(math.pi * 4 * t) ** 2 + noise(n, level=0.003)


SIGNALS = {
    "noise": noise(8000),
    "quiet noise": noise(4321, level=1e-4),
    "noisy sine": sine(5000) + noise(5000, level=0.01),
    "speech-like": voiced(12_345),
    "one window": noise(400),
    "one window and a bit": noise(521),
    "silence": torch.zeros(1000),
}

FBANKS = [
    {},
    {"num_mel_bins": 23, "low_freq": 0.0},
    {"num_mel_bins": 40, "low_freq": 100.0, "high_freq": 7000.0},
    {"high_freq": -400.0, "window_type": "hamming"},
    {"window_type": "hanning", "preemphasis": 0.0},
    {"window_type": "rectangular", "remove_dc_offset": False},
    {"preemphasis": 0.5, "remove_dc_offset": False},
]
MFCCS = [
    {"num_mel_bins": 23},
    {"num_mel_bins": 40, "num_ceps": 20, "high_freq": -400.0},
    {"num_mel_bins": 23, "use_energy": True},
    {"num_mel_bins": 23, "use_energy": True, "remove_dc_offset": False, "window_type": "hanning"},
    {"num_mel_bins": 30, "num_ceps": 20, "cepstral_lifter": 0.0},
    {"num_mel_bins": 80, "num_ceps": 1, "cepstral_lifter": 10.0, "preemphasis": 0.0},
]
OPTIONS = [("fbank", o) for o in FBANKS] + [("mfcc", o) for o in MFCCS]


def torchaudio_frames(kind: str, options: dict, samples: torch.Tensor) -> torch.Tensor:
    import_torchaudio()
    from torchaudio.compliance import kaldi

    options = dict(options)
    options["preemphasis_coefficient"] = options.pop("preemphasis", 0.97)
    # Kaldi's own floor; torchaudio's default of 1.0 would lift the energy of digital silence to 0.
    options["energy_floor"] = 0.0
    options.setdefault("num_mel_bins", 80)
    waveform = (samples * 32768)[None]
    return getattr(kaldi, kind)(waveform, dither=0.0, snip_edges=False, **options)


def knf_frames(kind: str, options: dict, samples: torch.Tensor) -> torch.Tensor:
    knf = pytest.importorskip("kaldi_native_fbank")
    opts = knf.FbankOptions() if kind == "fbank" else knf.MfccOptions()
    opts.frame_opts.dither = 0.0
    opts.frame_opts.snip_edges = False
    opts.frame_opts.preemph_coeff = options.get("preemphasis", 0.97)
    opts.frame_opts.window_type = options.get("window_type", "povey")
    opts.frame_opts.remove_dc_offset = options.get("remove_dc_offset", True)
    opts.mel_opts.num_bins = options.get("num_mel_bins", 80)
    opts.mel_opts.low_freq = options.get("low_freq", 20.0)
    opts.mel_opts.high_freq = options.get("high_freq", 0.0)
    opts.use_energy = options.get("use_energy", False)
    if kind == "mfcc":
        opts.num_ceps = options.get("num_ceps", 13)
        opts.cepstral_lifter = options.get("cepstral_lifter", 22.0)
    extractor = (knf.OnlineFbank if kind == "fbank" else knf.OnlineMfcc)(opts)
    extractor.accept_waveform(SAMPLE_RATE, (samples * 32768).numpy())
    extractor.input_finished()
    frames = [extractor.get_frame(i) for i in range(extractor.num_frames_ready)]
    return torch.from_numpy(np.array(frames, dtype=np.float32).reshape(-1, extractor.dim))


def check_close(frames: torch.Tensor, expected: torch.Tensor, tolerance: float = TOLERANCE) -> None:
    assert frames.shape == expected.shape
    torch.testing.assert_close(frames, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("reference", [torchaudio_frames, knf_frames])
@pytest.mark.parametrize("kind, options", OPTIONS)
def test_frames_are_kaldis(kind, options, reference):
    front_end = FrontEnd(FrontEndConfig(kind=kind, **options))
    for samples in SIGNALS.values():
        check_close(front_end(samples), reference(kind, options, samples))


def exact_log_mel(samples: torch.Tensor) -> np.ndarray:
    """Kaldi's log-mel energies in float64, step by step."""
    x = samples.double().numpy()
    count = (len(x) + 80) // 160
    x = np.concatenate([x[:120][::-1], x, x[::-1][:400]]) * 32768
    windows = np.stack([x[160 * t : 160 * t + 400] for t in range(count)])
    windows -= windows.mean(1, keepdims=True)
    windows -= 0.97 * np.concatenate([windows[:, :1], windows[:, :-1]], 1)
    povey = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)) ** 0.85
    power = np.abs(np.fft.rfft(windows * povey, 512)[:, :-1]) ** 2
    filters = mel_filters(FrontEndConfig()).astype(np.float64)
    return np.log(np.maximum(power @ filters.T, ENERGY_FLOOR))


@pytest.mark.parametrize("samples", [sine(8000), noise(8000), voiced(8000)])
def test_rounding_is_no_larger_than_torchaudios(samples):
    # Far from a tone there is nothing but rounding, 140 dB below it.
    exact = exact_log_mel(samples)
    heard = exact > exact.max() - math.log(1e8)
    assert heard.mean() > 0.2

    def error(frames):
        return np.sqrt(np.square(frames.numpy() - exact)[heard].mean())

    ours, theirs = error(FrontEnd()(samples)), error(torchaudio_frames("fbank", {}, samples))
    assert ours < 1.1 * theirs and ours < TOLERANCE


def test_without_compiled_code_frames_are_the_same_to_rounding(monkeypatch):
    samples = voiced(8000)
    expected = FrontEnd()(samples)
    monkeypatch.setattr(features, "may_compile", lambda: False)
    check_close(FrontEnd()(samples), expected)


@pytest.mark.parametrize("kind", ["fbank", "mfcc"])
def test_arrays_give_the_arrays_of_what_tensors_give(kind):
    front_end = FrontEnd(FrontEndConfig(kind=kind, use_energy=kind == "mfcc"))
    frames = front_end(noise(3000).numpy())
    assert isinstance(frames, np.ndarray) and frames.dtype == np.float32
    np.testing.assert_array_equal(front_end(noise(3000)).numpy(), frames)


def test_short_recordings_are_mirrored_as_kaldi_does():
    # torchaudio refuses fewer than 400 samples; kaldi-native-fbank mirrors as often as it takes.
    front_end = FrontEnd()
    for n in [80, 81, 119, 120, 121, 160, 199, 200, 239, 240, 279, 280, 281, 320, 399, 400, 401]:
        samples = noise(n, seed=n)
        check_close(front_end(samples), knf_frames("fbank", {}, samples))


def test_every_short_length_gives_its_frames():
    front_end = FrontEnd(FrontEndConfig(num_mel_bins=4))
    for n in range(480):
        frames = front_end(noise(n, seed=n))
        assert frames.shape == ((n + 80) // 160, 4)
        assert torch.isfinite(frames).all()


@given(n=st.integers(0, 40_000))
@settings(max_examples=40)
def test_a_hundred_frames_a_second(n):
    front_end = FrontEnd(FrontEndConfig(num_mel_bins=3))
    assert front_end(torch.zeros(n)).shape == ((n + 80) // 160, 3)


STREAMED = FrontEnd(FrontEndConfig(num_mel_bins=20))


@given(blocks=st.lists(st.integers(0, 900), min_size=1, max_size=12), seed=st.integers(0, 99))
@settings(max_examples=70)
def test_a_stream_gives_the_frames_of_the_whole(blocks, seed):
    samples = noise(sum(blocks), seed=seed)
    stream = STREAMED.stream()
    frames = torch.cat([*(stream.push(b) for b in samples.split(blocks)), stream.finish()])
    expected = knf_frames("fbank", {"num_mel_bins": 20}, samples)
    assert torch.equal(frames, STREAMED(samples))
    check_close(frames, expected)


@pytest.mark.parametrize("size", [1, 7, 159, 160, 161, 400, 4000])
def test_a_stream_in_equal_blocks(size):
    samples = noise(2345)
    stream = STREAMED.stream()
    frames = [stream.push(b) for b in samples.split(size)]
    # Frame t needs the samples up to 160 t + 280: no frame waits for more than that.
    assert sum(map(len, frames)) == (2345 - 280) // 160 + 1
    assert torch.equal(torch.cat([*frames, stream.finish()]), STREAMED(samples))


def test_long_recordings_are_worked_on_in_chunks_without_seams():
    # 1,100 frames: more than two chunks; every frame equals the one cut out of the recording.
    samples = noise(176_000)
    frames = STREAMED(samples)
    for t in [1, 510, 511, 512, 513, 1023, 1024, 1025, 1097]:
        window = samples[160 * t - 120 : 160 * t + 280]
        np.testing.assert_array_equal(STREAMED.frames_of(window.numpy(), 1)[0], frames[t].numpy())


def test_a_stream_holds_no_more_than_it_needs():
    stream = STREAMED.stream()
    for block in noise(100_000).split(1000):
        stream.push(block)
        assert len(stream._buffer) < 400 + 160


def test_other_number_types_and_layouts_of_samples():
    samples = noise(3000)
    check_close(STREAMED(samples.double()), STREAMED(samples), 1e-4)
    strided = torch.stack([samples, samples], 1)[:, 0]
    assert not strided.is_contiguous()
    check_close(STREAMED(strided), STREAMED(samples), 1e-4)


@pytest.mark.parametrize("shape", [(1, 1000), (1000, 1), (1000, 2), ()])
def test_samples_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"samples: shape \("):
        FrontEnd()(torch.zeros(shape))


def test_digital_silence_lies_on_the_floor():
    frames = FrontEnd()(torch.zeros(1600))
    torch.testing.assert_close(frames, torch.full((10, 80), math.log(ENERGY_FLOOR)))


def test_level_shifts_log_energies():
    samples = noise(4000)
    louder = FrontEnd()(10 * samples) - FrontEnd()(samples)
    torch.testing.assert_close(louder, torch.full_like(louder, math.log(100)), rtol=0, atol=1e-3)


def test_a_tone_is_loudest_in_the_filter_around_it():
    for hertz in (300.0, 1000.0, 4000.0):
        config = FrontEndConfig()
        loudest = FrontEnd(config)(sine(4000, hertz))[10].argmax()
        # The peak of filter i lies i + 1 steps up the mel scale.
        low, high = (1127 * math.log1p(f / 700) for f in (20, 8000))
        place = (1127 * math.log1p(hertz / 700) - low) / (high - low) * 81 - 1
        assert abs(loudest - place) <= 1


def test_mirrored_against_a_loop():
    def slow(position, length):
        while not 0 <= position < length:
            position = -position - 1 if position < 0 else 2 * length - 1 - position
        return position

    for length in (1, 2, 3, 7, 80, 150):
        positions = np.arange(-500, 700)
        expected = [slow(p, length) for p in positions.tolist()]
        assert mirrored(positions, length).tolist() == expected


@pytest.mark.parametrize(
    "bins, low, high", [(80, 20.0, 0.0), (23, 0.0, 0.0), (40, 133.0, 6800.0), (64, 20.0, -500.0)]
)
def test_mel_filters_against_librosas_scale(bins, low, high):
    librosa = pytest.importorskip("librosa")
    config = FrontEndConfig(num_mel_bins=bins, low_freq=low, high_freq=high)
    filters = mel_filters(config)
    assert filters.shape == (bins, FFT_SIZE // 2)
    # HTK's scale, 2595 log10(1 + f / 700), is Kaldi's times 1.00003: a constant factor, no more.
    corners = librosa.mel_frequencies(bins + 2, fmin=low, fmax=config.upper_edge, htk=True)
    mel = librosa.hz_to_mel(np.arange(FFT_SIZE // 2) * SAMPLE_RATE / FFT_SIZE, htk=True)
    corners = librosa.hz_to_mel(corners, htk=True)
    for i, filter_ in enumerate(filters):
        triangle = np.interp(mel, corners[i : i + 3], [0, 1, 0], left=0, right=0)
        np.testing.assert_allclose(filter_, triangle, atol=1e-4)


def test_cepstral_transform_is_an_orthonormal_dct():
    from scipy.fft import dct

    config = FrontEndConfig(kind="mfcc", num_mel_bins=24, num_ceps=24, cepstral_lifter=0.0)
    matrix = cepstral_transform(config)
    np.testing.assert_allclose(matrix, dct(np.eye(24), norm="ortho", axis=1), atol=1e-6)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(24), atol=1e-6)


@pytest.mark.parametrize(
    "values, parts",
    [
        ({"kind": "plp"}, ["front_end.kind", "'plp'", "'fbank'", "'mfcc'"]),
        ({"window_type": "kaiser"}, ["front_end.window_type", "'kaiser'", "povey", "hamming"]),
        ({"num_mel_bins": 2}, ["front_end.num_mel_bins", "2", "at least 3"]),
        ({"num_mel_bins": -5}, ["front_end.num_mel_bins", "-5"]),
        ({"kind": "mfcc", "num_ceps": 0}, ["front_end.num_ceps", "0", "from 1"]),
        ({"kind": "mfcc", "num_mel_bins": 23, "num_ceps": 24}, ["num_ceps", "24", "(23)"]),
        ({"low_freq": -1.0}, ["-1.0", "8000"]),
        ({"low_freq": 9000.0}, ["9000.0"]),
        ({"low_freq": math.nan}, ["nan"]),
        ({"high_freq": 8001.0}, ["8001.0"]),
        ({"high_freq": -8000.0}, ["0.0"]),
        ({"high_freq": math.nan}, ["nan"]),
        ({"low_freq": 500.0, "high_freq": 400.0}, ["500.0", "400.0"]),
    ],
)
def test_impossible_values_are_named(values, parts):
    with pytest.raises(ConfigError) as error:
        FrontEndConfig(**values)
    assert "\n" not in str(error.value)
    for part in ["front_end", *parts]:
        assert part in str(error.value)


def test_dim_and_round_trip():
    assert FrontEndConfig().dim == FrontEnd()(torch.zeros(800)).shape[1] == 80
    config = FrontEndConfig(kind="mfcc", num_ceps=17, high_freq=-300.0)
    assert config.dim == FrontEnd(config)(torch.zeros(800)).shape[1] == 17
    assert config.upper_edge == 7700
    assert FrontEndConfig(**config.to_dict()) == config


def test_a_process_that_is_importing_pytorch_has_no_tensors_yet(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    assert not features.is_tensor(np.zeros(3))
