"""The utterances of the synthetic corpus: their audio, and their phones on the frame grid.

:func:`render` makes one utterance. Speech is resampled to 16 kHz and set to a random level between
random pauses, and noise is added so that silence is not zero.

:func:`make_utterances` makes all of them in processes of their own, called lanes. The samples from
espeak-ng depend on what it said before in its process. The number of lanes is therefore the same on
every machine, and each lane works in order, so that every run gives the same samples.

A lane is a Python that runs :func:`work`. It reads one line of JSON from standard input,
``{"folder": ..., "jobs": [...]}``, and writes lines of JSON to standard output: the version of
espeak-ng, then one line for each job. An error that the user can act on is the last line.
Processes of :mod:`multiprocessing` would import the caller's script again, with all it imports, and
would need its ``if __name__ == "__main__":``.
"""

from __future__ import annotations

import contextlib
import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from scipy.linalg.blas import dtbsv

from speechattn import errors
from speechattn.corpora.synth.espeak import espeak
from speechattn.corpora.synth.espeak_phones import PhonemeTable, PhoneSpan, phone_spans
from speechattn.errors import CorpusError, SpeechattnError
from speechattn.progress import with_progress
from speechattn.segments import SAMPLE_RATE, SHIFT_SAMPLES, seconds_to_frame

PITCH_RANGE = (30, 70)  # on espeak's scale; range over utterances
RATE_SPREAD_WPM = 12  # largest difference of an utterance's rate from the speaker's
PITCH_SPREAD = 5  # largest difference of an utterance's pitch from the speaker's
SILENCE_S = (0.1, 0.4)  # seconds, before and after the speech
PEAK_DBFS = (-20.0, -3.0)  # dB below full scale, loudest sample of an utterance
SNR_DB = (20.0, 40.0)  # dB, mean power of speech over that of noise
NOISE_POLE = (0.0, 0.95)  # of the one-pole filter that colours the noise; 0 is white
MIN_PAUSE_FRAMES = 3  # frames; shorter silence inside an utterance goes to its neighbour
LANES = 2  # another number gives other samples
# The path is set before anything is imported, so that a lane imports the same files as its caller.
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[1:]; "
    "from speechattn.corpora.synth.render import work; work()"
)


def frame_spans(
    spans: Sequence[PhoneSpan], offset: int, frames: int, silence: str
) -> list[tuple[str, int, int]]:
    """Put phones on the frame grid; every phone gets at least one frame.

    Args:
        spans: phones of the speech, contiguous from 0 s on.
        offset: frames of silence before the speech.
        frames: frames of the utterance, with the silence around the speech.
        silence: label of silence.

    Returns:
        (phone, first frame, frame after the last), which cover frames 0 to ``frames``.

    Raises:
        CorpusError: if the phones need more frames than there are.
    """
    phones, starts = [silence], [0]
    for span in spans:
        start = max(offset + seconds_to_frame(span.start), starts[-1] + 1)
        length = seconds_to_frame(span.end) - seconds_to_frame(span.start)
        is_silence = span.phone == silence
        if is_silence and (phones[-1] == silence or length < MIN_PAUSE_FRAMES):
            continue
        phones.append(span.phone)
        starts.append(start)
    speech_end = offset + seconds_to_frame(spans[-1].end)
    if phones[-1] != silence:
        phones.append(silence)
        starts.append(max(speech_end, starts[-1] + 1))
    if starts[-1] >= frames:
        raise CorpusError(f"{len(spans)} phones do not fit {frames} frames; slow the speech down")
    return list(zip(phones, starts, [*starts[1:], frames]))


def one_pole(pole: float, signal: np.ndarray) -> np.ndarray:
    """Filter a signal, shape (samples,): ``y[n] = x[n] + pole * y[n - 1]``.

    This is a system of equations with two diagonals, which BLAS solves. ``scipy.signal`` could do
    it, but its import takes as long as fifty utterances.
    """
    band = np.empty((2, len(signal)), order="F")
    band[0], band[1] = 1.0, -pole
    return dtbsv(1, band, signal, lower=1, diag=1)


