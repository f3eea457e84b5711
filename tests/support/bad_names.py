"""Names that break programs, and what is in a folder besides files: links, pipes, sockets."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from support.bad_headers import voice, wav

if TYPE_CHECKING:
    from support.bad_inputs import Maker

NAMES = (
    *("line\nfeed", "carriage\rreturn", "tab\there", "\x1b[31mred", "bell\a", "rtl\u202egpj"),
    *("emoji 🎤🗣", "ʃʒŋ", "e\u0301 in two", "é in one", "\u2028separator", "zero\u200bwidth"),
    *(" space before", "space after ", "two  spaces", "-dash", "--help", "~", "$HOME", "%s%n%d"),
    *("quote'", 'quote"', "back\\slash", "<&>]]>", "a*b?", "#hash", "semi;colon", "comma,"),
    *("one.two.three", "...dots", "nul", "x" * 200, "語" * 70, '"},{"file":"x'),
)
BYTES = (b"caf\xe9", b"\xff\xfe", b"\xed\xa0\x80surrogate", b"cut \xf0\x9f\x8e")


def add_names(maker: Maker) -> None:
    """Good recordings with names that break programs."""
    good = wav((voice() * 32767).astype("<i2").tobytes())
    for name in NAMES:
        if name.startswith("."):  # hidden files are not looked at
            name = "_" + name
        maker.file(f"names/{name}.wav", good, "ok", 0.5)
    for name in BYTES:
        maker.file(f"names/{os.fsdecode(name)}.wav", good, "ok", 0.5)
    maker.file("names/LOUD.WAV", good, "ok", 0.5)
    # 255 bytes are the most a name has; the output's suffix is longer than the recording's.
    maker.file(f"names/{'y' * 251}.wav", good, "error")
    maker.file(f"names/{'z' * 246}.wav", good, "ok", 0.5)
    deep = "/".join(["d" * 60] * 20)
    maker.file(f"{deep}/deep.wav", good, "ok", 0.5)


def add_kinds(maker: Maker) -> None:
    """Folders, links, pipes, sockets, devices."""
    good = wav((voice() * 32767).astype("<i2").tobytes())
    maker.file("kinds/folder.wav/inside.wav", good, "ok", 0.5)
    (maker.folder / "kinds" / "empty_folder.wav").mkdir()
    links = {"dangling.wav": "nowhere.wav", "self.wav": "self.wav", "a.wav": "b.wav"}
    links |= {"b.wav": "a.wav", "to_null.wav": "/dev/null", "to_zero.wav": "/dev/zero"}
    for name, target in links.items():
        maker.other(f"kinds/{name}", lambda path, to=target: path.symlink_to(to))
    maker.other("kinds/link.wav", lambda path: path.symlink_to("folder.wav/inside.wav"), "ok", 0.5)
    with suppress(OSError):  # folders in a circle: nothing is found there
        (maker.folder / "kinds" / "up").symlink_to("..", target_is_directory=True)
        (maker.folder / "kinds" / "round").symlink_to("around", target_is_directory=True)
        (maker.folder / "kinds" / "around").symlink_to("round", target_is_directory=True)
    maker.other("kinds/pipe.wav", lambda path: os.mkfifo(path))
    maker.other("kinds/socket.wav", _bind)
    maker.other("kinds/sparse.wav", lambda path: _sparse(path, b""))
    half = struct.pack("<I", 0xFFFFFFF0)
    claim = good[:40] + half  # 4 GB of samples, and none of them there
    maker.file("kinds/claims_4_gb.wav", claim, "error")


def _bind(path: Path) -> None:
    # The address of a socket may be no longer than about a hundred bytes: bound where it is short.
    with socket.socket(socket.AF_UNIX) as listener:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)


def _sparse(path: Path, head: bytes) -> None:
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(1 << 40)  # a terabyte that takes no room
