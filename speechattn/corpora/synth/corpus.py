"""Who says what in the synthetic corpus: its speakers, its sentences, and its splits.

The voices are espeak-ng's: accents times variants, each with its own pitch and rate. The splits
share no variant, hence no speaker, and no sentence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechattn.errors import CorpusError, UsageError
from speechattn.resources import resource

RATE_WPM = (135, 205)  # words a minute, of a speaker
PITCH = (35, 65)  # espeak's scale, 50 is the variant's own; of a speaker

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
