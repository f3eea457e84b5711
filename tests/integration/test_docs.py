"""The documents agree with the program: examples run, commands parse, names and links exist."""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import importlib
import importlib.util
import io
import re
import shlex
import typing
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from support.commands import make_corpus
from support.models import save_sure_model
from support.spoken import RATE, speech

import speechattn
from speechattn.cli.main import build_parser, parse_arguments
from speechattn.training.config import RecipeConfig
from speechattn.training.recipe_file import read_config

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SECTIONS = ("encoder", "training", "augmentation", "decoding", "front_end", "synth")
OFFERING = ("attention", "audio", "corpora", "decoder", "encoder", "evaluation", "training")
# Options in the documents that belong to other programs.
FOREIGN_OPTIONS = {"--strict", "--check"}


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced code blocks of a page in one language."""
    return [code for name, code in FENCE.findall(page.read_text("utf-8")) if name == language]


def code_lines(page: Path) -> Iterator[str]:
    """Yield the lines of indented code blocks and of fenced ones that are no Python or YAML."""
    text = page.read_text("utf-8")
    for language, code in FENCE.findall(text):
        if language not in ("python", "yaml"):
            yield from code.splitlines()
    for line in FENCE.sub("", text).splitlines():
        if line.startswith("    "):
            yield line.strip()


def commands(page: Path, program: str) -> list[list[str]]:
    """Return the arguments of every call of a program that a page shows."""
    found = []
    for line in code_lines(page):
        for part in re.split(r"&&|\|", line.partition(" #")[0].removeprefix("$ ")):
            words = part.split()
            if words[: len(program.split())] == program.split():
                found.append(shlex.split(part)[len(program.split()) :])
    return found


def pages_with(find: typing.Callable[[Path], object]) -> list:
    """Return the pages in which something is found, as parameters of a test."""
    return [pytest.param(page, id=page.stem) for page in PAGES if find(page)]


def write_recordings(folder: Path) -> None:
    """Write what the examples use: ``a.wav``, the folder ``recordings``, the corpus ``mine``."""
    random = np.random.default_rng(0)
    said = soxr.resample(speech(), RATE, 22_050)  # of docs/align.md
    soundfile.write(folder / "a.wav", np.stack([said, said], 1), 22_050, subtype="FLOAT")
    (folder / "recordings").mkdir()
    for name in ("b", "c"):
        noise = 0.1 * random.standard_normal(8000)
        soundfile.write(folder / "recordings" / f"{name}.wav", noise, 16_000)
    corpus = make_corpus(folder / "corpora" / "mine", {"u1": [("SIL", 20), ("AA", 30), ("B", 20)]})
    (corpus / "splits").mkdir()
    (corpus / "splits" / "train").write_text("u1\n")


@pytest.mark.parametrize("page", pages_with(lambda page: blocks(page, "python")))
def test_python_examples_run(page, tmp_path, monkeypatch):
    """All Python of a page, one block after the other, with the models of the package."""
    write_recordings(tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for number, code in enumerate(blocks(page, "python"), 1):
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(code, f"{page.name}, example {number}", "exec"), names)


def test_streaming_example_prints_the_transcription(tmp_path, monkeypatch, tiny_model_dir, capsys):
    """What the example of streaming prints is what the whole recording gives."""
    (code,) = [code for code in blocks(DOCS / "stream.md", "python") if "push" in code]
    model = save_sure_model(tiny_model_dir, tmp_path / "model")
    code = code.replace('"english_streaming"', repr(str(model)))
    assert repr(str(model)) in code
    write_recordings(tmp_path)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    phones = speechattn.load_model(model, "cpu").transcribe(tmp_path / "a.wav").phones
    assert len(phones) > 3
    assert capsys.readouterr().out.splitlines() == [
        f"{p.start:.2f} {p.end:.2f} {p.label} {p.confidence:.2f}" for p in phones
    ]


@pytest.mark.parametrize("page", pages_with(lambda page: blocks(page, "yaml")))
def test_recipes_are_read(page, tmp_path):
    """Every YAML block is a recipe whose keys and values are possible."""
    for number, text in enumerate(blocks(page, "yaml")):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text, encoding="utf-8")
        assert isinstance(read_config(path), RecipeConfig)


@pytest.mark.parametrize("page", pages_with(lambda page: commands(page, "speechattn")))
def test_commands_parse(page):
    """Every call of ``speechattn`` has arguments that the program takes."""
    for arguments in commands(page, "speechattn"):
        assert parse_arguments(arguments).run


RECIPE = "python -m speechattn.recipe"


@pytest.mark.parametrize("page", pages_with(lambda page: commands(page, RECIPE)))
def test_recipe_commands_are_read(page, tmp_path):
    """Every call of the recipe names a recipe of the package, or a file, and keys that exist."""
    recipe = tmp_path / "my.yaml"
    recipe.write_text("train: [c/train]\ndev: [c/dev]\ntest: [c/test]\n")
    for source, *rest in (arguments or ["default"] for arguments in commands(page, RECIPE)):
        overrides = [word for word in rest if word.partition("=")[0] not in ("stages", "force")]
        assert all("=" in word for word in rest)
        packaged = ROOT / "recipes" / f"{source}.yaml"
        assert source.endswith(".yaml") or packaged.is_file()
        if not (packaged.is_file() and "task:" in packaged.read_text("utf-8")):
            read_config(packaged if packaged.is_file() else recipe, overrides)


def all_options(parser: argparse.ArgumentParser) -> set[str]:
    """Return the options of a parser and of all its commands."""
    options = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            options = options.union(*map(all_options, action.choices.values()))
    return options


@pytest.mark.parametrize("page", pages_with(lambda page: "`--" in page.read_text("utf-8")))
def test_options_exist(page):
    """Every option that the text names exists."""
    named = set(re.findall(r"`(--[a-z][a-z-]*)", page.read_text("utf-8")))
    assert named - FOREIGN_OPTIONS <= all_options(build_parser())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_recipe_keys_exist(page):
    """Every ``section.key`` that the text names exists in some kind of the section."""
    hints = typing.get_type_hints(RecipeConfig)
    for section, key in re.findall(rf"`({'|'.join(SECTIONS)})\.(\w+)", page.read_text("utf-8")):
        kinds = [
            k for k in typing.get_args(hints[section]) or [hints[section]] if k is not type(None)
        ]
        keys = {field.name for kind in kinds for field in dataclasses.fields(kind)}
        assert key in keys or key == "py", f"{section}.{key}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_files(page):
    """Links to files of the repository lead somewhere."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" not in target and not target.startswith("#"):
            assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize(
    "page, folder",
    [("architecture", ""), ("kernels", "attention/kernels"), ("decoder", "decoder")],
)
def test_modules_exist(page, folder):
    """Every module that a page about the code names exists: a bare name below its folder."""
    text = (DOCS / f"{page}.md").read_text("utf-8").replace("`speechattn/", "`")
    package = ROOT / "speechattn"
    for name in re.findall(r"`([a-z0-9_/]+\.py)`", text):
        below = [path.as_posix() for path in (package / folder).rglob("*.py")]
        exists = (package / name).is_file() or (ROOT / name).is_file()
        assert exists or any(path.endswith(f"/{name}") for path in below), name


