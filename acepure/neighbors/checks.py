"""Is a neighbor list that was given one that the kernels can follow through a structure?"""

from __future__ import annotations

import numpy as np

from acepure.neighbors.lists import SHORTEST_PAIR, NeighborList

__all__ = ["check_list", "check_neighbors"]


def check_neighbors(neighbors: NeighborList, species: np.ndarray, cutoffs: np.ndarray) -> None:
    """Raise unless `neighbors` is a list that the kernels can follow through a structure, and reaches the cutoffs.

    Whether it is the list of these positions is not checked.

    Parameters
    ----------
    neighbors : NeighborList
    species : ndarray, (n_atoms,)
        Species index of each atom.
    cutoffs : ndarray, (n_species, n_species)
        Å.

    Raises
    ------
    TypeError, ValueError
    """
    check_list(neighbors, len(species))
    if neighbors.cutoffs.shape != cutoffs.shape:
        raise ValueError(
            f"neighbors is grouped by {len(neighbors.cutoffs)} species, but {len(cutoffs)} are needed; make it with "
            "the neighbor_list method of the basis"
        )
    if not (neighbors.cutoffs >= cutoffs).all():
        raise ValueError(
            f"neighbors reaches {neighbors.cutoffs.min():g} Å, but {cutoffs.max():g} Å are needed; make it with "
            "the neighbor_list method of the basis"
        )
    if neighbors.species is not None:
        if not np.array_equal(neighbors.species, species):
            raise ValueError(
                "neighbors belongs to a structure or a basis with other species; make it with the neighbor_list method "
                "of the basis"
            )
        return
    falls = np.diff(species[neighbors.neighbors]) < 0
    falls[neighbors.offsets[(neighbors.offsets > 0) & (neighbors.offsets < neighbors.n_pairs)] - 1] = False
    if falls.any():
        raise ValueError(
            "neighbors must hold the pairs of each center by species of neighbor; those at pair "
            f"{np.argmax(falls) + 1} are not; make it with the neighbor_list method of the basis"
        )


def check_list(neighbors: NeighborList, n_atoms: int) -> None:
    """Raise unless `neighbors` is a list of so many atoms of which every number can be followed.

    Raises
    ------
    TypeError, ValueError
    """
    if not isinstance(neighbors, NeighborList):
        raise TypeError(f"neighbors must be a NeighborList, got {neighbors!r} of type {type(neighbors).__name__}")
    if neighbors.n_atoms != n_atoms:
        raise ValueError(f"neighbors belongs to a structure of {neighbors.n_atoms} atoms, but atoms has {n_atoms}")
    if neighbors.species is not None:
        return  # made here
    for name, dtype, shape in (
        ("offsets", np.int64, (neighbors.n_centers + 1,)),
        ("centers", np.int32, (neighbors.n_centers,)),
        ("neighbors", np.int32, (neighbors.n_pairs,)),
        ("shifts", np.int32, (neighbors.n_pairs, 3)),
        ("vectors", np.float64, (neighbors.n_pairs, 3)),
        ("cutoffs", np.float64, neighbors.cutoffs.shape),
    ):
        array = getattr(neighbors, name)
        if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
            raise ValueError(
                f"neighbors.{name} must be a C-contiguous array of {np.dtype(dtype)} of shape {shape}; "
                f"got {array.dtype} of shape {array.shape}"
            )
    offsets = neighbors.offsets
    if offsets[0] != 0 or offsets[-1] != neighbors.n_pairs or (np.diff(offsets) < 0).any():
        raise ValueError(f"neighbors.offsets must rise from 0 to the number of pairs, {neighbors.n_pairs}")
    for name in ("centers", "neighbors"):
        atoms = getattr(neighbors, name)
        if atoms.size and not (0 <= atoms.min() and atoms.max() < n_atoms):
            raise ValueError(f"neighbors.{name} must hold atoms 0 to {n_atoms - 1}; got {atoms.min()} to {atoms.max()}")
    r2 = np.einsum("pa,pa->p", neighbors.vectors, neighbors.vectors)
    if r2.size and not (r2.min() >= SHORTEST_PAIR**2 and r2.max() < np.inf):
        raise ValueError(f"neighbors.vectors must be finite and at least {SHORTEST_PAIR:g} Å long")
