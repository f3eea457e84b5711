"""Early stopping: training ends when dev no longer improves, and the best weights are kept."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class EarlyStopping:
    """The results on dev so far, and the weights of the best.

    Args:
        patience: results without improvement after which training ends; with 0 nothing is kept and
            it goes on to the end.
        lower_is_better: whether a result is better if it is lower.

    Attributes:
        results: step → result on dev; 0 for the weights that training began with.
        weights: those with the best result, the first of equals; by name.
    """

    def __init__(self, patience: int, lower_is_better: bool = False) -> None:
        self.patience, self._sign = patience, -1 if lower_is_better else 1
        self.results: dict[int, float] = {}
        self.weights: dict[str, Tensor] = {}

    @property
    def best_step(self) -> int:
        """The step with the best result, the first of equals."""
        return max(self.results, key=lambda step: self._sign * self.results[step])

    @property
    def is_exhausted(self) -> bool:
        """Whether training ends."""
        if not self.patience or not self.results:
            return False
        return sum(step > self.best_step for step in self.results) >= self.patience

    def take(self, step: int, result: float, weights: Mapping[str, Tensor]) -> None:
        """Take a result, and the weights if none was better before."""
        if not self.patience:
            return
        self.results[step] = result
        if self.best_step == step:
            self.weights = {name: value.detach().clone() for name, value in weights.items()}

    def restore(
        self, start: float | None, rows: Mapping[int, float], weights: Mapping[str, Tensor]
    ) -> None:
        """Set the state from a checkpoint.

        Args:
            start: result before the first update, if it was measured.
            rows: step → result.
            weights: the best ones; empty without patience.
        """
        self.results = {**({} if start is None else {0: start}), **rows}
        self.weights = dict(weights)

    def kept_in(self, model: torch.nn.Module) -> None:
        """Put the best weights into a model, if there are any."""
        if self.weights:
            model.load_state_dict({**model.state_dict(), **self.weights})
