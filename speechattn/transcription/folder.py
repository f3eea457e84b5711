"""All recordings of a folder in Python, one result after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speechattn.errors import CRASH, kind_of
from speechattn.options import DEFAULT_MODEL
from speechattn.process import environment
from speechattn.transcription.inputs import find_recordings
from speechattn.transcription.journal import death_message, error_message
from speechattn.transcription.transcriber import listen, load
from speechattn.transcription.workers.pool import InProcessPool, ProcessPool
from speechattn.transcription.workers.worker import WorkerDied

if TYPE_CHECKING:
    from speechattn.inference.recognizer import Transcription


@dataclass(frozen=True)
class FolderResult:
    """What came of one recording of a folder.

    Attributes:
        path: of the recording.
        file: its path below the folder, parts separated by ``/``.
        transcription: None if it failed.
        error: one line that says why it failed, or None.
        kind: of the failure, one of :mod:`speechattn.errors`, or None.
        warnings: what is odd about it; see :mod:`speechattn.audio.quality`.
    """

    path: Path
    file: str
    transcription: Transcription | None
    error: str | None = None
    kind: str | None = None
    warnings: tuple[str, ...] = ()


def transcribe_folder(
    inputs: str | Path | Sequence[str | Path],
    *,
    model: str | Path = DEFAULT_MODEL,
    device: str = "auto",
    workers: int = 1,
    threads: int = 1,
    channel: int | None = None,
    posteriors: bool = False,
    labels: str = "arpabet",
    alternatives: int = 0,
    precision: str = "fp32",
    window: tuple[int, int] | None = None,
    lm_scale: float | None = None,
) -> Iterator[FolderResult]:
    """Transcribe all recordings of a folder; a failing one does not stop the others.

    Nothing is written. Memory does not grow with the number of recordings: work waits until
    earlier results have been taken.

    Args:
        inputs: a folder, which is searched with all its folders, or several files and folders.
        model: name or folder.
        device: as for :func:`speechattn.load_model`.
        workers: number of processes; with 1 it is this one. The results are the same.
        threads: that each computes with on a CPU; 0 leaves it to PyTorch. The last digits of the
            results may depend on it. With one worker it is set for this process.
        channel: to take from recordings with several, from 0; None for their mean.
        posteriors: whether to return the frame posteriors as well.
        labels: ``"arpabet"`` or ``"ipa"``.
        alternatives: how many other phones to give with each.
        precision, window, lm_scale: as for :func:`speechattn.load_model`.

    Yields:
        A result for each recording, in sorted order.

    Raises:
        UsageError: if an input is not there or holds no audio.
        SpeechattnError: if there is no such model, or no worker can start.
    """
    one = isinstance(inputs, (str, Path))
    recordings = list(find_recordings([inputs] if one else inputs))
    setup = FolderSpec(
        str(model),
        device,
        threads,
        {
            "channel": channel,
            "posteriors": posteriors,
            "labels": labels,
            "alternatives": alternatives,
        },
        {"precision": precision, "window": window, "lm_scale": lm_scale},
    )
    workers = min(workers, len(recordings))
    crew = (
        ProcessPool(setup, workers, environment(threads)) if workers > 1 else InProcessPool(setup)
    )
    return _results(crew, recordings)


def _results(
    crew: InProcessPool | ProcessPool, recordings: list[tuple[Path, str]]
) -> Iterator[FolderResult]:
    with crew:
        for number, result in crew.run(recordings, ordered=True):
            if isinstance(result, WorkerDied):
                path, file = recordings[number]
                message = death_message(path, result)
                yield FolderResult(path, file, None, message, CRASH)
            else:
                yield result


@dataclass(frozen=True)
class FolderSpec:
    """What a process needs; called, it loads the model."""

    model: str
    device: str
    threads: int
    options: dict
    loading: dict

    def __call__(self) -> tuple[Callable, dict]:
        recognizer, facts = load(self.model, self.device, self.threads, **self.loading)
        recognizer.phones.labels(self.options["labels"])  # a model without them is refused now
        return lambda recording, report: self._listen(recognizer, *recording, report), facts

    def _listen(
        self, recognizer, path: Path, file: str, report: Callable[[float], None]
    ) -> FolderResult:
        try:
            found, warnings = listen(recognizer, path, report, **self.options)
        except Exception as error:  # noqa: BLE001 - the other recordings must get their turn
            return FolderResult(path, file, None, error_message(path, error), kind_of(error))
        return FolderResult(path, file, found, warnings=tuple(warnings))