def test_api_page_lists_what_exists():
    """Every name of the page of the Python API can be imported, and has a docstring."""
    listed = re.findall(r"^::: ([\w.]+)$", (DOCS / "api.md").read_text("utf-8"), re.MULTILINE)
    assert len(listed) > 30
    for name in listed:
        module, _, attribute = name.rpartition(".")
        assert getattr(importlib.import_module(module), attribute).__doc__, name


def test_architecture_names_every_package():
    """Table, tree and floors have each package, the tree each folder and no module that is gone."""
    text = (DOCS / "architecture.md").read_text("utf-8")
    root = ROOT / "speechattn"
    packages = sorted(path.parent.name for path in root.glob("*/__init__.py"))
    words = {15: "fifteen", 16: "sixteen"}
    assert f"{words[len(packages)]}\npackages" in text
    table, _, rest = text.partition("## The tree")
    tree, _, floors = rest.partition("## The rules")
    picture = (DOCS / "pictures" / "architecture.svg").read_text("utf-8")
    for package in packages:
        assert f"| `{package}` |" in table and f"`{package}`" in floors, package
        assert f'bold">{package}</text>' in picture, package
    found, outer = set(), ""
    for nested, folder, what in re.findall(r"^    ([│ ]*)[├└]── (\w+)/ *(.*)$", tree, re.MULTILINE):
        outer = outer if nested else folder
        path = root / outer / folder if nested else root / folder
        found.add(path)
        modules = what.removesuffix(", …").split(", ")
        if (path / "__init__.py").is_file() and all(re.fullmatch("[a-z0-9_]+", m) for m in modules):
            assert [m for m in modules if not (path / f"{m}.py").is_file()] == [], path
    assert {path.parent for path in root.glob("*/**/__init__.py")} <= found
    modules = {path.name for path in root.glob("[!_]*.py")}
    assert modules == set(re.findall(r"(?<= )[a-z][a-z_]*\.py", tree))


def imported(code: str) -> Iterator[str]:
    """Yield the full names that a program imports from this package or takes from it."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("speechattn"):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "speechattn":
            yield f"speechattn.{node.attr}"


@pytest.mark.parametrize("page", pages_with(lambda page: blocks(page, "python")))
def test_api_page_has_what_other_pages_teach(page):
    """Every name that the Python of a page imports is on the page of the Python API."""
    listed = re.findall(r"^::: ([\w.]+)$", (DOCS / "api.md").read_text("utf-8"), re.MULTILINE)
    taught = {name for code in blocks(page, "python") for name in imported(code)}
    taught |= set(re.findall(r"`(speechattn\.inference\.[\w.]+)`", page.read_text("utf-8")))
    assert taught - set(listed) == set()


@pytest.mark.parametrize("package", ["", *(f".{name}" for name in OFFERING)])
def test_api_page_is_complete(package):
    """Every name that a public package offers is on the page of the Python API."""
    text = (DOCS / "api.md").read_text("utf-8")
    offered = importlib.import_module(f"speechattn{package}").__all__
    listed = re.findall(r"^::: speechattn\.(?:\w+\.)?(\w+)$", text, re.MULTILINE)
    assert {name for name in offered if not name.startswith("__")} - set(listed) == set()


def test_recipe_page_is_up_to_date():
    """The page of recipe keys is what its script writes, and no key lacks a description."""
    spec = importlib.util.spec_from_file_location("generate_recipes", DOCS / "generate_recipes.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert generate.missing_descriptions() == []
    page = (DOCS / "recipes.md").read_text("utf-8")
    assert page == generate.page(), "run: python docs/generate_recipes.py"


def test_all_pages_are_in_the_menu():
    """The menu of the documents has every page."""
    menu = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert [page.name for page in DOCS.glob("*.md") if page.name not in menu] == []
