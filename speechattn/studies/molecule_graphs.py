"""Molecules as graphs: the data, and which atoms attend to which.

The molecules are the first 5,000 of the National Cancer Institute's open database. RDKit comes with
them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from speechattn.attention.sparse_masks import GraphMask
from speechattn.errors import SpeechattnError, UsageError
from speechattn.studies.trials import missing

if TYPE_CHECKING:
    from rdkit import Chem

FILE = ("NCI", "first_5K.smi")  # in the data folder of RDKit
MOST_HYDROGENS = 3  # as in CH3; atoms with more (methane, ammonium) count as having 3
NOTHING, ELEMENTS = 0, 119  # the number of no element; elements are atomic numbers below 119


class Molecule(NamedTuple):
    """A molecule's graph.

    Attributes:
        elements: atomic number of every atom except hydrogen.
        bonds: pairs of atoms, by their place in ``elements``.
        hydrogens: number of hydrogens of every atom, at most MOST_HYDROGENS.
        skeleton: text that is the same for molecules with the same elements and bonds.
    """

    elements: list[int]
    bonds: list[tuple[int, int]]
    hydrogens: list[int]
    skeleton: str


def read_molecules() -> list[Molecule]:
    """Read the molecules that come with RDKit, except those that it cannot parse.

    Raises:
        UsageError: if RDKit or its data are not installed.
    """
    try:
        from rdkit import Chem, RDConfig, rdBase
    except ImportError:
        raise missing("rdkit") from None
    path = Path(RDConfig.RDDataDir, *FILE)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; install rdkit from its wheel") from None
    with rdBase.BlockLogs():  # about molecules that it cannot parse
        parsed = [Chem.MolFromSmiles(line.split()[0]) for line in lines if line.strip()]
    return [molecule_of(molecule) for molecule in parsed if molecule and molecule.GetNumAtoms()]


def molecule_of(mol: Chem.Mol) -> Molecule:
    """Convert a molecule of RDKit."""
    from rdkit import Chem

    atoms = list(mol.GetAtoms())
    bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()]
    skeleton = Chem.RWMol()
    for atom in atoms:
        skeleton.AddAtom(Chem.Atom(atom.GetAtomicNum()))
    for a, b in bonds:
        skeleton.AddBond(a, b, Chem.BondType.SINGLE)
    return Molecule(
        [atom.GetAtomicNum() for atom in atoms],
        bonds,
        [min(atom.GetTotalNumHs(), MOST_HYDROGENS) for atom in atoms],
        Chem.MolToSmiles(skeleton),
    )


def split(molecules: Sequence[Molecule], test: float) -> tuple[list[Molecule], list[Molecule]]:
    """Split molecules into training and test molecules; no skeleton is in both.

    Args:
        molecules: all molecules.
        test: share of skeletons for testing.

    Raises:
        SpeechattnError: if no molecule is left for testing, or a number of hydrogens does not occur
            in training.
    """
    parts: tuple[list[Molecule], list[Molecule]] = ([], [])
    for molecule in molecules:
        digest = hashlib.sha256(molecule.skeleton.encode()).digest()
        parts[int.from_bytes(digest[:8], "big") < test * 2**64].append(molecule)
    train, tested = parts
    if not tested:
        raise SpeechattnError(f"test: {test}: no molecules to test on; raise it")
    present = {hydrogens for molecule in train for hydrogens in molecule.hydrogens}
    for hydrogens in range(MOST_HYDROGENS + 1):
        if hydrogens not in present:
            raise SpeechattnError(
                f"test: {test}: no atom with {hydrogens} hydrogens to train on; lower it"
            )
    return train, tested


def self_pairs(molecule: Molecule) -> list[tuple[int, int]]:
    """Return pairs by which every atom attends to itself alone."""
    return [(atom, atom) for atom in range(len(molecule.elements))]


def bond_pairs(molecule: Molecule) -> list[tuple[int, int]]:
    """Return pairs by which every atom attends to itself and to the atoms bonded to it."""
    return [*self_pairs(molecule), *molecule.bonds, *((b, a) for a, b in molecule.bonds)]


def all_pairs(molecule: Molecule) -> list[tuple[int, int]]:
    """Return pairs by which every atom attends to all atoms of its molecule."""
    atoms = range(len(molecule.elements))
    return [(a, b) for a in atoms for b in atoms]


def join_molecules(
    molecules: Sequence[Molecule], pairs: Sequence[Tensor], counting: bool
) -> tuple[Tensor, GraphMask, Tensor]:
    """Join molecules into one graph, whose node 0 is no atom.

    Args:
        molecules: the molecules.
        pairs: (query, key) pairs of each molecule, by its own numbers of atoms, shape (pairs, 2).
        counting: let every atom attend to node 0. Without it a layer cannot count: neither a mean
            nor attention changes when equal atoms are added (Xu et al., 2019). With it, the weight
            of node 0 falls as atoms are added.

    Returns:
        Elements of all nodes, shape (nodes,), the attention mask, and hydrogens of all atoms, shape
        (nodes - 1,).
    """
    elements = torch.tensor([NOTHING, *(e for m in molecules for e in m.elements)])
    hydrogens = torch.tensor([h for m in molecules for h in m.hydrogens])
    atoms = torch.arange(1, len(elements))
    edges: list[Tensor] = []
    first = 1  # node of the next molecule's first atom
    if counting:
        edges.append(torch.stack([atoms, torch.zeros_like(atoms)], 1))
    for molecule, own in zip(molecules, pairs, strict=True):
        edges.append(own + first)
        first += len(molecule.elements)
    return elements, GraphMask(torch.cat(edges), first), hydrogens
