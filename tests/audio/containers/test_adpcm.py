"""IMA ADPCM in AIFF: the packets tell how many channels there are, whatever the header says."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from support.bad_headers import encode, voice
from support.header_fields import fields

from speechattn.audio.containers.adpcm import IMA_BYTES, ima_channels
from speechattn.audio.load import AudioFile
from speechattn.audio.quality import QualityMonitor

FRAMES = 6016  # a whole number of packets


def stereo() -> bytes:
    sound = voice(FRAMES)
    return encode("AIFF", "IMA_ADPCM", np.stack([sound, np.roll(sound, 1500) / 2], 1))


def packets(data: bytes) -> bytes:
    return data[data.index(b"SSND") + 16 :]


def test_packets_tell_their_channels():
    both, one = packets(stereo()), packets(encode("AIFF", "IMA_ADPCM", voice(FRAMES)))
    assert [ima_channels(both, n) for n in (1, 2, 4)] == [2, None, 2]
    assert [ima_channels(one, n) for n in (1, 2, 3)] == [None, 1, 1]
    assert ima_channels(bytes(4 * IMA_BYTES), 2) is None  # silence fits any number
    noise = np.random.default_rng(1).integers(0, 256, 90 * IMA_BYTES, np.uint8).tobytes()
    assert ima_channels(noise, 2) is None and ima_channels(b"", 2) is None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("channels", 4, "the header says 4 channels, the packets are those of 2"),
        ("channels", 1, "the header says 1 channels, the packets are those of 2"),
        ("SSND_size", 3200, "the header says 3192 bytes of samples, 6392 follow; all are read"),
    ],
)
def test_a_wrong_header_of_stereo_loses_no_sound(tmp_path, name, value, said):
    data = stereo()
    whole, _ = soundfile.read(_written(tmp_path / "a.aiff", data), dtype="float32")
    field = next(field for field in fields("AIFF", data) if field.name == name)
    path, monitor = _written(tmp_path / "b.aiff", field.changed(data, value)), QualityMonitor()
    with AudioFile(path, on_samples=monitor.add) as audio:
        samples = np.concatenate(list(audio.blocks()))
    np.testing.assert_allclose(samples, whole.mean(1), atol=1e-6)
    assert any(said in line for line in monitor.warnings())


def _written(path, data: bytes):
    path.write_bytes(data)
    return path
