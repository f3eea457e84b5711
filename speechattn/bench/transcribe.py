"""How fast ``speechattn transcribe`` is: whole processes, beside a peer, and on long recordings.

What is timed is what a user waits for: starting Python, importing, loading the model, decoding
the audio, recognising, writing TextGrids. Every process is kept on the same cores.

1. Short files: the same recordings go through ``speechattn transcribe`` and through the peer, in
   turn (A B A B ...), so that a machine that slows down or speeds up does so for both. Each runs
   once before that, uncounted, to fill the disk cache and the cache of compiled functions.
2. Long files: the recordings repeated to 6, 20 and 60 minutes; time should grow with the length
   and memory should not. A recording of one second tells what starting up takes.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from speechattn.atomic import atomic_write_text
from speechattn.audio import audio_info
from speechattn.bench.machine import machine_facts
from speechattn.bench.process import Usage, can_pin, pick_cores, run_process
from speechattn.bench.recordings import repeat_audio
from speechattn.bench.transcribe_report import Run, csv_report, markdown_report
from speechattn.errors import SpeechattnError, UsageError
from speechattn.inputs import collect
from speechattn.text import one_line

OURS = "speechattn"
PEERS = ("pocketsphinx", "none")
LONG_MINUTES = (6.0, 20.0, 60.0)
START_SECONDS = 1.0  # of the recording that tells what starting up takes
MINUTES_RANGE = (0.1, 2000.0)  # of long recordings; a WAV file ends at 4 GB, 2237 minutes
PACKAGES = ("torch", "numba", "numpy", "soundfile")


def read_list(path: str | Path) -> list[str]:
    """Audio files and folders from a text file with one path a line; empty lines do not count.

    Paths are taken as they would be on the command line: relative to the current folder.

    Raises:
        UsageError: if the list cannot be read, is empty, or names something that does not exist.
    """
    try:
        text = os.fsdecode(Path(path).read_bytes())
    except OSError as error:
        raise UsageError(
            one_line(f"{path}: {error.strerror}; check the name after --list")
        ) from None
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        if "\0" in line or not os.path.exists(line):
            raise UsageError(
                one_line(f"{path}:{number}: {line!r} does not exist; a list has one path a line")
            )
        found.append(line)
    if not found:
        raise UsageError(one_line(f"{path}: no path in this list; write one a line"))
    return found


def parse_minutes(text: str) -> list[float]:
    """Lengths such as ``6,20,60``, or ``none``.

    Raises:
        UsageError: if one is no number of minutes in :data:`MINUTES_RANGE`.
    """
    if text.strip().lower() == "none":
        return []
    low, high = MINUTES_RANGE
    found = []
    for item in text.split(","):
        try:
            minutes = float(item)
        except ValueError:
            minutes = -1.0
        if not low <= minutes <= high:  # NaN neither
            raise UsageError(
                f"--long-minutes {text}: {item!r} is no length between {low:g} and {high:g} "
                "minutes; give numbers separated by commas, or none"
            )
        found.append(minutes)
    return sorted(set(found))


class TranscribeBench:
    """Everything that is measured, and the folder in which it happens.

    Args:
        inputs: audio files and folders.
        model: name or folder of a model.
        folder: an empty folder for all that is written; the caller removes it.
        peer: of :data:`PEERS`.
        threads: of the encoder, and cores that every process is kept on.
        progress: called with a line for people after every process.

    Raises:
        UsageError: if there is no audio, the peer is not installed or there are too few cores.
        AudioError: if a recording cannot be read.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        model: str,
        folder: Path,
        *,
        peer: str = "pocketsphinx",
        threads: int = 1,
        progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        if peer not in PEERS:
            raise UsageError(f"peer {peer!r} is not known; choose from {', '.join(PEERS)}")
        if peer != "none" and importlib.util.find_spec(peer) is None:
            raise UsageError(
                f"{peer} is not installed; run `pip install 'speechattn[bench]'` or use --peer none"
            )
        self.inputs = list(inputs)
        self.paths = [job.path for job in collect(inputs, folder / "out", ["textgrid"])]
        self.audio_seconds = sum(audio_info(path).duration for path in self.paths)
        self.systems = [OURS] if peer == "none" else [OURS, peer]
        self.threads, self.cores = threads, pick_cores(threads)
        self._model, self._folder, self._progress = model, folder, progress

    def measure(self, repeats: int, long_minutes: Sequence[float]) -> list[Run]:
        """Measure everything; see the module.

        Args:
            repeats: of every measurement.
            long_minutes: lengths of the long recordings, as :func:`parse_minutes` gives them;
                none for short files only.

        Raises:
            SpeechattnError: if a process fails or leaves fewer TextGrids than it should.
        """
        runs = []
        for repeat in range(repeats + 1):  # 0 is the warm-up
            for system in self.systems:
                usage = self.transcribe(system, self.inputs, self.paths)
                self._tell(f"{system}, {len(self.paths)} files", repeat, repeats, usage)
                if repeat:
                    runs.append(Run("short", system, repeat, self.audio_seconds, usage))
        if not long_minutes:
            return runs
        lengths = [START_SECONDS, *(60 * minutes for minutes in long_minutes)]
        files = {seconds: self._long_file(seconds) for seconds in lengths}
        for repeat in range(1, repeats + 1):
            for seconds, path in files.items():
                usage = self.transcribe(OURS, [str(path)], [path])
                self._tell(f"{OURS}, {seconds / 60:.3g} minutes", repeat, repeats, usage)
                part = "start" if seconds == START_SECONDS else "long"
                runs.append(Run(part, OURS, repeat, seconds, usage))
        return runs

    def _tell(self, what: str, repeat: int, repeats: int, usage: Usage) -> None:
        count = f"{repeat} of {repeats}" if repeat else "warm-up"
        self._progress(f"{what} ({count}): {usage.wall:.2f} s")

    def _long_file(self, seconds: float) -> Path:
        path = self._folder / f"{seconds:g}s.wav"
        repeat_audio(self.paths, path, seconds)
        return path

    def transcribe(self, system: str, inputs: Sequence[str], paths: Sequence[Path]) -> Usage:
        """One process: recordings in, TextGrids out; they are counted and removed.

        Args:
            system: of ``systems``.
            inputs: audio files and folders, as given to ours.
            paths: the recordings in them, as given to the peer.

        Raises:
            SpeechattnError: if it fails or leaves another number of TextGrids.
        """
        out = self._folder / "out"
        out.mkdir()
        if system == OURS:
            command = self._our_command(inputs, out)
        else:
            command = self._peer_command(system, paths, out)
        usage = run_process([sys.executable, "-m", *command], self.cores, system)
        written = sum(1 for _ in out.rglob("*.TextGrid"))
        if written != len(paths):
            raise SpeechattnError(
                f"{system}: wrote {written} TextGrids for {len(paths)} recordings; its times "
                "would mean nothing"
            )
        shutil.rmtree(out)
        return usage

    def _our_command(self, inputs: Sequence[str], out: Path) -> list[str]:
        # A name that begins with - would be taken for an option.
        inputs = [f"./{item}" if item.startswith("-") else item for item in inputs]
        options = ["--output-dir", str(out), f"--model={self._model}", "--device=cpu", "--quiet"]
        return ["speechattn", "transcribe", *inputs, *options, f"--threads={self.threads}"]

    def _peer_command(self, system: str, paths: Sequence[Path], out: Path) -> list[str]:
        listing = self._folder / "list.json"
        listing.write_text(json.dumps([str(path) for path in paths]), encoding="ascii")
        return [f"speechattn.bench.peer_{system}", str(listing), str(out)]


