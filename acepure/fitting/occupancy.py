"""Which functions can be different from zero in some structures: those that have the neighbors they need.

A canonical function of order ν is a sum over ν distinct neighbors. It is exactly zero at a center that has fewer
neighbors of a species than the function has factors of that species; a self-interacting one needs one neighbor of each.
In a molecule these are half of all functions: they need no coefficient, and no column of a fit. Those that are zero
around every species of center are not even built.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ase import Atoms

from acepure.features.basis import ACEBasis
from acepure.neighbors.environments import Environments


def neighbors_needed(basis: ACEBasis) -> np.ndarray:
    """Return how many neighbors of each species a function needs, shape (n_features, n_species).

    Examples
    --------
    >>> neighbors_needed(ACEBasis(["Cu"], order=2, totaldegree=2)).T
    array([[1, 1, 1, 2, 2, 2, 2, 2]])
    """
    index = {symbol: k for k, symbol in enumerate(basis.species)}
    needed = np.zeros((len(basis), len(index)), dtype=np.int64)
    for k, label in enumerate(basis.labels):
        np.add.at(needed[k], [index[symbol] for symbol in label.species], 1)
    return needed if basis.canonical else np.minimum(needed, 1)


def neighbors_present(basis: ACEBasis, structures: Iterable[Atoms]) -> list[np.ndarray]:
    """Return, for each species of center, the numbers of neighbors by species that occur, each row once.

    Parameters
    ----------
    basis : ACEBasis
        Its cutoffs decide who is a neighbor.
    structures : iterable of ase.Atoms

    Returns
    -------
    list of numpy.ndarray of int, shape (any, n_species)
    """
    n_species = len(basis.species)
    found = [np.zeros((0, n_species), dtype=np.int64) for _ in range(n_species)]
    for atoms in structures:
        environments = Environments(basis, atoms)
        neighbors, species = environments.neighbors, environments.species
        owner = np.repeat(np.arange(neighbors.n_centers), np.diff(neighbors.offsets))
        counts = np.zeros((neighbors.n_centers, n_species), dtype=np.int64)
        np.add.at(counts, (owner, species[neighbors.neighbors]), 1)
        for z in range(n_species):
            rows = counts[species[neighbors.centers] == z]
            found[z] = np.unique(np.concatenate([found[z], rows]), axis=0)
    return found


def can_be_nonzero(basis: ACEBasis, structures: Iterable[Atoms]) -> np.ndarray:
    """Return which functions some center has the neighbors for, shape (n_species, n_features), by species of center.

    Examples
    --------
    An atom of a trimer has two neighbors: what needs three is zero.

    >>> basis = ACEBasis(["Cu"], rcut=4.0, order=3, totaldegree=4)
    >>> trimer = Atoms("Cu3", [[0, 0, 0], [0, 0, 2.5], [0, 2.5, 0]])
    >>> possible = can_be_nonzero(basis, [trimer])[0]
    >>> bool(possible[basis.order_slices["nu2"]].all()), bool(possible[basis.order_slices["nu3"]].any())
    (True, False)
    """
    needed, result = neighbors_needed(basis), np.zeros((len(basis.species), len(basis)), dtype=bool)
    for possible, present in zip(result, neighbors_present(basis, structures)):
        for counts in present:
            possible |= (needed <= counts).all(axis=1)
    return result


def without_impossible(basis: ACEBasis, structures: Iterable[Atoms]) -> ACEBasis:
    """Return the basis without functions of more neighbors of a species than any center has, before anything is built.

    Raises
    ------
    ValueError
        If no function is left.

    Examples
    --------
    >>> basis = ACEBasis(["H", "O"], rcut=4.0, order=3, totaldegree=4)
    >>> smaller = without_impossible(basis, [Atoms("H2O", [[0, 0.76, 0.6], [0, -0.76, 0.6], [0, 0, 0]])])
    >>> len(basis), len(smaller), smaller.specification.occupancy
    (186, 89, Occupancy({'H': [0, 2], 'O': [0, 1]}))
    """
    present = np.max([counts.max(axis=0, initial=0) for counts in neighbors_present(basis, structures)], axis=0)
    if not present.any():
        raise ValueError(f"structures hold no two atoms within {basis.rcut:g} Å: every function is zero in them")
    fewer = {symbol: int(n) for symbol, n in zip(basis.species, present) if n < (basis.order if basis.canonical else 1)}
    if not fewer:
        return basis
    arguments = basis.specification.within(fewer).to_dict()
    species = arguments.pop("species")
    return ACEBasis(species, radial=basis.radial, canonical=basis.canonical, reference=basis.reference, **arguments)
