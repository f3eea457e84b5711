"""Recognition in chunks: what the whole gives, as early as can be, in memory that stays the same."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import message_of

from speechattn.audio.features import FrontEndConfig
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.decoder.options import DecoderOptions
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.errors import AudioError, ConfigError
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.recognizer import Recognizer, load_model
from speechattn.inference.streaming import StreamResult
from speechattn.phones import PhoneSet
from speechattn.segments import check_tiling

RATE = 16_000  # Hz
PHONES = PhoneSet(("SIL", "AA", "B", "SH", "T"))


def speech(seconds: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Noise and tones that change every tenth of a second, so that phones do."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    pieces = (time * 10).astype(int)
    hertz = random.uniform(100, 3500, pieces[-1] + 1)[pieces]
    noise = 0.02 * random.standard_normal(len(time))
    return (0.3 * np.sin(2 * np.pi * hertz * time) + noise).astype(np.float32)


def recognizer_of(**encoder) -> Recognizer:
    """Random weights, so large that phones change."""
    front_end = FrontEndConfig(num_mel_bins=24)
    shape = {"width": 16, "heads": 2, "feedforward": 32, "positions": "rotary"} | encoder
    classifier = PhoneClassifier(front_end.dim, len(PHONES), EncoderConfig(**shape)).eval()
    classifier.mean.fill_(8.0)
    classifier.std.fill_(4.0)
    torch.manual_seed(3)
    torch.nn.init.normal_(classifier.enter.weight, std=0.3)
    torch.nn.init.normal_(classifier.classify.weight, std=1.0)
    torch.nn.init.zeros_(classifier.classify.bias)
    model = PhoneModel.uniform(len(PHONES), min_frames=3)
    options = DecoderOptions(prior_scale=0.0)
    checkpoint = Checkpoint("random", classifier, front_end, PHONES, model, options)
    return Recognizer(checkpoint, torch.device("cpu"))


RECOGNIZERS = {
    "symmetric": recognizer_of(blocks=2, window=(8, 8)),
    "stacked": recognizer_of(blocks=2, window=(8, 4), stack=2, conv_kernel=3),
    "little look-ahead": recognizer_of(blocks=3, window=((32, 0), (32, 0), (32, 4))),
    "none": recognizer_of(blocks=3, window=(16, 0)),
    "all of the past": recognizer_of(blocks=2, window=(None, 2)),
}


def in_chunks(recognizer, samples, sizes, **options) -> list[StreamResult]:
    """Push pieces of these sizes, again and again, until all is pushed."""
    stream, start, found = recognizer.stream(**options), 0, []
    while start < samples.shape[-1]:
        size = sizes[len(found) % len(sizes)]
        found.append(stream.push(samples[..., start : start + size]))
        start += size
    return [*found, stream.finish()]


def check_equal(found: list[StreamResult], whole) -> None:
    """The results are, put together, what transcribe gives."""
    assert [r.first_frame for r in found] == list(
        np.cumsum([0] + [len(r.posteriors) for r in found[:-1]])
    )
    posteriors = np.concatenate([r.posteriors for r in found])
    assert posteriors.dtype == np.float32
    np.testing.assert_allclose(posteriors, whole.posteriors, rtol=0, atol=1e-5)
    segments = [segment for r in found for segment in r.segments]
    assert [(s.label, s.start, s.end) for s in segments] == [
        (s.label, s.start, s.end) for s in whole.phones
    ]
    np.testing.assert_allclose(
        [s.confidence for s in segments], [s.confidence for s in whole.phones], atol=1e-5
    )


@settings(max_examples=40)
@given(
    st.sampled_from(sorted(RECOGNIZERS)),
    st.integers(80, 30_000),
    st.lists(
        st.one_of(st.integers(0, 16), st.integers(16, 4000), st.integers(4000, 160_000)),
        min_size=1,
        max_size=6,
    ).filter(lambda sizes: sum(sizes) > 160 * len(sizes)),
)
def test_any_chunks_give_what_the_whole_gives(name, count, sizes):
    recognizer, samples = RECOGNIZERS[name], speech(count / RATE, seed=count)
    whole = recognizer.transcribe(samples, sample_rate=RATE)
    check_equal(in_chunks(recognizer, samples, sizes), whole)


@pytest.mark.parametrize("size", [1, 16, 1600])
@pytest.mark.parametrize("name", ["little look-ahead", "stacked"])
def test_regular_chunks(name, size):
    samples = speech(1.234)
    whole = RECOGNIZERS[name].transcribe(samples, sample_rate=RATE)
    assert len(whole.phones) > 4
    check_equal(in_chunks(RECOGNIZERS[name], samples, [size]), whole)


@pytest.mark.parametrize("rate", [8000, 44_100])
@pytest.mark.parametrize("channel", [None, 1])
def test_other_rates_and_channels(rate, channel):
    recognizer = RECOGNIZERS["symmetric"]
    samples = np.stack([speech(1.1, rate), speech(1.1, rate, seed=1)])
    whole = recognizer.transcribe(samples, sample_rate=rate, channel=channel)
    found = in_chunks(recognizer, samples, [700, 1], sample_rate=rate, channel=channel)
    check_equal(found, whole)
    tensors = torch.from_numpy(samples)
    check_equal(in_chunks(recognizer, tensors, [3001], sample_rate=rate, channel=channel), whole)


def test_the_public_model_streams(tiny_model_dir):
    recognizer, samples = load_model(tiny_model_dir, "cpu"), speech(2.0)
    whole = recognizer.transcribe(samples, sample_rate=RATE)
    check_equal(in_chunks(recognizer, samples, [480]), whole)


@pytest.mark.parametrize("name", ["symmetric", "little look-ahead", "none"])
def test_frames_come_as_soon_as_the_look_ahead_is_there(name):
    recognizer = RECOGNIZERS[name]
    layers = {"symmetric": 160, "little look-ahead": 40, "none": 0}[name]  # ms
    stream, returned = recognizer.stream(), 0
    assert stream.look_ahead_ms == recognizer.look_ahead_ms == layers + 7.5
    samples = speech(0.7)
    for end in range(40, len(samples), 40):
        returned += len(stream.push(samples[end - 40 : end]).posteriors)
        assert returned == max(0, (end / 16 - stream.look_ahead_ms) // 10), end


def test_with_stacked_frames_the_look_ahead_is_the_longest():
    recognizer = RECOGNIZERS["stacked"]
    stream, returned, latest = recognizer.stream(), 0, 0.0
    samples = speech(0.7)
    for end in range(40, len(samples), 40):
        returned += len(stream.push(samples[end - 40 : end]).posteriors)
        latest = max(latest, end / 16 - 10 * (returned + 1))  # of a frame not yet returned
    assert stream.look_ahead_ms - 2.5 <= latest < stream.look_ahead_ms


def test_beyond_the_look_ahead_nothing_matters():
    recognizer = RECOGNIZERS["little look-ahead"]
    samples, frame = speech(1.0), 50
    end = (frame + 1) * 160 + round(recognizer.look_ahead_ms * 16)
    changed = samples.copy()
    changed[end:] = 0.5
    before = recognizer.transcribe(samples, sample_rate=RATE).posteriors[: frame + 1]
    after = recognizer.transcribe(changed, sample_rate=RATE).posteriors[: frame + 1]
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_the_partial_result_goes_on_where_the_decided_one_ends():
    recognizer = RECOGNIZERS["little look-ahead"]
    samples, stream, decided, seen = speech(3.0), recognizer.stream(), [], 0
    assert stream.partial() == []
    for start in range(0, len(samples), 480):
        result = stream.push(samples[start : start + 480])
        decided += result.segments
        frames = result.first_frame + len(result.posteriors)
        partial = stream.partial()
        if partial:
            seen += 1
            check_tiling([*decided, *partial], frames / 100)
            assert all(0 <= s.confidence <= 1 for s in partial)
    assert seen > 90 and len(decided) > 5
    empty = stream.push(samples[:0])
    assert empty.segments == [] and empty.posteriors.shape == (0, len(PHONES))
    assert empty.start == empty.first_frame / 100 == frames / 100
    assert stream.partial() == partial
    final = stream.finish()
    assert stream.partial() == []
    check_tiling([*decided, *final.segments], 3.0)


def test_two_streams_do_not_meet():
    recognizer, one, two = RECOGNIZERS["symmetric"], speech(0.9), speech(0.9, seed=1)
    first, second = recognizer.stream(), recognizer.stream()
    found = ([], [])
    for start in range(0, len(one), 1000):
        found[0].append(first.push(one[start : start + 1000]))
        found[1].append(second.push(two[start : start + 1000]))
    for results, stream, samples in ((found[0], first, one), (found[1], second, two)):
        whole = recognizer.transcribe(samples, sample_rate=RATE)
        check_equal([*results, stream.finish()], whole)


def held(thing, seen=None) -> int:
    """Bytes of the arrays and tensors that an object holds on to, the model's weights left out."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, (torch.nn.Module, type)):
        return 0
    seen.add(id(thing))
    if isinstance(thing, torch.Tensor):
        storage = thing.untyped_storage()
        fresh = storage.data_ptr() not in seen
        seen.add(storage.data_ptr())
        return storage.nbytes() if fresh else 0
    if isinstance(thing, np.ndarray):
        return held(thing.base, seen) if thing.base is not None else thing.nbytes
    if isinstance(thing, dict):
        return sum(held(value, seen) for value in thing.values())
    if isinstance(thing, (list, tuple)):
        return 100 * len(thing) + sum(held(value, seen) for value in thing)
    return held(vars(thing), seen) if type(thing).__module__.startswith("speechattn.") else 0


