"""Speed of ``speechattn transcribe``: whole processes, beside peers, and on long recordings.

A process does everything that a user waits for: starting Python, importing, loading the model,
decoding the audio, recognising, writing TextGrids. Every process is pinned to the same cores.

1. Short files: the same recordings go through ``speechattn transcribe``, through the peers and
   through the encoder alone (:mod:`~speechattn.bench.transcription.model`: frames made before, in
   memory), in turn (A B C A B C ...), so that a machine that slows down or speeds up does so for
   all. Each runs once before that, uncounted, to fill the disk cache and the cache of compiled
   functions. This is done for each number of cores. Beside them, a few of the files alone, for
   which starting up matters most, and a recording of one second, which is the time to the first
   result.
2. Where the time goes: one process on one core with a stopwatch inside
   (:mod:`~speechattn.bench.transcription.parts`).
3. The first run after installation: one process with empty caches.
4. Long files: the recordings repeated to 6, 20 and 60 minutes; time should grow with the length
   and memory should not. A recording of one second gives the time of starting up. Peers take the
   shortest.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from speechattn import cache
from speechattn.audio.load import audio_info
from speechattn.bench.output import prepare_folder, write_files
from speechattn.bench.process import Usage, can_pin, machine_facts, pick_cores, run_process
from speechattn.bench.sounds import repeat_audio
from speechattn.bench.transcription.model import ModelAlone
from speechattn.bench.transcription.report import MODEL, OURS, Run, csv_report, markdown_report
from speechattn.errors import SpeechattnError, UsageError
from speechattn.text import one_line
from speechattn.transcription.inputs import collect

LONG_MINUTES = (6.0, 20.0, 60.0)
START_SECONDS = 1.0  # of the recording that gives the time of starting up
FEW = 6  # of the files, as many as somebody may want to try
PACKAGES = ("torch", "numba", "numpy", "soundfile")


class TranscribeBench:
    """All measurements, and the folder in which they are made.

    Args:
        inputs: audio files and folders.
        model: name or folder of a model.
        folder: an empty folder for all that is written; the caller removes it.
        peers: of :data:`speechattn.bench.peers.PEERS`.
        report: receives a line for the user after every process.

    Raises:
        UsageError: if there is no audio or a peer is not installed.
        AudioError: if a recording cannot be read.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        model: str,
        folder: Path,
        *,
        peers: Sequence[str] = (),
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        for peer in peers:
            if importlib.util.find_spec(peer) is None:
                raise UsageError(
                    f"{peer} is not installed; run `pip install 'speechattn[bench]'` or choose "
                    "others with --peer"
                )
        self.inputs, self.peers = list(inputs), list(peers)
        found = collect(inputs, folder / "out", ["textgrid"])
        self.paths = [one.path for one in found if isinstance(one.path, Path)]
        if len(self.paths) < len(found):
            raise UsageError("recordings behind URLs are not timed; give local files")
        self.lengths = [audio_info(path).duration for path in self.paths]
        self.audio_seconds = sum(self.lengths)
        self._model, self._folder, self._report = model, folder, report

    def measure(
        self, repeats: int, cores: Sequence[int], long_minutes: Sequence[float]
    ) -> list[Run]:
        """Measure everything; see the module.

        Args:
            repeats: of every measurement.
            cores: numbers of cores to measure on.
            long_minutes: lengths of the long recordings; none for short files only.

        Raises:
            SpeechattnError: if a process fails or leaves fewer TextGrids than it should.
        """
        runs: list[Run] = []
        for count in cores:
            runs += self._short(repeats, count)
        runs += [self._parts(repeat) for repeat in range(1, repeats + 1)]
        runs.append(self._first(max(cores)))
        for count in cores if long_minutes else ():
            runs += self._long(repeats, count, long_minutes)
        return runs

    def _short(self, repeats: int, cores: int) -> Iterable[Run]:
        what = f"{len(self.paths)} files, {cores} cores"
        runs: list[Run] = []
        second, few = self._long_file(START_SECONDS), self.paths[:FEW]
        labels = {
            "short": (what, self.audio_seconds),
            "start": ("1 second", START_SECONDS),
            "few": (f"{len(few)} files, {cores} cores", sum(self.lengths[:FEW])),
        }
        picked = pick_cores(cores)
        with ModelAlone(self.paths, self.lengths, self._model, picked, self._folder) as model:
            for repeat in range(repeats + 1):  # 0 is the warm-up
                usages = [("short", OURS, self.transcribe(OURS, self.inputs, self.paths, cores))]
                usages += [("short", MODEL, Usage(model.seconds()))]
                usages += [("start", OURS, self.transcribe(OURS, [str(second)], [second], cores))]
                usages += [
                    ("short", peer, self.transcribe(peer, self.inputs, self.paths, cores))
                    for peer in self.peers
                ]
                usages += [
                    ("few", system, self.transcribe(system, [*map(str, few)], few, cores))
                    for system in (OURS, *self.peers)
                ]
                for part, system, usage in usages:
                    label, seconds = labels[part]
                    self._tell(f"{system}, {label}", repeat, repeats, usage)
                    if repeat:
                        runs.append(Run(part, system, cores, repeat, seconds, usage))
        return runs

    def _first(self, cores: int) -> Run:
        """One process with empty caches, as after installation."""
        path, empty = self._long_file(START_SECONDS), self._folder / "empty"
        variables = {cache.VARIABLE: str(empty / "ours"), "NUMBA_CACHE_DIR": str(empty / "numba")}
        usage = self.transcribe(OURS, [str(path)], [path], cores, variables)
        shutil.rmtree(empty, ignore_errors=True)
        self._tell(f"{OURS}, the first run, {cores} cores", 1, 1, usage)
        return Run("first", OURS, cores, 1, START_SECONDS, usage)

    def _parts(self, repeat: int) -> Run:
        """Seconds by part of one process on one core."""
        out, result = self._folder / "out", self._folder / "parts.json"
        out.mkdir()
        config: dict[str, Any] = {"inputs": self.inputs, "out": str(out), "model": self._model}
        config |= {"result": str(result), "began": time.time()}
        listing = self._folder / "config.json"
        listing.write_text(json.dumps(config), encoding="ascii")
        command = [sys.executable, "-m", "speechattn.bench.transcription.parts", str(listing)]
        usage = run_process(command, pick_cores(1), "the parts")
        shutil.rmtree(out)
        self._report(f"{OURS}, by part ({repeat}): {usage.wall:.2f} s")
        parts = json.loads(result.read_bytes())
        return Run("parts", OURS, 1, repeat, self.audio_seconds, usage, parts)

    def _long(self, repeats: int, cores: int, minutes: Sequence[float]) -> Iterable[Run]:
        lengths = [START_SECONDS, *(60 * each for each in minutes)]
        runs = []
        for repeat in range(1, repeats + 1):
            for number, seconds in enumerate(lengths):
                path = self._long_file(seconds)
                for system in (OURS, *(self.peers if number == 1 else ())):
                    usage = self.transcribe(system, [str(path)], [path], cores)
                    what = f"{system}, {seconds / 60:.3g} minutes, {cores} cores"
                    self._tell(what, repeat, repeats, usage)
                    part = "long" if number else "long start"
                    runs.append(Run(part, system, cores, repeat, seconds, usage))
        return runs

    def _tell(self, what: str, repeat: int, repeats: int, usage: Usage) -> None:
        count = f"{repeat} of {repeats}" if repeat else "warm-up"
        self._report(f"{what} ({count}): {usage.wall:.2f} s")

    def _long_file(self, seconds: float) -> Path:
        path = self._folder / f"{seconds:g}s.wav"
        if not path.exists():
            repeat_audio(self.paths, path, seconds)
        return path

    def transcribe(
        self,
        system: str,
        inputs: Sequence[str],
        paths: Sequence[Path],
        cores: int = 1,
        variables: Mapping[str, str] | None = None,
    ) -> Usage:
        """One process: recordings in, TextGrids out; they are counted and removed.

        Args:
            system: ours or a peer.
            inputs: audio files and folders, as given to ours.
            paths: the recordings in them, as given to a peer.
            cores: to how many it is pinned.
            variables: of its environment, in place of those of this process.

        Raises:
            SpeechattnError: if it fails or leaves another number of TextGrids.
        """
        out = self._folder / "out"
        out.mkdir()
        if system == OURS:
            command = self._our_command(inputs, out, cores)
        else:
            command = self._peer_command(system, paths, out)
        command = [sys.executable, "-m", *command]
        usage = run_process(command, pick_cores(cores), system, variables)
        written = sum(1 for _ in out.rglob("*.TextGrid"))
        if written != len(paths):
            raise SpeechattnError(
                f"{system}: wrote {written} TextGrids for {len(paths)} recordings; its times "
                "would mean nothing"
            )
        shutil.rmtree(out)
        return usage

    def _our_command(self, inputs: Sequence[str], out: Path, cores: int) -> list[str]:
        # A name that begins with - would look like an option.
        inputs = [f"./{item}" if item.startswith("-") else item for item in inputs]
        options = ["--output-dir", str(out), f"--model={self._model}", "--device=cpu", "--quiet"]
        return ["speechattn", "transcribe", *inputs, *options, f"--workers={cores}"]

    def _peer_command(self, system: str, paths: Sequence[Path], out: Path) -> list[str]:
        listing = self._folder / "list.json"
        listing.write_text(json.dumps([str(path) for path in paths]), encoding="ascii")
        return ["speechattn.bench.peers", system, str(listing), str(out)]


