"""Which recordings are transcribed, and into which files; decided before the first of them.

Every recording gets one file a format, in the folders that the recording has below the input
folder: ``rec/a/b.wav`` of the input ``rec`` gives ``DIR/a/b.TextGrid``. A recording that is itself
an input gives ``DIR/b.TextGrid``.
"""

from __future__ import annotations

import errno
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TypeAlias

from speechattn.errors import UsageError
from speechattn.options import RAW_SUFFIXES, RAW_WAY_OUT
from speechattn.text import one_line
from speechattn.transcription.formats.names import RecordingName, media_path
from speechattn.transcription.formats.registry import output_suffixes
from speechattn.transcription.remote import (
    UNREAD_SUFFIXES,
    MissingInputError,
    Remote,
    find_remote,
    is_url,
)

# The run's own files: no output may have the name of one.
_RESERVED = re.compile(r"run(-\d+-of-\d+)?\.json")
MOST_NAMED = 20  # recordings that a message names

# Below a minute of audio, one process is done before several have started.
SMALL_SECONDS = 60.0
_SMALL_BYTES = round(SMALL_SECONDS) * 192_000  # two channels of 16 bits at 48 kHz
_SMALL_COUNT = 64  # recordings whose headers are looked at
_REMOTE_BYTES = 16_000  # a second, of a recording that is not at hand

Input: TypeAlias = "str | Path | Remote"  # a file or folder, a URL, or one recording elsewhere


@dataclass(frozen=True)
class Recording:
    """One recording to transcribe.

    Attributes:
        path: of the recording, on this machine or behind a URL.
        file: its path below the input folder, parts separated by ``/``; its name if it is itself
            an input.
        outputs: file to write for each format and kind of posteriors.
        keep_suffix: whether outputs, and the utterance in them, are named after the whole file
            name.
        text: what is known about it, for a task that needs that; can be pickled.
        key: what else its outputs depend on, such as a digest of ``text``: a recording is done
            again where it differs.
    """

    path: Path | Remote
    file: str
    outputs: dict[str, Path]
    keep_suffix: bool = False
    text: object = None
    key: str = ""

    @property
    def name(self) -> RecordingName:
        """What its outputs call it."""
        media = None
        if self.outputs and isinstance(self.path, Path):
            media = media_path(self.path, next(iter(self.outputs.values())).parent)
        return RecordingName(self.file, keep_suffix=self.keep_suffix, media=media)


def collect(
    inputs: Sequence[Input],
    output_dir: str | Path,
    formats: Sequence[str],
    left_out: list[str] | None = None,
    *,
    keep_suffix: bool = False,
) -> list[Recording]:
    """Find the recordings and name their outputs, before anything is transcribed.

    A folder is searched with all its folders for names with an audio suffix, in sorted order.
    Hidden files and folders (such as the ``._a.wav`` of macOS archives) are left out. Links are
    followed, except to a folder that is being searched already. A file is taken whatever its
    name, also one that is not there, which then fails by name, as long as others are. A recording
    found twice under one output name is transcribed once.

    Args:
        inputs: audio files and folders, or URLs of such (:mod:`~speechattn.transcription.remote`).
        output_dir: folder for the outputs; need not exist.
        formats: kinds of the files of each recording; see
            :attr:`speechattn.transcription.outputs.OutputOptions.kinds`.
        left_out: list to which the recordings in folders are added whose names say that they are
            of a kind that is not read.
        keep_suffix: whether to name outputs after the whole file name, ``a.wav.TextGrid``.

    Raises:
        UsageError: if formats are unknown or cannot stand side by side; if there are no inputs; if
            none of them exists; if one is a folder that cannot be searched or holds no audio; if
            two recordings would be written to one output, or an output would replace a recording
            or what the run itself writes; if the output folder is a URL.
    """
    suffixes = output_suffixes(formats)
    if is_url(str(output_dir)):
        raise _usage_error(
            f"{output_dir}: outputs go to a folder, since a journal cannot be added to, nor a file "
            "be replaced in one step, behind a URL; write to a folder and copy it there"
        )
    if not inputs:
        raise UsageError("no input; give audio files or folders that hold some")
    found: dict[str, Recording] = {}
    for path, file in find_recordings(inputs, left_out):
        target = Path(output_dir, file)
        stem = target.name if keep_suffix else target.stem
        outputs = {kind: target.with_name(stem + end) for kind, end in suffixes.items()}
        recording = Recording(path, file, outputs, keep_suffix)
        first = found.setdefault(os.path.normcase(target.with_name(stem)), recording)
        if first.path != path and not _same_file(first.path, path):
            way_out = "give the folder above them as the input, or transcribe them into different "
            if os.path.normcase(first.file) != os.path.normcase(file):
                way_out = "add --keep-suffix to name outputs after the whole file name, or use two "
            raise _usage_error(
                f"{first.path} and {path} would both be written to {outputs[formats[0]]}; "
                f"{way_out}folders"
            )
    recordings = list(found.values())
    local = {os.path.realpath(each.path) for each in recordings if isinstance(each.path, Path)}
    owners: dict[str, Recording] = {}
    for recording in recordings:
        for output in recording.outputs.values():
            owner = owners.setdefault(os.path.normcase(output), recording)
            if owner is not recording:  # the words of a.wav, and a.words.wav
                raise _usage_error(
                    f"{owner.path} and {recording.path} would both be written to {output}; rename "
                    "one or use two folders"
                )
            if os.path.realpath(output) in local:
                raise _usage_error(
                    f"{output}: the output for {recording.path} would replace a recording; "
                    "choose another output folder"
                )
            if output.parent == Path(output_dir) and _RESERVED.fullmatch(output.name):
                raise _usage_error(
                    f"{output}: the output for {recording.path} would replace the run's own "
                    "record; "
                    "rename the recording or leave out this format"
                )
    return recordings


