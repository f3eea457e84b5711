"""Molecules as graphs: real ones to learn from, and which atoms attend to which.

They are the first 5,000 of the National Cancer Institute's open database, as RDKit has them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from speechattn.attention.sparse_masks import GraphMask
from speechattn.errors import SpeechattnError, UsageError
from speechattn.studies.trials import missing

FILE = ("NCI", "first_5K.smi")  # in RDKit's folder of data
MOST_HYDROGENS = 3  # CH3; methane and ammonium count as this
NOTHING, ELEMENTS = 0, 119  # by atomic number


class Molecule(NamedTuple):
    """A molecule's graph.

    Attributes:
        elements: atomic number of every atom but hydrogen.
        bonds: numbers of two atoms each.
        hydrogens: that each atom carries, up to MOST_HYDROGENS.
        skeleton: the same for all molecules whose elements and bonds are the same.
    """

    elements: list[int]
    bonds: list[tuple[int, int]]
    hydrogens: list[int]
    skeleton: str


def read_molecules() -> list[Molecule]:
    """The molecules that RDKit comes with and can read.

    Raises:
        UsageError: if RDKit is not installed, or without its data.
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
    with rdBase.BlockLogs():  # on what it cannot read
        read = [Chem.MolFromSmiles(line.split()[0]) for line in lines if line.strip()]
    return [molecule_of(molecule) for molecule in read if molecule and molecule.GetNumAtoms()]


def molecule_of(read) -> Molecule:
    """What is kept of one of RDKit's molecules."""
    from rdkit import Chem

    atoms = list(read.GetAtoms())
    bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in read.GetBonds()]
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
    """Molecules to train on and to test on, by their skeletons: none is in both.

    Raises:
        SpeechattnError: if there are none to test on, or a number of hydrogens has no example.
    """
    parts: tuple[list, list] = ([], [])
    for molecule in molecules:
        digest = hashlib.sha256(molecule.skeleton.encode()).digest()
        parts[int.from_bytes(digest[:8], "big") < test * 2**64].append(molecule)
    train, held = parts
    if not held:
        raise SpeechattnError(f"test: {test}: no molecules to test on; raise it")
    found = {hydrogens for molecule in train for hydrogens in molecule.hydrogens}
    for hydrogens in range(MOST_HYDROGENS + 1):
        if hydrogens not in found:
            raise SpeechattnError(
                f"test: {test}: no atom with {hydrogens} hydrogens to train on; lower it"
            )
    return train, held


def self_pairs(molecule: Molecule) -> list[tuple[int, int]]:
    """Pairs in which every atom attends to itself alone."""
    return [(atom, atom) for atom in range(len(molecule.elements))]


def bond_pairs(molecule: Molecule) -> list[tuple[int, int]]:
    """Pairs in which every atom attends to itself and to the atoms that it is bonded to."""
    return [*self_pairs(molecule), *molecule.bonds, *((b, a) for a, b in molecule.bonds)]


def all_pairs(molecule: Molecule) -> list[tuple[int, int]]:
    """Pairs in which every atom attends to all atoms of its molecule, whatever their bonds."""
    atoms = range(len(molecule.elements))
    return [(a, b) for a in atoms for b in atoms]


def join_molecules(
    molecules: Sequence[Molecule], pairs: Sequence[Tensor], counting: bool
) -> tuple[Tensor, GraphMask, Tensor]:
    """Join molecules into one graph: elements, attention mask, hydrogens.

    Args:
        molecules: some.
        pairs: (query, key) of each, shape (pairs, 2), as its own atoms are numbered.
        counting: let every atom attend to node 0, which is no atom. A mean stays the same when
            equal atoms are added, and so does attention (Xu et al., 2019); but the share of node 0
            falls, from which their number can be read.
    """
    elements = torch.tensor([NOTHING, *(e for m in molecules for e in m.elements)])
    hydrogens = torch.tensor([h for m in molecules for h in m.hydrogens])
    atoms = torch.arange(1, len(elements))
    edges, first = [], 1
    if counting:
        edges.append(torch.stack([atoms, torch.zeros_like(atoms)], 1))
    for molecule, own in zip(molecules, pairs, strict=True):
        edges.append(own + first)
        first += len(molecule.elements)
    return elements, GraphMask(torch.cat(edges), first), hydrogens
