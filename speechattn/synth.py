"""The default corpus: many synthetic voices read sentences, and every phone's time is known.

The voices are espeak-ng's: accents times variants, each with its own pitch and rate. The splits
share no variant, hence no speaker, and no sentence. Speech is resampled to 16 kHz, set to a random
level between random stretches of silence, and noise is added so that silence is not zero.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import soundfile
import soxr
from scipy.signal import lfilter
from tqdm import tqdm

from speechattn.errors import CorpusError, UsageError
from speechattn.espeak import PhonemeTable, PhoneSpan, espeak, phone_spans
from speechattn.resources import resource
from speechattn.timing import FRAMES_PER_SECOND, SAMPLE_RATE, SHIFT_SAMPLES, seconds_to_frame

DEFAULT_UTTERANCES = 1000  # of the train split
DEFAULT_DEV_UTTERANCES = 100
DEFAULT_TEST_UTTERANCES = 150

RATE_WPM = (135, 205)  # words a minute, of a speaker
PITCH = (35, 65)  # espeak's scale, 50 is the variant's own; of a speaker
PITCH_RANGE = (30, 70)  # espeak's scale; of an utterance
RATE_SPREAD_WPM = 12  # either side of the speaker's, of an utterance
PITCH_SPREAD = 5  # either side of the speaker's, of an utterance
SILENCE_S = (0.1, 0.4)  # seconds, before and after the speech
PEAK_DBFS = (-20.0, -3.0)  # dB below full scale, loudest sample of an utterance
SNR_DB = (20.0, 40.0)  # dB, mean power of speech over that of noise
NOISE_POLE = (0.0, 0.95)  # of the one-pole filter that colours the noise; 0 is white
MIN_PAUSE_FRAMES = 3  # frames; shorter silence inside an utterance goes to its neighbour

# Half of the speakers have the accent that the phone set was made for.
ACCENT_CYCLE = ("en-us", "en-gb", "en-us", "en-029", "en-us", "en-gb-scotland", "en-us")
ACCENT_CYCLE += ("en-gb-x-rp",)
SPEAKERS_PER_VARIANT = 2
_TRAIN_VARIANTS = """
f1 f2 f3 f5 Andrea Annie anika aunty grandma shelby steph m1 m2 m3 m5 m7 m8 adam Andy benjamin
caleb david edward john klatt klatt3 Lee max Michael Mike norbert quincy Reed rob Storm travis
"""
VARIANTS = {  # of espeak's voices that sound like people; those alike are in one split
    "train": tuple(_TRAIN_VARIANTS.split()),
    "dev": ("belinda", "linda", "m4", "grandpa"),
    "test": ("f4", "steph2", "Nguyen", "m6", "robert", "victor", "klatt4"),
}

LANES = 2  # fresh processes; what espeak gives depends on what it said before in its process
_BATCH = 25  # utterances a process reports at a time


@dataclass(frozen=True)
class Speaker:
    """A synthetic voice: rate in words a minute, pitch on espeak's scale of 0 to 99."""

    id: str
    accent: str
    variant: str
    rate: int
    pitch: int


@dataclass(frozen=True)
class Job:
    """An utterance to be made.

    Attributes:
        id: of the utterance; begins with its speaker's.
        split: it belongs to.
        speaker: who says it.
        text: sentence.
        seed: of everything random about it.
    """

    id: str
    split: str
    speaker: Speaker
    text: str
    seed: tuple[int, ...]


@dataclass(frozen=True)
class Made:
    """An utterance that has been written: path in the corpus, frames, (phone, first, end) spans."""

    id: str
    path: str
    frames: int
    phones: tuple[tuple[str, int, int], ...]


def read_prompts(path: str | Path | None = None) -> dict[str, list[str]]:
    """The sentences of every split, by default from ``data/prompts.txt``.

    Raises:
        CorpusError: for a sentence before the first ``# NAME:``, or one that occurs twice.
    """
    path = Path(path or resource("data", "prompts.txt"))
    prompts: dict[str, list[str]] = {}
    sentences, seen = None, set()
    for number, line in enumerate(path.read_text(encoding="ascii").splitlines(), 1):
        if heading := re.fullmatch(r"# (\w+):", line):
            sentences = prompts.setdefault(heading[1], [])
        elif line.strip() and not line.startswith("#"):
            if sentences is None or line in seen:
                raise CorpusError(
                    f"{path}:{number}: {line!r} occurs twice or before a split; keep one, "
                    "after '# train:', '# dev:' or '# test:'"
                )
            seen.add(line)
            sentences.append(line)
    return prompts


def speakers(split: str, seed: int) -> list[Speaker]:
    """The speakers of a split in random order."""
    rng = np.random.default_rng([seed, list(VARIANTS).index(split)])
    found = []
    for i, variant in enumerate(VARIANTS[split] * SPEAKERS_PER_VARIANT):
        # Odd and even places of the cycle alternate: a variant's second accent is another one.
        turn, place = divmod(i, len(VARIANTS[split]))
        accent = ACCENT_CYCLE[(place + turn) % len(ACCENT_CYCLE)]
        rate, pitch = (int(rng.integers(a, b + 1)) for a, b in (RATE_WPM, PITCH))
        found.append(Speaker(f"{accent}_{variant.lower()}", accent, variant, rate, pitch))
    return [found[i] for i in rng.permutation(len(found))]


