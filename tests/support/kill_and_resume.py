"""Kill a batch at random moments and resume it: what comes out is what an undisturbed run gives.

``python tests/kill_and_resume.py --kills 100`` makes a folder of recordings, transcribes it once
undisturbed, and then again and again, killed with SIGKILL: everything at once, or only the process
that the user started, so that its workers find themselves alone. The moment is drawn uniformly over
the recordings, plus the time of one, so that it does not depend on how busy the machine is; one in
ten falls into the start. One resumed run in four is killed as well. Each time the run is resumed to
its end, and every file is compared; what was done before must not be done again. A failing trial
can be repeated: ``--kills 1 --seed SEED``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import speechattn
from speechattn.bench.process import process_tree
from support.bad_headers import encode, voice

IMPORT_FROM = str(Path(speechattn.__file__).resolve().parents[1])
FORMATS = "textgrid,ctm,json"
TRANSCRIBE = ("transcribe",)
# What the run writes about itself, with times in it; everything else must be the same bytes.
ABOUT_THE_RUN = {"run.json", "journal.jsonl", ".lock"}
LIMIT = 900  # seconds for one run, on however busy a machine


def make_recordings(folder: Path, count: int = 30, seconds: float = 6.0) -> None:
    """Recordings of several lengths and containers in several folders; one in ten is cut off."""
    kinds = (("WAV", "PCM_16", "wav"), ("FLAC", "PCM_16", "flac"), ("OGG", "OPUS", "ogg"))
    for number in range(count):
        kind, subtype, suffix = kinds[number % len(kinds)]
        samples = voice(int(16_000 * seconds * (0.2 + number % 7 / 4)) + number)
        data = encode(kind, subtype, samples)
        path = folder / f"speaker{number % 4}" / f"{number:03d}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data[: len(data) // 2] if number % 10 == 9 else data)


class Batch:
    """A batch that can be started, killed and compared.

    Args:
        recordings: the folder to transcribe.
        model: name or folder.
        workers: processes.
        command: ``transcribe``, or ``align`` with its options.
    """

    def __init__(
        self, recordings: Path, model: str, workers: int = 2, command: Sequence[str] = TRANSCRIBE
    ) -> None:
        self.recordings, self.model, self.workers = recordings, model, workers
        self.command = command

    def start(self, out: Path, *options: str) -> subprocess.Popen:
        """Begin a run in a session of its own."""
        path = os.pathsep.join(filter(None, [IMPORT_FROM, os.environ.get("PYTHONPATH")]))
        command = [sys.executable, "-m", "speechattn", *self.command, str(self.recordings)]
        command += ["--output-dir", str(out), "--format", FORMATS, f"--model={self.model}"]
        command += [f"--workers={self.workers}", "--quiet", *options]
        return subprocess.Popen(
            command,
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def finish(self, out: Path, *options: str) -> tuple[int, str]:
        """A run to its end; exit status and messages."""
        process = self.start(out, *options)
        try:
            _, said = process.communicate(timeout=LIMIT)
        except BaseException:
            kill(process, everything=True)
            raise
        return process.returncode, said.decode("utf-8", "backslashreplace")


def kill(process: subprocess.Popen, *, everything: bool) -> bool:
    """SIGKILL a run, with its workers or without; whether it was still at work."""
    pids = [one.pid for one in process_tree(process.pid)] if everything else [process.pid]
    alive = process.poll() is None
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()
    process.stderr.close()
    return alive


def tree(folder: Path) -> dict[str, bytes]:
    """Relative path → content of every file but those about the run, the hidden ones included."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ABOUT_THE_RUN
    }


def times_of_what_is_done(out: Path) -> dict[Path, int]:
    """When the outputs were written that the journal calls done, nanoseconds."""
    journal = out / "journal.jsonl"
    text = journal.read_bytes() if journal.exists() else b""
    done = {}
    for data in text.splitlines(keepends=True):
        if not data.endswith(b"\n"):
            break
        line = json.loads(data)
        if line["outputs"]:
            stem = (out / line["file"]).with_suffix("")
            done |= {path: path.stat().st_mtime_ns for path in stem.parent.glob(f"{stem.name}.*")}
    return done


