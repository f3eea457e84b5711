"""Sounds of benchmarks: speech as noise, rooms and telephones change it, and sounds without speech.

Changes are made to waveforms at 16 kHz, shape (samples,), float32, with a given random generator.
They never move anything in time, so that the alignment of a recording stays true. Speech in other
languages comes from the synthetic voices that also make the embedded corpus: what a recognizer of
English claims to recognise should be less sure there than in English by the same voices.
"""

from __future__ import annotations

import itertools
import wave
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.signal import butter, fftconvolve, sosfiltfilt

from speechattn.audio.codecs import LOW_RATE, sampled_down, sampled_up
from speechattn.audio.load import AUDIO_SUFFIXES, AudioFile, array_blocks, read_audio
from speechattn.corpora.synth.espeak import espeak
from speechattn.errors import CorpusError, SpeechattnError, UsageError
from speechattn.segments import SAMPLE_RATE

SNR_DB = 10.0  # mean power of the utterance, pauses included, to that of the noise
ROOM_SECONDS = 0.5  # reverberation time T60: until the echo has fallen by 60 dB
DIRECT_DB = 3.0  # energy of the direct sound to that of all the echo
TELEPHONE_HZ = (300.0, 3400.0)
MU = 255  # of the mu-law, ITU-T G.711
QUIETEST_STRETCH = 0.01  # least mean power of a stretch of noise, relative to its recording
TRIES = 100  # to find a stretch of noise that is not silent

CHORDS = ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14))  # semitones: C major, A minor, F, G
CHORD_SECONDS = 0.6
BASE_HZ = 130.81  # C3
PARTIALS = 8

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]

VARIANTS = ("f2", "m3")  # a woman and a man
ENGLISH = "English, synthetic voices"
OTHER = "other languages, synthetic voices"
TEXTS = {
    "en-us": "Tomorrow morning we will take the early train to the coast. The children want to "
    "see the harbour, and their grandmother has promised to cook fish for everybody.",
    "de": "Morgen früh nehmen wir den ersten Zug an die Küste. Die Kinder möchten den Hafen "
    "sehen, und ihre Großmutter hat versprochen, für alle Fisch zu kochen.",
    "fr": "Demain matin, nous prendrons le premier train pour la côte. Les enfants veulent voir "
    "le port, et leur grand-mère a promis de préparer du poisson pour tout le monde.",
    "es": "Mañana por la mañana tomaremos el primer tren hacia la costa. Los niños quieren ver "
    "el puerto, y su abuela ha prometido cocinar pescado para todos.",
    "fi": "Huomenna aamulla lähdemme ensimmäisellä junalla rannikolle. Lapset haluavat nähdä "
    "sataman, ja heidän isoäitinsä on luvannut keittää kalaa kaikille.",
    "pl": "Jutro rano pojedziemy pierwszym pociągiem na wybrzeże. Dzieci chcą zobaczyć port, a "
    "ich babcia obiecała ugotować rybę dla wszystkich.",
}

_FULL_SCALE = 32_768  # of 16-bit samples


class Noises:
    """Recorded noises in a folder; files are read when they are needed.

    Args:
        folder: searched with all its folders.

    Raises:
        UsageError: if it is no folder or holds no recordings.
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        found = folder.rglob("*") if folder.is_dir() else []
        self.paths = sorted(path for path in found if path.suffix.lower() in AUDIO_SUFFIXES)
        if not self.paths:
            raise UsageError(
                f"--noise {folder}: no folder with recordings of noise; give one, or leave noise "
                "out of --conditions"
            )

    def stretch(self, samples: int, random: np.random.Generator) -> np.ndarray:
        """Return a random stretch of a random noise, which starts over where it ends.

        Raises:
            AudioError: if a recording cannot be read.
            CorpusError: if every stretch that is tried is silent.
        """
        for _ in range(TRIES):
            noise, _ = read_audio(self.paths[random.integers(len(self.paths))])
            start = random.integers(len(noise))
            stretch = np.take(noise, np.arange(start, start + samples), mode="wrap")
            # Clips are often padded with silence, which no gain turns into noise.
            if power(stretch) > QUIETEST_STRETCH * power(noise):
                return stretch
        raise CorpusError(
            f"{self.paths[0].parent}: {TRIES} stretches of these noises are silent; give others"
        )

    def add(self, samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Add noise to an utterance at :data:`SNR_DB`."""
        return mix(samples, self.stretch(len(samples), random), SNR_DB)


def power(samples: np.ndarray) -> float:
    """Mean square."""
    return float(np.mean(np.square(samples, dtype=np.float64)))


