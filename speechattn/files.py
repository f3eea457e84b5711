"""Files and folders written whole or not at all.

What is written goes to a hidden temporary file in the folder of the target, is flushed to the
disk, and then takes the target's name in one step. Whoever looks at the target sees the old
content or the new one, never half of it, also after a crash or on a full disk. Many small files may
do without the flush, where somebody checks them after a power failure.

Where the files that come with the package are: the tables in ``data/`` and the ``recipes/``.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LONGEST_SUFFIX = 16  # characters of the target's suffix that the temporary name may repeat


_PACKAGE = Path(__file__).resolve().parent


def _temporary(path: Path) -> Path:
    """Create an empty file beside ``path`` with the permissions that the umask allows.

    Its name is short whatever the target's is (a name may have 255 bytes and no more), and keeps
    the suffix, from which some writers tell the format. It is the same every time, so that what a
    killed process left can be found; where one is there already, perhaps of another process that
    is writing, it is another name.
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
    """Where what will be ``path`` is written first, unless somebody is writing it already.

    For whoever knows that nobody is, to remove what a killed process left.
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
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
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


def replace_folder(new: str | Path, folder: str | Path) -> None:
    """Put the folder ``new`` in the place of ``folder``, which may be there or not.

    There is no one step that swaps folders: a crash between the two that it takes leaves the old
    one whole beside its place, as ``.<name>.<random>.old``.

    Args:
        new: complete, in the same parent folder; its name is gone afterwards.
        folder: the name it takes; what was there is removed.

    Raises:
        OSError: if it cannot be renamed; then ``folder`` is as it was, and ``new`` still there.
    """
    new, folder = Path(new), Path(folder)
    if not folder.exists():
        os.replace(new, folder)
        return
    old = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.old")
    os.replace(folder, old)
    try:
        os.replace(new, folder)
    except BaseException:
        os.replace(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def resource(kind: str, name: str) -> Path:
    """Path of a file that comes with the package.

    In a checkout ``data/`` and ``recipes/`` lie beside the package, and are found there by an
    editable installation too. In an installed wheel they lie inside the package, as ``_data`` and
    ``_recipes``, the names ``setup.cfg`` gives them; those come first.

    Args:
        kind: ``"data"`` or ``"recipes"``.
        name: file name, ``""`` for the folder itself.

    Returns:
        An absolute path; whether there is such a file is for the caller to find out.
    """
    installed = _PACKAGE / f"_{kind}"
    folder = installed if installed.is_dir() else _PACKAGE.parent / kind
    return folder / name
