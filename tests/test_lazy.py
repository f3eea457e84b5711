"""Names imported when first used, and names of modules that have moved."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings

import pytest

import speechattn
from speechattn.lazy import lazy_names

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
