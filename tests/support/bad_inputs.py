"""Hundreds of bad and odd recordings, made here, and what must become of each.

``python tests/bad_inputs.py FOLDER [SEED]`` makes them for a look. The same seed gives the same
inputs (libsndfile writes dates and serial numbers of its own). What the file system cannot hold, a
name of bytes that are no UTF-8 perhaps, is left out, and said.
"""

from __future__ import annotations

import io
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from support.bad_headers import RATE, encode, lies, voice
from support.bad_names import add_kinds, add_names

FRAMES = 7_776  # of the whole recordings: even, because libsndfile counts the byte of padding in
SECONDS = FRAMES / RATE
# Containers that say how long they are. The others are refused: what is cut off could not be told.
READ = {"AIFF", "AU", "CAF", "FLAC", "HTK", "MP3", "OGG", "RF64", "W64", "WAV", "NIST", "WAVEX"}
SUFFIXES = {"AIFF": "aiff", "AU": "au", "CAF": "caf", "FLAC": "flac", "MP3": "mp3", "OGG": "ogg"}
SUFFIXES |= {"RF64": "rf64", "W64": "w64", "NIST": "sph"}
# Samples that libsndfile adds when it writes: the padding of the last block, of which the header
# says nothing (AU) or the wrong thing (the fact chunk of IMA ADPCM, and of MS ADPCM in Wave64).
PADDING = {"IMA_ADPCM": 1017, "MS_ADPCM": 1012, "G721_32": 120, "G723_24": 120, "G723_40": 120}
# What ends in something besides sound, so that it may lose its last byte and no sample: an even
# number of bytes after an odd one of samples, and the table of packets.
ENDS_BESIDES = {("WAV", "GSM610"), *(("CAF", f"ALAC_{bits}") for bits in (16, 20, 24, 32))}


@dataclass(frozen=True)
class Case:
    """What must become of one input.

    Attributes:
        file: path below the folder, as the command names it; bytes that are no UTF-8 escaped as
            :func:`os.fsdecode` does.
        verdict: ``"ok"``, ``"error"``, or ``"either"`` for what depends on the moment.
        seconds: that an ``ok`` recording lasts; None where ``surplus`` says no more than a bound.
        surplus: seconds that it may last longer.
    """

    file: str
    verdict: str
    seconds: float | None = None
    surplus: float = 0.0


class Maker:
    """Writes inputs into a folder and remembers what must become of them."""

    def __init__(self, folder: Path, seed: int = 0, cuts: int = 1) -> None:
        self.folder, self.cuts, self.random = folder, cuts, random.Random(seed)
        self.cases: list[Case] = []
        self.left_out: list[str] = []

    def file(self, name: str, data: bytes, verdict: str, seconds=None, surplus=0.0) -> Path | None:
        """Write one input; a name that the file system refuses is left out, and said."""
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except (OSError, ValueError) as error:
            self.left_out.append(f"{name!r}: {error}")
            return None
        self.cases.append(Case(name, verdict, seconds, surplus))
        return path

    def other(self, name: str, make: Callable[[Path], object], verdict="error", seconds=None):
        """Make what is no plain file; as :meth:`file`."""
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            make(path)
        except (OSError, AttributeError) as error:  # the second: unknown to this system
            self.left_out.append(f"{name!r}: {error}")
            return
        self.cases.append(Case(name, verdict, seconds))


def make_all(folder: Path, seed: int = 0, cuts: int = 1) -> Maker:
    """Make every input.

    Args:
        folder: to put them in; is made.
        seed: of the places to cut at and of the noise.
        cuts: files to cut off from every whole one.
    """
    maker = Maker(folder, seed, cuts)
    for group in (add_encodings, add_headers, add_samples, add_damage, add_names, add_kinds):
        group(maker)
    return maker


# --- every container and coding, whole and cut -----------------------------------------------


