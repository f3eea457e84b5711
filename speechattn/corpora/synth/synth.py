"""The default corpus: many synthetic voices read sentences, and every phone's time is known.

``synth_plan`` says who says what, ``synth_render`` makes an utterance of it, and ``synth_lanes``
has them all made by processes that run ``synth_worker``; here they become a corpus folder.
"""

from __future__ import annotations

import gzip
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from speechattn.corpora.synth.corpus import VARIANTS, Job, plan
from speechattn.corpora.synth.synth_lanes import Made, make_utterances
from speechattn.errors import CorpusError, UsageError
from speechattn.timing import FRAMES_PER_SECOND

DEFAULT_UTTERANCES = 1000  # of the train split
DEFAULT_DEV_UTTERANCES = 100
DEFAULT_TEST_UTTERANCES = 150


def synthesize_corpus(
    folder: str | Path,
    *,
    utterances: int = DEFAULT_UTTERANCES,
    dev_utterances: int = DEFAULT_DEV_UTTERANCES,
    test_utterances: int = DEFAULT_TEST_UTTERANCES,
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Make a corpus folder that ``speechattn.corpora.corpus.read_corpus`` reads.

    It appears under its name when it is complete. The same arguments give the same bytes with the
    same version of espeak-ng.

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
