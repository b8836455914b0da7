"""Species and cutoffs: what neighbor lists need to know of a basis or of a potential."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import ArrayLike

from acepure._utils.read_only import ReadOnly, read_only, read_only_array
from acepure.errors import SpeciesError
from acepure.neighbors.environments import Environments
from acepure.neighbors.lists import NeighborList

__all__ = ["Sites"]


class Sites(ReadOnly):
    """Species that atoms may be of, and how far their neighbors reach; `ACEBasis` is more of the same.

    Parameters
    ----------
    species : sequence of str
        Chemical symbols; their positions are species indices.
    cutoffs : array_like, shape (n_species, n_species)
        Å, of (center, neighbor).

    Attributes
    ----------
    species : tuple of str
    cutoffs : numpy.ndarray
    rcut : float
        Largest cutoff of all pairs.

    Examples
    --------
    >>> Sites(["Cu", "O"], [[5, 4], [4, 3]]).rcut
    5.0
    """

    def __init__(self, species: Sequence[str], cutoffs: ArrayLike) -> None:
        self.species = tuple(species)
        self.cutoffs = read_only_array("cutoffs", cutoffs, (len(self.species),) * 2)
        self.rcut = float(self.cutoffs.max())

    @cached_property
    def _species_of_number(self) -> np.ndarray:
        index = np.full(len(chemical_symbols), -1, dtype=np.int32)
        index[[atomic_numbers[symbol] for symbol in self.species]] = np.arange(len(self.species))
        return np.asarray(read_only(index))

    def species_indices(self, atoms: Atoms, name: str = "atoms") -> np.ndarray:
        """Return the species index of every atom, shape (n_atoms,) int32; raise SpeciesError for others."""
        if not isinstance(atoms, Atoms):
            raise TypeError(f"{name} must be an ase.Atoms, got {type(atoms).__name__}")
        index = self._species_of_number[atoms.numbers]
        if (index < 0).any():
            unknown = ", ".join(sorted({chemical_symbols[number] for number in atoms.numbers[index < 0]}))
            raise SpeciesError(f"{name} holds {unknown}, but the {self._made_for()}")
        return np.asarray(index)

    def _made_for(self) -> str:
        return f"potential is for {', '.join(self.species)}"

    def neighbor_list(self, atoms: Atoms, indices: Any = None, num_threads: int | None = None) -> NeighborList:
        """Return the neighbor list of a structure, to be used again.

        Parameters
        ----------
        atoms : ase.Atoms
        indices : sequence of int, slice or mask, optional
            Which atoms are centers; default all.
        num_threads : int, optional
        """
        return Environments(self, atoms, indices=indices, num_threads=num_threads).neighbors