def bench_transcribe(
    inputs: Sequence[str],
    *,
    model: str,
    peer: str = "pocketsphinx",
    repeats: int = 3,
    threads: int = 1,
    long_minutes: Sequence[float] = LONG_MINUTES,
    output_dir: str | Path | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> str:
    """Measure transcription; see the module.

    Args:
        inputs: audio files and folders.
        model: name or folder of a model.
        peer: of :data:`PEERS`.
        repeats: of every measurement; medians are reported.
        threads: of the encoder, and cores that every process is kept on.
        long_minutes: lengths of the long recordings.
        output_dir: folder for ``transcribe.md`` and ``transcribe.csv`` (every single process).
        progress: called with a line for people after every process.

    Returns:
        The report, in Markdown.

    Raises:
        SpeechattnError: if something that is needed is missing, or a process fails.
    """
    if output_dir is not None:
        _check_folder(Path(output_dir))  # now, not after an hour
    with tempfile.TemporaryDirectory(prefix="speechattn-bench-") as folder:
        bench = TranscribeBench(
            inputs, model, Path(folder), peer=peer, threads=threads, progress=progress
        )
        facts = machine_facts([*PACKAGES, *bench.systems[1:]])
        facts["model"] = one_line(model)
        facts["threads"] = f"{threads}, " + (
            f"every process on core {', '.join(map(str, bench.cores))}"
            if can_pin()
            else "not kept on cores of their own"
        )
        facts["recordings"] = f"{len(bench.paths)}, {bench.audio_seconds / 60:.1f} minutes"
        runs = bench.measure(repeats, long_minutes)
    report = markdown_report(runs, facts)
    if output_dir is not None:
        _write(Path(output_dir, "transcribe.md"), report)
        _write(Path(output_dir, "transcribe.csv"), csv_report(runs))
    return report


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = None if os.access(folder, os.W_OK) else "no permission to write"
    except OSError as error:
        reason = error.strerror
    if reason:
        raise UsageError(one_line(f"{folder}: {reason}; choose another --output-dir"))


def _write(path: Path, text: str) -> None:
    try:
        atomic_write_text(path, text)
    except OSError as error:
        raise SpeechattnError(
            one_line(f"{path}: cannot be written ({error.strerror}); choose another --output-dir")
        ) from error
