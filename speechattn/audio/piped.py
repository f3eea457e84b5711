"""The samples of what comes through a pipe, without the headers and other chunks around them.

A WAV may be followed by chunks of text or by another WAV, and the size in its header may be wrong.
What is done then is what :mod:`speechattn.audio.containers.riff` does with a file: samples go on
after a size that is too small, chunks are no sound, and recordings of one kind are read one after
the other.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from speechattn.audio.containers.base import LEAST_FORGOTTEN, SEARCHED_BYTES, SECOND_SOUND
from speechattn.audio.encodings import ENCODINGS
from speechattn.audio.raw import LONGEST_HEADER, StreamStart, read_wav
from speechattn.errors import AudioError

_WAVES = (b"RIFF", b"RF64", b"BW64")
_LONGEST_MARK = 16  # bytes by which a WAV is known in the midst of samples


class PipedSamples:
    """Reads the samples of a pipe.

    Attributes:
        warnings: what was found that may be wrong, each a part of a sentence.
        problem: why the samples end before those of the pipe; ``""`` if they do not.

    Args:
        read: returns the next bytes, as many as asked for unless the pipe ends before.
        start: what the pipe began with.
    """

    def __init__(self, read: Callable[[int], bytes], start: StreamStart) -> None:
        self.warnings: list[str] = []
        self.problem = ""
        self._read, self._header = read, start.header
        self._ahead = start.first  # bytes that have been read and belong to what comes
        self._recordings, self._ended = 0, False
        name, _, channels = start.header or ("u8", 0, 1)
        self._block = ENCODINGS[name].width * channels  # bytes that only count together
        self._begin(start)

    def read(self, count: int) -> bytes:
        """Return the next bytes of samples, ``count`` of them unless they end."""
        parts = b""
        while len(parts) < count and not self._ended:
            if self._left == 0:
                self._look_on()
                continue
            want = count - len(parts)
            data = self._take(want if self._left is None else min(want, self._left))
            if self._left is not None:
                self._left -= len(data)
            elif self._header is not None:
                data = self._until_wave(data)
            parts += data
            self._done += len(data)
            if not data and self._left != 0:
                self._ended = True
                if self._left:
                    self.problem = f"cut off: {self._left} bytes of the samples in its header lack"
        return parts

    def _begin(self, start: StreamStart) -> None:
        self._size, self._left, self._whole = start.length, start.length, start.whole
        if self._left is not None:
            self._left -= self._left % self._block
        self._done = 0  # bytes of this recording
        self._recordings += 1

    def _take(self, count: int) -> bytes:
        begin, self._ahead = self._ahead[:count], self._ahead[count:]
        return begin + self._read(count - len(begin)) if len(begin) < count else begin

    def _until_wave(self, data: bytes) -> bytes:
        """Return data up to a WAV in it, which is left for later."""
        tail = data[-_LONGEST_MARK:]
        if any(tail.find(b"RIFF"[:n], len(tail) - n) >= 0 for n in (1, 2, 3)) or b"RIFF" in tail:
            more = self._take(_LONGEST_MARK)
        else:
            more = b""
        both, at = data + more, -1
        while 0 <= (at := both.find(b"RIFF", at + 1)) < len(data):
            if both[at + 8 : at + 16] == b"WAVEfmt ":
                self._ahead, self._left = both[at:] + self._ahead, 0
                return data[: max(0, at - (self._done + at) % self._block)]
        self._ahead = more + self._ahead
        return data

    def _look_on(self) -> None:
        """Find out what follows the samples that the header counts."""
        if self._header is None:
            self._ended = True
            return
        part, is_first = b"", True  # of a block
        if self._size is not None and self._done < self._size:
            part = self._take(self._size - self._done)
            self.warnings.append(
                f"the header says {self._size} bytes of samples, which is no whole number of "
                f"{self._block} bytes"
            )
        if self._size is not None and self._size % 2:
            pad = self._take(1)
            if pad != b"\0":
                self._ahead = pad + self._ahead
        while True:
            head = self._take(8)
            if len(head) < 8:
                self._leave_out(head)
                return
            if head[:4] in _WAVES and (form := self._take(4)) == b"WAVE":
                self._begin_another(head + form)
                return
            if head[:4] in _WAVES:
                self._ahead = form + self._ahead
            name, size = struct.unpack("<4sI", head)
            if not all(32 <= byte < 127 for byte in name) or size > LONGEST_HEADER:
                break
            if name == b"data":
                self._stop(SECOND_SOUND)
                return
            content = self._take(size + size % 2)
            if len(content) < size:
                head += content
                break
            is_first = False
        self._ahead = head + self._ahead
        following = self._take(LEAST_FORGOTTEN)
        if len(following) < LEAST_FORGOTTEN or not is_first:
            self._leave_out(following)
            return
        self._ahead = part + following + self._ahead
        self.warnings.append(
            f"the header says {self._size} bytes of samples, but more follow; all are read"
        )
        rest = (self._whole or 0) - self._done
        self._size = self._done + rest if rest >= LEAST_FORGOTTEN else None
        self._left = None if self._size is None else rest - rest % self._block

    def _begin_another(self, head: bytes) -> None:
        try:
            start = read_wav(self._take, head)
        except AudioError as error:
            self._stop(f"a second recording {error}")
            return
        if start.header != self._header:
            kinds = ("{} samples, {} Hz, {} channels".format(*one) for one in (
                self._header or (), start.header or ()))  # fmt: skip
            self._stop(f"recordings of {' and of '.join(kinds)} follow each other; split them")
            return
        self._begin(start)
        if self._recordings == 2:
            self.warnings.append("several recordings follow each other; all are read")

    def _leave_out(self, data: bytes) -> None:
        """End before bytes that are no samples."""
        self._ended = True
        count, is_something = len(data), bool(data.strip(b"\0"))
        while data := self._take(SEARCHED_BYTES):
            count += len(data)
            is_something |= bool(data.strip(b"\0"))
        if is_something:
            self.warnings.append(
                f"{count} bytes follow what the header counts; if they are sound, it is left out"
            )

    def _stop(self, problem: str) -> None:
        self._ended, self.problem = True, problem
