"""Spectrograms, envelopes, tiles and sound as a page carries them, read back by other means."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
from PIL import Image

from speechattn.encoder.attention_weights import LayerWeights
from speechattn.errors import UsageError
from speechattn.viewer import pictures, tiles
from speechattn.viewer.sound import LEAD_SECONDS, PIECE_SECONDS, TAIL_SECONDS, encode_sound

RATE = 16_000


@pytest.fixture
def executor():
    with ThreadPoolExecutor(2) as made:
        yield made


def tone(hertz: float, seconds: float, level: float = 0.5) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (level * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def test_a_tone_is_drawn_at_its_frequency_and_time():
    samples = np.concatenate([np.zeros(RATE // 2, np.float32), tone(2000, 0.5)])
    picture = pictures.spectrogram(samples, 100)
    assert picture.shape == (129, 100)
    assert not picture[:, :47].any()  # silence
    rows = picture[:, 55:95].argmax(0)
    assert set(rows) == {96}  # 8000 Hz is row 0, 0 Hz row 128
    edge = picture[96].astype(int)
    assert edge[49] < edge[50] <= edge[52] == 255 or edge[51] > 200


def test_digital_silence_is_white():
    assert not pictures.spectrogram(np.zeros(RATE, np.float32), 100).any()
    soft = np.concatenate([np.zeros(RATE, np.float32), tone(2000, 0.5, 1e-4)])
    picture = pictures.spectrogram(soft, 100)
    assert not picture[:, :95].any() and picture[96, 120] == 255


def test_the_envelope_holds_every_sample():
    samples = np.random.default_rng(0).normal(0, 0.2, 1003).astype(np.float32)
    high, low = pictures.envelope(samples, 1000)
    peak = np.abs(samples).max()
    for step in range(len(high)):
        part = samples[16 * step : 16 * step + 16] / peak * 127
        assert abs(high[step] - part.max()) <= 0.51 and abs(low[step] - part.min()) <= 0.51


def test_tiles_put_together_are_the_picture(executor):
    picture = np.random.default_rng(0).integers(0, 256, (5, 30 * 33 * 8), np.uint8)
    made = tiles.make_tiles(picture, 100 / 3, executor, start=1.5)
    parts = [np.array(Image.open(io.BytesIO(image))) for image in made.images]
    assert np.array_equal(np.concatenate(parts, 1), picture)
    facts = made.describe("x")
    assert facts["tiles"] == len(parts) == 8 and facts["start"] == 1.5
    assert facts["tileSeconds"] * 100 / 3 == pytest.approx(parts[0].shape[1])
    whole = np.array(Image.open(io.BytesIO(made.overview)))
    assert whole.shape == (5, tiles.OVERVIEW_COLUMNS)
    assert [name for name, _ in made.files("x")][-1] == "x-overview"
    assert tiles.make_tiles(picture[:, :99], 100, executor).overview is None


def test_pooling_takes_means():
    picture = np.arange(20, dtype=np.uint8).reshape(2, 10)
    assert tiles.pooled(picture, 10) is picture
    assert tiles.pooled(picture, 5).tolist() == [[0, 2, 4, 6, 8], [10, 12, 14, 16, 18]]


def test_attention_can_be_read_back(executor):
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(5), (2, 40)).astype(np.float32)  # heads, vectors, keys
    layers = [LayerWeights(3, weights), LayerWeights(2, weights[:, :, :4])]
    made = pictures.attention_tiles(layers, 0.0, 50, executor)
    values = np.array(Image.open(io.BytesIO(made.images[0]))).astype(float)
    assert values.shape == (2 * 5 + 2 * 4, 40)
    found = (values / pictures.ATTENTION_LEVELS) ** 2
    assert np.abs(found[5:10] - weights[1].T).max() < 0.035
    assert np.abs(found[10:14] - weights[0, :, :4].T).max() < 0.035


@pytest.mark.parametrize("name", ["mp3", pytest.param("opus", marks=pytest.mark.slow), "flac"])
def test_pieces_of_sound_have_the_samples_around_them(executor, name):
    samples = tone(300, 0.4 + PIECE_SECONDS, 1.5)  # beyond full scale
    sound = encode_sound(samples, name, executor)
    assert len(sound.pieces) == 2
    lengths = [len(samples), round((0.4 + LEAD_SECONDS) * RATE)]
    assert lengths[0] < (PIECE_SECONDS + TAIL_SECONDS) * RATE + 0.5 * RATE
    for piece, length in zip(sound.pieces, lengths):
        decoded, rate = soundfile.read(io.BytesIO(piece), dtype="float32")
        expected = min(length, round((PIECE_SECONDS + TAIL_SECONDS) * RATE))
        assert rate == RATE and abs(len(decoded) - expected) <= 1152
        part = samples[:8000] / 1.5 if piece is sound.pieces[0] else None
        if part is not None:
            assert np.corrcoef(decoded[1000:8000], part[1000:])[0, 1] > 0.98


def test_an_unknown_format_is_refused(executor):
    with pytest.raises(UsageError, match="mp3, opus, flac, none"):
        encode_sound(tone(300, 0.1), "wma", executor)
