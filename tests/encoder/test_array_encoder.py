"""An encoder on arrays against PyTorch's in 8 bits and in float32, and against itself in chunks."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.array_models import (
    CONFIG,
    DIM,
    PHONES,
    array_encoder,
    configs,
    random_classifier,
    random_frames,
    ranges_of,
)

from speechattn import cache
from speechattn.attention.kernels import byte_matrix
from speechattn.attention.kernels.llvm import LANES
from speechattn.encoder import shape
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.int8_matrix import fast_int8
from speechattn.encoder.onednn import largest_weight
from speechattn.encoder.precision import with_packed_linears

pytestmark = pytest.mark.skipif(not byte_matrix.OFFERED, reason="no products of bytes here")
needs_int8 = pytest.mark.skipif(not fast_int8(), reason="PyTorch has no such products here")


@pytest.fixture(scope="module", autouse=True)
def no_cache():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(cache.VARIABLE, "")
        yield


@pytest.fixture(scope="module")
def model():
    return random_classifier(CONFIG)


@pytest.fixture(scope="module")
def encoder(model):
    return array_encoder(model, ranges_of(model))


def on_arrays(config, seed=0):
    model = random_classifier(config, seed)
    return array_encoder(model, ranges_of(model))


def in_chunks(encoder, frames, cuts):
    stream, ends = encoder.stream(), sorted({*(min(cut, len(frames)) for cut in cuts), len(frames)})
    found, begin = [], 0
    for end in ends:
        found.append(stream.push(frames[begin:end], last=end == len(frames)))
        begin = end
    return np.concatenate(found)


@needs_int8
@pytest.mark.skipif(
    byte_matrix.MOST_WEIGHT != largest_weight(), reason="compiled for another processor"
)
@settings(max_examples=15)
@given(config=configs(), count=st.integers(1, 60), seed=st.integers(0, 99))
def test_scores_are_those_of_pytorch_in_eight_bits(config, count, seed):
    """A number between two bytes may become either; errors against float32 are as large."""
    model = random_classifier(config, seed)
    ranges, frames = ranges_of(model), random_frames(count, seed)
    found = array_encoder(model, ranges).scores([frames])[0]
    assert found.dtype == np.float32 and found.shape == (count, PHONES)
    with torch.inference_mode():
        batch = torch.from_numpy(frames)[None]
        exact = model(batch)[0].numpy()
        theirs = with_packed_linears(model, "int8", ranges)(batch)[0].numpy()
    assert np.abs(found - theirs).max() < 0.06 * exact.std()
    mine, of_pytorch = (np.sqrt(np.square(y - exact).mean()) for y in (found, theirs))
    assert mine < 1.5 * of_pytorch + 0.005 * exact.std()


@settings(max_examples=30)
@given(
    config=configs(streaming=True),
    count=st.integers(0, 80),
    cuts=st.lists(st.integers(0, 80), max_size=8),
    seed=st.integers(0, 9),
)
def test_chunks_of_any_size_give_the_same_bits(config, count, cuts, seed):
    encoder, frames = on_arrays(config, seed), random_frames(count, seed)
    found = in_chunks(encoder, frames, cuts)
    np.testing.assert_array_equal(found, encoder.scores([frames])[0])


@settings(max_examples=30)
@given(config=configs(), count=st.integers(0, 40), cuts=st.lists(st.integers(0, 40), max_size=3))
def test_a_window_without_limit_waits_for_the_end(config, count, cuts):
    encoder, frames = on_arrays(config), random_frames(count)
    np.testing.assert_array_equal(in_chunks(encoder, frames, cuts), encoder.scores([frames])[0])
    if any(right is None for _, right in config.windows):
        assert encoder.stream().push(frames).shape == (0, PHONES)


@settings(max_examples=30)
@given(config=configs(), counts=st.lists(st.integers(0, 40), max_size=6), seed=st.integers(0, 9))
def test_recordings_together_give_each_alone(config, counts, seed):
    encoder = on_arrays(config, seed)
    recordings = [random_frames(count, number) for number, count in enumerate(counts)]
    together = encoder.scores(recordings)
    assert [len(each) for each in together] == counts
    for frames, scores in zip(recordings, together):
        assert scores.shape == (len(frames), PHONES)
        np.testing.assert_array_equal(scores, encoder.scores([frames])[0])


def test_many_recordings_are_computed_in_parts(encoder, monkeypatch):
    recordings = [random_frames(count, count) for count in (30, 0, 7, 50, 1, 0, 12)]
    together = encoder.scores(recordings)
    for most in (1, 16, 40):
        monkeypatch.setattr(shape, "MAX_ROWS", most)
        for one, other in zip(encoder.scores(recordings), together, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("stack", [1, 2])
@pytest.mark.parametrize("subsampling", ["linear", "convolution"])
@pytest.mark.parametrize("window", [(0, 0), (0, 4), (4, 0), (None, 0), (0, None), (None, None)])
def test_windows_at_their_ends(window, subsampling, stack):
    config = EncoderConfig(
        width=2 * LANES, heads=2, feedforward=2 * LANES, blocks=2, window=window, stack=stack,
        positions="none", subsampling=subsampling,
    )  # fmt: skip
    encoder = on_arrays(config)
    for count in (0, 1, 2, 3, 17):
        frames = random_frames(count)
        whole = encoder.scores([frames])[0]
        assert whole.shape == (count, PHONES) and np.isfinite(whole).all()
        np.testing.assert_array_equal(in_chunks(encoder, frames, range(count)), whole)


def test_frames_come_out_once_their_look_ahead_is_there(encoder):
    stream, frames, ahead = encoder.stream(), random_frames(40), CONFIG.look_ahead
    returned = 0
    for number in range(1, 40):
        returned += len(stream.push(frames[number - 1 : number]))
        assert returned == max(0, number - ahead + 1) // 2 * 2
    assert returned + len(stream.push(frames[39:], last=True)) == 40


def test_a_stream_keeps_what_it_still_needs_alone():
    config = EncoderConfig(
        width=LANES, heads=1, feedforward=LANES, blocks=2, window=(8, 4), positions="none"
    )
    stream = on_arrays(config).stream()
    for _ in range(300):
        stream.push(random_frames(10))
    for state in stream._attention:
        assert len(state._projected) < 100


def test_no_recordings(encoder):
    assert encoder.scores([]) == []
    assert encoder.stream().push(random_frames(0), last=True).shape == (0, PHONES)


def test_the_same_frames_in_another_order_of_memory(encoder):
    frames = random_frames(31)
    whole = encoder.scores([frames])[0]
    for other in (np.asfortranarray(frames), np.repeat(frames, 2, 1)[:, ::2], frames[::-1][::-1]):
        np.testing.assert_array_equal(encoder.scores([other])[0], whole)
        np.testing.assert_array_equal(in_chunks(encoder, other, [3, 4, 20]), whole)


def test_frames_are_not_changed(encoder):
    frames = random_frames(31)
    before = frames.copy()
    encoder.scores([frames, frames])
    in_chunks(encoder, frames, [7])
    np.testing.assert_array_equal(frames, before)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64])
def test_frames_of_another_type_are_taken_or_refused_but_not_misread(encoder, dtype):
    frames = np.rint(random_frames(31))
    whole = encoder.scores([frames])[0]
    try:
        found = encoder.scores([frames.astype(dtype)])[0]
    except (ValueError, TypeError):
        return
    np.testing.assert_allclose(found, whole, atol=1e-2)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_named(encoder, wrong):
    frames = random_frames(30)
    frames[17, 5] = wrong
    message = rf"frames: {wrong} at number 5 of frame 17; the input must be finite numbers"
    with pytest.raises(ValueError, match=message):
        encoder.scores([random_frames(3), frames])
    stream = encoder.stream()
    first = stream.push(frames[:10])
    with pytest.raises(ValueError, match=message):
        stream.push(frames[10:])
    frames[17, 5] = 0  # the stream is as it was
    rest = stream.push(frames[10:], last=True)
    np.testing.assert_array_equal(np.concatenate([first, rest]), encoder.scores([frames])[0])


def test_infinities_of_both_signs_give_no_warning(encoder):
    frames = random_frames(30)
    frames[3, :2] = np.inf, -np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="frame 3;"):
            encoder.scores([frames])


def test_huge_numbers_are_clamped_without_a_warning(encoder, model):
    frames = random_frames(6)
    frames[1], frames[2] = 3e38, -3e38
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = encoder.scores([frames])[0]
    frames[1], frames[2] = 1e6, -1e6
    np.testing.assert_array_equal(found, encoder.scores([frames])[0])


@pytest.mark.parametrize("shape", [(5, DIM + 1), (0, DIM - 1), (DIM,), (1, 5, DIM)])
def test_another_shape_is_refused(encoder, shape):
    with pytest.raises(ValueError, match=re.escape(f"frames: shape {shape}; (frames, {DIM})")):
        encoder.scores([np.zeros(shape, np.float32)])
    stream = encoder.stream()
    with pytest.raises(ValueError, match=re.escape(f"frames: shape {shape}; (frames, {DIM})")):
        stream.push(np.zeros(shape, np.float32))
    assert len(stream.push(random_frames(5), last=True)) == 5


def test_nothing_comes_after_the_last_frames(encoder):
    stream = encoder.stream()
    stream.push(random_frames(5), last=True)
    for last in (False, True):
        with pytest.raises(ValueError, match="has had its last ones"):
            stream.push(random_frames(1), last=last)


def test_streams_at_once_do_not_disturb_each_other(encoder):
    recordings = [random_frames(40, seed) for seed in range(3)]
    streams = [encoder.stream() for _ in recordings]
    found = [[] for _ in recordings]
    for begin in range(0, 40, 5):
        for stream, frames, parts in zip(streams, recordings, found):
            parts.append(stream.push(frames[begin : begin + 5], last=begin == 35))
    for parts, scores in zip(found, encoder.scores(recordings)):
        np.testing.assert_array_equal(np.concatenate(parts), scores)
