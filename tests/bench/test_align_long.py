"""One long recording of several: its samples, its words, and the command that aligns it."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from support.spoken import write_speech

import speechattn
from speechattn.bench import align_long
from speechattn.bench.align_long import align_as_one, compare_in_order, join_audio
from speechattn.errors import AudioError, SpeechattnError
from speechattn.segments import Segment

RATE = 16_000


def test_recordings_are_joined_at_16_khz_with_their_starts(tmp_path):
    random = np.random.default_rng(0)
    first, second = (random.integers(-9000, 9000, n).astype(np.int16) for n in (RATE, 799))
    soundfile.write(tmp_path / "a.wav", first, RATE)
    soundfile.write(tmp_path / "b.flac", np.stack([second, second], 1), RATE)
    soundfile.write(tmp_path / "c.wav", np.zeros(4000, np.int16), 8000)
    paths = [tmp_path / name for name in ("a.wav", "b.flac", "c.wav")]
    starts = join_audio(paths, tmp_path / "all.wav")
    assert starts == [0.0, 1.0, (RATE + 799) / RATE, (RATE + 799 + 8000) / RATE]
    found, rate = soundfile.read(tmp_path / "all.wav", dtype="int16")
    assert rate == RATE
    assert np.array_equal(found, np.concatenate([first, second, np.zeros(8000, np.int16)]))


def test_recordings_that_no_wav_file_holds_are_refused(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE), RATE)
    monkeypatch.setattr(align_long, "MOST_SECONDS", 1)
    assert join_audio([tmp_path / "a.wav"], tmp_path / "all.wav") == [0.0, 1.0]
    with pytest.raises(AudioError, match=r"a\.wav: .*longer than 12 hours; give a smaller split"):
        join_audio([tmp_path / "a.wav"] * 2, tmp_path / "all.wav")


def test_words_of_hours_are_compared_in_pieces(monkeypatch):
    monkeypatch.setattr(align_long, "PIECE", 3)
    theirs = [Segment(str(n % 4), n, n + 0.5) for n in range(10)]
    ours = [Segment(each.label, each.start + 0.01, each.end) for each in theirs]
    del ours[4]
    both = compare_in_order(ours, theirs)
    assert sorted(np.round(both.differences, 6)) == [0.0] * 9 + [0.01] * 9
    assert both.unmatched == 2
    assert compare_in_order([], theirs).unmatched == 20


@pytest.mark.slow
def test_two_recordings_as_one_give_the_same_places(tmp_path):
    recordings, aligner = [], speechattn.load_aligner(device="cpu")
    for number, text in enumerate(("Nine green apples, please.", "Where is the garden?")):
        path = tmp_path / f"{number}.wav"
        write_speech(path, text)
        words = aligner.align(path, text).transcription.words
        recordings.append((path, text, words))
    found = align_as_one(recordings, "english", [])
    seconds = sum(soundfile.info(path).duration for path, _, _ in recordings)
    assert found.words == 8 and found.minutes == pytest.approx(seconds / 60, abs=1e-5)
    # Each is heard in the window of the other now. With wrong starts, all of one would be off.
    assert found.moved < 0.3
    assert found.bytes > 100e6 and found.seconds > 0.5
    with pytest.raises(SpeechattnError, match=r"speechattn align: failed .*nothing\.dict"):
        align_as_one(recordings, "english", [str(tmp_path / "nothing.dict")])
