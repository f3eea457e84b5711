"""Recordings behind a URL, such as ``s3://bucket/folder`` or ``zip://folder::archive.zip``.

Any URL works that `fsspec <https://filesystem-spec.readthedocs.io>`_ can list and read. A recording
is copied to a temporary file while it is transcribed, so the disk holds a few of them at a time.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from speechattn.errors import MISSING, NO_ACCESS, AudioError, UsageError
from speechattn.options import RAW_SUFFIXES
from speechattn.text import one_line

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|[A-Za-z][A-Za-z0-9+.-]+::")
# Facts about a file that differ after it has been changed, as various file systems call them.
_MARKS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated")
_MORE_MARKS = ("modified", "created", "generation", "CRC", "date_time")
# Suffixes of recordings that are not read, in lower case: they are named where a folder has some.
UNREAD_SUFFIXES = frozenset(
    RAW_SUFFIXES
    + (".m4a", ".m4b", ".aac", ".mp4", ".mov", ".3gp", ".3g2", ".amr", ".awb", ".webm", ".weba")
    + (".mkv", ".mka", ".avi", ".wma", ".wmv", ".asf", ".mp2", ".mpga", ".wv", ".ape", ".tta")
    + (".shn", ".ac3", ".dts", ".spx", ".voc", ".gsm", ".dss", ".ds2", ".ra", ".rm")
)
_LONGEST_NAME = 100  # characters; the name of a copy is the end of the recording's


def is_url(item: str | os.PathLike) -> bool:
    """Whether an input is a URL, and not a file that exists."""
    if not isinstance(item, str) or not _URL.match(item):
        return False
    return not os.path.exists(item)  # noqa: PTH110 - false without permission, where Path raises


@dataclass(frozen=True)
class Remote:
    """A recording behind a URL; used like its path.

    Attributes:
        url: the input that it was found in, for fsspec.
        path: its path in that file system.
        shown: its name in messages.
        size: in bytes, when it was listed.
        unsaid: what it is not warned of.
    """

    unsaid: ClassVar[re.Pattern[str] | None] = None

    url: str
    path: str
    shown: str
    size: int = field(compare=False, default=0)

    def __str__(self) -> str:
        return self.shown

    @property
    def name(self) -> str:
        """Its name, without folders."""
        return self.path.rpartition("/")[2]

    def state(self) -> tuple[int, int]:
        """Return the size in bytes, and a number that differs after the recording has changed.

        Raises:
            OSError: if they cannot be read.
            UsageError: if fsspec or what it needs is missing.
        """
        try:
            system, _ = _open(self.url)
            system.invalidate_cache()
            info = system.info(self.path)
        except (OSError, UsageError):
            raise
        except Exception as error:  # every file system has errors of its own
            raise OSError(f"{self}: {type(error).__name__}: {error}") from error
        known = [key for key in (*_MARKS, *_MORE_MARKS) if key in info]
        marks = repr([(key, str(info[key])) for key in known])
        return int(info.get("size") or 0), zlib.crc32(marks.encode())

    @contextlib.contextmanager
    def copied(self) -> Iterator[Path]:
        """Copy the recording to this machine, for the block.

        Raises:
            AudioError: if it does not exist or cannot be read.
            OSError: if it cannot be read, or there is no room for it.
            UsageError: if fsspec or what it needs is missing.
        """
        with tempfile.TemporaryDirectory(prefix="speechattn-") as folder:
            copy = Path(folder, self.name[-_LONGEST_NAME:])
            try:
                system, _ = _open(self.url)  # which opens archives
                system.get_file(self.path, str(copy))
            except FileNotFoundError:
                raise AudioError(f"{self}: not found; check the URL", MISSING) from None
            except (OSError, UsageError):
                raise
            except Exception as error:  # every file system has errors of its own
                message = f"{self}: cannot be read ({type(error).__name__}: {error}); try again"
                raise AudioError(message, NO_ACCESS) from error
            yield copy


class MissingInputError(UsageError):
    """An input that does not exist, or cannot be reached.

    Attributes:
        recording: what stands for it in a batch, where it fails by name: its path, and the name of
            its outputs.
    """

    def __init__(self, message: str, recording: tuple[Path | Remote, str]) -> None:
        super().__init__(message)
        self.recording = recording


def find_remote(
    url: str, suffixes: frozenset[str], left_out: list[str]
) -> Iterator[tuple[Remote, str]]:
    """Yield the recordings behind a URL with their relative paths, as for a local input.

    Args:
        url: of a file, or of a folder that is searched with all its folders.
        suffixes: lower-case suffixes of the names that are taken from a folder.
        left_out: list to which recordings that are not read are added.

    Raises:
        MissingInputError: if there is nothing at this URL.
        UsageError: if fsspec or what it needs is missing, or nothing is found.
    """
    root = url.partition("::")[0].rpartition("/")[2]
    try:
        system, root = _open(url)
        single = system.info(root) if system.isfile(root) else None
        found = system.find(root, detail=True) if single is None else {}
        if not found and single is None and not system.exists(root):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), url)
    except UsageError:
        raise
    except FileNotFoundError as error:
        message, remote = f"{url}: not found; check the URL", Remote(url, root.rstrip("/"), url)
        if remote.name in ("", ".", ".."):
            raise UsageError(message) from error
        raise MissingInputError(message, (remote, remote.name)) from error
    except Exception as error:  # every file system has errors of its own
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise UsageError(
            one_line(f"{url}: cannot be searched ({reason}); check the URL")
        ) from error
    if single is not None:
        name = root.rstrip("/").rpartition("/")[2]
        yield Remote(url, root, url, int(single.get("size") or 0)), name
        return
    head, chain, rest = url.partition("::")
    prefix = root.rstrip("/") + "/" if root.rstrip("/") else ""
    known = {}
    for path, info in found.items():
        file = path[len(prefix) :] if path.startswith(prefix) else path.lstrip("/")
        hidden = any(part.startswith(".") for part in file.split("/"))
        suffix = PurePosixPath(file).suffix.lower()
        if hidden or suffix not in suffixes | UNREAD_SUFFIXES:
            continue
        shown = f"{head.rstrip('/')}/{file}{chain}{rest}"
        if suffix not in suffixes:
            left_out.append(shown)
        else:
            known[file] = Remote(url, path, shown, int(info.get("size") or 0))
    if not known:
        looked = " ".join(sorted(suffixes))
        raise UsageError(one_line(f"{url}: no audio there; looked for names in {looked}"))
    for file in sorted(known, key=lambda name: name.split("/")):
        if ".." in file.split("/"):
            raise UsageError(one_line(f"{url}: {file} leads out of the folder; rename it"))
        yield known[file], file


def _open(url: str) -> tuple[Any, str]:
    """Return the file system of fsspec and the path of a URL."""
    try:
        import fsspec
    except ImportError:
        raise UsageError(
            one_line(f"{url}: a URL needs fsspec; run `pip install 'speechattn[fsspec]'`")
        ) from None
    try:
        return fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:  # no such protocol, or its package is missing
        way_out = "install it beside speechattn"
        if url.startswith(("http://", "https://")):
            way_out = "run `pip install 'speechattn[fsspec]'`"
        raise UsageError(one_line(f"{url}: {error}; {way_out}")) from error
