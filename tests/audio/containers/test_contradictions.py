"""Headers and names that contradict what is in a recording which can be read all the same."""

from __future__ import annotations

import io
import struct

import pytest
import soundfile
from support.bad_headers import FRAMES, RATE, encode, patched, voice, wav
from support.recordings import two_recordings

from speechattn import process
from speechattn.audio.load import audio_info, read_audio
from speechattn.cli.main import main
from speechattn.errors import AudioError

VOICE = voice()
DATA = (VOICE * 32767).astype("<i2").tobytes()
AIFF = encode("AIFF", "PCM_16", VOICE)
AU = encode("AU", "PCM_16", VOICE)
NIST = encode("NIST", "PCM_16", VOICE)
SIZE = len(DATA)

LIES = {  # name → bytes, what is said of it
    "more bytes than there are.wav": (
        wav(DATA, SIZE + 1),
        f"the header says {SIZE + 1} bytes of samples, the file holds {SIZE}",
    ),
    "half a sample.wav": (
        wav(DATA + b"xyz", SIZE + 3),
        f"the header says {SIZE + 3} bytes of samples, which is no whole number of 2 bytes",
    ),
    "fewer bytes than there are.wav": (
        wav(DATA, SIZE // 2),
        f"the header says {SIZE // 2} bytes of samples, and by the size of the whole {SIZE}; all "
        "are read",
    ),
    "behind.wav": (wav(DATA) + b"junk", "4 bytes follow what the header counts"),
    "no length.wav": (wav(DATA, 0xFFFFFFFF), "the header does not say how long it is"),
    "another block.wav": (
        wav(DATA, block=4),
        "the header says 1 x 16 bits a sample, but 4 and not 2 bytes",
    ),
    "another rate.wav": (
        wav(DATA, bytes=RATE),
        f"the header says {RATE} Hz, but {RATE} and not {2 * RATE} bytes a second",
    ),
    "samples.aiff": (
        patched(AIFF, b"COMM", 10, ">I", FRAMES + 7),
        f"the header says {FRAMES + 7} samples, {FRAMES} are there",
    ),
    "behind.aiff": (AIFF + b"junk", "4 bytes follow what the header counts"),
    "behind.au": (AU + b"junk", "4 bytes follow what the header counts"),
    "no length.au": (patched(AU, b".snd", 8, ">I", 0xFFFFFFFF), "does not say how long"),
    "behind.sph": (NIST + b"junk", "4 bytes follow what the header counts"),
    "behind.ogg": (encode("OGG", "VORBIS", VOICE) + b"junk", "4 bytes follow"),
    "really.mp3": (wav(DATA), "named .mp3, but a WAV file"),
    "really.flac": (AIFF, "named .flac, but a AIFF file"),
    "really.opus": (encode("OGG", "VORBIS", VOICE), "named .opus, but VORBIS inside"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_told(tmp_path, name):
    data, words = LIES[name]
    path = tmp_path / name
    path.write_bytes(data)
    assert any(words in each for each in audio_info(path).contradictions)
    assert len(read_audio(path)[0]) > 0


def test_frames_beyond_those_that_mpeg_counts(tmp_path):
    data = encode("MP3", "MPEG_LAYER_III", VOICE)
    mark = b"Xing" if b"Xing" in data else b"Info"
    (frames,) = struct.unpack_from(">I", data, data.index(mark) + 8)
    (tmp_path / "a.mp3").write_bytes(patched(data, mark, 8, ">I", frames // 2))
    (found,) = audio_info(tmp_path / "a.mp3").contradictions
    assert found == f"the header says {frames // 2} MPEG frames, {frames} are there; all are read"


_FORMATS = [
    (kind, subtype)
    for kind in ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "NIST", "FLAC", "OGG", "MP3")
    for subtype in soundfile.available_subtypes(kind)
    if subtype not in ("MPEG_LAYER_I", "MPEG_LAYER_II")
]


@pytest.mark.parametrize(("kind", "subtype"), _FORMATS)
@pytest.mark.parametrize("frames", [FRAMES, 7_777])
def test_no_honest_file_is_called_a_liar(tmp_path, kind, subtype, frames):
    buffer = io.BytesIO()
    try:
        soundfile.write(buffer, voice(frames), RATE, format=kind, subtype=subtype)
    except soundfile.LibsndfileError:
        pytest.skip("libsndfile does not write it")
    suffix = {"WAVEX": "wav", "NIST": "sph", "OGG": "oga"}.get(kind, kind.lower())
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(buffer.getvalue())
    try:
        info = audio_info(path)
    except AudioError as error:  # a coding that the door does not take
        pytest.skip(str(error))
    assert info.contradictions == ()


@pytest.mark.parametrize("chunk", [b"LIST\4\0\0\0abcd", b"LIST\3\0\0\0abc\0id3 \2\0\0\0xy"])
def test_chunks_behind_the_samples_are_no_lie(tmp_path, chunk):
    (tmp_path / "a.wav").write_bytes(wav(DATA, after=chunk))
    assert audio_info(tmp_path / "a.wav").contradictions == ()


def test_the_record_has_it(tmp_path, tiny_model_dir):
    folder, out = two_recordings(tmp_path / "rec"), tmp_path / "out"
    (folder / "z.wav").write_bytes(wav(DATA, SIZE // 2))
    options = ["--output-dir", str(out), f"--model={tiny_model_dir}", "--quiet"]
    assert main(["transcribe", str(folder), *options, "--workers=1"]) == 0
    lines = (out / "transcripts.jsonl").read_text().splitlines()
    said = [line for line in lines if "header and data disagree" in line]
    assert len(said) == 1 and f"says {SIZE // 2} bytes of samples" in said[0]
    assert "z.wav" in said[0]


def test_sphere_named_wav_is_told_once_and_not_of_each(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(process, "_own_process", True)
    monkeypatch.setattr(process, "_told", set())
    for name in ("a.WAV", "b.wav"):
        (tmp_path / name).write_bytes(NIST)
        assert not audio_info(tmp_path / name).contradictions
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "NIST SPHERE, as in TIMIT" in said
