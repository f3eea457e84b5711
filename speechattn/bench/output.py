"""The folder that a benchmark writes its results to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from speechattn.errors import UsageError
from speechattn.files import atomic_write_text


def prepare_folder(folder: Path) -> None:
    """Make the folder of ``--output-dir`` if there is none, and check that it can be written to.

    Raises:
        UsageError: if it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = None if os.access(folder, os.W_OK) else "no permission to write"
    except OSError as error:
        reason = error.strerror
    if reason:
        raise UsageError(f"--output-dir {folder}: {reason}; choose another")


def write_files(folder: Path, contents: Mapping[str, str]) -> None:
    """Write text files into the folder of ``--output-dir``.

    Args:
        folder: that :func:`prepare_folder` has prepared.
        contents: file name → text.

    Raises:
        UsageError: if a file cannot be written.
    """
    for name, text in contents.items():
        try:
            atomic_write_text(folder / name, text)
        except OSError as error:
            raise UsageError(f"--output-dir {folder}: {error.strerror}; choose another") from None
