"""The encoder alone: what the whole command is measured against.

``python -m speechattn.bench.transcribe_model CONFIG``: CONFIG is a JSON file with ``paths`` of
recordings and ``model``. The program makes the frames of all of them, in exactly the pieces in
which the command hands them to the encoder (handfuls of short recordings, blocks of long ones),
keeps them in memory and prints ``ready``. For every
line on standard input it sends all of them through the encoder once, on one thread, and prints
``done``.

:class:`ModelAlone` runs as many of these as there are cores, each with its share of the recordings,
and tells them to begin at the same moment.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from speechattn.bench.process import pinned
from speechattn.errors import SpeechattnError

if TYPE_CHECKING:
    from speechattn.inference.recognizer import Recognizer


def shares(lengths: Sequence[float], count: int) -> list[list[int]]:
    """Divide things among ``count`` so that all have about the same length to do.

    Returns:
        Their numbers; the longest is given away first, always to whoever has least.
    """
    parts: list[list[int]] = [[] for _ in range(count)]
    loads = [0.0] * count
    for number in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        least = loads.index(min(loads))
        parts[least].append(number)
        loads[least] += lengths[number]
    return [sorted(part) for part in parts]


class ModelAlone:
    """The encoder on some cores; a context manager.

    Args:
        paths: of the recordings.
        lengths: of each, seconds.
        model: name or folder.
        cores: numbers of the cores, a process for each.
        folder: for files of its own.

    Raises:
        SpeechattnError: when the block begins, if a process fails.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        lengths: Sequence[float],
        model: str,
        cores: Sequence[int],
        folder: Path,
    ) -> None:
        self._processes: list[subprocess.Popen] = []
        self._jobs = []
        for core, share in zip(cores, shares(lengths, len(cores))):
            config = folder / f"model-{core}.json"
            listed = [str(paths[number]) for number in share]
            config.write_text(json.dumps({"paths": listed, "model": model}), encoding="ascii")
            self._jobs.append((core, config))

    def __enter__(self):
        try:
            for core, config in self._jobs:
                command = [sys.executable, "-m", "speechattn.bench.transcribe_model", str(config)]
                pipe = subprocess.PIPE
                with pinned([core]):
                    self._processes.append(subprocess.Popen(command, stdin=pipe, stdout=pipe))
            self._expect(b"ready\n")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()

    def seconds(self) -> float:
        """Wall time of one pass of all recordings through the encoder.

        Raises:
            SpeechattnError: if a process fails.
        """
        began = time.perf_counter()
        for process in self._processes:
            with suppress(BrokenPipeError):  # the answer says more
                process.stdin.write(b"go\n")
                process.stdin.flush()
        self._expect(b"done\n")
        return time.perf_counter() - began

    def _expect(self, answer: bytes) -> None:
        for process in self._processes:
            if process.stdout.readline() != answer:
                raise SpeechattnError(
                    f"the encoder alone: failed with status {process.wait()}; see what it wrote "
                    "before this line"
                )


def recorded_calls(recognizer: Recognizer, paths: Sequence[str]) -> tuple[list, list]:
    """What the recognizer gives the encoder.

    Returns:
        The frames of every short recording; and for every long one the function that begins a
        stream of the encoder, and the arguments of each ``push``.
    """
    from speechattn.inference.streaming import PosteriorStream

    short: list = []
    long: list = []

    class Recorder:
        def __init__(self, begin) -> None:
            self.stream, self.calls = begin(), []
            long.append((begin, self.calls))

        def push(self, frames, **options):
            self.calls.append((frames.clone(), options))
            return self.stream.push(frames, **options)

    original = PosteriorStream.__init__

    def initialise(self, checkpoint, *rest) -> None:
        original(self, checkpoint, *rest)
        self._classifier = Recorder(checkpoint.classifier.stream)

    PosteriorStream.__init__ = initialise
    for path in paths:
        with suppress(StopIteration):  # of a long one, which has gone through the recorder
            short.append(next(recognizer.transcribing(path)))
    return short, long


def main(config: dict) -> None:
    """Make the frames, then serve standard input."""
    import torch

    from speechattn.inference.recognizer import load_model
    from speechattn.transcription.transcriber import AT_A_TIME

    torch.set_num_threads(1)
    recognizer = load_model(config["model"], "cpu", precision="auto")
    short, long = recorded_calls(recognizer, config["paths"])
    print("ready", flush=True)
    for _ in sys.stdin:
        for first in range(0, len(short), AT_A_TIME):
            recognizer.encode(short[first : first + AT_A_TIME])
        for begin, calls in long:
            stream = begin()
            for frames, options in calls:
                stream.push(frames, **options)
        print("done", flush=True)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="ascii")))
