"""Recorded noises: what is prepared is read back, and what cannot be read is named."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from safetensors import safe_open
from safetensors.numpy import save_file
from support.commands import RATE, message_of

from speechattn.audio.features import FrontEnd, FrontEndConfig
from speechattn.corpora.frames import file_frames
from speechattn.corpora.prepared import prepare_noises, read_noises
from speechattn.errors import AudioError, CorpusError

FRONT_END = FrontEndConfig(num_mel_bins=20)


def write_noise(path, seconds: float, seed: int, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))
    soundfile.write(path, samples, rate)


def test_every_recording_is_read_back_in_the_order_of_names(tmp_path):
    files = [tmp_path / "noise" / name for name in ("a/z.wav", "b.FLAC", "c.wav")]
    for number, path in enumerate(files):
        write_noise(path, 0.2 + number / 10, number, 8000 if number == 2 else RATE)
    (tmp_path / "noise/README.md").write_text("no sound")
    prepare_noises(tmp_path / "new/noises", tmp_path / "noise", FRONT_END)
    found = read_noises(tmp_path / "new/noises")
    assert [noise.shape for noise in found] == [(20, 20), (30, 20), (40, 20)]
    for noise, path in zip(found, files):
        assert noise.dtype == np.float16
        expected = file_frames(path, FrontEnd(FRONT_END)).numpy()
        np.testing.assert_array_equal(noise, expected.astype(np.float16))
    with safe_open(tmp_path / "new/noises", "np") as stored:
        assert sorted(stored.keys()) == ["00000000", "00000001", "00000002"]


def test_names_need_not_be_utf_8_and_the_order_is_theirs(tmp_path):
    names = ["a-b/x.wav", "a/x.wav", "b\udcff.wav"]
    for number, name in enumerate(names):
        write_noise(tmp_path / "made.wav", 0.2 + number / 10, number)
        (tmp_path / "noise" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "made.wav").rename(tmp_path / "noise" / name)
    prepare_noises(tmp_path / "noises", tmp_path / "noise", FRONT_END)
    assert [len(noise) for noise in read_noises(tmp_path / "noises")] == [20, 30, 40]


def test_files_of_earlier_versions_have_names_in_them(tmp_path):
    noises = {name: np.full((3, 20), i, np.float16) for i, name in enumerate(("a/z.wav", "b.wav"))}
    save_file(noises, tmp_path / "noises")
    assert [noise[0, 0] for noise in read_noises(tmp_path / "noises")] == [0, 1]


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_without_recordings_is_named(tmp_path, there):
    folder = tmp_path / "noise"
    if there:
        folder.mkdir()
        (folder / "notes.txt").write_text("rain")
    with pytest.raises(CorpusError) as caught:
        prepare_noises(tmp_path / "noises", folder, FRONT_END)
    assert message_of(caught).startswith(f"noise: no recordings in {folder}; ")
    assert not (tmp_path / "noises").exists()


def test_a_recording_that_cannot_be_read_is_named_and_nothing_is_written(tmp_path):
    write_noise(tmp_path / "noise/a.wav", 0.2, 0)
    (tmp_path / "noise/b.wav").write_bytes(b"no sound")
    with pytest.raises(AudioError) as caught:
        prepare_noises(tmp_path / "noises", tmp_path / "noise", FRONT_END)
    assert "b.wav" in message_of(caught) and not (tmp_path / "noises").exists()


@pytest.mark.parametrize("content", [None, b"", b"no tensors", "cut off"])
def test_prepared_noises_that_are_missing_or_damaged_are_named(tmp_path, content):
    path = tmp_path / "noises"
    if content == "cut off":
        write_noise(tmp_path / "noise/a.wav", 0.2, 0)
        prepare_noises(path, tmp_path / "noise", FRONT_END)
        content = path.read_bytes()[:-7]
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CorpusError) as caught:
        read_noises(path)
    message = message_of(caught)
    assert message.startswith(f"{path}: no prepared noises") and "stages=prepare" in message
