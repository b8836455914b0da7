"""The atoms of one rank: energies of its own atoms, forces on them and on the ghosts around them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from time import perf_counter

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from acepure._kernels.forces import update_vectors
from acepure.evaluation import useful_threads
from acepure.linear import EnergyAndForces
from acepure.neighbors import NeighborList, neighbor_list
from acepure.potential import LinearACE

__all__ = ["Domain"]


class Domain:
    """Atoms of a part of space and the ghosts around it, the images of periodic boxes included.

    Own atoms come first. Only they are centers: E = Σ_i E_i over own atoms, and F = −∂E/∂r on own atoms and ghosts.
    The neighbor list reaches rcut + skin and serves until other atoms are here, or one has moved by more than skin / 2.

    Parameters
    ----------
    model : LinearACE
    symbols : sequence of str
        Chemical symbols of the types 1, 2, ...
    skin : float
        Å.
    num_threads : int

    Attributes
    ----------
    n_lists : int
        How many neighbor lists have been made.
    list_seconds, kernel_seconds : float
        Time spent on them, and on energies and forces.

    Examples
    --------
    >>> import numpy as np
    >>> from acepure import ACEBasis
    >>> model = LinearACE(ACEBasis(["Cu"], order=2), np.full(len(ACEBasis(["Cu"], order=2)), 0.01))
    >>> domain = Domain(model, ["Cu"], 0.5, 1)
    >>> domain.update(np.array([[0.0, 0, 0], [2.5, 0, 0]]), np.array([1, 1]), np.array([7, 9]), 1)
    True
    >>> result = domain.evaluate()
    >>> len(result.energies), len(result.forces)  # own atoms; own atoms and ghosts
    (1, 2)
    """

    def __init__(self, model: LinearACE, symbols: Sequence[str], skin: float, num_threads: int) -> None:
        self._model = model
        self._numbers = np.array([0, *(atomic_numbers[name] for name in symbols)])
        self._skin = skin
        self._num_threads = num_threads
        self._tags = self._types = np.empty(0, dtype=np.int32)
        self._atoms = Atoms()
        self._n_own = -1
        self._list: NeighborList | None = None
        self._vectors = self._made_for = np.empty((0, 3))  # of the list; positions it was made for
        self.n_lists = 0
        self.list_seconds = self.kernel_seconds = 0.0

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
            self._tags, self._types, self._n_own, self._list = tags.copy(), types.copy(), n_own, None
            self._atoms = Atoms(self._numbers[types], positions)
        else:
            self._atoms.positions[:] = positions
        return changed

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
        if self._list is not None and self._nearly_unmoved() and self._moved(self._list) == 0:
            return self._list.with_vectors(self._vectors.view())
        self._list = self._new_list()
        self._vectors = np.array(self._list.vectors)
        self._made_for = self._atoms.positions.copy()
        self.n_lists += 1
        return self._list

    def _new_list(self) -> NeighborList:
        """Make a list; errors name atoms by their tags, as LAMMPS does."""
        basis, atoms = self._model.basis, self._atoms
        try:
            return neighbor_list(
                atoms,
                basis.cutoffs + self._skin,
                species=basis.species_indices(atoms),
                indices=np.arange(self._n_own),
                num_threads=useful_threads(len(atoms), self._num_threads),
            )
        except ValueError as error:
            text = re.sub(r"\b(\d+) \((?=[A-Z])", lambda found: f"{self._tags[int(found[1])]} (", str(error))
            raise type(error)(f"{text} (numbers are atom IDs of LAMMPS)") from error

    def _nearly_unmoved(self) -> bool:
        moved2 = ((self._atoms.positions - self._made_for) ** 2).sum(axis=1).max()
        return bool(moved2 <= (0.5 * self._skin) ** 2)  # NaN compares false: a new list, which refuses it

    def _moved(self, listed: NeighborList) -> int:
        """Compute the present vectors; return how many atoms have met, which a new list reports with their names."""
        return update_vectors(
            listed.offsets,
            listed.centers,
            listed.neighbors,
            listed.shifts,
            self._atoms.positions,
            np.zeros((3, 3)),
            self._vectors,
            useful_threads(self._n_own, self._num_threads),
        )
