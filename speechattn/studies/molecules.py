"""How many hydrogens an atom carries, from its element and the atoms that it is bonded to.

A molecule is a graph. Its nodes are the atoms except hydrogen, each known by its element alone. Its
edges are the bonds, single or double alike. An atom has as many hydrogens as its valence leaves
room for, so the model must find out which bonds are double. That depends on the atoms around, in
rings on atoms some bonds away. Each layer of attention along edges (Veličković et al., 2018) sees
one bond further.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechattn.attention.multihead import MultiHeadAttention
from speechattn.attention.sparse_masks import GraphMask
from speechattn.checks import check
from speechattn.errors import ConfigError
from speechattn.studies.molecule_graphs import (
    ELEMENTS,
    MOST_HYDROGENS,
    Molecule,
    all_pairs,
    bond_pairs,
    join_molecules,
    read_molecules,
    self_pairs,
    split,
)
from speechattn.studies.trials import (
    FitConfig,
    StudyConfig,
    apply_layers,
    fit,
    percent,
    run_trials,
    weights_of,
    with_feed_forward,
)
from speechattn.text import table
from speechattn.training.stages import fingerprint

CARBON = 6
SCORED_AT_ONCE = 64  # molecules


@dataclass(frozen=True)
class Config(StudyConfig):
    """A recipe of this study.

    Attributes:
        test: share of the molecules for testing.
        layers: numbers of layers of attention along edges; there is one model for each.
        others: number of layers of the other models.
        width: width of the vector of an atom.
        heads: number of heads of each attention layer.
        training: how each model is trained.
    """

    name: str = "molecules"
    work_dir: str = "data/runs/molecules"
    test: float = 0.2
    layers: tuple = (1, 2, 4)
    others: int = 2
    width: int = 32
    heads: int = 4
    training: FitConfig = field(default_factory=lambda: FitConfig(steps=400))

    def __post_init__(self) -> None:
        super().__post_init__()
        check("", self, ("others", "width", "heads"), lambda v: v >= 1, "from 1 on")
        check("", self, ("test",), lambda v: 0 < v < 1, "a share between 0 and 1")
        if self.width % self.heads:
            raise ConfigError(f"heads: {self.heads}; they must divide the width, {self.width}")
        for value in self.layers:
            if type(value) is not int or value < 1:
                raise ConfigError(f"layers: {value!r}; whole numbers, 1 or more")
        if len(set(self.layers)) < len(self.layers):
            raise ConfigError(f"layers: {list(self.layers)}; list each once")


class GraphAttention(nn.Module):
    """Multi-head attention along the edges of a graph that comes with the input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)

    def forward(self, x: Tensor, graph: GraphMask) -> Tensor:
        """Compute attention among the nodes, shape (1, nodes, width)."""
        return self.attention(x, mask=graph)


class NeighbourMean(nn.Module):
    """Linear map of the mean over the nodes that a node sees.

    As in Kipf & Welling (2017), but with equal weights.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.join = nn.Linear(width, width)

    def forward(self, x: Tensor, graph: GraphMask) -> Tensor:
        """Compute the layer for all nodes, shape (1, nodes, width)."""
        query, key = graph.pairs.T
        total = torch.zeros_like(x[0]).index_add(0, query, x[0, key])
        count = torch.bincount(query, minlength=graph.nodes).clamp(min=1)
        return self.join(total / count[:, None])[None]


class AtomClassifier(nn.Module):
    """Embeddings of elements, layers on a graph, scores of 0 to 3 hydrogens.

    Args:
        width: width of the vector of an atom.
        layers: layers on the graph; a feed-forward layer is added after each.
    """

    def __init__(self, width: int, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.vectors = nn.Embedding(ELEMENTS, width)
        self.layers = with_feed_forward(width, list(layers))
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, MOST_HYDROGENS + 1)

    def forward(self, elements: Tensor, graph: GraphMask) -> Tensor:
        """Compute scores, shape (atoms, 4), for the atoms of a graph of :func:`join_molecules`."""
        x = apply_layers(self.layers, self.vectors(elements)[None], graph)
        return self.leave(self.norm(x[0, 1:]))


def usual_hydrogens(train: Sequence[Molecule], test: Sequence[Molecule]) -> Tensor:
    """Return the most frequent number of hydrogens of each test atom's element, (atoms,)."""
    counts = torch.zeros(ELEMENTS, MOST_HYDROGENS + 1)
    for molecule in train:
        for element, hydrogens in zip(molecule.elements, molecule.hydrogens):
            counts[element, hydrogens] += 1
    counts += counts.sum(0) / (counts.sum() + 1)  # for elements that do not occur in training
    return counts[[element for molecule in test for element in molecule.elements]].argmax(1)


