"""Environments: what every evaluator takes; structure, species, list and threads are checked here, once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from ase import Atoms

from acepure._utils.threads import resolve_num_threads, useful_threads
from acepure.neighbors.blocks import find_blocks
from acepure.neighbors.checks import check_neighbors
from acepure.neighbors.lists import NeighborList, check_indices, find_pairs
from acepure.structures.gate import check_structure

__all__: list[str] = []


class _Species(Protocol):
    """What is needed of a basis."""

    @property
    def cutoffs(self) -> np.ndarray: ...
    def species_indices(self, atoms: Atoms, name: str = "atoms") -> np.ndarray: ...


class Chosen(NamedTuple):
    """Some centers of a neighbor list, as evaluators take them.

    Attributes
    ----------
    neighbors : NeighborList
    rows : numpy.ndarray of int64
        Which centers of the list.
    species : numpy.ndarray of int32, shape (n_atoms,)
        Species indices.
    num_threads : int
    """

    neighbors: NeighborList
    rows: np.ndarray
    species: np.ndarray
    num_threads: int

    @property
    def threads(self) -> int:
        """How many threads are of use for so many centers."""
        return useful_threads(len(self.rows), self.num_threads)


class Environments:
    """Atoms of a structure and their neighbors.

    Parameters
    ----------
    basis : ACEBasis
        Supplies species and cutoffs.
    atoms : ase.Atoms
    indices : sequence of int, slice or mask, optional
        Which atoms are centers; default all.
    neighbors : NeighborList, optional
        Of the same structure, with centers of its own; that the positions are the same is not checked.
    num_threads : int, optional
    name : str
        What to call the structure in messages.
    checked : bool
        Whether `check_structure` has passed the structure.

    Attributes
    ----------
    species : numpy.ndarray of int32, shape (n_atoms,)
        Species indices.
    num_threads : int

    Raises
    ------
    TypeError, ValueError
        For a structure, or a list, that does not belong to the basis.
    """

    def __init__(
        self,
        basis: _Species,
        atoms: Atoms,
        *,
        indices: Any = None,
        neighbors: NeighborList | None = None,
        num_threads: int | None = None,
        name: str = "atoms",
        checked: bool = False,
    ) -> None:
        self.num_threads = resolve_num_threads(num_threads)
        if neighbors is not None and indices is not None:
            raise ValueError("indices and neighbors exclude each other: the list has its centers")
        if not checked:
            check_structure(atoms, name)
        self.species = basis.species_indices(atoms, name)
        self._atoms, self._cutoffs = atoms, basis.cutoffs
        self._list: NeighborList | None = neighbors
        if neighbors is not None:
            check_neighbors(neighbors, self.species, self._cutoffs)
        elif indices is not None:
            self._list = self._find(check_indices(indices, len(atoms)))

    @classmethod
    def of_list(cls, basis: _Species, species: np.ndarray, neighbors: NeighborList, num_threads: int) -> Environments:
        """Make environments of particles that no structure holds: their species indices, and a list of pairs."""
        result = cls.__new__(cls)
        check_neighbors(neighbors, species, basis.cutoffs)
        result.num_threads, result.species = num_threads, species
        result._cutoffs, result._list = basis.cutoffs, neighbors
        return result

    def take_species(self, z: int) -> Environments:
        """Keep the centers of one species, unless centers were given; return the environments themselves."""
        if self._list is None:
            self._list = self._find(np.flatnonzero(self.species == z).astype(np.int32))
        return self

    @property
    def n_centers(self) -> int:
        """Number of centers."""
        return len(self.species) if self._list is None else self._list.n_centers

    @property
    def center_species(self) -> np.ndarray:
        """Species index of each center."""
        return self.species if self._list is None else self.species[self._list.centers]

    @property
    def neighbors(self) -> NeighborList:
        """One list of all centers, made when first wanted; from then on it is the only part."""
        if self._list is None:
            self._list = self._find(check_indices(None, len(self.species)))
        return self._list

    def parts(self) -> Iterator[tuple[NeighborList, np.ndarray]]:
        """Yield lists that together hold each center once, and which centers these are.

        A large structure comes by blocks of its atoms, so that memory does not grow with it.
        """
        if self._list is not None:
            yield self._list, np.arange(self._list.n_centers)
            return
        threads = useful_threads(len(self.species), self.num_threads)
        for part in find_blocks(self._atoms, self._cutoffs, self.species, threads):
            yield part, part.centers.astype(np.int64)

    def chosen(self, part: NeighborList, kinds: Sequence[int]) -> Chosen:
        """Return which centers of a part are of these species, equal ones side by side: lanes are then of one kind."""
        center_species = self.species[part.centers]
        rows = np.concatenate([np.flatnonzero(center_species == z) for z in kinds])
        return Chosen(part, rows, self.species, self.num_threads)

    def _find(self, centers: np.ndarray) -> NeighborList:
        threads = useful_threads(len(self.species), self.num_threads)
        return find_pairs(self._atoms, self._cutoffs, self.species, centers, threads)