@pytest.mark.parametrize("name", ["symmetric", "stacked", "little look-ahead"])
def test_memory_does_not_grow(name):
    stream = RECOGNIZERS[name].stream(sample_rate=8000)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 8000)
    sizes = []
    for _ in range(120):
        stream.push(noise)
        sizes.append(held(stream))
    assert min(sizes) > 10_000
    assert max(sizes[10:]) <= 1.1 * max(sizes[:10])


def test_without_a_left_limit_it_grows():
    """And that is why the test above can fail."""
    stream = RECOGNIZERS["all of the past"].stream()
    for _ in range(2):
        stream.push(speech(1.0))
    before = held(stream)
    for _ in range(9):
        stream.push(speech(1.0))
    assert held(stream) > 1.5 * before


def test_a_window_without_right_limit_cannot_stream():
    recognizer = recognizer_of(blocks=2, window=((8, 8), (8, None)))
    assert recognizer.look_ahead_ms is None
    with pytest.raises(ConfigError) as caught:
        recognizer.stream()
    message = message_of(caught)
    assert "encoder.window: [(8, 8), (8, None)]" in message and "use transcribe" in message
    assert recognizer.transcribe(speech(0.5), sample_rate=RATE).phones


def test_what_is_refused_changes_nothing():
    recognizer, samples = RECOGNIZERS["symmetric"], speech(1.0)
    stream, found = recognizer.stream(), []
    for start in range(0, len(samples), 1000):
        found.append(stream.push(samples[start : start + 1000]))
        for bad in (
            np.zeros(9, np.int16),
            np.full(9, np.nan),
            np.zeros((2, 9)),
            np.zeros((1, 1, 9)),
        ):
            with pytest.raises(AudioError, match="^samples: "):
                stream.push(bad)
    check_equal([*found, stream.finish()], recognizer.transcribe(samples, sample_rate=RATE))
    for call in (stream.finish, lambda: stream.push(samples)):
        with pytest.raises(ValueError, match="has been finished; make another one"):
            call()


