"""Time of ``speechattn transcribe`` by part: one process, one core, a stopwatch inside.

``python -m speechattn.bench.transcription.parts CONFIG``, a program of its own, because it replaces
functions by timed ones. CONFIG is a JSON file with ``inputs`` (audio files and folders), ``out``
(folder for TextGrids), ``model``, ``result`` (file for the seconds by part, JSON) and ``began``
(the time when the program was started, seconds since 1970).

Parts exclude each other: while one part calls another, only the time of the inner one runs.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from speechattn.process import start_own_process

START_UP, OTHER = "start-up", "other"
# Part → (module, class or None, names) of what belongs to it.
PARTS: dict[str, tuple[tuple[str, str | None, tuple[str, ...]], ...]] = {
    "decode audio": (("speechattn.audio.load", "AudioFile", ("__init__", "blocks", "close")),),
    "look for suspicious sound": (
        ("speechattn.audio.quality", "QualityMonitor", ("__init__", "add", "warnings")),
        ("speechattn.inference.reading", None, ("low_confidence",)),
    ),
    "front end": (
        ("speechattn.audio.features", "FrontEnd", ("__call__",)),
        ("speechattn.audio.features", "FrontEndStream", ("push", "finish")),
    ),
    "encoder": (
        ("speechattn.inference.recognizer", "Recognizer", ("encode",)),
        ("speechattn.inference.streaming", "PosteriorStream", ("__init__", "encode")),
    ),
    "decoder": (
        ("speechattn.inference.collector", "SegmentCollector", ("__init__", "push", "finish")),
        ("speechattn.inference.collector", None, ("segments_from_frames",)),
    ),
    "write files": (
        ("speechattn.transcription.outputs", "RecordingOutputs", ("__init__", "write", "__exit__")),
        ("speechattn.transcription.journal", "Journal", ("__init__", "add", "flush")),
        ("speechattn.transcription.batch", None, ("sync_folder", "_finish")),
        ("speechattn.transcription.earlier_runs", None, ("write_record",)),
    ),
}
NAMES = (START_UP, *PARTS, OTHER)


class Stopwatch:
    """Seconds by part; a part that begins inside another stops that one until it ends."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._clock = clock
        self._parts: list[str] = []
        self._last = clock()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the block's time for a part."""
        self._count()
        self._parts.append(name)
        try:
            yield
        finally:
            self._count()
            self._parts.pop()

    def _count(self) -> None:
        now = self._clock()
        if self._parts:
            self.seconds[self._parts[-1]] += now - self._last
        self._last = now

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function so that its time is counted, and that of the iterator that it returns."""

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                result = function(*args, **kwargs)
            return self._steps(name, result) if isinstance(result, Iterator) else result

        return wrapper

    def _steps(self, name: str, iterator: Iterator[Any]) -> Iterator[Any]:
        while True:
            with self.part(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item


def install(watch: Stopwatch) -> None:
    """Replace all functions of :data:`PARTS` in this process by timed ones."""
    import importlib

    for part, places in PARTS.items():
        for module, owner, names in places:
            target = importlib.import_module(module)
            target = getattr(target, owner) if owner else target
            for name in names:
                setattr(target, name, watch.timed(part, getattr(target, name)))


def main(config: dict[str, Any]) -> dict[str, float]:
    """Transcribe everything and return seconds by part, in the order of :data:`NAMES`."""
    watch = Stopwatch()
    from speechattn.inference.recognizer import load_model
    from speechattn.machine import set_num_threads
    from speechattn.transcription.batch import transcribe_files
    from speechattn.transcription.inputs import collect

    set_num_threads(1)
    install(watch)
    jobs = collect(config["inputs"], config["out"], ["textgrid"])
    recognizer = load_model(config["model"], "cpu", precision="auto")
    watch.seconds[START_UP] = time.time() - config["began"]
    with watch.part(OTHER):
        summary = transcribe_files(jobs, recognizer, config["out"])
    if summary.errors:
        sys.exit(summary.errors[0])
    return {name: watch.seconds[name] for name in NAMES}


if __name__ == "__main__":
    start_own_process()
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="ascii"))
    Path(settings["result"]).write_text(json.dumps(main(settings)), encoding="ascii")
