"""Configurations of heads other than the frame classifier, and which values are possible.

``kind`` names one: ``label`` gives one label a sequence, ``ctc`` and ``decoder`` as many as they
decide.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from speechattn.checks import check, is_int
from speechattn.errors import ConfigError

POOLINGS = ("attention", "mean")


class HeadShape:
    """Base of the configurations of heads; each is a frozen dataclass."""

    kind = ""  # without a type, which would make a key of it

    def to_dict(self) -> dict:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class LabelHead(HeadShape):
    """One label a sequence; see :mod:`speechattn.studies.attention_decoder`.

    Attributes:
        pooling: ``"attention"`` or ``"mean"``.
        heads: of the attention; must divide the encoder's width.
    """

    pooling: str = "attention"
    heads: int = 4
    kind: str = field(default="label", init=False)

    def __post_init__(self) -> None:
        offered = " or ".join(map(repr, POOLINGS))
        check("head.", self, ("pooling",), lambda v: v in POOLINGS, offered)
        check("head.", self, ("heads",), lambda v: is_int(v, 1), "a whole number from 1 on")


@dataclass(frozen=True)
class CtcHead(HeadShape):
    """A label or none for every vector; see :mod:`speechattn.studies.ctc`."""

    ctc_weight = 1.0
    kind: str = field(default="ctc", init=False)


@dataclass(frozen=True)
class DecoderHead(HeadShape):
    """Labels one after the other; see :mod:`speechattn.studies.attention_decoder`.

    Attributes:
        width: width of the state of the decoder, and of the vectors of labels.
        attention: width of the additive scores.
        kernel: size of the convolution over earlier attention, in vectors, odd.
        channels: number of channels of that convolution.
        dropout: dropout probability in training.
        ctc_weight: share of CTC in the loss; 0 for none (Kim et al., 2017).
    """

    width: int = 192
    attention: int = 96
    kernel: int = 31
    channels: int = 8
    dropout: float = 0.2
    ctc_weight: float = 0.3
    kind: str = field(default="decoder", init=False)

    def __post_init__(self) -> None:
        counts = ("width", "attention", "channels", "kernel")
        check("head.", self, counts, lambda v: is_int(v, 1), "a whole number from 1 on")
        check("head.", self, ("kernel",), lambda v: v % 2 == 1, "an odd number")
        shares = ("dropout", "ctc_weight")
        check("head.", self, shares, lambda v: 0 <= v < 1, "from 0 to below 1")


AnyHead = LabelHead | CtcHead | DecoderHead


def check_head(head: AnyHead, width: int) -> None:
    """Raise a ConfigError if a head does not fit vectors of this width."""
    if isinstance(head, LabelHead) and head.pooling == "attention" and width % head.heads:
        raise ConfigError(f"head.heads: {head.heads} do not divide encoder.width {width}")