def encodings(frames: int = FRAMES) -> Iterator[tuple[str, str, bytes, int]]:
    """(container, coding, bytes, Hz) of everything that libsndfile writes here."""
    for kind in soundfile.available_formats():
        for subtype in soundfile.available_subtypes(kind):
            for rate in (RATE, 22_050, 8_000):  # a few codings know few rates
                with suppress(soundfile.SoundFileError, ValueError):
                    yield kind, subtype, _encoded(kind, subtype, frames, rate), rate
                    break


def _encoded(kind: str, subtype: str, frames: int, rate: int) -> bytes:
    if kind != "SD2":
        return encode(kind, subtype, voice(frames, rate), rate)
    # Sound Designer II keeps its header in a second file, which cannot be made in memory.
    return (voice(frames, rate) * 32767).astype(">i2").tobytes()


def add_encodings(maker: Maker) -> None:
    """Whole, cut at random, and without the byte that only pads."""
    for kind, subtype, data, rate in encodings():
        name = f"{kind}_{subtype}"
        suffix = SUFFIXES.get(kind, "wav")
        known = kind in READ
        surplus = PADDING.get(subtype, 0) / rate
        verdict = "ok" if known else "error"
        maker.file(f"whole/{name}.{suffix}", data, verdict, FRAMES / rate, surplus)
        # Nothing but ENDS_BESIDES ends in anything but sound, so that any byte less is sound less,
        # and all of these containers can tell.
        for number in range(maker.cuts):
            place = maker.random.randrange(1, len(data))
            maker.file(f"cut/{name}_{number}.{suffix}", data[:place], "error")
        if known:
            verdict = "ok" if (kind, subtype) in ENDS_BESIDES else "error"
            maker.file(f"cut/{name}_last_byte.{suffix}", data[:-1], verdict, FRAMES / rate, surplus)
    # Of 7,777 samples of three bytes the last byte of the file is padding: nothing is lost.
    for kind in ("WAV", "WAVEX", "RF64", "AIFF", "CAF"):
        data = encode(kind, "PCM_24", voice(7_777))
        name = f"cut/{kind}_padding.{SUFFIXES.get(kind, 'wav')}"
        maker.file(name, data[:-1], "ok", 7_777 / RATE)


def add_headers(maker: Maker) -> None:
    """Lies about sizes, rates and channels."""
    for lie in lies():
        maker.file(f"headers/{lie.name}", lie.data, lie.verdict, lie.seconds)


# --- samples that are none, too few, too many, too fast ---------------------------------------


