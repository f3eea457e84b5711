"""Which model a process of a batch loads, and how; what it needs for its recordings."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from speechattn.inference.warmup import compiled
from speechattn.machine import set_num_threads
from speechattn.process import environment

if TYPE_CHECKING:
    from speechattn.inference.recognizer import Recognizer


@dataclass(frozen=True)
class ModelSpec:
    """Which model a process loads, and how.

    Attributes:
        name: name or folder.
        device: as for :func:`speechattn.load_model`.
        threads: number that the encoder computes with on a CPU; 0 for as many as there are cores.
            The last bits of the results may depend on it.
        precision: as for :func:`speechattn.load_model`.
        window: as for :func:`speechattn.load_model`.
        lm_scale: as for :func:`speechattn.load_model`.
        reading: as for :func:`speechattn.load_model`.
        cores: that are free for this process. With one thread, an encoder that gains by more, and
            whose results do not depend on it, computes on all of them.
    """

    name: str
    device: str = "auto"
    threads: int = 1
    precision: str = "fp32"
    window: tuple[int, int] | None = None
    lm_scale: float | None = None
    reading: str = "words"
    cores: int = 1

    def load(self, *, to_decode: bool = False) -> tuple[Recognizer, dict[str, Any]]:
        """Load the model into this process and set its number of threads.

        Args:
            to_decode: whether its decoder will be used. Where functions are compiled first, its
                network of words, which is made once and kept, is then made meanwhile.

        Returns:
            The model, and what it computes on and in (``device``, ``precision``).
        """
        if "numpy" not in sys.modules:  # NumPy reads the variables when it is imported
            os.environ.update(environment(self.threads))
        with compiled() as compiling:
            if self.threads:
                set_num_threads(self.threads)
            from speechattn.inference.collector import SegmentCollector
            from speechattn.inference.recognizer import load_model

            recognizer = load_model(
                self.name,
                device=self.device,
                precision=self.precision,
                window=self.window,
                lm_scale=self.lm_scale,
                reading=self.reading,
            )
            recognizer.free_loaded_weights()
            if compiling and to_decode:
                SegmentCollector(recognizer.checkpoint)  # has the network made
            if self.threads == 1 and recognizer.gains_by_threads:
                set_num_threads(self.cores)
        return recognizer, {"device": str(recognizer.device), "precision": recognizer.precision}


class TaskSpec(Protocol):
    """What a process needs for the recordings of a batch; calling it loads the model.

    A frozen dataclass that can be pickled, such as
    :class:`~speechattn.transcription.transcriber.TranscriberSpec`.

    Attributes:
        model: which model.
    """

    @property
    def model(self) -> ModelSpec:
        """Which model."""
        ...

    def __call__(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return the function for a recording, and the facts of :meth:`ModelSpec.load`."""
        ...