def test_too_short_a_recording_is_refused_like_a_short_file():
    stream = RECOGNIZERS["symmetric"].stream()
    stream.push(np.zeros(79))
    with pytest.raises(AudioError, match="at least 5 ms"):
        stream.finish()
    with pytest.raises(AudioError, match="sample_rate: 100;"):
        RECOGNIZERS["symmetric"].stream(sample_rate=100)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("name", ["little look-ahead", "stacked"])
def test_a_stream_goes_on_in_its_copy(name, copied):
    samples, stream = speech(2.0), RECOGNIZERS[name].stream()
    begun = stream.push(samples[:20_000]).segments
    assert begun
    found = []
    for one in (copied(stream), stream):
        found.append([one.push(samples[20_000:]).segments, one.finish().segments])
    assert found[0] == found[1]


def test_results_of_chunks_can_be_compared():
    stream = RECOGNIZERS["stacked"].stream()
    one, other = stream.push(speech(1.0)), stream.finish()
    assert one == one and one != other and other in [one, other] and len({one, other}) == 2


def test_samples_of_another_scale_are_warned_of(tiny_model_dir):
    stream = load_model(tiny_model_dir, "cpu").stream()
    noise = np.random.default_rng(0).standard_normal(3_200)
    stream.push(noise)
    assert stream.warnings == ()
    stream.push(3_000 * noise)
    (warning,) = stream.warnings
    assert warning.startswith("beyond full scale") and warning.endswith("divide them by 32768")