def bench_transcribe(
    inputs: Sequence[str],
    *,
    model: str,
    peers: Sequence[str] = (),
    repeats: int = 3,
    cores: Sequence[int] = (1,),
    long_minutes: Sequence[float] = LONG_MINUTES,
    output_dir: str | Path | None = None,
    publish: Callable[[str], None] = lambda text: None,
    report: Callable[[str], None] = lambda line: None,
) -> None:
    """Measure transcription; see the module.

    Args:
        inputs: audio files and folders.
        model: name or folder of a model.
        peers: of :data:`speechattn.bench.peers.PEERS`.
        repeats: of every measurement; medians are reported.
        cores: numbers of cores to measure on.
        long_minutes: lengths of the long recordings.
        output_dir: folder for ``transcribe.md`` and ``transcribe.csv`` (every single process).
        publish: receives the report, in Markdown, before files are written.
        report: receives a line for the user after every process.

    Raises:
        UsageError: if the folder cannot be written.
        SpeechattnError: if something that is needed is missing, or a process fails.
    """
    target = None if output_dir is None else Path(output_dir)
    if target is not None:
        prepare_folder(target)  # now, not after an hour
    picked = pick_cores(max(cores))
    with tempfile.TemporaryDirectory(prefix="speechattn-bench-") as folder:
        bench = TranscribeBench(inputs, model, Path(folder), peers=peers, report=report)
        facts = machine_facts([*PACKAGES, *peers])
        facts["model"] = one_line(model)
        facts["processes"] = (
            f"kept on core {', '.join(map(str, picked))}" if can_pin() else "not kept on cores"
        )
        facts["recordings"] = f"{len(bench.paths)}, {bench.audio_seconds / 60:.1f} minutes"
        runs = bench.measure(repeats, cores, long_minutes)
    text = markdown_report(runs, facts)
    publish(text)
    if target is not None:
        write_files(target, {"transcribe.md": text, "transcribe.csv": csv_report(runs)})
