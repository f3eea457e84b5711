"""What the machines of a cluster must have in common, and how a worker on one of them looks."""

from __future__ import annotations

import os
import pickle
import platform
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from speechattn.errors import SpeechattnError
from speechattn.inference.model_files import find_model, model_digest
from speechattn.transcription.run_record import LOCK
from speechattn.transcription.workers.worker import Do, Failed, Ready

_WAY_OUT = "all machines of the cluster need the same folders under the same paths"


@dataclass(frozen=True)
class Shared:
    """What a worker must see as its caller does.

    Attributes:
        folder: that relative paths begin at; the worker's current folder.
        inputs: files and folders.
        sample: one of the recordings, and its size in bytes.
        output_dir: of the results.
        model: name or folder.
        digest: of the model.
        torch: its version, on which the last bits of what comes out depend.
    """

    folder: str
    inputs: tuple[str, ...]
    sample: tuple[str, int] | None
    output_dir: str
    model: str
    digest: str
    torch: str

    def mark(self) -> str:
        """Leave a word in the output folder's lock file by which workers know it; gives the word.

        Words of earlier runs stay: other shards may be at work.

        Raises:
            OSError: if it cannot be written.
        """
        word = uuid.uuid4().hex
        folder = Path(self.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / LOCK, "a") as file:
            file.write(f"{word}\n")
        return word

    def look(self, word: str) -> None:
        """Look whether all is the same here.

        Raises:
            SpeechattnError: if something is not.
            ModelError: if the model is not there.
        """
        paths = (*self.inputs, self.output_dir, self.model)
        try:
            os.chdir(self.folder)
        except OSError:
            if not all(map(os.path.isabs, paths)):
                raise SpeechattnError(f"{self.folder}: {_not_there()}; {_WAY_OUT}") from None
        for path in self.inputs:
            if not os.path.exists(path):
                raise SpeechattnError(f"{path}: {_not_there()}; {_WAY_OUT}")
        if self.sample and _size(self.sample[0]) != self.sample[1]:
            raise SpeechattnError(f"{self.sample[0]}: {_another()}; {_WAY_OUT}")
        if word not in _words(Path(self.output_dir, LOCK)):
            raise SpeechattnError(f"{self.output_dir}: {_another()}; {_WAY_OUT}")
        if not os.access(self.output_dir, os.W_OK):
            raise SpeechattnError(
                f"{self.output_dir}: cannot be written on {platform.node()}; give its users there "
                "the right to"
            )
        if model_digest(find_model(self.model)) != self.digest:
            raise SpeechattnError(f"{self.model}: {_another()}; copy the model there")
        if (torch := _torch()) != self.torch:
            raise SpeechattnError(
                f"PyTorch on {platform.node()} is {torch} and here {self.torch}; install the same "
                "on all machines"
            )


def shared_by(
    inputs: Sequence[str | Path],
    sample: Path | None,
    output_dir: str | Path,
    model: str | Path,
    digest: str,
) -> Shared:
    """What this process sees.

    Args:
        inputs: files and folders, as they were given.
        sample: one of the recordings.
        output_dir: of the results.
        model: name or folder.
        digest: of the model.
    """
    size = _size(str(sample)) if sample else None
    return Shared(
        os.getcwd(),
        tuple(map(str, inputs)),
        None if size is None else (str(sample), size),
        str(output_dir),
        str(model),
        digest,
        _torch(),
    )


def begin(message: bytes) -> tuple[Do | None, bytes]:
    """What a worker does first: it looks and loads the model.

    Args:
        message: the pickled setup, what is shared or None, and its word.

    Returns:
        The function for tasks, and the pickled answer to the caller.
    """
    try:
        setup, shared, word = pickle.loads(message)
        if shared:
            shared.look(word)
        do, facts = setup()
    except SpeechattnError as error:
        return None, pickle.dumps(Failed(error))
    return do, pickle.dumps(Ready(facts))


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").split()
    except OSError:
        return []


def _torch() -> str:
    return metadata.version("torch").partition("+")[0]  # without what it was built for


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size
    except OSError:
        return None


def _not_there() -> str:
    return f"is not there on {platform.node()}"


def _another() -> str:
    return f"is another one on {platform.node()}, or none"
