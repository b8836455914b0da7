"""The atoms of one rank: energies of its own atoms, forces on them and on the ghosts around them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from acepure.features.linear import EnergyAndForces, LinearFunction
from acepure.features.verlet import VerletList
from acepure.models.coverage import CoverageCheck
from acepure.models.potential import SitePotential
from acepure.neighbors.lists import NeighborList


class Domain:
    """Atoms of a part of space and the ghosts around it, the images of periodic boxes included.

    Own atoms come first. Only they are centers: E = Σ_i E_i over own atoms, and F = −∂E/∂r on own atoms and ghosts.
    The neighbor list reaches rcut + skin and serves until other atoms are here, or one has moved by more than skin / 2.

    Parameters
    ----------
    model : LinearACE or EmbeddedACE
    symbols : sequence of str
        Chemical symbols of the types 1, 2, ...
    skin : float
        Å.
    num_threads : int

    Attributes
    ----------
    list_seconds, kernel_seconds : float
        Time spent on them, and on energies and forces.

    Examples
    --------
    >>> import numpy as np
    >>> from acepure import ACEBasis, LinearACE
    >>> model = LinearACE(ACEBasis(["Cu"], order=2), np.full(len(ACEBasis(["Cu"], order=2)), 0.01))
    >>> domain = Domain(model, ["Cu"], 0.5, 1)
    >>> domain.update(np.array([[0.0, 0, 0], [2.5, 0, 0]]), np.array([1, 1]), np.array([7, 9]), 1)
    True
    >>> result = domain.evaluate()
    >>> len(result.energies), len(result.forces)  # own atoms; own atoms and ghosts
    (1, 2)
    """

    def __init__(self, model: SitePotential, symbols: Sequence[str], skin: float, num_threads: int) -> None:
        self._model = model
        self._numbers = np.array([0, *(atomic_numbers[name] for name in symbols)])
        self._num_threads = num_threads
        self._verlet = VerletList(model.basis, skin, num_threads)
        self._tags = self._types = np.empty(0, dtype=np.int32)
        self._atoms = Atoms()
        self._n_own = -1
        self.list_seconds = self.kernel_seconds = 0.0

    @property
    def n_lists(self) -> int:
        """How many neighbor lists have been made."""
        return self._verlet.n_builds

    def update(self, positions: np.ndarray, types: np.ndarray, tags: np.ndarray, n_own: int) -> bool:
        """Take the present atoms; return whether they are others than before, or in another order.

        Parameters
        ----------
        positions : numpy.ndarray, shape (n, 3)
            Å; own atoms first.
        types, tags : numpy.ndarray of int, shape (n,)
        n_own : int
        """
        changed = not (n_own == self._n_own and np.array_equal(tags, self._tags) and np.array_equal(types, self._types))
        if changed:
            self._tags, self._types, self._n_own = tags.copy(), types.copy(), n_own
            self._atoms = Atoms(self._numbers[types], positions)
        else:
            self._atoms.positions[:] = positions
        return changed

    @property
    def tags(self) -> np.ndarray:
        """IDs in LAMMPS of own atoms, then of ghosts."""
        return self._tags

    def outside(self, coverage: CoverageCheck) -> list[str]:
        """Return what lies outside of the data of the fit, around own atoms."""
        if self._n_own == 0:
            return []
        species = self._model.basis.species_indices(self._atoms)
        return list(coverage.outside(species, self._present_list(), self._tags))

    def forces_of(self, functions: Sequence[LinearFunction]) -> np.ndarray:
        """Return forces of several functions on own atoms and ghosts, shape (n, 3 n_functions)."""
        if self._n_own == 0:
            return np.zeros((len(self._atoms), 3 * len(functions)))
        given: dict[str, Any] = {"neighbors": self._present_list(), "num_threads": self._num_threads}
        return np.hstack([function.evaluate_with_gradients(self._atoms, **given).forces for function in functions])

    def evaluate(self) -> EnergyAndForces:
        """Return energies of own atoms, (n_own,), forces on all, (n, 3), and their share of the virial."""
        if self._n_own == 0:
            return EnergyAndForces(np.zeros(0), np.zeros((len(self._atoms), 3)), np.zeros((3, 3)))
        start = perf_counter()
        neighbors = self._present_list()
        listed = perf_counter()
        result = self._model.evaluate(self._atoms, neighbors=neighbors, num_threads=self._num_threads)
        self.list_seconds += listed - start
        self.kernel_seconds += perf_counter() - listed
        return result

    def _present_list(self) -> NeighborList:
        """The list of own atoms; errors name atoms by their tags, as LAMMPS does."""
        try:
            return self._verlet.update(self._atoms, self._n_own)
        except ValueError as error:
            text = re.sub(r"\b(\d+) \((?=[A-Z])", lambda found: f"{self._tags[int(found[1])]} (", str(error))
            raise type(error)(f"{text} (numbers are atom IDs of LAMMPS)") from error
