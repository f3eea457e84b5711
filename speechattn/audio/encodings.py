"""How samples are written without compression: whole numbers, floats, the laws of telephony."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Encoding:
    """How a sample is written.

    Attributes:
        dtype: of NumPy; ``"i3"`` and ``">i3"`` stand for 24 bits.
        law: ``"u"`` or ``"A"`` for a logarithmic law of telephony (ITU-T G.711), else ``""``.
    """

    dtype: str
    law: str = ""

    @property
    def width(self) -> int:
        """Bytes of a sample."""
        return int(self.dtype[-1])

    def decode(self, data: bytes) -> np.ndarray:
        """Return samples, full scale 1, shape (n,); ``data`` holds whole samples."""
        if self.law:
            return _law(self.law)[np.frombuffer(data, np.uint8)]
        if self.dtype.endswith("i3"):
            parts = np.frombuffer(data, np.uint8).reshape(-1, 3)
            if self.dtype[0] == ">":
                parts = parts[:, ::-1]
            wide = np.zeros((len(parts), 4), np.uint8)
            wide[:, 1:] = parts
            return wide.view("<i4")[:, 0] / 2.0**31
        samples = np.frombuffer(data, self.dtype)
        if samples.dtype.kind == "f":
            return samples.astype(np.float64)
        half = 2.0 ** (8 * self.width - 1)
        return (samples - (half if samples.dtype.kind == "u" else 0.0)) / half


ENCODINGS = {
    "s16le": Encoding("<i2"),
    "s16be": Encoding(">i2"),
    "u8": Encoding("u1"),
    "s24le": Encoding("i3"),
    "s32le": Encoding("<i4"),
    "f32le": Encoding("<f4"),
    "f64le": Encoding("<f8"),
    "mulaw": Encoding("u1", "u"),
    "alaw": Encoding("u1", "A"),
}


def _law(law: str) -> np.ndarray:
    """Return the 256 values of a law, full scale 1."""
    code = np.arange(256)
    if law == "u":
        code = ~code & 0xFF
        size = (((code & 15) << 3) + 132 << (code >> 4 & 7)) - 132
        return np.where(code & 0x80, -size, size) / 2.0**15
    code = code ^ 0x55
    exponent, mantissa = code >> 4 & 7, code & 15
    size = np.where(
        exponent > 0, (mantissa << 4) + 264 << np.maximum(exponent - 1, 0), (mantissa << 4) + 8
    )
    return np.where(code & 0x80, size, -size) / 2.0**15