def add_samples(maker: Maker) -> None:
    """Sound that is readable, and odd or no good."""
    good = voice()
    for label, value in (("nan", np.nan), ("inf", np.inf), ("minus_inf", -np.inf)):
        for place in (0, 4_000, -1):
            samples = good.copy()
            samples[place] = value
            data = encode("WAV", "FLOAT", samples)
            maker.file(f"samples/{label}_at_{place}.wav", data, "error")
        stereo = np.stack([good, np.full_like(good, value)], axis=1)
        maker.file(f"samples/{label}_right.wav", encode("WAV", "DOUBLE", stereo), "error")
    flat = np.ones(8_000, np.float32)
    rows = {"dc": 0.5 * flat, "full_scale_dc": flat, "silence": 0 * flat, "clipped": 50 * good}
    rows |= {"tiny": 1e-40 * good, "as_int16": 32_768 * good, "as_int32": 2.0**31 * good}
    rows |= {"click": np.where(np.arange(8_000) == 4_000, 1.0, 0.0)}
    for name, samples in rows.items():
        maker.file(f"samples/{name}.wav", encode("WAV", "FLOAT", samples), "ok", 0.5)
    for level in (1e18, 1e38, 1e300):  # finite numbers; the energy of a frame is none any more
        data = encode("WAV", "DOUBLE", level * good.astype("f8"))
        maker.file(f"samples/level_{level:g}.wav", data, "error")
    for frames in (0, 1, 2, 40, 79):
        data = encode("WAV", "PCM_16", voice(frames))
        maker.file(f"samples/{frames}_samples.wav", data, "error")
        flac = encode("FLAC", "PCM_16", voice(frames))
        maker.file(f"samples/{frames}_in_flac.flac", flac, "error")
    for frames in (80, 81, 160, 239, 240, 401):
        data = encode("WAV", "PCM_16", voice(frames))
        maker.file(f"samples/{frames}_samples.wav", data, "ok", frames / RATE)
    for rate in (1, 100, 3_999):
        maker.file(f"samples/{rate}_hz.wav", encode("WAV", "PCM_16", good, rate), "error")
    for rate in (4_000, 6_000, 11_025, 44_100, 96_000, 192_000, 384_001, 768_000):
        data = encode("WAV", "PCM_16", voice(rate // 2, rate), rate)
        maker.file(f"samples/{rate}_hz.wav", data, "ok", rate // 2 / rate)
    for channels in (2, 3, 8, 255, 1_024):
        data = encode("WAV", "PCM_16", np.repeat(voice(4_000)[:, None], channels, axis=1))
        maker.file(f"samples/{channels}_channels.wav", data, "ok", 0.25)
    opposed = np.stack([good, -good], axis=1)  # their mean is silence
    maker.file("samples/opposed_channels.wav", encode("WAV", "PCM_16", opposed), "ok", 0.5)


def add_damage(maker: Maker) -> None:
    """Wrong bytes in the middle: an error where the coding has checksums or an order."""
    for kind, subtype in (("FLAC", "PCM_16"), ("FLAC", "PCM_24")):
        for number in range(3):
            data = bytearray(encode(kind, subtype, voice(24_000)))
            place = maker.random.randrange(len(data) // 3, len(data) - 100)
            data[place : place + 40] = maker.random.randbytes(40)
            maker.file(f"damage/{kind}_{subtype}_{number}.flac", bytes(data), "error")
    ogg = encode("OGG", "OPUS", voice(48_000))
    hole = len(ogg) // 2
    maker.file("damage/opus_hole.ogg", ogg[:hole] + ogg[hole + 500 :], "error")
    mp3 = encode("MP3", "MPEG_LAYER_III", voice(48_000))
    maker.file("damage/mp3_hole.mp3", mp3[: len(mp3) // 2] + mp3[len(mp3) // 2 + 500 :], "error")
    noise = maker.random.randbytes(20_000)
    maker.file("damage/noise.wav", b"\0" + noise, "error")
    maker.file("damage/zeros.wav", bytes(20_000), "error")
    maker.file("damage/empty.wav", b"", "error")
    maker.file("damage/no_bytes.mp3", b"", "error")
    maker.file("damage/one_byte.wav", b"R", "error")
    maker.file("damage/words.wav", b"This is not the sound you are looking for.\n" * 9, "error")
    maker.file("damage/page.mp3", b"<!DOCTYPE html><title>404 Not Found</title>" * 9, "error")
    maker.file("damage/zip.wav", b"PK\3\4" + noise, "error")
    maker.file("damage/png.ogg", b"\x89PNG\r\n\x1a\n" + noise, "error")
    maker.file("damage/m4a.wav", b"\0\0\0\x20ftypM4A " + noise, "error")
    maker.file("damage/matroska.opus", b"\x1aE\xdf\xa3" + noise, "error")
    maker.file("damage/ogg_begun.ogg", b"OggS" + noise, "error")
    maker.file("damage/flac_begun.flac", b"fLaC" + noise, "error")
    maker.file("damage/mpeg_sync.mp3", b"\xff\xfb\x90\x00" + noise, "error")
    maker.file("damage/id3_only.mp3", b"ID3\4\0\0\0\0\0\0", "error")


def main(arguments: list[str]) -> None:
    """Make them all and list them."""
    maker = make_all(Path(arguments[0]), int(arguments[1]) if len(arguments) > 1 else 0)
    out = io.TextIOWrapper(sys.stdout.buffer, "utf-8", errors="backslashreplace")
    for case in maker.cases:
        print(f"{case.verdict}\t{case.seconds}\t{case.file!r}", file=out)
    print(f"{len(maker.cases)} inputs; left out: {maker.left_out or 'none'}", file=out, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