def render(
    job: SynthUtterance, table: PhonemeTable
) -> tuple[np.ndarray, list[tuple[str, int, int]]]:
    """Make an utterance.

    Args:
        job: the utterance to make.
        table: phones of espeak's phonemes.

    Returns:
        int16 samples at 16 kHz, shape (samples,), a whole number of frames; and their
        :func:`frame_spans`.
    """
    rng = np.random.default_rng(job.seed)
    speaker = job.speaker
    speech = espeak().synthesize(
        job.text,
        speaker.accent,
        speaker.variant,
        rate=speaker.rate + int(rng.integers(-RATE_SPREAD_WPM, RATE_SPREAD_WPM + 1)),
        pitch=speaker.pitch + int(rng.integers(-PITCH_SPREAD, PITCH_SPREAD + 1)),
        pitch_range=int(rng.integers(PITCH_RANGE[0], PITCH_RANGE[1] + 1)),
    )
    spans = phone_spans(speech, speaker.accent, table)
    voice = soxr.resample(
        speech.samples.astype(np.float64) / 2**15, speech.sample_rate, SAMPLE_RATE
    )
    voice *= 10 ** (rng.uniform(*PEAK_DBFS) / 20) / np.abs(voice).max()
    before, after = (seconds_to_frame(rng.uniform(*SILENCE_S)) for _ in range(2))
    frames = before + -(-len(voice) // SHIFT_SAMPLES) + after
    signal = np.zeros(frames * SHIFT_SAMPLES)
    begin = before * SHIFT_SAMPLES
    signal[begin : begin + len(voice)] = voice
    noise = one_pole(rng.uniform(*NOISE_POLE), rng.standard_normal(len(signal)))
    power = (voice**2).mean() / 10 ** (rng.uniform(*SNR_DB) / 10)
    signal += noise * np.sqrt(power / (noise**2).mean())
    samples = np.clip(np.round(signal * 2**15), -(2**15), 2**15 - 1).astype(np.int16)
    return samples, frame_spans(spans, before, frames, table.phones.silence)


@dataclass(frozen=True)
class Made:
    """An utterance that has been written.

    Attributes:
        id: name of the utterance.
        path: of its audio in the corpus.
        frames: number of frames.
        phones: (phone, first frame, frame after the last).
    """

    id: str
    path: str
    frames: int
    phones: tuple[tuple[str, int, int], ...]


def make_utterances(
    folder: Path, jobs: Sequence[SynthUtterance], *, progress: bool = False
) -> tuple[dict[str, Made], str]:
    """Write the audio of utterances, ``audio/SPEAKER/UTTERANCE.flac``.

    Args:
        folder: folder of the corpus.
        jobs: utterances to make; other jobs, or another order, change the samples of each.
        progress: show progress on standard error.

    Returns:
        The utterances by id, and the version of espeak-ng.

    Raises:
        CorpusError: if a file cannot be written or a lane ends early.
        UsageError: if espeak-ng is not installed, or has no sound for a text.
    """
    made: dict[str, Made] = {}
    with contextlib.ExitStack() as stack:
        lanes = [stack.enter_context(_lane(folder, jobs[i::LANES])) for i in range(LANES)]
        version, *_ = [_answer(lane)["version"] for lane in lanes]
        for turn, job in enumerate(
            with_progress(jobs, "synthesise", unit="utterance", shown=progress)
        ):
            answer = _answer(lanes[turn % LANES])
            phones = tuple((phone, first, end) for phone, first, end in answer["phones"])
            made[job.id] = Made(job.id, answer["path"], answer["frames"], phones)
    return made, version


@contextlib.contextmanager
def _lane(folder: Path, jobs: Sequence[SynthUtterance]) -> Iterator[subprocess.Popen]:
    """Start a lane; an exception in the block stops it."""
    request = json.dumps({"folder": str(folder), "jobs": [asdict(job) for job in jobs]})
    command = [sys.executable, "-c", _PROGRAM, *sys.path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        try:
            with contextlib.suppress(OSError):  # it has ended already, which _answer notices
                process.stdin.write(request.encode("ascii") + b"\n")
                process.stdin.close()
            yield process
        except BaseException:
            process.kill()
            raise


def _answer(lane: subprocess.Popen) -> dict:
    """Return the next answer of a lane.

    Raises:
        SpeechattnError: the error that the lane reports.
        CorpusError: if the lane has ended.
    """
    assert lane.stdout is not None
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


def work() -> None:
    """Read a request from standard input and answer it on standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # at Ctrl-C, the caller stops the lanes
    request = json.loads(sys.stdin.buffer.readline())
    jobs = [_job(values) for values in request["jobs"]]
    try:
        for answer in _answers(Path(request["folder"]), jobs):
            _write_answer(answer)
    except SpeechattnError as error:
        _write_answer({"error": type(error).__name__, "message": str(error)})


def _write_answer(answer: dict) -> None:
    sys.stdout.buffer.write(json.dumps(answer).encode("ascii") + b"\n")
    sys.stdout.buffer.flush()


def _job(values: dict) -> SynthUtterance:
    """Make a job from its JSON values."""
    return SynthUtterance(
        **{**values, "speaker": Speaker(**values["speaker"]), "seed": tuple(values["seed"])}
    )


def _answers(folder: Path, jobs: Sequence[SynthUtterance]) -> Iterator[dict]:
    """Make utterances, and yield the answers of a lane."""
    table = PhonemeTable()
    yield {"version": espeak().version}
    for job in jobs:
        samples, phones = render(job, table)
        path = f"audio/{job.speaker.id}/{job.id}.flac"
        _write_flac(folder / path, samples)
        yield {"path": path, "frames": len(samples) // SHIFT_SAMPLES, "phones": phones}


def _write_flac(path: Path, samples: np.ndarray) -> None:
    """Write int16 samples at 16 kHz, shape (samples,).

    Raises:
        CorpusError: if it cannot be written.
    """
    flac = io.BytesIO()  # on a full disk, libsndfile may cut a file short without an error
    soundfile.write(flac, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(flac.getvalue())
    except OSError as error:
        raise CorpusError(
            f"{path}: cannot be written ({error.strerror}); free the disk or use another folder"
        ) from None


@dataclass(frozen=True)
class Speaker:
    """A synthetic voice.

    Attributes:
        id: name of the speaker.
        accent: one of ``espeak.ACCENTS``.
        variant: variant of espeak's voice.
        rate: words a minute.
        pitch: on espeak's scale, 0 to 99.
    """

    id: str
    accent: str
    variant: str
    rate: int
    pitch: int


@dataclass(frozen=True)
class SynthUtterance:
    """An utterance to be made.

    Attributes:
        id: name of the utterance, which begins with the speaker's.
        split: split that it belongs to.
        speaker: its speaker.
        text: its sentence.
        seed: seed of everything random about it.
    """

    id: str
    split: str
    speaker: Speaker
    text: str
    seed: tuple[int, ...]
