"""torchaudio with and without its compiled extension."""

from __future__ import annotations

import sys

import pytest
import torch

from speechattn.training.augmentation import import_torchaudio

INIT = """
from torchaudio import _extension
from torchaudio.functional import masked
LOADED = _extension._IS_TORCHAUDIO_EXT_AVAILABLE
"""
FUNCTIONAL = """
from torchaudio._extension import fail_if_no_align, _IS_TORCHAUDIO_EXT_AVAILABLE
@fail_if_no_align
def masked(x):
    return x + 1
"""
BROKEN = 'raise OSError("libcudart.so.13: cannot open shared object file")\n'
WORKING = "_IS_TORCHAUDIO_EXT_AVAILABLE = True\nfail_if_no_align = lambda function: function\n"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Puts a small package of the same form in torchaudio's place, for one test."""
    before = {n: m for n, m in sys.modules.items() if n.partition(".")[0] == "torchaudio"}
    for name in before:
        del sys.modules[name]
    monkeypatch.syspath_prepend(tmp_path)

    def install(extension: str, init: str = INIT):
        package = tmp_path / "torchaudio"
        package.mkdir()
        for name, text in [("__init__", init), ("functional", FUNCTIONAL)]:
            (package / f"{name}.py").write_text(text)
        (package / "_extension.py").write_text(extension)
        return package

    yield install
    for name in [n for n in sys.modules if n.partition(".")[0] == "torchaudio"]:
        del sys.modules[name]
    sys.modules.update(before)


def test_an_extension_that_does_not_load_is_replaced(installed):
    package = installed(BROKEN)
    torchaudio = import_torchaudio()
    assert torchaudio.__file__ == str(package / "__init__.py")
    assert torchaudio.LOADED is False
    assert torchaudio.functional.masked(1) == 2
    assert import_torchaudio() is torchaudio


def test_an_extension_that_loads_is_kept(installed):
    installed(WORKING)
    torchaudio = import_torchaudio()
    assert torchaudio.LOADED is True
    assert torchaudio.functional.masked(1) == 2


def test_another_failure_is_not_hidden(installed):
    installed(WORKING, init='raise RuntimeError("a damaged installation")\n')
    with pytest.raises(RuntimeError, match="a damaged installation"):
        import_torchaudio()


def test_a_failure_that_is_not_the_extensions_is_not_hidden(installed):
    installed(WORKING, init='raise OSError("disk on fire")\n')
    with pytest.raises(OSError, match="disk on fire"):
        import_torchaudio()


def test_what_this_project_uses_of_the_real_one():
    torchaudio = import_torchaudio()
    from torchaudio.compliance import kaldi

    assert torchaudio.functional.edit_distance("kitten", "sitting") == 3
    x = torch.ones(2, 1, 50, 20)
    masked = torchaudio.functional.mask_along_axis_iid(x, 10, 0.0, 2)
    assert masked.shape == x.shape and set(masked.unique().tolist()) <= {0.0, 1.0}
    assert kaldi.fbank(torch.zeros(1, 16_000), snip_edges=False).shape == (100, 23)
    assert torchaudio.functional.resample(torch.zeros(1, 800), 8000, 16_000).shape == (1, 1600)
