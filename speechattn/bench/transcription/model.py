"""The encoder alone: what the whole command is measured against.

``python -m speechattn.bench.transcription.model CONFIG``: CONFIG is a JSON file with ``paths`` of
recordings and ``model``. The program makes the frames of all recordings, in the pieces in which the
command hands them to the encoder (groups of short recordings, blocks of long ones), keeps them in
memory and prints ``ready``. For every line on standard input it sends all of them through the
encoder once, on one thread, and prints ``done``.

:class:`ModelAlone` runs as many of these processes as there are cores, each with its share of the
recordings, and has them begin at the same moment.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechattn.bench.process import pinned
from speechattn.errors import SpeechattnError

if TYPE_CHECKING:
    import numpy as np

    from speechattn.inference.recognizer import Recognizer


def shares(lengths: Sequence[float], count: int) -> list[list[int]]:
    """Divide recordings among ``count`` processes so that each has about the same length.

    Args:
        lengths: of the recordings, seconds.
        count: of processes.

    Returns:
        Indices of recordings, by process. The longest is assigned first, each to the process that
        has the least so far.
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
        self._processes: list[subprocess.Popen[bytes]] = []
        self._jobs = []
        for core, share in zip(cores, shares(lengths, len(cores))):
            config = folder / f"model-{core}.json"
            listed = [str(paths[number]) for number in share]
            config.write_text(json.dumps({"paths": listed, "model": model}), encoding="ascii")
            self._jobs.append((core, config))

    def __enter__(self) -> ModelAlone:
        try:
            for core, config in self._jobs:
                command = [
                    sys.executable,
                    "-m",
                    "speechattn.bench.transcription.model",
                    str(config),
                ]
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
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def seconds(self) -> float:
        """Return the wall time of one pass of all recordings through the encoder.

        Raises:
            SpeechattnError: if a process fails.
        """
        began = time.perf_counter()
        for process in self._processes:
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # the missing answer is reported below
                process.stdin.write(b"go\n")
                process.stdin.flush()
        self._expect(b"done\n")
        return time.perf_counter() - began

    def _expect(self, answer: bytes) -> None:
        for process in self._processes:
            assert process.stdout is not None
            if process.stdout.readline() != answer:
                raise SpeechattnError(
                    f"the encoder alone: failed with status {process.wait()}; see what it wrote "
                    "before this line"
                )


def make_frames(
    recognizer: Recognizer, paths: Sequence[str]
) -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
    """Make the frames of recordings, in the pieces in which a recognizer encodes them.

    Returns:
        The frames of every short recording, and the pieces of every long one, shape
        (frames, numbers of the front end) each.
    """
    import numpy as np

    from speechattn.audio.features import FrontEnd
    from speechattn.inference.transcription import TranscribeOptions

    short, long = [], []
    front_end = FrontEnd(recognizer.checkpoint.front_end)
    for path in paths:
        prepared = recognizer.prepare(path, TranscribeOptions())
        if prepared.frames is not None:
            short.append(prepared.frames)
            continue
        stream = front_end.stream()
        pieces = [stream.push(block) for block in prepared.blocks]
        pieces[-1] = np.concatenate([pieces[-1], stream.finish()])
        long.append(pieces)
        prepared.close()
    return short, long


def main(config: dict[str, Any]) -> None:
    """Make the frames, then serve standard input."""
    from speechattn.inference.recognizer import load_model
    from speechattn.machine import set_num_threads
    from speechattn.transcription.transcriber import AT_A_TIME

    set_num_threads(1)
    recognizer = load_model(config["model"], "cpu", precision="auto")
    short, long = make_frames(recognizer, config["paths"])
    print("ready", flush=True)
    for _ in sys.stdin:
        for first in range(0, len(short), AT_A_TIME):
            recognizer.encode(short[first : first + AT_A_TIME])
        for pieces in long:
            stream = recognizer.engine.stream()
            for number, frames in enumerate(pieces, 1):
                stream.push(frames, last=number == len(pieces))
        print("done", flush=True)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="ascii")))