def accuracies(found: Tensor, test: Sequence[Molecule]) -> dict[str, float]:
    """Return the accuracy on atoms, on carbon atoms (if there are any) and on whole molecules.

    Args:
        found: predicted numbers of hydrogens, shape (atoms,), of all molecules in order.
        test: the molecules.
    """
    right = found == torch.tensor([h for m in test for h in m.hydrogens])
    carbon = torch.tensor([e == CARBON for m in test for e in m.elements])
    parts = right.split([len(m.elements) for m in test])
    groups = {
        "atoms": right,
        "carbon atoms": right[carbon],
        "molecules": torch.stack([part.all() for part in parts]),
    }
    return {name: x.double().mean().item() for name, x in groups.items() if len(x)}


class Model(NamedTuple):
    """A model of the comparison.

    Attributes:
        layers: function that makes the layers on the graph.
        seen: function from a molecule to the (query, key) pairs of its atoms.
        counting: see :func:`join_molecules`.
    """

    layers: Callable[[], Sequence[nn.Module]]
    seen: Callable[[Molecule], list[tuple[int, int]]]
    counting: bool = True

    def graph(self, molecules: Sequence[Molecule]) -> tuple[Tensor, GraphMask, Tensor]:
        """Join molecules into one graph; see :func:`join_molecules`."""
        pairs = [torch.tensor(self.seen(molecule)) for molecule in molecules]
        return join_molecules(molecules, pairs, self.counting)


def models(config: Config) -> dict[str, Model]:
    """Return the models of the comparison, by name."""

    def attention(count: int) -> Callable[[], list[nn.Module]]:
        return lambda: [GraphAttention(config.width, config.heads) for _ in range(count)]

    def means() -> list[nn.Module]:
        return [NeighbourMean(config.width) for _ in range(config.others)]

    others = attention(config.others)
    made = {
        "the atom alone": Model(others, self_pairs),
        "all atoms, no bonds": Model(others, all_pairs),
        f"mean, {_bonds(config.others)} away": Model(means, bond_pairs),
        f"attention that cannot count, {_bonds(config.others)} away": Model(
            others, bond_pairs, counting=False
        ),
    }
    for count in config.layers:
        made[f"attention, {_bonds(count)} away"] = Model(attention(count), bond_pairs)
    return made


def _bonds(count: int) -> str:
    return f"{count} bond{'s' if count > 1 else ''}"


def train_and_score(
    config: Config, train: Sequence[Molecule], test: Sequence[Molecule], model: Model, seed: int
) -> dict[str, float]:
    """Train a model; return its accuracies on the test molecules and its number of weights."""
    torch.manual_seed(seed)
    classifier = AtomClassifier(config.width, model.layers())

    def loss(chosen: Tensor) -> Tensor:
        elements, graph, hydrogens = model.graph([train[n] for n in chosen.tolist()])
        return F.cross_entropy(classifier(elements, graph), hydrogens)

    fit(classifier, loss, len(train), config.training, seed)
    found = []
    for first in range(0, len(test), SCORED_AT_ONCE):
        elements, graph, _ = model.graph(test[first : first + SCORED_AT_ONCE])
        with torch.inference_mode():
            found.append(classifier(elements, graph).argmax(1))
    return {**accuracies(torch.cat(found), test), "weights": weights_of(classifier)}


def check_data(config: Config) -> None:
    """Raise what :func:`run` would raise before any training."""
    split(read_molecules(), config.test)


def run(config: Config, force: bool, report: Callable[[str], None]) -> None:
    """Train every model with every seed; see :func:`speechattn.studies.trials.run_trials`."""
    train, test = split(read_molecules(), config.test)
    usual = accuracies(usual_hydrogens(train, test), test)
    trials = {
        (name, seed): partial(train_and_score, config, train, test, model, seed)
        for seed in config.all_seeds
        for name, model in models(config).items()
    }
    write_report = partial(write, train=train, test=test, usual=usual)
    data = fingerprint([train, test])
    run_trials(config, data, trials, write_report, force=force, report=report)


def write(
    rows: Sequence[dict],
    *,
    train: Sequence[Molecule],
    test: Sequence[Molecule],
    usual: dict[str, float],
) -> str:
    """Write the report: the data, and accuracies of all models and of the usual number."""
    atoms = sum(len(molecule.elements) for molecule in test)
    sentences = (
        f"Trained on {len(train):,} molecules, tested on {len(test):,} others with {atoms:,} "
        "atoms.",
        f"Means of {len({row['seed'] for row in rows})} seeds ± 95 %.",
    )
    cells = [["usual of the element", "–", *(percent([value]) for value in usual.values())]]
    for name in dict.fromkeys(row["trial"] for row in rows):
        own = [row for row in rows if row["trial"] == name]
        shares = (percent([row[group] for row in own]) for group in usual)
        cells.append([name, f"{own[0]['weights']:,}", *shares])
    header = ("sees", "weights", *(f"{group} right (%)" for group in usual))
    return f"{' '.join(sentences)}\n\n{table(header, cells)}"
