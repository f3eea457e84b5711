"""Hydrogens of atoms: what an atom sees, what is counted, the command."""

from __future__ import annotations

import random
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechattn.cli.recipe import main
from speechattn.studies import molecule_graphs, molecules
from speechattn.studies.molecule_graphs import Molecule, molecule_of
from speechattn.studies.molecules import (
    AtomClassifier,
    Config,
    NeighbourMean,
    accuracies,
    models,
    usual_hydrogens,
)

pytestmark = pytest.mark.studies

pytest.importorskip("rdkit", reason="the molecules come with RDKit: speechattn[studies]")

C, N, O = 6, 7, 8


@pytest.fixture(scope="module")
def read() -> list[Molecule]:
    return molecule_graphs.read_molecules()


def of_smiles(text: str) -> Molecule:
    from rdkit import Chem

    return molecule_of(Chem.MolFromSmiles(text))


def chain(elements: list[int]) -> Molecule:
    """Atoms in a row; hydrogens do not matter."""
    bonds = [(atom, atom + 1) for atom in range(len(elements) - 1)]
    return Molecule(elements, bonds, [0] * len(elements), "chain")


def scores(classifier: AtomClassifier, model: molecules.Model, *given: Molecule) -> torch.Tensor:
    elements, graph, _ = model.graph(given)
    with torch.inference_mode():
        return classifier(elements, graph)


def untrained(name: str) -> tuple[AtomClassifier, molecules.Model]:
    """A model of the recipe with random weights."""
    torch.manual_seed(0)
    config = Config()
    model = models(config)[name]
    return AtomClassifier(config.width, model.layers()).eval(), model


@pytest.fixture
def tiny(tmp_path, monkeypatch, read) -> list[str]:
    """The command on a few of the molecules."""
    monkeypatch.setattr(molecules, "read_molecules", lambda: read[:150])
    sizes = ["width=8", "heads=2", "layers=[1]", "training.steps=3", "training.batch=8"]
    return ["molecules", f"work_dir={tmp_path / 'work'}", "seeds=1", *sizes]


def test_the_command_leaves_a_table(tiny, tmp_path, capsys):
    assert main(tiny) == 0
    report = (tmp_path / "work/report.md").read_text()
    assert report in capsys.readouterr().out
    names = [line.split("|")[1].strip() for line in report.splitlines() if line.startswith("|")]
    wanted = ["the atom alone", "all atoms, no bonds", "mean, 2 bonds away"]
    wanted += ["attention that cannot count, 2 bonds away", "attention, 1 bond away"]
    assert names == ["sees", "---", "usual of the element", *wanted]


@pytest.mark.parametrize(
    ("status", "override", "message"),
    [
        (2, "test=0", "test: 0.0; a share between 0 and 1"),
        (2, "test=1.0", "test: 1.0; a share between 0 and 1"),
        (2, "layers=[0]", "layers: 0; whole numbers, 1 or more"),
        (2, "layers=[2, 2]", "layers: [2, 2]; list each once"),
        (2, "heads=3", "heads: 3; they must divide the width, 8"),
        (2, "others=0", "others: 0; from 1 on"),
        (1, "test=1.0e-9", "no molecules to test on; raise it"),
        (1, "test=0.9999999", "no atom with 0 hydrogens to train on; lower it"),
    ],
)
def test_what_cannot_be_is_one_clear_line(tiny, tmp_path, capsys, status, override, message):
    assert main([*tiny, override]) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("speechattn.recipe: error: ") and message in line
    assert not (tmp_path / "work").exists()


def test_without_rdkit_the_command_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    assert main(["molecules", f"work_dir={tmp_path}"]) == 2
    assert "pip install 'speechattn[studies]'" in capsys.readouterr().err


def test_the_usual_number_is_that_of_the_element():
    train = [Molecule([C, C, C, O], [], [3, 3, 2, 1], "")]
    assert usual_hydrogens(train, [Molecule([O, C, N], [], [0, 0, 0], "")]).tolist() == [1, 3, 3]


def test_accuracies_are_of_atoms_of_carbon_and_of_whole_molecules():
    test = [Molecule([C, O], [], [3, 1], ""), Molecule([C], [], [2], "")]
    found = accuracies(torch.tensor([3, 0, 2]), test)
    assert found == {"atoms": pytest.approx(2 / 3), "carbon atoms": 1.0, "molecules": 0.5}
    assert "carbon atoms" not in accuracies(torch.tensor([1]), [Molecule([O], [], [1], "")])


@pytest.mark.parametrize("layers", [1, 2])
def test_each_layer_sees_one_bond_further(layers):
    classifier, model = untrained(f"attention, {layers} bond{'s' * (layers > 1)} away")
    before = scores(classifier, model, chain([C] * 6))
    for place in range(6):
        elements = [C] * 6
        elements[place] = N
        after = scores(classifier, model, chain(elements))
        changed = (before != after).any(1).nonzero()[:, 0].tolist()
        assert changed == [atom for atom in range(6) if abs(atom - place) <= layers]


@pytest.mark.parametrize("name", models(Config()))
def test_molecules_do_not_see_each_other(name):
    classifier, model = untrained(name)
    first, second = of_smiles("CC(=O)Nc1ccccc1"), of_smiles("OCCN")
    joined = scores(classifier, model, first, second)
    apart = torch.cat([scores(classifier, model, m) for m in (first, second)])
    torch.testing.assert_close(joined, apart)


@given(st.randoms(use_true_random=False))
def test_the_order_of_atoms_does_not_matter(draw: random.Random):
    classifier, model = untrained("attention, 4 bonds away")
    molecule = of_smiles("CC(=O)Nc1ccccc1")
    order = list(range(len(molecule.elements)))
    draw.shuffle(order)  # new number of each atom
    elements = [e for _, e in sorted(zip(order, molecule.elements))]
    other = molecule._replace(
        elements=elements, bonds=[(order[b], order[a]) for a, b in molecule.bonds]
    )
    expected = scores(classifier, model, molecule)
    torch.testing.assert_close(scores(classifier, model, other)[order], expected)


def test_only_with_an_empty_place_are_equal_neighbours_counted():
    butane, neopentane = of_smiles("CCCC"), of_smiles("CC(C)(C)C")
    for name, counts in (
        ("attention, 2 bonds away", True),
        ("attention that cannot count, 2 bonds away", False),
    ):
        classifier, model = untrained(name)
        one = scores(classifier, model, butane)[1]
        other = scores(classifier, model, neopentane)[1]
        assert torch.allclose(one, other, atol=1e-6) != counts


def test_the_mean_is_that_of_the_matrix():
    torch.manual_seed(0)
    layer, model = NeighbourMean(8), models(Config())["mean, 2 bonds away"]
    _, graph, _ = model.graph([of_smiles("CC(C)O"), of_smiles("CN")])
    x = torch.randn(1, graph.nodes, 8)
    mask = graph.matrix(graph.nodes).float()
    mean = mask @ x[0] / mask.sum(1, keepdim=True).clamp(min=1)
    torch.testing.assert_close(layer(x, graph)[0], layer.join(mean))
