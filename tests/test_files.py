"""Files appear whole or not at all, and what was there before survives every failure."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import speechattn
from speechattn import files
from speechattn.files import (
    atomic_folder,
    atomic_path,
    atomic_write_bytes,
    atomic_write_text,
    exists,
    is_file,
    is_folder,
    replace_folder,
    resource,
    temporary_path,
)
from speechattn.phones import arpabet


def names(folder) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_file_takes_its_name_when_it_is_complete(tmp_path):
    target = tmp_path / "new" / "folder" / "a.txt"
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent and temporary.suffix == ".txt"
        assert temporary.name.startswith(".") and not target.exists()
        temporary.write_text("done")
        assert not target.exists()
    assert target.read_text() == "done" and names(target.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(error), atomic_path(target) as temporary:
        temporary.write_text("half of the ne")
        raise error
    assert target.read_text() == "old" and names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(("owner", "step"), [(os, "fsync"), (Path, "replace")])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, owner, step):
    def fail(*_):
        raise OSError(28, "No space left on device")

    target = tmp_path / "a.txt"
    target.write_text("old")
    monkeypatch.setattr(owner, step, fail)
    with pytest.raises(OSError, match="No space left"):
        atomic_write_text(target, "new")
    assert target.read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_the_content_is_on_the_disk_before_the_name(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("fsync"), fsync(fd)))
    monkeypatch.setattr(Path, "replace", lambda a, b: (order.append("replace"), replace(a, b)))
    atomic_write_bytes(tmp_path / "a", b"x")
    assert order == ["fsync", "replace"]
    atomic_write_text(tmp_path / "b", "x", flush=False)  # unless it need not be
    assert order == ["fsync", "replace", "replace"] and names(tmp_path) == ["a", "b"]


def test_a_folder_in_the_way_is_an_error_and_stays(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError):
        atomic_write_text(tmp_path / "a", "x")
    assert names(tmp_path) == ["a"] and (tmp_path / "a").is_dir()


def test_long_names_fit(tmp_path):
    for name in ("n" * 251 + ".txt", "a." + "s" * 253):
        atomic_write_text(tmp_path / name, "x")
        assert (tmp_path / name).read_text() == "x"


@pytest.mark.skipif(os.name == "nt", reason="permissions and links are POSIX's here")
def test_permissions_follow_the_umask_and_links_are_replaced(tmp_path):
    old = os.umask(0o027)
    try:
        atomic_write_text(tmp_path / "a", "x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    (tmp_path / "link").symlink_to(tmp_path / "a")
    atomic_write_text(tmp_path / "link", "y")
    assert not (tmp_path / "link").is_symlink()
    assert [(tmp_path / n).read_text() for n in ("a", "link")] == ["x", "y"]


@given(text=st.text(), data=st.binary())
def test_text_and_bytes_are_written_as_they_are(tmp_path_factory, text, data):
    folder = tmp_path_factory.getbasetemp() / "as_they_are"
    try:
        encoded = text.encode("utf-8")
    except UnicodeEncodeError:
        with pytest.raises(UnicodeEncodeError):
            atomic_write_text(folder / "t", text)
    else:
        atomic_write_text(folder / "t", text)
        assert (folder / "t").read_bytes() == encoded
    atomic_write_bytes(folder / "b", data)
    assert (folder / "b").read_bytes() == data
    assert set(names(folder)) <= {"b", "t"}


@pytest.mark.parametrize("name", ["a.ctm", "a", ".a", "a.", "\udce9.csv", "x" * 251 + ".txt"])
def test_what_a_killed_process_leaves_can_be_found(tmp_path, name):
    path = tmp_path / name
    with atomic_path(path) as temporary:
        assert temporary == temporary_path(path) != path
        assert temporary.name.endswith(f".tmp{path.suffix}") and len(temporary.name) < 50
    assert temporary_path(tmp_path / "other") != temporary


def test_two_who_write_one_file_do_not_meet(tmp_path):
    with atomic_path(tmp_path / "a.txt") as one, atomic_path(tmp_path / "a.txt") as other:
        one.write_text("one")
        other.write_text("other")
        assert one != other
    assert (tmp_path / "a.txt").read_text() == "one" and names(tmp_path) == ["a.txt"]


def make_folder(folder, **files):
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_takes_the_place_of_another(tmp_path, there):
    if there:
        make_folder(tmp_path / "a", old="old", both="old")
    replace_folder(make_folder(tmp_path / "new", both="new"), tmp_path / "a")
    assert names(tmp_path) == ["a"] and names(tmp_path / "a") == ["both"]
    assert (tmp_path / "a" / "both").read_text() == "new"


@pytest.mark.parametrize("shared", [False, True])
def test_a_folder_takes_its_place_when_it_is_complete(tmp_path, shared):
    target = tmp_path / "b" / "a"
    make_folder(tmp_path / "b").joinpath("a.partial").mkdir()
    (tmp_path / "b" / "a.partial" / "left").write_text("by a killed process")
    for text in ("old", "new"):
        with atomic_folder(target, shared=shared) as folder:
            assert folder.parent == target.parent and not list(folder.iterdir())
            assert (folder.name == "a.partial") != shared
            (folder / "x").write_text(text)
        assert (target / "x").read_text() == text
    with pytest.raises(KeyboardInterrupt), atomic_folder(target, shared=shared) as folder:
        (folder / "x").write_text("half")
        raise KeyboardInterrupt
    assert (target / "x").read_text() == "new"
    assert names(tmp_path / "b") == (["a", "a.partial"] if shared else ["a"])


@pytest.mark.parametrize("error", [OSError(13, "Permission denied"), KeyboardInterrupt()])
def test_a_folder_that_cannot_be_replaced_stays(tmp_path, monkeypatch, error):
    old, new = make_folder(tmp_path / "a", x="old"), make_folder(tmp_path / "new", x="new")
    replace = Path.replace

    def failing(source, target):
        if source == new:
            raise error
        replace(source, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(type(error)):
        replace_folder(new, old)
    assert (old / "x").read_text() == "old" and (new / "x").read_text() == "new"
    assert names(tmp_path) == ["a", "new"]


def test_a_crash_between_the_two_steps_leaves_the_old_folder_beside_its_place(
    tmp_path, monkeypatch
):
    old, new = make_folder(tmp_path / "a", x="old"), make_folder(tmp_path / "new", x="new")
    replace, done = Path.replace, []

    def crashing(source, target):
        if done:  # a power cut: nothing is put back
            raise SystemExit
        done.append(source)
        replace(source, target)

    monkeypatch.setattr(Path, "replace", crashing)
    with pytest.raises(SystemExit):
        replace_folder(new, old)
    (backup,) = tmp_path.glob(".a.*.old")
    assert (backup / "x").read_text() == "old" and (new / "x").read_text() == "new"


def test_the_tables_and_recipes_are_there_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind, name in (("data", "phones.tsv"), ("recipes", "english.yaml")):
        path = resource(kind, name)
        assert path.is_absolute() and path.is_file() and path.name == name
    assert len(arpabet()) == 40


def test_no_name_is_the_folder_itself():
    assert resource("recipes", "").is_dir()
    assert resource("recipes", "") / "x.yaml" == resource("recipes", "x.yaml")


def test_a_checkout_has_them_beside_the_package_and_an_installation_inside(tmp_path, monkeypatch):
    package = tmp_path / "site" / "speechattn"
    package.mkdir(parents=True)
    monkeypatch.setattr(files, "_PACKAGE", package)
    assert resource("data", "x") == tmp_path / "site" / "data" / "x"
    (package / "_data").mkdir()
    assert resource("data", "x") == package / "_data" / "x"
    assert resource("recipes", "x") == tmp_path / "site" / "recipes" / "x"  # kind by kind


def test_they_are_looked_for_where_the_package_is():
    package = Path(speechattn.__file__).resolve().parent
    assert resource("data", "x").parent in (package.parent / "data", package / "_data")


def test_a_name_that_no_file_can_have_is_none(tmp_path):
    (tmp_path / "a").write_text("")
    for ask, found in ((is_file, [True, False]), (is_folder, [False, True]), (exists, [True] * 2)):
        assert [ask(tmp_path / "a"), ask(str(tmp_path))] == found
        for name in ("gone", "a" * 300, "a\0b", "a/b"):
            assert not ask(tmp_path / name), name
