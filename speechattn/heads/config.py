"""Configurations of the heads that label whole sequences.

The key ``kind`` chooses one: ``label`` gives one label for each sequence, ``ctc`` and ``decoder``
give strings of any length.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, cast

from speechattn.checks import check, is_int
from speechattn.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

POOLINGS = ("attention", "mean")


class HeadShape:
    """Base of the configurations of heads; each is a frozen dataclass."""

    kind = ""  # without an annotation, which would make it a key of the configuration

    def to_dict(self) -> dict:
        """Return JSON values."""
        return asdict(cast("DataclassInstance", self))


@dataclass(frozen=True)
class LabelHead(HeadShape):
    """One label for each sequence; see :mod:`speechattn.heads.attention_decoder`.

    Attributes:
        pooling: ``"attention"`` or ``"mean"``.
        heads: number of heads of attention pooling. It must divide the encoder's width.
    """

    pooling: str = "attention"
    heads: int = 4
    kind: str = field(default="label", init=False)

    def __post_init__(self) -> None:
        choices = " or ".join(map(repr, POOLINGS))
        check("head.", self, ("pooling",), lambda v: v in POOLINGS, choices)
        check("head.", self, ("heads",), lambda v: is_int(v, 1), "a whole number from 1 on")


@dataclass(frozen=True)
class CtcHead(HeadShape):
    """A label or a blank for every vector; see :mod:`speechattn.heads.ctc`."""

    ctc_weight = 1.0
    kind: str = field(default="ctc", init=False)


@dataclass(frozen=True)
class DecoderHead(HeadShape):
    """A decoder of one label after another; see :mod:`speechattn.heads.attention_decoder`.

    Attributes:
        width: width of the decoder's state and of its label embeddings.
        attention: width of the vectors inside additive attention.
        kernel: size of the convolution over earlier attention weights, in vectors; an odd number.
        channels: number of channels of that convolution.
        dropout: dropout probability in training.
        ctc_weight: share of CTC in the loss (Kim et al., 2017); 0 for no CTC.
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
        check(
            *("head.", self, shares),
            lambda v: type(v) in (int, float) and 0 <= v < 1,
            "from 0 to below 1",
        )


AnyHead = LabelHead | CtcHead | DecoderHead


def check_head(head: AnyHead, width: int) -> None:
    """Raise a ConfigError if a head does not fit an encoder of this width."""
    if isinstance(head, LabelHead) and head.pooling == "attention" and width % head.heads:
        raise ConfigError(f"head.heads: {head.heads} do not divide encoder.width {width}")
