"""The synthetic corpus: many voices read sentences, and the time of every phone is known.

:func:`plan` chooses a speaker and a sentence for each utterance,
:func:`speechattn.corpora.synth.render.make_utterances` makes their audio, and
:func:`synthesize_corpus` writes the corpus folder.

The voices are espeak-ng's: accents times variants, each with its own pitch and rate. The splits
share no sentence and no variant, hence no speaker.
"""

from __future__ import annotations

import gzip
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from speechattn.corpora.synth.render import Made, Speaker, SynthUtterance, make_utterances
from speechattn.errors import CorpusError, UsageError
from speechattn.files import resource
from speechattn.segments import FRAMES_PER_SECOND

RATE_WPM = (135, 205)  # words a minute, range over speakers
PITCH = (35, 65)  # on espeak's scale, where 50 is the variant's own pitch; range over speakers

# Half of the speakers have the accent that the phone set was made for.
ACCENT_CYCLE = (
    *("en-us", "en-gb", "en-us", "en-029"),
    *("en-us", "en-gb-scotland", "en-us", "en-gb-x-rp"),
)
SPEAKERS_PER_VARIANT = 2
_TRAIN_VARIANTS = """
f1 f2 f3 f5 Andrea Annie anika aunty grandma shelby steph m1 m2 m3 m5 m7 m8 adam Andy benjamin
caleb david edward john klatt klatt3 Lee max Michael Mike norbert quincy Reed rob Storm travis
"""
# The variants of espeak's voices that sound like people; similar ones are in the same split.
VARIANTS = {
    "train": tuple(_TRAIN_VARIANTS.split()),
    "dev": ("belinda", "linda", "m4", "grandpa"),
    "test": ("f4", "steph2", "Nguyen", "m6", "robert", "victor", "klatt4"),
}
DEFAULT_UTTERANCES = 1000  # of the train split
DEFAULT_DEV_UTTERANCES = 100
DEFAULT_TEST_UTTERANCES = 150


def read_prompts(path: str | Path | None = None) -> dict[str, list[str]]:
    """Read the sentences of every split, by default from ``data/prompts.txt``.

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
    """Return the speakers of a split in random order."""
    rng = np.random.default_rng([seed, list(VARIANTS).index(split)])
    ordered = []
    for i, variant in enumerate(VARIANTS[split] * SPEAKERS_PER_VARIANT):
        # The shift by one for the second speaker of a variant gives it another accent.
        turn, index = divmod(i, len(VARIANTS[split]))
        accent = ACCENT_CYCLE[(index + turn) % len(ACCENT_CYCLE)]
        rate, pitch = (int(rng.integers(a, b + 1)) for a, b in (RATE_WPM, PITCH))
        ordered.append(Speaker(f"{accent}_{variant.lower()}", accent, variant, rate, pitch))
    return [ordered[i] for i in rng.permutation(len(ordered))]


def plan(counts: dict[str, int], seed: int) -> list[SynthUtterance]:
    """Choose a speaker and a sentence for each utterance.

    Speakers take turns, sentences occur equally often, and no speaker repeats a sentence.

    Args:
        counts: number of utterances by split.
        seed: seed of the corpus.

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
        used: dict[str, set[int]] = {p.id: set() for p in people}
        deck: list[int] = []
        for n in range(count):
            speaker = people[n % len(people)]
            if all(sentence in used[speaker.id] for sentence in deck):
                deck += rng.permutation(len(sentences)).tolist()
            index = next(i for i, sentence in enumerate(deck) if sentence not in used[speaker.id])
            sentence = deck.pop(index)
            used[speaker.id].add(sentence)
            name = f"{speaker.id}_{split}{sentence:04d}"
            jobs.append(
                SynthUtterance(name, split, speaker, sentences[sentence], (seed, 20 + number, n))
            )
    return jobs


def synthesize_corpus(
    folder: str | Path,
    *,
    utterances: int = DEFAULT_UTTERANCES,
    dev_utterances: int = DEFAULT_DEV_UTTERANCES,
    test_utterances: int = DEFAULT_TEST_UTTERANCES,
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Make a corpus folder that :func:`speechattn.corpora.corpus.read_corpus` reads.

    The folder gets its name when it is complete. The same arguments give the same bytes with the
    same version of espeak-ng.

    Args:
        folder: folder to make; must not exist.
        utterances: number of utterances of the train split, at least 1.
        dev_utterances: the same of the dev split; 0 for no such split.
        test_utterances: the same of the test split; 0 for no such split.
        seed: 0 or more.
        progress: show progress on standard error.

    Returns:
        The folder.

    Raises:
        CorpusError: if the folder exists or cannot be written, or a process ends early.
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
        temporary.mkdir()
        made, version = make_utterances(temporary, jobs, progress=progress)
        _write_manifests(temporary, jobs, made, version)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _write_manifests(
    folder: Path, jobs: Sequence[SynthUtterance], made: dict[str, Made], version: str
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
        f"{job.id} 1 {start / FRAMES_PER_SECOND:.2f} "
        f"{(end - start) / FRAMES_PER_SECOND:.2f} {phone}"
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
