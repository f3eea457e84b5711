"""Models beyond phones: graphs, images, text, one label a recording, phone strings.

A recipe with ``task: NAME`` runs one of :data:`STUDIES`. The module of a study has a frozen
dataclass ``Config``, a :class:`speechattn.studies.trials.StudyConfig`, and a function
``run(config, force, report)``, which writes ``report.md`` and ``scores.csv`` to
``config.work_dir``. A function ``check_data(config)`` raises what ``run`` would raise at once.
:mod:`speechattn.studies.windows` compares encoders and windows. Read
``trials.py`` first.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from types import ModuleType

STUDIES = {  # name → module, imported on first use
    "adaptation": "speechattn.studies.adaptation",
    "flat_start": "speechattn.studies.flat_start",
    "molecules": "speechattn.studies.molecules",
    "phone_strings": "speechattn.studies.phone_strings",
    "pixels": "speechattn.studies.pixels",
    "spoken_digits": "speechattn.studies.spoken_digits",
    "tagging": "speechattn.studies.tagging",
}

__all__ = ["STUDIES", "StudyConfigs", "study_module"]


class StudyConfigs(Mapping[str, type]):
    """The config class of each study; the study is imported when its class is looked up."""

    def __getitem__(self, name: str) -> type:
        return study_module(name).Config

    def __iter__(self) -> Iterator[str]:
        return iter(STUDIES)

    def __len__(self) -> int:
        return len(STUDIES)


def study_module(name: str) -> ModuleType:
    """Import the module of a study.

    Raises:
        KeyError: if there is no such study.
    """
    return importlib.import_module(STUDIES[name])
