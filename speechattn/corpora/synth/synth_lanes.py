"""The lanes of the synthetic corpus: fresh processes in which its utterances are made.

What espeak-ng gives depends on what it said before in its process. There are always equally many
lanes, therefore, whatever the machine, and each works in order: every run gives the same samples.

A lane is a Python that runs ``synth_worker``. It is not one of :mod:`multiprocessing`'s processes:
those import the caller's script again, and PyTorch where the script does, and they need its
``if __name__ == "__main__":``.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from speechattn import errors
from speechattn.corpora.synth.corpus import Job

LANES = 2  # another number gives other samples
# The path is set before anything is imported, so that a lane finds what its caller finds.
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[1:]; from speechattn.corpora.synth.synth_worker import work; work()"
)


@dataclass(frozen=True)
class Made:
    """An utterance that has been written: path in the corpus, frames, (phone, first, end) spans."""

    id: str
    path: str
    frames: int
    phones: tuple[tuple[str, int, int], ...]


def make_utterances(
    folder: Path, jobs: Sequence[Job], *, progress: bool = False
) -> tuple[dict[str, Made], str]:
    """Write the audio of utterances, ``audio/SPEAKER/UTTERANCE.flac``.

    Args:
        folder: of the corpus.
        jobs: what to make; other jobs, or these in another order, change the samples of each.
        progress: show a bar on standard error.

    Returns:
        What was made, by utterance, and the version of espeak-ng.

    Raises:
        CorpusError: if a file cannot be written or a lane ends early.
        UsageError: if espeak-ng is not installed, or has no sound for a text.
    """
    made: dict[str, Made] = {}
    with contextlib.ExitStack() as stack:
        lanes = [stack.enter_context(_lane(folder, jobs[i::LANES])) for i in range(LANES)]
        version, *_ = [_answer(lane)["version"] for lane in lanes]
        for turn, job in enumerate(tqdm(jobs, unit="utterance", disable=not progress)):
            answer = _answer(lanes[turn % LANES])
            phones = tuple((phone, first, end) for phone, first, end in answer["phones"])
            made[job.id] = Made(job.id, answer["path"], answer["frames"], phones)
    return made, version


@contextlib.contextmanager
def _lane(folder: Path, jobs: Sequence[Job]) -> Iterator[subprocess.Popen]:
    """A process at work; when an exception leaves the block, it is stopped."""
    request = json.dumps({"folder": str(folder), "jobs": [asdict(job) for job in jobs]})
    command = [sys.executable, "-c", _PROGRAM, *sys.path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            with contextlib.suppress(OSError):  # it has ended already, which _answer notices
                process.stdin.write(request.encode("ascii") + b"\n")
                process.stdin.close()
            yield process
        except BaseException:
            process.kill()
            raise


def _answer(lane: subprocess.Popen) -> dict:
    """The next answer of a lane.

    Raises:
        SpeechattnError: the one it reports.
        CorpusError: if it has ended.
    """
    line = lane.stdout.readline()
    if not line.endswith(b"\n"):
        raise errors.CorpusError(
            f"synthetic corpus: a process that makes audio ended early (status {lane.wait()}); "
            "see what it wrote before this line, or free memory, and try again"
        )
    answer = json.loads(line)
    if "error" in answer:
        raise getattr(errors, answer["error"])(answer["message"])
    return answer