def wait_for_a_moment(
    process: subprocess.Popen, out: Path, total: int, draw: random.Random
) -> None:
    """Sleep until a random share of a run's recordings is done, and a random moment more.

    Args:
        process: the run.
        out: its folder.
        total: recordings.
        draw: what is random.
    """
    wanted = draw.uniform(-total / 9, total)
    moment = draw.random()
    began = time.perf_counter()
    while process.poll() is None and time.perf_counter() - began < LIMIT:
        done = journal_lines(out)
        if wanted < 0 or done >= int(wanted):
            # With the start in it, since recordings are done in handfuls: it must reach into one.
            a_recording = (time.perf_counter() - began) / done if done else 1.0
            time.sleep(moment * (a_recording + (wanted < 0)))
            return
        time.sleep(0.002)


def journal_lines(out: Path) -> int:
    """Lines in the journal of a run."""
    try:
        return (out / "journal.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def trial(batch: Batch, out: Path, reference: Path, seed: int) -> dict:
    """One run that is killed and resumed.

    Args:
        batch: what to run.
        out: a folder that is not there.
        reference: outputs of an undisturbed run, with its exit status and messages in ``said``.
        seed: of the moments.

    Returns:
        What happened: ``problems``, ``done`` (lines in the journal after the first kill),
        ``kills`` (of runs that were at work).
    """
    draw, total = random.Random(seed), journal_lines(reference)
    problems, options, killed, done = [], [], 0, None
    while True:
        process = batch.start(out, *options)
        wait_for_a_moment(process, out, total, draw)
        killed += kill(process, everything=draw.random() < 0.5)
        done = journal_lines(out) if done is None else done
        options = ["--resume"]
        if draw.random() > 0.25:
            break
    written = times_of_what_is_done(out)
    status, said = batch.finish(out, "--resume")
    expected = (reference.parent / "said").read_text()
    if f"{status}\n{said}".replace(str(out), "OUT") != expected:
        problems.append(f"status {status}, messages {said!r}")
    again = [path.name for path, when in written.items() if path.stat().st_mtime_ns != when]
    if again:
        problems.append(f"done again: {again}")
    problems += differences(tree(reference), tree(out))
    return {"problems": problems, "done": done, "kills": killed}


def differences(expected: dict[str, bytes], found: dict[str, bytes]) -> list[str]:
    """In words, what is missing, too much or not the same."""
    problems = [f"missing: {name}" for name in expected.keys() - found.keys()]
    problems += [f"too much: {name}" for name in found.keys() - expected.keys()]
    both = expected.keys() & found.keys()
    return problems + [f"differs: {name}" for name in both if expected[name] != found[name]]


def run_trials(batch: Batch, folder: Path, seeds: list[int], say=print) -> list[int]:
    """Trials with an undisturbed run before them; the seeds of those that went wrong."""
    reference, bad = folder / "reference", []
    status, said = batch.finish(reference)
    total = journal_lines(reference)
    (folder / "said").write_text(f"{status}\n{said}".replace(str(reference), "OUT"))
    say(f"undisturbed: status {status}, {total} recordings, {len(tree(reference))} files")
    counts: Counter = Counter()
    for number, seed in enumerate(seeds, 1):
        out = folder / f"out-{seed}"
        result = trial(batch, out, reference, seed)
        counts["kills"] += result["kills"]
        counts["before the first recording was done"] += result["done"] == 0
        counts["in the middle"] += 0 < result["done"] < total
        if result["problems"]:
            bad.append(seed)
            say(f"seed {seed}: {result['problems']}; see {out}")
        else:
            shutil.rmtree(out)
        say(f"{number} of {len(seeds)}: {number - len(bad)} the same; {dict(counts)}")
    return bad


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=100, help="trials (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the first trial (default: 0)")
    parser.add_argument("--model", default="english")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="kill-"))
    make_recordings(folder / "in")
    batch = Batch(folder / "in", options.model, options.workers)
    seeds = list(range(options.seed, options.seed + options.kills))
    bad = run_trials(batch, folder, seeds, lambda line: print(line, flush=True))
    print(f"{len(seeds) - len(bad)} of {len(seeds)} the same as undisturbed; bad seeds: {bad}")
    if not bad:
        shutil.rmtree(folder)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
