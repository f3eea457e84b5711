"""Scores against a reference: frames, phone errors, boundaries, calibration, and their pictures.

Read ``scores.py`` first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechattn.lazy import lazy_names

if TYPE_CHECKING:
    from speechattn.evaluation.metrics import phone_errors as phone_errors
    from speechattn.evaluation.scores import Scores as Scores

__all__ = ["Scores", "phone_errors"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Scores": "scores",
        "phone_errors": "metrics",
    },
)