def find_recordings(
    inputs: Sequence[Input], left_out: list[str] | None = None
) -> Iterator[tuple[Path | Remote, str]]:
    """Yield the recordings of inputs, as :func:`collect` finds them, with their relative paths.

    Args:
        inputs: files, folders and URLs.
        left_out: as for :func:`collect`.

    Raises:
        UsageError: if no input exists, or one is a folder that cannot be searched or holds no
            audio.
    """
    found: list[tuple[Path | Remote, str]] = []
    missing: list[MissingInputError] = []
    for item in inputs:
        try:
            found += _recordings(item, [] if left_out is None else left_out)
        except MissingInputError as error:
            missing.append(error)
            found.append(error.recording)
    if len(missing) == 1 == len(inputs):
        raise missing[0]
    if missing and len(missing) == len(inputs):
        names = ", ".join(repr(str(each)) for each in inputs[:MOST_NAMED])
        more = len(inputs) - MOST_NAMED
        names += f" and {more} more" if more > 0 else ""
        raise _usage_error(f"none of the {len(inputs)} inputs exists: {names}; check their names")
    yield from found


def left_out_message(left_out: Sequence[str]) -> str:
    """Return one line that counts and names recordings that are not read, and says what to do.

    Args:
        left_out: their paths, at least one.
    """
    counts = Counter(PurePath(path).suffix.lower() for path in left_out)
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(counts.items()))
    names = ", ".join(left_out[:MOST_NAMED])
    more = len(left_out) - MOST_NAMED
    names += f" and {more} more" if more > 0 else ""
    from speechattn.audio.media import INSTALL, MEDIA_SUFFIXES, has_media

    ways_out = []
    if counts.keys() - {*RAW_SUFFIXES}:
        extra = not has_media() and not MEDIA_SUFFIXES.isdisjoint(counts)
        install = f"run `{INSTALL}` to read them, or " if extra else ""
        ways_out.append(f"{install}convert them to WAV or FLAC, for instance with ffmpeg")
    if not counts.keys().isdisjoint(RAW_SUFFIXES):
        ways_out.append(RAW_WAY_OUT)
    return one_line(
        f"left out: {len(left_out)} of kinds that are not read ({kinds}): {names}; "
        + "; ".join(ways_out)
    )


def _usage_error(message: str) -> UsageError:
    return UsageError(one_line(message))


