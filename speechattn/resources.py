"""Where the files that come with the package are: the tables in ``data/`` and the ``recipes/``."""

from __future__ import annotations

from pathlib import Path

DEFAULT_MODEL = "english"  # of those that come with the package
STREAMING_MODEL = "english_streaming"  # the one that hardly waits for what follows
_PACKAGE = Path(__file__).resolve().parent


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