def plan(counts: dict[str, int], seed: int) -> list[Job]:
    """Who says what: speakers take turns, sentences come equally often, nobody repeats himself.

    Args:
        counts: utterances of each split.
        seed: of the corpus.

    Raises:
        UsageError: if a split has fewer than 0 utterances, or more than speakers times sentences.
    """
    prompts, jobs = read_prompts(), []
    for number, (split, count) in enumerate(counts.items()):
        people, sentences = speakers(split, seed), prompts[split]
        if not 0 <= count <= len(people) * len(sentences):
            raise UsageError(
                f"synthetic corpus: {count} {split} utterances; ask for 0 to "
                f"{len(people) * len(sentences)} ({len(people)} speakers, {len(sentences)} "
                "sentences)"
            )
        rng = np.random.default_rng([seed, 10 + number])
        said: dict[str, set[int]] = {p.id: set() for p in people}
        deck: list[int] = []
        for n in range(count):
            speaker = people[n % len(people)]
            if all(sentence in said[speaker.id] for sentence in deck):
                deck += rng.permutation(len(sentences)).tolist()
            at = next(i for i, sentence in enumerate(deck) if sentence not in said[speaker.id])
            sentence = deck.pop(at)
            said[speaker.id].add(sentence)
            name = f"{speaker.id}_{split}{sentence:04d}"
            jobs.append(Job(name, split, speaker, sentences[sentence], (seed, 20 + number, n)))
    return jobs


def frame_spans(
    spans: Sequence[PhoneSpan], offset: int, frames: int, silence: str
) -> list[tuple[str, int, int]]:
    """Put phones on the frame grid; every phone gets a frame at least.

    Args:
        spans: phones of the speech, contiguous from 0 s on.
        offset: frames of silence before the speech.
        frames: of the utterance, the silence around the speech included.
        silence: its label.

    Returns:
        (phone, first frame, frame after the last), which cover frames 0 to ``frames``.

    Raises:
        CorpusError: if the phones need more frames than there are.
    """
    phones, starts = [silence], [0]
    for span in spans:
        start = max(offset + seconds_to_frame(span.start), starts[-1] + 1)
        length = seconds_to_frame(span.end) - seconds_to_frame(span.start)
        is_silence = span.phone == silence
        if is_silence and (phones[-1] == silence or length < MIN_PAUSE_FRAMES):
            continue
        phones.append(span.phone)
        starts.append(start)
    speech_end = offset + seconds_to_frame(spans[-1].end)
    if phones[-1] != silence:
        phones.append(silence)
        starts.append(max(speech_end, starts[-1] + 1))
    if starts[-1] >= frames:
        raise CorpusError(f"{len(spans)} phones do not fit {frames} frames; slow the speech down")
    return list(zip(phones, starts, [*starts[1:], frames]))


