"""Recipes beyond phones. ``task: NAME`` in a recipe names one of :data:`TASKS`.

A task's module has a frozen dataclass ``Config``, by convention a
:class:`speechattn.studies.trials.TaskConfig`, and ``run(config, force, say)``, which leaves
``report.md`` and ``scores.csv`` in ``config.work_dir``.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from speechattn.errors import ConfigError

PHONES = "phones"  # the task of recipes that name none
TASKS = {  # name → module, imported when it is asked for
    "molecules": "speechattn.studies.molecules",
    "phone_strings": "speechattn.studies.phone_strings",
    "pixels": "speechattn.studies.pixels",
    "spoken_digits": "speechattn.studies.spoken_digits",
    "tagging": "speechattn.studies.tagging",
}


def task_module(name: object) -> ModuleType:
    """The module of a task other than :data:`PHONES`.

    Raises:
        ConfigError: if there is no such task.
    """
    if not isinstance(name, str) or name not in TASKS:
        raise ConfigError(f"task: {name!r}; one of {', '.join((PHONES, *TASKS))}")
    return importlib.import_module(TASKS[name])
