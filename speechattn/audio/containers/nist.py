"""NIST SPHERE files, of corpora of speech: a header of text before the samples."""

from __future__ import annotations

import re

from speechattn.audio.containers.base import ANY, COPY_AGAIN, BoundedReader, Header
from speechattn.audio.containers.likeness import all_goes_on
from speechattn.audio.encodings import ENCODINGS, Encoding
from speechattn.errors import UNREADABLE


def check_nist(data: BoundedReader, start: int) -> Header:
    """Check a NIST SPHERE file: lines ``name -type value`` up to ``end_head``, in one block.

    Args:
        data: the file.
        start: position of the container in it.

    Raises:
        AudioError: if the file is damaged, cut off or compressed.
    """
    try:
        length = int(data.exactly(start + 8, 8))
    except ValueError:
        length = 0
    if not 16 < length <= 1 << 20 or length % 1024:
        raise data.error(f"a NIST SPHERE header of {length} bytes is damaged; {COPY_AGAIN}")
    fields = {}
    header = data.exactly(start, length)
    for line in header.decode("latin-1").split("\n")[2:]:
        words = line.split(None, 2)
        if words[:1] == ["end_head"]:
            break
        if len(words) == 3:
            fields[words[0]] = words[2].strip()
    coding = fields.get("sample_coding", "pcm")
    if "shorten" in coding or "wavpack" in coding or "shortpack" in coding:
        problem = f"NIST SPHERE with sample_coding {coding}; decompress it with sph2pipe"
        raise data.error(problem, UNREADABLE)
    values = []
    for key, default in (
        ("channel_count", "1"), ("sample_count", "None"), ("sample_n_bytes", "None"),
    ):  # fmt: skip
        text = fields.get(key, default)
        if not text.isascii() or not text.isdigit() or int(text) == 0:
            raise data.error(f"NIST SPHERE header with {key} {text}; convert it from its source")
        values.append(int(text))
    channels, frames, width = values
    begin, block = start + length, channels * width
    data.compare(frames * block, begin, block)
    end = begin + frames * block
    encoding = _encoding(coding, width, fields.get("sample_byte_format", ""))
    if all_goes_on(data, begin, end, encoding, channels):
        there = (data.size - begin) // block
        data.contradicts(
            f"{frames} samples", f"samples of the same kind go on to {there}; all are read"
        )
        frames = there
        count = re.compile(rb"^sample_count -i +\d+", re.MULTILINE)
        longer = count.sub(b"sample_count -i %d" % frames, header)
        data.patches[start] = longer[:length].ljust(length)
    else:
        data.check_end(end, block)
    return Header("NIST", frames, surplus=ANY)


def _encoding(coding: str, width: int, byte_format: str) -> Encoding | None:
    if coding in ("ulaw", "mu-law", "alaw"):
        return ENCODINGS["alaw" if coding == "alaw" else "mulaw"] if width == 1 else None
    if coding != "pcm" or width not in (1, 2, 3, 4):
        return None
    return Encoding(f"{'>' if byte_format.startswith('1') else '<'}i{width}")
