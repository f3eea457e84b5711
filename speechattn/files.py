"""Files and folders written whole or not at all.

The content goes to a hidden temporary file in the folder of the target, is flushed to the disk,
and then takes the target's name in one step. A reader of the target sees the old content or the
new one, never half of it, also after a crash or on a full disk. Where a program checks its files
after a power failure, many small ones may do without the flush.

:func:`resource` finds the files that come with the package, in ``data/`` and ``recipes/``.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

_LONGEST_SUFFIX = 16  # characters of the target's suffix that the temporary name may repeat
_PACKAGE = Path(__file__).resolve().parent


def _temporary(path: Path) -> Path:
    """Create an empty file beside ``path`` with the permissions that the umask allows.

    Its name is short whatever the target's is (a name has at most 255 bytes), and keeps the
    suffix, from which some writers derive the format. The name is the same every time, so that the
    file of a killed process can be found. If there is such a file already, perhaps of another
    process that is writing, a random name is taken.
    """
    temporary = temporary_path(path)
    for _ in range(2):
        try:
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            return temporary
        except FileExistsError:
            temporary = temporary.with_name(f".{secrets.token_hex(8)}.tmp{temporary.suffix}")
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(temporary))


def temporary_path(path: str | Path) -> Path:
    """Return the temporary file of ``path``, unless another process is writing it already.

    A caller that knows there is no such process removes by this what a killed one left.
    """
    path = Path(path)
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    suffix = path.suffix
    return path.parent / f".{digest}.tmp{suffix if len(suffix) <= _LONGEST_SUFFIX else ''}"


@contextmanager
def atomic_path(path: str | Path, *, flush: bool = True) -> Iterator[Path]:
    """Give the path of a temporary file that becomes ``path`` when the block ends well.

    Folders that are missing are made. If the block raises anything, ``KeyboardInterrupt``
    included, the temporary file is removed and ``path`` stays as it was. A target that is a
    symbolic link is replaced, not what it points to.

    Args:
        path: the target.
        flush: bring the content to the disk before the name. That takes about 10 ms; without it
            a power failure may leave the new name on a file that is empty or not all there.

    Raises:
        OSError: if the file cannot be made, flushed or renamed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        yield temporary
        if flush:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def atomic_write_bytes(path: str | Path, data: bytes, *, flush: bool = True) -> None:
    """Write a file of bytes whole or not at all; see :func:`atomic_path`."""
    with atomic_path(path, flush=flush) as temporary:
        temporary.write_bytes(data)


def atomic_write_text(path: str | Path, text: str, *, flush: bool = True) -> None:
    """Write a UTF-8 file, line ends as they are, whole or not at all; see :func:`atomic_path`."""
    atomic_write_bytes(path, text.encode("utf-8"), flush=flush)


def write_all(file: io.FileIO, data: bytes) -> int:
    """Write all bytes into an unbuffered file, which may take them in pieces; return their number.

    Raises:
        OSError: if they cannot be written; some of them may have been.
    """
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
    return len(data)


def replace_folder(new: str | Path, folder: str | Path) -> None:
    """Put the folder ``new`` in the place of ``folder``, which may be there or not.

    It takes two steps: a crash between them leaves the old folder whole, as
    ``.<name>.<random>.old`` beside its former name.

    Args:
        new: complete, in the same parent folder; its name is gone afterwards.
        folder: the name it takes; what was there is removed.

    Raises:
        OSError: if it cannot be renamed; then ``folder`` is as it was, and ``new`` still there.
    """
    new, folder = Path(new), Path(folder)
    if not folder.exists():
        new.replace(folder)
        return
    old = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.old")
    folder.replace(old)
    try:
        new.replace(folder)
    except BaseException:
        old.replace(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def atomic_folder(folder: str | Path, *, shared: bool = False) -> Iterator[Path]:
    """Give a new folder that takes the place of ``folder`` when the block ends well.

    Folders above it that are missing are made. If the block raises anything, the new folder is
    removed and ``folder`` stays as it was; see :func:`replace_folder`.

    Args:
        folder: the target, which may be there or not.
        shared: whether other processes may be writing the same target. The new folder then has a
            random name; otherwise it is ``<folder>.partial``, and what a killed process left
            there is removed.

    Raises:
        OSError: if the folder cannot be made or renamed.
    """
    folder = Path(folder)
    name = f".{folder.name}.{secrets.token_hex(4)}" if shared else f"{folder.name}.partial"
    partial = folder.with_name(name)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        replace_folder(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def is_file(path: str | Path) -> bool:
    """Whether there is a file; False, where Path.is_file may raise, for an impossible name."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder; False for an impossible name."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def exists(path: str | Path) -> bool:
    """Whether there is anything of this name; False for an impossible one."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def path_list(paths: str | Path | Sequence[str | Path]) -> list[str | Path]:
    """Return paths as a list, one alone as a list of it; never the letters of a text."""
    single = isinstance(paths, (str, bytes, os.PathLike))
    return cast("list[str | Path]", [paths] if single else list(cast("Sequence", paths)))


def resource(kind: str, name: str) -> Path:
    """Return the path of a file that comes with the package.

    In a checkout, also when it is installed as editable, ``data/`` and ``recipes/`` lie beside the
    package. In an installed wheel they lie inside the package, as ``_data`` and ``_recipes``, the
    names that ``setup.cfg`` gives them; those come first.

    Args:
        kind: ``"data"`` or ``"recipes"``.
        name: file name, ``""`` for the folder itself.

    Returns:
        An absolute path. The file may not exist.
    """
    installed = _PACKAGE / f"_{kind}"
    folder = installed if installed.is_dir() else _PACKAGE.parent / kind
    return folder / name