def mix(speech: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Add noise to speech of equal length, at a ratio of their mean powers over all samples."""
    gain = np.sqrt(power(speech) / (power(noise) * 10 ** (snr_db / 10)))
    return (speech + gain * noise).astype(np.float32)


def room_response(
    random: np.random.Generator, seconds: float = ROOM_SECONDS, direct_db: float = DIRECT_DB
) -> np.ndarray:
    """Make the impulse response of a room: the direct sound at sample 0, of energy 1, and an echo.

    The echo is Gaussian noise under an exponential (Polack's model; Jot et al., "Analysis and
    synthesis of room reverberation based on a statistical time-frequency model", AES 1997).

    Args:
        random: draws the echo.
        seconds: T60.
        direct_db: energy of the direct sound to that of the echo.
    """
    time = np.arange(1, round(seconds * SAMPLE_RATE) + 1) / SAMPLE_RATE
    echo = random.standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    echo *= np.sqrt(10 ** (-direct_db / 10) / np.sum(echo**2))
    return np.concatenate([[1.0], echo])


def in_room(samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Put an utterance into a room of its own; the echo after its end is cut off."""
    reverberant = fftconvolve(samples.astype(np.float64), room_response(random))
    return reverberant[: len(samples)].astype(np.float32)


def band_limited(samples: np.ndarray, random: np.random.Generator | None = None) -> np.ndarray:
    """Resample an utterance to 8 kHz and back to 16 kHz."""
    return sampled_up(sampled_down(samples), len(samples))


def telephone(samples: np.ndarray, random: np.random.Generator | None = None) -> np.ndarray:
    """Pass an utterance through a telephone: 300 to 3400 Hz, 8 kHz, 8-bit mu-law; without delay."""
    low = sampled_down(samples)
    band = butter(4, TELEPHONE_HZ, "bandpass", fs=LOW_RATE, output="sos")
    low = np.clip(sosfiltfilt(band, low, padlen=min(len(low) - 1, LOW_RATE // 10)), -1, 1)
    # Whole numbers from -127 to 127 are transmitted.
    code = np.rint(127 * np.sign(low) * np.log1p(MU * np.abs(low)) / np.log1p(MU)) / 127
    expanded = np.sign(code) * np.expm1(np.abs(code) * np.log1p(MU)) / MU
    return sampled_up(expanded, len(samples))


def white_noise(seconds: float, random: np.random.Generator) -> np.ndarray:
    """Gaussian noise of level -20 dB relative to full scale."""
    return (0.1 * random.standard_normal(round(seconds * SAMPLE_RATE))).astype(np.float32)


def music(seconds: float, random: np.random.Generator) -> np.ndarray:
    """Make chords and a melody of plucked strings, with harmonics."""
    samples = np.zeros(round(seconds * SAMPLE_RATE))
    length = round(CHORD_SECONDS * SAMPLE_RATE)
    for number, start in enumerate(range(0, len(samples), length)):
        chord = CHORDS[number % len(CHORDS)]
        notes = [*chord, 12 + int(random.choice(chord))]  # the melody, an octave above
        sound = np.zeros(length)
        for note in notes:
            sound += _note(BASE_HZ * 2 ** (note / 12), length, random)
        stretch = samples[start : start + length]
        stretch += sound[: len(stretch)]
    return (0.3 * samples / np.abs(samples).max()).astype(np.float32)


def _note(hertz: float, length: int, random: np.random.Generator) -> np.ndarray:
    """A note of a plucked string: it begins within 10 ms, and high partials fade sooner."""
    time = np.arange(length) / SAMPLE_RATE
    attack, end = np.minimum(1, time / 0.01), np.minimum(1, (CHORD_SECONDS - time) / 0.02)
    partial = np.arange(1, PARTIALS + 1)[:, None]
    phase = 2 * np.pi * (partial * hertz * time + random.uniform(size=(PARTIALS, 1)))
    return attack * end * (np.exp(-2 * partial * time) / partial * np.sin(phase)).sum(0)


def synthetic_languages() -> Iterator[tuple[str, np.ndarray]]:
    """Speak every text in every voice.

    Yields:
        ``ENGLISH`` or ``OTHER``, and samples at 16 kHz, float32, shape (n,).
    """
    for language, text in TEXTS.items():
        for variant in VARIANTS:
            speech = espeak().synthesize(text, language, variant)
            samples = speech.samples.astype(np.float32) / 32768
            blocks = array_blocks(samples, speech.sample_rate)
            yield ENGLISH if language == "en-us" else OTHER, np.concatenate(list(blocks))


def pcm16(samples: np.ndarray) -> bytes:
    """Convert samples to 16-bit little-endian PCM; what exceeds full scale is clipped.

    Args:
        samples: floats, full scale 1, shape (samples,).
    """
    scaled = np.rint(np.asarray(samples, dtype=np.float64) * _FULL_SCALE)
    return np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1).astype("<i2").tobytes()


def _endless(paths: Sequence[Path]) -> Iterator[np.ndarray]:
    for path in itertools.cycle(paths):
        with AudioFile(path) as audio:
            yield from audio.blocks()


def repeat_audio(paths: Sequence[Path], target: Path, seconds: float) -> None:
    """Write a 16 kHz mono WAV file with recordings one after the other, again and again.

    Block by block, so that hours take no more memory than seconds.

    Args:
        paths: recordings; at least one.
        target: the WAV file.
        seconds: its length; the last recording is cut there.

    Raises:
        AudioError: if a recording cannot be read.
        SpeechattnError: if the file cannot be written, most likely because the disk is full.
    """
    left = round(seconds * SAMPLE_RATE)
    try:
        with wave.open(str(target), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            for block in _endless(paths):
                file.writeframesraw(pcm16(block[:left]))
                left -= min(left, len(block))
                if not left:
                    break
    except OSError as error:
        raise SpeechattnError(
            f"{target}: {seconds / 60:g} minutes of audio cannot be written ({error.strerror}); "
            "free some space or set TMPDIR to a folder that has it"
        ) from error
