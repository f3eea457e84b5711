"""Imports torchaudio where its compiled extension does not load.

The wheel on the package index is linked against CUDA; beside a CPU-only torch ``import torchaudio``
fails in the one module that loads the extension. What this project uses of it (masking, Kaldi
compliance, resampling) is plain Python and works once that module is replaced by an empty one.
"""

from __future__ import annotations

import importlib
import sys
import types


def import_torchaudio() -> types.ModuleType:
    """The torchaudio package, with or without its compiled extension."""
    try:
        return importlib.import_module("torchaudio")
    except OSError:
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchaudio"]:
            del sys.modules[name]
        sys.modules["torchaudio._extension"] = _without_extension()
        return importlib.import_module("torchaudio")


def _without_extension() -> types.ModuleType:
    module = types.ModuleType("torchaudio._extension")
    module._IS_TORCHAUDIO_EXT_AVAILABLE = False
    module._IS_RIR_AVAILABLE = False
    module._IS_ALIGN_AVAILABLE = False
    module._check_cuda_version = lambda: None
    module.fail_if_no_align = lambda function: function
    return module
