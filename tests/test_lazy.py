"""Names imported when first used, and names of modules that have moved."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings

import pytest

import speechattn
from speechattn.lazy import defer, lazy_names

# Old module, a name in it, and where that lives now.
MOVED = [
    ("speechattn.multihead", "MultiHeadAttention", "speechattn.attention.multihead"),
    ("speechattn.config", "RecipeConfig", "speechattn.training.config"),
    ("speechattn.recognizer", "load_model", "speechattn.inference.recognizer"),
    (
        "speechattn.convolution_attention",
        "AttentionConvolution",
        "speechattn.attention.convolution",
    ),
]


@pytest.fixture(autouse=True)
def forget():
    """Old modules are imported anew, as in another process."""
    for old, _, _ in MOVED:
        sys.modules.pop(old, None)


def test_a_name_is_imported_when_first_used(monkeypatch):
    package = "support"
    get, names = lazy_names(package, {"segments_from_labels": "labels"})
    importlib.import_module(package)
    monkeypatch.setattr(sys.modules[package], "segments_from_labels", None, raising=False)
    value = get("segments_from_labels")
    assert value is importlib.import_module("support.labels").segments_from_labels
    assert sys.modules[package].segments_from_labels is value  # not asked for again
    assert "segments_from_labels" in names() and names() == sorted(names())
    with pytest.raises(AttributeError, match="module 'support' has no attribute 'nothing'"):
        get("nothing")


def test_public_names_need_no_pytorch_to_be_listed():
    script = "import sys, speechattn; dir(speechattn); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert set(speechattn.__all__) <= set(dir(speechattn))


@pytest.mark.parametrize(("old", "name", "new"), MOVED)
def test_a_moved_module_warns_once_a_name(old, name, new):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        namespace: dict = {}
        exec(f"from {old} import {name}", namespace)
        exec(f"from {old} import {name}; import {old}; {old}.{name}", {})
    assert namespace[name] is getattr(importlib.import_module(new), name)
    own = [w for w in caught if str(w.message) == f"{old} is now {new}"]
    assert [w.category for w in own] == [DeprecationWarning]


def test_a_moved_module_lists_names_and_refuses_others():
    module = importlib.import_module("speechattn.multihead")
    assert "MultiHeadAttention" in dir(module)
    with pytest.raises(AttributeError, match="__nothing__"):
        module.__nothing__
    with pytest.warns(DeprecationWarning), pytest.raises(AttributeError, match="no attribute"):
        module.nothing


def test_warnings_as_errors_reach_the_one_who_imports():
    script = "from speechattn.multihead import MultiHeadAttention"
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", script],
        capture_output=True,
        text=True,
    )
    assert done.returncode and "speechattn.multihead is now speechattn.attention.multihead" in (
        done.stderr
    )


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package ``deferred`` with a module ``inner``; each notes when it is loaded."""
    folder = tmp_path / "deferred"
    folder.mkdir()
    (folder / "__init__.py").write_text("import sys\nsys.loaded.append(__name__)\nanswer = 42\n")
    (folder / "inner.py").write_text("import sys\nsys.loaded.append(__name__)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "loaded", [], raising=False)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    yield "deferred"
    for name in ("deferred", "deferred.inner"):
        sys.modules.pop(name, None)


def test_a_deferred_module_is_loaded_when_it_is_used(package):
    defer([package])
    module = importlib.import_module(package)
    assert module.__name__ == package and not hasattr(module, "__wrapped__")
    assert importlib.import_module(package) is module and sys.loaded == []
    assert module.answer == 42 and sys.loaded == [package]
    assert module.answer == 42 and sys.loaded == [package]


def test_a_deferred_package_is_loaded_before_what_is_in_it(package):
    defer([package])
    importlib.import_module(package)
    importlib.import_module(f"{package}.inner")
    assert sys.loaded == [package, f"{package}.inner"]


def test_a_deferred_module_that_is_not_there_fails_at_once(package):
    defer(["deferred_nowhere"])
    with pytest.raises(ModuleNotFoundError, match="deferred_nowhere"):
        importlib.import_module("deferred_nowhere")


@pytest.mark.slow
def test_deferred_parts_of_pytorch_still_load():
    script = (
        "import sys; from speechattn import process; process.start_own_process()\n"
        "process.import_torch(); import torch\n"
        "before = {name for name in process._FOR_OTHERS if name in sys.modules}\n"
        "assert before, 'nothing was imported'\n"
        "for name in before: hasattr(sys.modules[name], 'anything')\n"
        "torch.optim.AdamW, torch.distributions.Normal, torch.utils.data.DataLoader\n"
        "import torch.onnx, torch.export, torch.utils.data\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
