"""Molecules as graphs: what is read of them, how they are split, who sees whom."""

from __future__ import annotations

import pytest

from speechattn.errors import SpeechattnError
from speechattn.studies.molecule_graphs import (
    Molecule,
    all_pairs,
    bond_pairs,
    molecule_of,
    read_molecules,
    self_pairs,
    split,
)

pytestmark = pytest.mark.studies

pytest.importorskip("rdkit", reason="the molecules come with RDKit: speechattn[studies]")

C, N, O = 6, 7, 8


@pytest.fixture(scope="module")
def read() -> list[Molecule]:
    return read_molecules()


def of_smiles(text: str) -> Molecule:
    from rdkit import Chem

    return molecule_of(Chem.MolFromSmiles(text))


def test_a_molecule_is_its_elements_bonds_and_hydrogens():
    ethanol = of_smiles("CCO")
    assert ethanol[:3] == ([C, C, O], [(0, 1), (1, 2)], [3, 2, 1])
    assert of_smiles("c1ccccc1").hydrogens == [1] * 6
    assert of_smiles("C").hydrogens == [3]  # the most that is told apart
    assert of_smiles("C[N+](C)(C)C").hydrogens == [3, 0, 3, 3, 3]


def test_a_skeleton_has_no_strength_of_bonds_nor_order_of_atoms():
    assert of_smiles("c1ccccc1").skeleton == of_smiles("C1CCCCC1").skeleton
    assert of_smiles("OCC=O").skeleton == of_smiles("C(O)C=O").skeleton
    assert of_smiles("CCO").skeleton != of_smiles("COC").skeleton


def test_hydrogens_add_up_to_the_formula(read):
    from rdkit import Chem, RDConfig
    from rdkit.Chem.rdMolDescriptors import CalcMolFormula

    with open(f"{RDConfig.RDDataDir}/NCI/first_5K.smi") as file:
        known = [Chem.MolFromSmiles(next(file).split()[0]) for _ in range(100)]
    for formula, molecule in zip(map(CalcMolFormula, filter(None, known)), read):
        count = sum(molecule.hydrogens)
        assert f"H{count}" in formula if count > 1 else "H" in formula or count == 0


def test_the_real_molecules_are_split_by_skeleton(read):
    assert len(read) > 4900
    train, test = split(read, 0.2)
    assert not {m.skeleton for m in train} & {m.skeleton for m in test}
    assert len(train) + len(test) == len(read)
    assert len(test) == pytest.approx(0.2 * len(read), rel=0.1)


def test_a_number_of_hydrogens_without_an_example_is_named():
    benzene = of_smiles("c1ccccc1")
    others = [benzene._replace(skeleton=str(number)) for number in range(20)]
    with pytest.raises(SpeechattnError, match="no atom with 0 hydrogens to train on"):
        split(others, 0.5)


def test_who_sees_whom():
    molecule = Molecule([C, N, O], [(0, 1), (1, 2)], [3, 1, 1], "")
    assert self_pairs(molecule) == [(0, 0), (1, 1), (2, 2)]
    bonded = {(0, 1), (1, 0), (1, 2), (2, 1)}
    assert set(bond_pairs(molecule)) == bonded | set(self_pairs(molecule))
    assert set(all_pairs(molecule)) == {(a, b) for a in range(3) for b in range(3)}
