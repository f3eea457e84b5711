"""What the configuration of every kind of encoder says of it: how far it sees, and whether it streams."""

from __future__ import annotations

from dataclasses import asdict

from speechattn.errors import ConfigError
from speechattn.timing import SHIFT_MS

MOST_LAYERS = 1000  # more than anybody trains, few enough to be made


class EncoderShape:
    """Base of the configurations of encoders; each is a frozen dataclass and has :meth:`context`.

    Attributes:
        kind: name of the kind, as ``encoder.kind`` gives it.
        trained_length: 10 ms frames beyond which input is refused; None for no limit.
        stack: 10 ms frames that enter as one vector.
        any_window: least and most 10 ms frames to either side that it works with when told to.
        windows: ``(left, right)`` in 10 ms frames of every layer that has a window of its own.
    """

    # Without types, which would make keys of a configuration file of them.
    kind = ""
    stack = 1
    trained_length = None
    any_window = None
    windows = ()

    def context(self, side: int) -> int | None:
        """10 ms frames of past (``side`` 0) or future (1) that an output depends on; None for all."""
        raise NotImplementedError

    @property
    def look_ahead(self) -> int | None:
        """10 ms frames of future an output waits for, over all layers; None for no limit."""
        return self.context(1)

    @property
    def receptive_field_ms(self) -> float | None:
        """Milliseconds of frames an output depends on; None for no limit."""
        left, right = self.context(0), self.context(1)
        return None if left is None or right is None else (left + 1 + right) * SHIFT_MS

    @property
    def endless(self) -> str:
        """What makes an encoder without a limit to its look-ahead wait for the end, for messages."""
        return f"encoder.window: {self.windows} has a right side without limit (None)"

    def to_dict(self) -> dict:
        """As JSON values, for a checkpoint; attention is what has no ``kind`` in it."""
        return asdict(self)

    def _check_counts(self, *names: str) -> None:
        for name in names:
            if not is_whole(getattr(self, name), 1):
                raise ConfigError(
                    f"encoder.{name}: {getattr(self, name)!r}; a whole number from 1 on"
                )
            if name in ("blocks", "layers") and getattr(self, name) > MOST_LAYERS:
                raise ConfigError(
                    f"encoder.{name}: {getattr(self, name)}; at most {MOST_LAYERS}: it is damaged"
                )

    def _check_dropout(self) -> None:
        if type(self.dropout) not in (int, float) or not 0 <= self.dropout < 1:
            raise ConfigError(f"encoder.dropout: {self.dropout!r}; from 0 to below 1")

    @property
    def _stacked(self) -> str:
        return f" and a multiple of stack ({self.stack})" if self.stack > 1 else ""


def is_whole(value: object, least: int) -> bool:
    """Whether a value is a whole number, no bool, of at least ``least``."""
    return type(value) is int and value >= least


def tuples(value):
    """Lists, and lists within them, as tuples; anything else as it is."""
    return tuple(map(tuples, value)) if isinstance(value, (list, tuple)) else value
