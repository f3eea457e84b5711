"""One long recording with one text, through ``speechattn align`` in a process of its own."""

from __future__ import annotations

import json
import math
import sys
import tempfile
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from speechattn.audio.load import AudioFile
from speechattn.bench.boundaries import Agreement
from speechattn.bench.process import pick_cores, run_process
from speechattn.bench.sounds import pcm16
from speechattn.errors import AudioError
from speechattn.segments import SAMPLE_RATE, Segment

MOST_SECONDS = 12 * 3600  # of 16-bit samples at 16 kHz, the file stays below the 4 GiB of a WAV
PIECE = 200  # words that are matched together


@dataclass(frozen=True)
class LongRecording:
    """Recordings one after the other, aligned as one.

    Attributes:
        minutes: its length.
        words: of its text.
        seconds: from the start of the process to its end, on one core.
        moved: share of the word boundaries more than 20 ms from where they lie in their own
            recording; NaN if there is none.
        bytes: most memory of the process and its descendants; None if unknown.
    """

    minutes: float
    words: int
    seconds: float
    moved: float
    bytes: int | None


def align_as_one(
    recordings: Sequence[tuple[Path, str, Sequence[Segment]]],
    model: str,
    lexicons: Sequence[str],
) -> LongRecording:
    """Align recordings as one, with their texts as one.

    Args:
        recordings: file, text, and words as they lie in the recording alone.
        model: name or folder.
        lexicons: as for ``speechattn align``.

    Raises:
        AudioError: if a recording cannot be read, or all of them are longer than 12 hours.
        SpeechattnError: if the alignment fails.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        audio, text, out = folder / "all.wav", folder / "all.txt", folder / "out"
        starts = join_audio([path for path, _, _ in recordings], audio)
        text.write_text("\n".join(each for _, each, _ in recordings) + "\n", "utf-8")
        command = [sys.executable, "-m", "speechattn", "align", str(audio), "--text", str(text)]
        command += ["--output-dir", str(out), "--format", "json", f"--model={model}"]
        command += ["--device=cpu", "--quiet", *(f"--lexicon={path}" for path in lexicons)]
        usage = run_process(command, pick_cores(1), "speechattn align")
        written = json.loads((out / "all.json").read_text("utf-8"))
    found = [Segment(word["label"], word["start"], word["end"]) for word in written["words"]]
    expected = [
        Segment(word.label, word.start + start, word.end + start)
        for (_, _, words), start in zip(recordings, starts)
        for word in words
    ]
    both = compare_in_order(found, expected)
    moved = 1 - both.within() if len(both.differences) else math.nan
    words = sum(len(each.split()) for _, each, _ in recordings)
    return LongRecording(starts[-1] / 60, words, usage.wall, moved, usage.sampled_peak)


def join_audio(paths: Sequence[Path], target: Path) -> list[float]:
    """Write recordings one after the other into a WAV file of 16 kHz, mono.

    Args:
        paths: recordings.
        target: the file.

    Returns:
        Where each begins, in seconds, and where the last ends.

    Raises:
        AudioError: if one cannot be read, or all of them are longer than 12 hours.
    """
    samples, starts = 0, [0.0]
    with wave.open(str(target), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        for path in paths:
            with AudioFile(path) as audio:
                for block in audio.blocks():
                    samples += len(block)
                    if samples > MOST_SECONDS * SAMPLE_RATE:
                        raise AudioError(
                            f"{path}: the recordings up to this one are longer than 12 hours; "
                            "give a smaller split"
                        )
                    file.writeframesraw(pcm16(block))
            starts.append(samples / SAMPLE_RATE)
    return starts


def compare_in_order(ours: Sequence[Segment], theirs: Sequence[Segment]) -> Agreement:
    """Compare words in pieces: matching all of an hour at once takes the square of their number.

    Args:
        ours: in the order of time.
        theirs: in the order of time.
    """
    both, place = Agreement(), 0
    for first in range(0, len(theirs), PIECE):
        part = theirs[first : first + PIECE]
        stop = place
        while stop < len(ours) and ours[stop].start < part[-1].end:
            stop += 1
        both.add(ours[place:stop], part)
        place = stop
    return both
