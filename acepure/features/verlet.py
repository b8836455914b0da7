"""Verlet lists: a neighbor list with a skin serves many steps, until an atom has moved too far."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from acepure._kernels.forces import update_vectors
from acepure._utils.checks import count, number
from acepure._utils.threads import resolve_num_threads, useful_threads
from acepure.features.basis import check_basis
from acepure.neighbors.lists import NeighborList, neighbor_list
from acepure.neighbors.sites import Sites

__all__ = ["VerletList"]


@dataclass(frozen=True)
class _Made:
    """A list, and what it was made for."""

    pairs: NeighborList
    positions: np.ndarray
    cell: np.ndarray
    pbc: np.ndarray
    numbers: np.ndarray
    n_centers: int | None

    def serves(self, atoms: Atoms, n_centers: int | None, skin: float) -> bool:
        """Whether the list is still complete."""
        if not isinstance(atoms, Atoms) or n_centers != self.n_centers:
            return False
        if not (
            np.array_equal(self.numbers, atoms.numbers)
            and np.array_equal(self.pbc, atoms.pbc)
            and np.array_equal(self.cell, atoms.cell.array)
        ):
            return False
        moved2 = ((atoms.positions - self.positions) ** 2).sum(axis=1).max()
        return bool(moved2 <= (0.5 * skin) ** 2)  # NaN compares false: a new list, which refuses it


class VerletList:
    """Neighbor list of a structure that moves.

    The list holds all pairs nearer than rcut + skin.  It stays complete until two atoms have approached each other by
    more than the skin, for which one of them must have moved by more than skin / 2 since the list was made.

    Parameters
    ----------
    basis : ACEBasis or Sites
        Supplies species and cutoffs.
    skin : float
        In Å; 0 makes a new list for every new structure.
    num_threads : int, optional

    Examples
    --------
    >>> from ase.build import bulk
    >>> from acepure import ACEBasis
    >>> atoms = bulk("Cu", cubic=True)
    >>> verlet = VerletList(ACEBasis(["Cu"]), skin=0.5)
    >>> _ = verlet.update(atoms)
    >>> atoms.rattle(0.01)
    >>> _ = verlet.update(atoms)
    >>> verlet.n_builds
    1
    """

    def __init__(self, basis: Sites, skin: float = 0.5, num_threads: int | None = None) -> None:
        if not isinstance(basis, Sites):
            check_basis(basis, tensors=True)
        self._basis = basis
        self._skin = number("skin", skin, least=0)
        self._num_threads = resolve_num_threads(num_threads)
        self._made: _Made | None = None  # replaced as a whole: threads may share a Verlet list
        self.n_builds = 0  #: how many lists have been made

    def update(self, atoms: Atoms, n_centers: int | None = None) -> NeighborList:
        """Return a list with the present vectors, made anew only if needed.

        Parameters
        ----------
        atoms : ase.Atoms
            Any structure; a new one, a new cell or new species make a new list.
        n_centers : int, optional
            So many atoms, the first ones, are centers; the others are neighbors only. Default: all.

        Returns
        -------
        NeighborList
            Pairs beyond the cutoff included.
        """
        n_centers = None if n_centers is None else count("n_centers", n_centers)
        made = self._made
        if made is not None and made.serves(atoms, n_centers, self._skin):
            moved = self._moved(atoms, made.pairs)
            if moved is not None:
                return moved
        species = self._basis.species_indices(atoms)
        pairs = neighbor_list(
            atoms,
            self._basis.cutoffs + self._skin,
            species=species,
            indices=None if n_centers is None else np.arange(n_centers),
            num_threads=useful_threads(len(atoms), self._num_threads),
        )
        self._made = _Made(
            pairs, atoms.positions.copy(), atoms.cell.array.copy(), atoms.pbc.copy(), atoms.numbers.copy(), n_centers
        )
        self.n_builds += 1
        return pairs

    def _moved(self, atoms: Atoms, pairs: NeighborList) -> NeighborList | None:
        """The list with the present vectors; None if two atoms have met, which a new list reports with their names."""
        vectors = np.empty((pairs.n_pairs, 3))
        met = update_vectors(
            pairs.offsets,
            pairs.centers,
            pairs.neighbors,
            pairs.shifts,
            np.ascontiguousarray(atoms.positions),
            np.ascontiguousarray(atoms.cell.array),
            vectors,
            useful_threads(len(atoms), self._num_threads),
        )
        return None if met else pairs.with_vectors(vectors)
