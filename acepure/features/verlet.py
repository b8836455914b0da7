"""Verlet lists: a neighbor list with a skin serves many steps, until an atom has moved too far."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from acepure._kernels.forces import update_vectors
from acepure._utils.checks import count, number
from acepure._utils.threads import resolve_num_threads, useful_threads
from acepure.features.basis import ACEBasis, check_basis
from acepure.neighbors.lists import NeighborList, neighbor_list
from acepure.structures.gate import check_structure

__all__ = ["VerletList"]


class VerletList:
    """Neighbor list of a structure that moves.

    The list holds all pairs nearer than rcut + skin.  It stays complete until two atoms have approached each other by
    more than the skin, for which one of them must have moved by more than skin / 2 since the list was made.

    Parameters
    ----------
    basis : ACEBasis
        Supplies species and cutoffs.
    skin : float
        In Å; 0 makes a new list for every new structure.
    num_threads : int, optional

    Examples
    --------
    >>> from ase.build import bulk
    >>> atoms = bulk("Cu", cubic=True)
    >>> verlet = VerletList(ACEBasis(["Cu"]), skin=0.5)
    >>> _ = verlet.update(atoms)
    >>> atoms.rattle(0.01)
    >>> _ = verlet.update(atoms)
    >>> verlet.n_builds
    1
    """

    def __init__(self, basis: ACEBasis, skin: float = 0.5, num_threads: int | None = None) -> None:
        check_basis(basis)
        self._basis = basis
        self._skin = number("skin", skin, least=0)
        self._num_threads = resolve_num_threads(num_threads)
        self._list: NeighborList | None = None
        self._vectors = np.empty((0, 3))
        self._n_centers: int | None = None
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
            Pairs beyond the cutoff included; valid until the next call.
        """
        n_centers = None if n_centers is None else count("n_centers", n_centers)
        if self._list is not None and self._still_valid(atoms, n_centers) and self._moved(atoms, self._list):
            return self._list.with_vectors(self._vectors.view())
        check_structure(atoms)
        species = self._basis.species_indices(atoms)
        threads = useful_threads(len(atoms), self._num_threads)
        self._list = neighbor_list(
            atoms,
            self._basis.cutoffs + self._skin,
            species=species,
            indices=None if n_centers is None else np.arange(n_centers),
            num_threads=threads,
        )
        self._vectors = np.array(self._list.vectors)
        self._made_for = (atoms.positions.copy(), atoms.cell.array.copy(), atoms.pbc.copy(), atoms.numbers.copy())
        self._n_centers = n_centers
        self.n_builds += 1
        return self._list

    def _moved(self, atoms: Atoms, listed: NeighborList) -> bool:
        """Compute the present vectors; False if two atoms have met, which a new list reports with their names."""
        met = update_vectors(
            listed.offsets,
            listed.centers,
            listed.neighbors,
            listed.shifts,
            np.ascontiguousarray(atoms.positions),
            np.ascontiguousarray(atoms.cell.array),
            self._vectors,
            useful_threads(len(atoms), self._num_threads),
        )
        return met == 0

    def _still_valid(self, atoms: Atoms, n_centers: int | None) -> bool:
        if self._list is None or not isinstance(atoms, Atoms) or n_centers != self._n_centers:
            return False
        positions, cell, pbc, numbers = self._made_for
        if not (
            np.array_equal(numbers, atoms.numbers)
            and np.array_equal(pbc, atoms.pbc)
            and np.array_equal(cell, atoms.cell.array)
        ):
            return False
        moved2 = ((atoms.positions - positions) ** 2).sum(axis=1).max()
        return bool(moved2 <= (0.5 * self._skin) ** 2)  # NaN compares false: a new list, which refuses it
