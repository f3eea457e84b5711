"""Lists of inputs: what they hold, and what ``run.json`` says of them."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest

from speechattn.errors import UsageError
from speechattn.transcription.lists import described, expanded, items_of, list_file


def expand(*items: str, standard_input: bytes = b"") -> list:
    with contextlib.ExitStack() as stack:
        return expanded(items, stack, lambda: io.BytesIO(standard_input))


def test_a_list_stands_for_what_is_in_it(tmp_path):
    path = tmp_path / "list"
    path.write_bytes(b"a.wav\n\nb c.wav\r\n")
    assert expand("x.wav", f"@{path}") == ["x.wav", "a.wav", "b c.wav"]
    assert expand("@-", standard_input=b"a\n.wav\0b.wav\0") == ["a\n.wav", "b.wav"]
    for empty in (b"", b"\n \n"):
        with pytest.raises(UsageError, match="@-: an empty list"):
            expand("@-", standard_input=empty)
    with pytest.raises(UsageError, match="given twice"):
        expand("-", "@-")


def test_lists_of_other_recordings_are_other_inputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "@file").touch()
    one, again, other = (
        described(["@-", "x.wav", "@file"], expand("@-", standard_input=data))
        for data in (b"a.wav\n", b"a.wav\0", b"b\xff.wav\n")
    )
    assert one == again and one[0].startswith("@- (sha256 ") and one[1:] == ["x.wav", "@file"]
    assert other[0] != one[0]


def test_the_file_of_a_list_is_found_by_its_name_in_the_record(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a list").write_bytes(b"x.wav\0y \xff.wav\0")
    (name,) = described(["@sub/a list"], expand("@sub/a list"))
    path = list_file(name)
    assert path == Path("sub/a list")
    assert items_of(path.read_bytes()) == ["x.wav", "y \udcff.wav"]
    assert list_file("@sub/a list") == path  # as earlier versions named it
    assert list_file("sub/@a.wav") is None and list_file("a (sha256 x)") is None
    assert list_file(described(["@-"], [])[0]) is None
