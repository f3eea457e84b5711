"""Names by which kinds of attention are chosen, apart from the code that computes them."""

from __future__ import annotations

SCORES = ("dot", "additive")
WEIGHTS = ("softmax", "relu")
POSITIONS = ("none", "sinusoidal", "learned", "rotary", "distance")
