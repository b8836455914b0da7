"""Blocks of matrices between orbitals, and the features that they are linear in.

A matrix between orbitals of a structure, a Fock matrix say, is made of blocks: all orbitals of shell a on atom i
against those of shell b on atom j. A block turns like l_a ⊗ l_b, which splits into irreps L = |l_a − l_b|..l_a + l_b of
one parity,

    H[m, m'] = Σ_L Σ_M W_L[m, m', M] T^{LM},      Σ_mm' W_L W_L' = δ,

with Clebsch–Gordan coefficients W: features with two probes, of degrees l_a and l_b, are features with one probe for
each of the L. T is linear in features of atom i where j = i, and of the bond (i, j) elsewhere.

The matrix is symmetric, H = Hᵀ. Half of the blocks are therefore transposes of the others. A block that exchange of the
ends maps on itself (equal species, equal shells) is tied: W_L[m', m, M] = (−1)^L W_L[m, m', M], so T^L must take the
sign (−1)^L. Features of bonds take the sign (−1)^l of the factor of the bond, and those with the right one are kept; on
site only even L are left.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms

from acepure._utils.checks import check_kind
from acepure._utils.read_only import ReadOnly, read_only
from acepure.algebra.coupling import clebsch_gordan
from acepure.features.basis import ACEBasis, check_basis
from acepure.features.bonds import BondBasis
from acepure.labels.irreps import INVARIANT, Irrep
from acepure.labels.orbitals import Orbitals
from acepure.structures.gate import check_structure

__all__ = ["Block", "BlockBasis", "BlockPart", "MatrixLayout"]


class Block(NamedTuple):
    """A kind of block: a shell of one species against a shell of another, on one atom or on the two ends of a bond.

    Attributes
    ----------
    on_site : bool
    first, second : str
        Species of the ends; equal on site.
    a, b : int
        Numbers of the shells, a ≤ b where the species are equal.
    """

    on_site: bool
    first: str
    second: str
    a: int
    b: int

    @property
    def is_symmetric(self) -> bool:
        """Whether exchange of the ends maps it on itself."""
        return self.first == self.second and self.a == self.b

    def __str__(self) -> str:
        return f"{self.first}{self.a} {'on' if self.on_site else 'to'} {self.second}{self.b}"


class BlockPart(NamedTuple):
    """One irrep of a kind of block.

    Attributes
    ----------
    block : Block
    irrep : Irrep
    couplings : numpy.ndarray, shape (2 l_a + 1, 2 l_b + 1, 2L + 1)
        W_L, between orbitals in their own convention.
    columns : numpy.ndarray of int64
        The features of its basis that it is linear in.
    """

    block: Block
    irrep: Irrep
    couplings: np.ndarray
    columns: np.ndarray

    @property
    def n_constants(self) -> int:
        """1 where an isolated atom may have it, else 0."""
        return int(self.block.on_site and self.irrep == INVARIANT)

    @property
    def size(self) -> int:
        """How many coefficients it has."""
        return len(self.columns) + self.n_constants


class MatrixLayout:
    """Where the blocks of one structure are in its matrix.

    Parameters
    ----------
    orbitals : Orbitals
    symbols : list of str
    ends : numpy.ndarray, shape (n_bonds, 2)
        Atoms i, j of every bond, in both directions.
    """

    def __init__(self, orbitals: Orbitals, symbols: list[str], ends: np.ndarray) -> None:
        self.orbitals = orbitals
        self._names = np.array(symbols)
        self._starts = orbitals.starts(symbols)
        self._centers: dict[tuple[bool, str, str], np.ndarray] = {}
        self._bonds, self._atoms = ends, np.repeat(np.arange(len(symbols))[:, None], 2, axis=1)

    @property
    def n_orbitals(self) -> int:
        """Number of rows of the matrix."""
        return int(self._starts[-1])

    def centers(self, block: Block) -> np.ndarray:
        """Return which atoms, or which bonds, have such a block."""
        kind = block.on_site, block.first, block.second
        if kind not in self._centers:
            first, second = self._names[self._ends(block)].T
            self._centers[kind] = np.flatnonzero((first == block.first) & (second == block.second))
        return self._centers[kind]

    def gather(self, matrix: np.ndarray, block: Block) -> np.ndarray:
        """Return the blocks of a matrix, shape (n_centers, 2 l_a + 1, 2 l_b + 1)."""
        rows, columns = self._places(block)
        return matrix[rows[:, :, None], columns[:, None, :]]

    def scatter(self, matrix: np.ndarray, block: Block, values: np.ndarray) -> None:
        """Add blocks, and their transposes on the other side, to a matrix."""
        rows, columns = self._places(block)
        values = values / 2 if block.is_symmetric else values
        matrix[rows[:, :, None], columns[:, None, :]] += values  # no two blocks of a kind have the same place
        matrix[columns[:, :, None], rows[:, None, :]] += values.transpose(0, 2, 1)

    def _ends(self, block: Block) -> np.ndarray:
        return self._atoms if block.on_site else self._bonds

    def _places(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        i, j = self._starts[self._ends(block)[self.centers(block)]].T
        rows, columns = self.orbitals.rows(block.first, block.a), self.orbitals.rows(block.second, block.b)
        return i[:, None] + rows, j[:, None] + columns


class BlockBasis(ReadOnly):
    """Features of all blocks of symmetric matrices between orbitals.

    Parameters
    ----------
    atoms : ACEBasis
        Features of atoms. The same functions and limits serve every irrep, whatever that of the basis.
    bonds : BondBasis
        Features of bonds, likewise. Atoms farther from each other than its `length` have no block.
    orbitals : Orbitals
        Shells of the same species.

    Attributes
    ----------
    parts : tuple of BlockPart
        Irreps of all kinds of blocks. Those that need more factors than `order` allows are left out: they vanish.

    Examples
    --------
    >>> from acepure import ACEBasis, BondBasis
    >>> from acepure.labels.orbitals import Orbitals
    >>> atoms, bonds = ACEBasis(["H"], totaldegree=4), BondBasis(["H"], length=2.0, order=2, totaldegree=4)
    >>> basis = BlockBasis(atoms, bonds, Orbitals({"H": "sp"}))
    >>> [f"{part.block}: {part.irrep}" for part in basis.parts][:4]
    ['H0 on H0: 0e', 'H0 on H1: 1o', 'H1 on H1: 0e', 'H1 on H1: 2e']
    """

    def __init__(self, atoms: ACEBasis, bonds: BondBasis, orbitals: Orbitals) -> None:
        check_basis(atoms, tensors=True)
        check_kind("bonds", bonds, BondBasis)
        if not isinstance(orbitals, Orbitals):
            raise TypeError(f"orbitals must be Orbitals; got {orbitals!r}")
        for name, species in (("bonds", bonds.species), ("orbitals", orbitals.shells)):
            if set(species) != set(atoms.species):
                raise ValueError(
                    f"{name} must be for the species of atoms, {', '.join(atoms.species)}; got {', '.join(species)}"
                )
        self.atoms, self.bonds, self.orbitals = atoms, bonds, orbitals
        self.species = atoms.species
        self._bases: dict[tuple[bool, Irrep], Any] = {}
        self.parts = tuple(part for block in self._blocks() for part in self._parts(block) if part.size)

    def _blocks(self) -> Iterator[Block]:
        for on_site in (True, False):
            for z, first in enumerate(self.species):
                for second in [first] if on_site else self.species[z:]:
                    for a in range(len(self.orbitals.shells[first])):
                        for b in range(a if first == second else 0, len(self.orbitals.shells[second])):
                            yield Block(on_site, first, second, a, b)

    def _parts(self, block: Block) -> Iterator[BlockPart]:
        la, lb = self.orbitals.shells[block.first][block.a], self.orbitals.shells[block.second][block.b]
        U, V = self.orbitals.rotation(la), self.orbitals.rotation(lb)
        for L in range(abs(la - lb), la + lb + 1):
            irrep = Irrep(L, (-1) ** (la + lb))
            basis = self.basis_of(block.on_site, irrep)
            if basis is None or (block.on_site and block.is_symmetric and L % 2):
                continue
            columns = np.arange(len(basis))
            if block.is_symmetric and not block.on_site:
                columns = np.flatnonzero(basis.exchange == (-1) ** L)
            couplings = np.einsum("pm,qn,mnM->pqM", U, V, clebsch_gordan(la, lb, L))
            yield read_only(BlockPart(block, irrep, couplings, columns))

    def basis_of(self, on_site: bool, irrep: Irrep) -> Any:
        """Return the basis of one irrep; None where it needs more factors than the order allows."""
        key = (on_site, irrep)
        if key not in self._bases:
            given = self.atoms if on_site else self.bonds.basis
            if given.order < irrep.lowest_order:
                self._bases[key] = None
            elif on_site:
                self._bases[key] = ACEBasis.from_dict({**self.atoms.to_dict(), "irrep": str(irrep)})
            else:
                self._bases[key] = self.bonds.with_irrep(str(irrep))
        return self._bases[key]

    def layout(self, atoms: Atoms) -> MatrixLayout:
        """Return where the blocks of a structure are.

        Raises
        ------
        TypeError, ValueError
            For what is no structure, for species without orbitals, and for periodic structures, whose matrices depend
            on a wave vector.
        """
        check_structure(atoms)
        if atoms.pbc.any():
            raise ValueError("atoms is periodic, so its matrix depends on a wave vector; set atoms.pbc = False")
        bonds = self.bonds.bonds(atoms)
        first = np.repeat(bonds.centers, np.diff(bonds.offsets))
        return MatrixLayout(self.orbitals, list(atoms.symbols), np.stack([first, bonds.neighbors], axis=1))

    def features(
        self, atoms: Atoms, layout: MatrixLayout, *, num_threads: int | None = None
    ) -> Iterator[tuple[BlockPart, np.ndarray]]:
        """Yield each part with the features of its centers, shape (n_centers, part.size, 2L + 1), a constant first.

        Parameters
        ----------
        atoms : ase.Atoms
        layout : MatrixLayout
            Of the same structure.
        num_threads : int, optional
        """
        environments = self.bonds.environments(atoms)
        neighbors = self.atoms.neighbor_list(atoms, num_threads=num_threads)
        keys = dict.fromkeys((part.block.on_site, part.irrep) for part in self.parts)
        for on_site, irrep in keys:
            basis = self.basis_of(on_site, irrep)
            if on_site:
                features = basis.descriptors(atoms, neighbors=neighbors, num_threads=num_threads)
            else:
                features = basis.descriptors(atoms, environments=environments, num_threads=num_threads)
            features = features.reshape(len(features), len(basis), 2 * irrep.L + 1)
            for part in self.parts:
                if (part.block.on_site, part.irrep) == (on_site, irrep):
                    own = features[layout.centers(part.block)][:, part.columns]
                    yield part, np.insert(own, 0, 1.0, axis=1) if part.n_constants else own

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values from which `from_dict` makes an equal basis."""
        return {"atoms": self.atoms.to_dict(), "bonds": self.bonds.to_dict(), "orbitals": self.orbitals.to_dict()}

    @classmethod
    def from_dict(cls, dictionary: Any) -> BlockBasis:
        """Inverse of `to_dict`."""
        parts = dictionary["atoms"], dictionary["bonds"], dictionary["orbitals"]
        return cls(ACEBasis.from_dict(parts[0]), BondBasis.from_dict(parts[1]), Orbitals(**parts[2]))

    def __repr__(self) -> str:
        return f"BlockBasis({self.atoms!r}, {self.bonds!r}, {self.orbitals!r}): {len(self.parts)} parts"
