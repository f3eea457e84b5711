"""The files that come with the package are found, in a checkout and when installed."""

from __future__ import annotations

from pathlib import Path

import speechattn
from speechattn import files
from speechattn.files import resource
from speechattn.phones import arpabet


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
