"""Each field of each header in turn set to wrong values: never a shorter or other sound unsaid.

A wrong value is refused, or the sound is read as it is in the sound file, or a warning says what is
wrong. :data:`UNTOLD` has the fields of which nothing else in a file tells, each with the reason.
"""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from support.bad_headers import encode, voice
from support.header_fields import KINDS, SUFFIXES, Field, fields, subtypes

from speechattn.audio.load import AudioFile
from speechattn.audio.quality import QualityMonitor
from speechattn.errors import AudioError

FRAMES = 6000
OTHERWISE = {"narrow band", "different channels"}  # warnings that say nothing about a header
LOSSY_SHIFT = 600  # samples that the start of MP3 and Opus may move by where their delay is lost

ONLY_HERE = "stands nowhere else, and sound at another rate is sound"
UNTOLD = {  # container, field → why
    ("AIFF", "rate_exponent"): ONLY_HERE,
    ("AIFF", "rate_mantissa"): ONLY_HERE,
    ("AU", "rate"): ONLY_HERE,
    ("NIST", "sample_rate"): ONLY_HERE,
    ("OGG", "rate"): ONLY_HERE,
    ("WAV", "rate"): "of codecs whose bytes a second no one agrees on (G.721, NMS)",
    ("OGG", "channels"): "a page under a checksum that is right",
    ("OGG", "blocks"): "a page under a checksum that is right",
    ("OGG", "gain"): "a level that is the header's to say",
    ("OGG", "skip"): "a delay that is the header's to say",
    ("OGG", "last_granule"): "Vorbis on one page: where the end is cut is the page's to say",
    ("MP3", "encoder_delay"): "a delay that is the header's to say",
    ("MP3", "index_flags"): "they say whether there is a delay",
    ("AIFF", "bits"): "DWVW: the width of its words",
    ("AIFF", "frames"): "DWVW, and the end of the last packet of GSM",
    ("WAV", "fact"): "which samples of the last block are padding",
    ("W64", "fact"): "which samples of the last block are padding",
    ("WAV", "fmt_size"): "hides the count of samples of GSM, whose padding is then heard",
    ("AU", "encoding"): "one of two widths or laws that sound alike",
    ("WAV", "tag"): "A-law for mu-law",
    ("WAVEX", "tag"): "A-law for mu-law",
    ("RF64", "tag"): "A-law for mu-law",
    ("W64", "tag"): "A-law for mu-law",
    ("WAVEX", "subformat"): "A-law for mu-law",
    ("RF64", "subformat"): "A-law for mu-law",
    ("AU", "channels"): "of G.721, whose channels lie in one word",
}


def heard(path) -> tuple[np.ndarray, set[str]]:
    """The samples of a file, and what it is warned of."""
    monitor = QualityMonitor()
    with AudioFile(path, on_samples=monitor.add) as audio:
        samples = np.concatenate(list(audio.blocks()))
    return samples, {line.partition(":")[0] for line in monitor.warnings()} - OTHERWISE


def same(samples: np.ndarray, whole: np.ndarray, lossy: bool) -> bool:
    """Whether all of the sound is there: at most padding more, and the same but for its level."""
    if not len(whole) - 1 <= len(samples) <= len(whole) + 1600:
        return False
    size = min(len(samples), len(whole))
    for shift in range(LOSSY_SHIFT if lossy else 1):
        one, other = samples[shift:size], whole[: size - shift]
        if np.dot(one, other) ** 2 > 0.96 * np.dot(one, one) * np.dot(other, other):
            return True
    return False


def silent_lies(folder, kind: str, subtype: str, channels: int, thin: int) -> list[str]:
    """The wrong values that change the sound and of which nothing is said."""
    sound = voice(FRAMES)
    if channels == 2:
        other = np.roll(sound, 1500) * np.linspace(0.3, 1, FRAMES, dtype=np.float32)
        sound = np.stack([sound, other], 1)
    data = encode(kind, subtype, sound)
    path = folder / f"a.{SUFFIXES.get(kind, kind.lower())}"
    path.write_bytes(data)
    whole, said = heard(path)
    assert not said
    found = []
    for field in fields(kind, data):
        if (kind, field.name) in UNTOLD:
            continue
        for value in list(field.wrong(data))[::thin]:
            path.write_bytes(field.changed(data, value))
            try:
                samples, said = heard(path)
            except AudioError:
                continue
            if not said and not same(samples, whole, kind in ("MP3", "OGG")):
                found.append(f"{field.name} {value}: {len(samples)} of {len(whole)}")
    return found


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [("WAV", "PCM_16"), ("RF64", "PCM_24"), ("W64", "PCM_16"), ("AIFF", "PCM_16"), ("AU", "PCM_16"),
     ("CAF", "PCM_16"), ("NIST", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "OPUS"),
     ("MP3", "MPEG_LAYER_III")],
)  # fmt: skip
def test_no_wrong_value_changes_the_sound_unsaid(tmp_path, kind, subtype):
    assert silent_lies(tmp_path, kind, subtype, 1, thin=3) == []


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_no_wrong_value_of_any_coding_changes_the_sound_unsaid(tmp_path, kind, channels):
    found = {}
    for subtype in subtypes(kind):
        if subtype.startswith(("DWVW", "NMS", "G72")) or subtype in (
            "MPEG_LAYER_I",
            "MPEG_LAYER_II",
        ):
            continue
        try:
            encode(kind, subtype, np.zeros((FRAMES, channels)))
        except soundfile.LibsndfileError:
            continue
        if lies := silent_lies(tmp_path, kind, subtype, channels, thin=1):
            found[subtype] = lies
    assert found == {}


def test_fields_are_where_they_are_said_to_be():
    data = encode("WAV", "PCM_16", voice(FRAMES))
    values = {field.name: field.value(data) for field in fields("WAV", data)}
    assert values["rate"] == 16_000 and values["bits"] == 16 and values["data_size"] == 2 * FRAMES
    flac = encode("FLAC", "PCM_16", voice(FRAMES))
    values = {field.name: field.value(flac) for field in fields("FLAC", flac)}
    assert (values["rate"], values["channels"], values["bits"]) == (16_000, 0, 15)
    assert values["samples"] == FRAMES
    assert isinstance(fields("OGG", encode("OGG", "OPUS", voice(FRAMES)))[0], Field)
