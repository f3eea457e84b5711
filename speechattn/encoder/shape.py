"""The base of the configurations of all kinds of encoders.

Configurations compute how far an encoder sees and whether it can stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

from speechattn.checks import is_int
from speechattn.errors import ConfigError
from speechattn.segments import SHIFT_MS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

CLAMP = 6.0  # standard deviations; digital silence lies far below all training speech
MAX_ROWS = 1024  # at once; with more, the data between two products leaves the cache
MAX_LAYERS = 1000  # more than anybody trains, few enough to be made


class EncoderShape:
    """Base of the configurations of encoders; each is a frozen dataclass and has :meth:`context`.

    Attributes:
        kind: name of the kind, the value of ``encoder.kind``.
        width: width of the vectors that the encoder gives.
        dropout: dropout probability in training.
        stack: number of 10 ms frames that enter as one vector.
        trained_length: number of 10 ms frames beyond which input is refused; None for no limit.
        any_window: least and most 10 ms frames to either side for which it was trained; None for a
            model of one window.
        windows: ``(left, right)`` in 10 ms frames of every layer that has a window of its own.
    """

    if TYPE_CHECKING:  # at run time, annotations would become keys of a configuration file
        kind: str
        width: int
        dropout: float
        stack: int
        trained_length: int | None
        any_window: tuple | None

    kind = ""
    stack = 1
    trained_length = None
    any_window = None

    @property
    def windows(self) -> Sequence[tuple[int | None, int | None]]:
        """``(left, right)`` in 10 ms frames of every layer that has a window of its own."""
        return ()

    def context(self, side: int) -> int | None:
        """Return how many 10 ms frames of past (``side`` 0) or future (1) an output waits for.

        None if it is all of them. An output depends on no others. It depends on all of these, but
        for a convolution that subsamples: of the last vector that it waits for, it sees one frame.
        """
        raise NotImplementedError

    def check_window(self, window: tuple[int, int]) -> None:
        """Check that the encoder was trained for a window.

        Args:
            window: left and right, in 10 ms frames.

        Raises:
            ConfigError: if it was not; the message says what to do.
        """
        left, right = window_sides(window)
        raise ConfigError(
            f"window {left}/{right}: this model's encoder is of kind {self.kind!r}, without one"
        )

    @property
    def look_ahead(self) -> int | None:
        """Number of 10 ms frames of future that an output waits for; None for no limit."""
        return self.context(1)

    @property
    def receptive_field_ms(self) -> float | None:
        """Milliseconds of frames that an output waits for, see :meth:`context`; None: no limit."""
        left, right = self.context(0), self.context(1)
        return None if left is None or right is None else (left + 1 + right) * SHIFT_MS

    @property
    def endless(self) -> str:
        """Why an encoder without limit to its look-ahead waits for the end, for messages."""
        return f"encoder.window: {self.windows} has a right side without limit (None)"

    def to_dict(self) -> dict:
        """Return JSON values for a checkpoint; the kind ``attention`` has no ``kind`` in it."""
        return asdict(cast("DataclassInstance", self))

    def _check_counts(self, *names: str) -> None:
        for name in names:
            if not is_int(getattr(self, name), 1):
                raise ConfigError(
                    f"encoder.{name}: {getattr(self, name)!r}; a whole number from 1 on"
                )
            if name in ("blocks", "layers") and getattr(self, name) > MAX_LAYERS:
                raise ConfigError(
                    f"encoder.{name}: {getattr(self, name)}; at most {MAX_LAYERS}: it is damaged"
                )

    def _check_dropout(self) -> None:
        if type(self.dropout) not in (int, float) or not 0 <= self.dropout < 1:
            raise ConfigError(f"encoder.dropout: {self.dropout!r}; from 0 to below 1")

    @property
    def _stacked(self) -> str:
        return f" and a multiple of stack ({self.stack})" if self.stack > 1 else ""


def window_sides(window: object) -> tuple[int, int]:
    """Return left and right of a window in 10 ms frames.

    Raises:
        ConfigError: if it is no pair of whole numbers.
    """
    pair = window if isinstance(window, (tuple, list)) and len(window) == 2 else ()
    sides = tuple(side for side in pair if type(side) is int)
    if len(sides) != 2:
        raise ConfigError(
            f"window: {window!r}; (left, right), whole numbers of 10 ms frames, such as (32, 4)"
        )
    return sides


def together(rows: Sequence[int]) -> Iterator[slice]:
    """Yield which recordings in a row go through an encoder together: up to ``MAX_ROWS`` rows.

    Args:
        rows: of each recording; a longer one goes alone.
    """
    begin = 0
    while begin < len(rows):
        end = begin + 1
        while end < len(rows) and sum(rows[begin : end + 1]) <= MAX_ROWS:
            end += 1
        yield slice(begin, end)
        begin = end
