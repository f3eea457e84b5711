"""IMA ADPCM in the packets of Apple: how many channels their bytes are of.

A packet holds 64 samples of one channel: the state of the coder at its beginning, then a step of 4
bits for each sample. Packets of the channels take turns. The state at the end of a packet is that
at the beginning of the next one of the same channel, so that the packets tell how many there are.
"""

from __future__ import annotations

IMA_BYTES = 34  # of a packet
_STATE = 2  # bytes at its beginning; the lower 7 bits are the number of the size of the steps
_LARGEST = 88  # number of a size
_CHANGES = (-1, -1, -1, -1, 2, 4, 6, 8)  # of the number, by the lower 3 bits of a step
_MOST = 16  # channels that are tried


def ima_channels(data: bytes, channels: int) -> int | None:
    """Return the number of channels of packets where it is another than a header says.

    Args:
        data: packets from the beginning of the samples.
        channels: that the header says.

    Returns:
        The other number; None where the packets fit the header, or no number at all.
    """
    packets = [data[at : at + IMA_BYTES] for at in range(0, len(data) - IMA_BYTES + 1, IMA_BYTES)]
    begins = [packet[1] & 0x7F for packet in packets]
    ends = [_end(packet) for packet in packets]

    def fit(number: int) -> bool:
        return ends[:-number] == begins[number:]

    if len(packets) < 3 or fit(channels):
        return None
    return next((n for n in range(1, _MOST + 1) if 2 * n < len(packets) and fit(n)), None)


def _end(packet: bytes) -> int:
    """Return the number of the size of the steps behind the last sample of a packet."""
    number = min(packet[1] & 0x7F, _LARGEST)
    for byte in packet[_STATE:]:
        for step in (byte & 0x0F, byte >> 4):
            number = min(max(0, number + _CHANGES[step & 7]), _LARGEST)
    return number