def render(job: Job, table: PhonemeTable) -> tuple[np.ndarray, list[tuple[str, int, int]]]:
    """Make an utterance.

    Returns:
        int16 samples at 16 kHz, shape (samples,), a whole number of frames; and its
        :func:`frame_spans`.
    """
    rng = np.random.default_rng(job.seed)
    speaker = job.speaker
    speech = espeak().synthesize(
        job.text,
        speaker.accent,
        speaker.variant,
        rate=speaker.rate + int(rng.integers(-RATE_SPREAD_WPM, RATE_SPREAD_WPM + 1)),
        pitch=speaker.pitch + int(rng.integers(-PITCH_SPREAD, PITCH_SPREAD + 1)),
        pitch_range=int(rng.integers(PITCH_RANGE[0], PITCH_RANGE[1] + 1)),
    )
    spans = phone_spans(speech, speaker.accent, table)
    voice = soxr.resample(
        speech.samples.astype(np.float64) / 2**15, speech.sample_rate, SAMPLE_RATE
    )
    voice *= 10 ** (rng.uniform(*PEAK_DBFS) / 20) / np.abs(voice).max()
    before, after = (seconds_to_frame(rng.uniform(*SILENCE_S)) for _ in range(2))
    frames = before + -(-len(voice) // SHIFT_SAMPLES) + after
    signal = np.zeros(frames * SHIFT_SAMPLES)
    begin = before * SHIFT_SAMPLES
    signal[begin : begin + len(voice)] = voice
    noise = lfilter([1.0], [1.0, -rng.uniform(*NOISE_POLE)], rng.standard_normal(len(signal)))
    power = (voice**2).mean() / 10 ** (rng.uniform(*SNR_DB) / 10)
    signal += noise * np.sqrt(power / (noise**2).mean())
    samples = np.clip(np.round(signal * 2**15), -(2**15), 2**15 - 1).astype(np.int16)
    return samples, frame_spans(spans, before, frames, table.phones.silence)


def synthesize_corpus(
    folder: str | Path,
    *,
    utterances: int = DEFAULT_UTTERANCES,
    dev_utterances: int = DEFAULT_DEV_UTTERANCES,
    test_utterances: int = DEFAULT_TEST_UTTERANCES,
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Make a corpus folder that ``speechattn.corpus.read_corpus`` reads.

    It appears under its name when it is complete. The same arguments give the same bytes with the
    same version of espeak-ng. Call it from a script's ``if __name__ == "__main__":``, because it
    starts processes.

    Args:
        folder: to make; must not exist.
        utterances: of the train split, at least 1.
        dev_utterances: of the dev split; 0 for no such split.
        test_utterances: of the test split; 0 for no such split.
        seed: 0 or more.
        progress: show a bar on standard error.

    Returns:
        The folder.

    Raises:
        CorpusError: if the folder exists or the processes end early.
        UsageError: for a number out of range, or if espeak-ng is not installed.
    """
    folder = Path(folder)
    if os.path.lexists(folder):
        raise CorpusError(f"{folder}: exists already; remove it or give another folder")
    if utterances < 1 or seed < 0:
        raise UsageError(
            f"synthetic corpus: {utterances} train utterances, seed {seed}; "
            "at least 1 utterance and a seed of 0 or more are needed"
        )
    counts = {"train": utterances, "dev": dev_utterances, "test": test_utterances}
    jobs = sorted(plan(counts, seed), key=lambda job: job.id)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        for speaker in {job.speaker.id for job in jobs}:
            (temporary / "audio" / speaker).mkdir(parents=True)
        made, version = _run(temporary, jobs, progress)
        _write_manifests(temporary, jobs, made, version)
        temporary.rename(folder)
    except BrokenProcessPool as error:
        raise CorpusError(
            f"{folder}: a process that made audio ended early ({error}); if a script called this, "
            'call it under if __name__ == "__main__":'
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _run(folder: Path, jobs: Sequence[Job], progress: bool) -> tuple[dict[str, Made], str]:
    """Make all utterances; id → what was made, and the version of espeak-ng.

    The lanes are always the same and work in order, whatever the machine, so that espeak's hidden
    state, and with it every sample, is the same in every run.
    """
    lanes = [jobs[i::LANES] for i in range(LANES)]
    made: dict[str, Made] = {}
    version = ""
    with contextlib.ExitStack() as stack:
        futures = []
        for lane in lanes:
            pool = stack.enter_context(ProcessPoolExecutor(1, get_context("spawn")))
            stack.callback(pool.shutdown, wait=True, cancel_futures=True)
            futures += [
                pool.submit(_make, folder, lane[i : i + _BATCH])
                for i in range(0, len(lane), _BATCH)
            ]
        bar = stack.enter_context(tqdm(total=len(jobs), unit="utterance", disable=not progress))
        for future in as_completed(futures):
            batch, version = future.result()
            made.update((one.id, one) for one in batch)
            bar.update(len(batch))
    return made, version


def _make(folder: Path, jobs: Sequence[Job]) -> tuple[list[Made], str]:
    """Write the audio of some utterances, in a lane's process."""
    table = PhonemeTable()
    made = []
    for job in jobs:
        samples, phones = render(job, table)
        path = f"audio/{job.speaker.id}/{job.id}.flac"
        soundfile.write(folder / path, samples, SAMPLE_RATE, subtype="PCM_16")
        made.append(Made(job.id, path, len(samples) // SHIFT_SAMPLES, tuple(phones)))
    return made, espeak().version


def _write_manifests(
    folder: Path, jobs: Sequence[Job], made: dict[str, Made], version: str
) -> None:
    """Write the tables of the corpus, sorted by utterance."""

    def write(name: str, lines: list[str]) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes("".join(f"{line}\n" for line in lines).encode("ascii"))

    write("wav.scp", [f"{job.id} {made[job.id].path}" for job in jobs])
    write("utt2spk", [f"{job.id} {job.speaker.id}" for job in jobs])
    seconds = [made[job.id].frames / FRAMES_PER_SECOND for job in jobs]
    write("utt2dur", [f"{job.id} {s:.2f}" for job, s in zip(jobs, seconds)])
    words = [" ".join(re.findall(r"[A-Z']+", job.text.upper())) for job in jobs]
    write("text", [f"{job.id} {w}" for job, w in zip(jobs, words)])
    for split in VARIANTS:
        if ids := [job.id for job in jobs if job.split == split]:
            write(f"splits/{split}", ids)
    ctm = [
        f"{job.id} 1 {start / FRAMES_PER_SECOND:.2f} {(end - start) / FRAMES_PER_SECOND:.2f} {phone}"
        for job in jobs
        for phone, start, end in made[job.id].phones
    ]
    packed = gzip.compress("".join(f"{line}\n" for line in ctm).encode("ascii"), mtime=0)
    (folder / "phones.ctm.gz").write_bytes(packed)
    write(
        "ATTRIBUTION.md",
        [
            "# A synthetic corpus",
            "",
            f"Made by speechattn with espeak-ng {version}; its sentences come with speechattn.",
            "The phone times are espeak-ng's own, on a 10 ms grid.",
        ],
    )