def _recordings(item: Input, left_out: list[str]) -> Iterator[tuple[Path | Remote, str]]:
    """Yield the recordings of one input with their relative paths."""
    if isinstance(item, Remote):
        yield item, item.name
        return
    if is_url(item):
        yield from find_remote(str(item), _audio_suffixes(), left_out)
        return
    path = Path(item)
    try:
        os.stat(item)  # noqa: PTH116 - not of `path`: Path("") would be the current folder
    except OSError as error:
        message = f"{str(item)!r}: {error.strerror}; check the name of this input"
        if not str(item) or path.name in ("", "..") or error.errno == errno.ENAMETOOLONG:
            raise _usage_error(message) from error  # no file can be called so
        raise MissingInputError(message, (path, path.name)) from error
    if not os.path.isdir(path):  # noqa: PTH112 - false without permission, where Path raises
        yield path, path.name
        return
    found = False
    before = len(left_out)
    for recording in _search(path, (), left_out):
        found = True
        yield recording, recording.relative_to(path).as_posix()
    if not found:
        suffixes = " ".join(sorted(_audio_suffixes()))
        what = f"{path}: no audio in this folder; looked for names in {suffixes}"
        unread = left_out[before:]
        raise _usage_error(f"{what}; {left_out_message(unread)}" if unread else what)


def _search(
    folder: Path, ancestors: tuple[tuple[int, int], ...], left_out: list[str]
) -> Iterator[Path]:
    """Yield the audio files below a folder, sorted.

    Args:
        folder: that is searched.
        ancestors: device and inode of each folder above it.
        left_out: list to which recordings that are not read are added.
    """
    try:
        status = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        message = f"{folder}: cannot be searched ({error.strerror}); check its permissions"
        raise _usage_error(message) from error
    identity = (status.st_dev, status.st_ino)
    if identity in ancestors:  # a link that leads back up
        return
    suffixes = _audio_suffixes()
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = folder / entry.name
        # The entry knows a folder that cannot be entered; the path, what a link leads to.
        if entry.is_dir(follow_symlinks=False) or os.path.isdir(path):  # noqa: PTH112 - as above
            yield from _search(path, (*ancestors, identity), left_out)
        elif path.suffix.lower() in suffixes:
            # A link that leads nowhere is among them, so that it fails by name.
            yield path
        elif path.suffix.lower() in UNREAD_SUFFIXES:
            left_out.append(str(path))


def _audio_suffixes() -> frozenset[str]:
    # Imported here: it needs audio libraries, which `speechattn --help` does without.
    from speechattn.audio.load import audio_suffixes

    return audio_suffixes()


def _same_file(one: Path | Remote, other: Path | Remote) -> bool:
    if not (isinstance(one, Path) and isinstance(other, Path)):
        return one == other
    try:
        return one.samefile(other)
    except OSError:  # a link that leads nowhere
        return False


def input_state(path: Path | Remote) -> tuple[int, int] | None:
    """Return the size in bytes and the time of the last change of a recording, in nanoseconds.

    Of a recording behind a URL, a number that stands for its state takes the place of the time.
    None if they cannot be read.
    """
    if isinstance(path, Remote):
        try:
            return path.state()
        except (OSError, UsageError):  # it will fail by name
            return None
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def size_of(recording: Recording) -> int:
    """Return the bytes of a recording, 0 if unknown; behind a URL, when it was listed."""
    if isinstance(recording.path, Remote):
        return recording.path.size
    return (input_state(recording.path) or (0, 0))[0]


def is_small_job(recordings: Sequence[Recording]) -> bool:
    """Whether recordings are less than :data:`SMALL_SECONDS` long together, by their headers."""
    if len(recordings) > _SMALL_COUNT or sum(map(size_of, recordings)) > _SMALL_BYTES:
        return False
    seconds = 0.0
    for recording in recordings:
        seconds += _seconds_of(recording)
        if seconds >= SMALL_SECONDS:
            return False
    return True


def _seconds_of(recording: Recording) -> float:
    """Return what the header says of the length of a recording; 0 if it cannot be read."""
    import soundfile

    if isinstance(recording.path, Remote):
        return size_of(recording) / _REMOTE_BYTES
    try:
        if not recording.path.is_file():  # reading a pipe may never end
            return 0.0
        return soundfile.info(recording.path).duration
    except (OSError, RuntimeError, TypeError):  # it will fail by name
        return 0.0
