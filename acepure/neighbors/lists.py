"""Neighbor lists: ase.Atoms -> a frozen, sorted list of pairs.

A pair (i, j, S) belongs to the list if

    r_ij = r_j − r_i + S·cell,    |r_ij| < rcut[z_i, z_j],

S an integer shift along the periodic axes, and (i, j, S) not an atom with itself (j = i and S = 0).
The search is vesin's; the order, the vectors and the decision who is inside are ours
(`_kernels/neighbors.pyx`), so the list is the same to the last bit for any number of threads.

    atoms → search_box (where to look) → vesin (candidates, in any order) → sort_pairs → NeighborList

Few atoms are not searched: of a molecule all pairs are candidates, of a cell all images of all pairs that are near
enough, which `_kernels/neighbors.pyx` enumerates. vesin is imported when it is first needed, because it imports PyTorch
where that is installed, which takes longer than everything else.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from ase import Atoms

from acepure._kernels.neighbors import count_pairs, images, sort_pairs
from acepure._utils.checks import refuse_masked
from acepure._utils.memory import physical_memory, refuse_larger
from acepure.errors import CoincidentAtomsError
from acepure.neighbors.boxes import FARTHEST_CELLS, search_box
from acepure.structures.gate import check_structure

__all__ = ["NeighborList", "neighbor_list"]

# What a pair takes in the search and in the list.
_BYTES_PER_PAIR = 80
# So many atoms are not searched: to look at all their pairs takes less time.
FEW_ATOMS = 64
# Candidates per atom that are made room for at first.
ROOM = 64
# Two atoms nearer than this are one atom given twice, in Å; the kernels know it too.
SHORTEST_PAIR = 1e-6
# The search looks this far at least, in Å: a coarser grid costs little, as atoms are rarely nearer.
SHORTEST_SEARCH = 1.0
# Candidates are searched a little farther than the cutoff; rounding then decides nothing.
SEARCH_MARGIN = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class NeighborList:
    """Pairs grouped by center; inside a center by neighbor species, then neighbor, then shift.

    All arrays are read-only and C-contiguous.

    Attributes
    ----------
    offsets : ndarray, (n_centers + 1,), int64
        The pairs of center c are `offsets[c]:offsets[c + 1]`.
    centers : ndarray, (n_centers,), int32
        Atom index i of each center.
    neighbors : ndarray, (n_pairs,), int32
        Atom index j of each pair.
    shifts : ndarray, (n_pairs, 3), int32
        Periodic shift S of each pair.
    vectors : ndarray, (n_pairs, 3), float64
        r_ij = r_j − r_i + S·cell, in Å.
    n_atoms : int
        Number of atoms of the structure.
    cutoffs : ndarray, (n_species, n_species), float64
        The cutoffs that decided, in Å; one species if the list was made without `species`.
    species : ndarray, (n_atoms,), int, optional
        Species indices that :func:`neighbor_list` made it for; None for a list put together or changed by hand, which
        is checked at every use.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from acepure.neighbors.lists import neighbor_list
    >>> neighbor_list(bulk("Cu", "fcc", a=3.6), 3.0)
    NeighborList(n_centers=1, n_pairs=12)
    """

    offsets: np.ndarray
    centers: np.ndarray
    neighbors: np.ndarray
    shifts: np.ndarray
    vectors: np.ndarray
    n_atoms: int
    cutoffs: np.ndarray
    species: np.ndarray | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        for name in ("offsets", "centers", "neighbors", "shifts", "vectors", "cutoffs"):
            array = getattr(self, name)
            if type(array) is not np.ndarray:
                raise TypeError(f"{name} must be a numpy.ndarray; got {type(array).__name__}")
            array.setflags(write=False)

    @property
    def n_centers(self) -> int:
        """Number of centers."""
        return len(self.centers)

    @property
    def n_pairs(self) -> int:
        """Number of pairs."""
        return len(self.neighbors)

    def with_vectors(self, vectors: np.ndarray) -> NeighborList:
        """Return the same pairs after the atoms have moved.

        Parameters
        ----------
        vectors : ndarray, (n_pairs, 3), float64
            New r_ij, C-contiguous; it becomes read-only. That they are finite and that no two atoms have met is not
            looked at: features would be wrong or NaN.

        Raises
        ------
        TypeError, ValueError
            For another type or shape.
        """
        shape = (self.n_pairs, 3)
        if isinstance(vectors, np.ndarray) and not (
            vectors.dtype == np.float64 and vectors.shape == shape and vectors.flags.c_contiguous
        ):
            raise ValueError(
                f"vectors must be a C-contiguous array of float64 of shape {shape}; "
                f"got {vectors.dtype} of shape {vectors.shape}"
            )
        return made_for(self.species, replace(self, vectors=vectors))  # refuses what is no array

    def __repr__(self) -> str:
        return f"NeighborList(n_centers={self.n_centers}, n_pairs={self.n_pairs})"


def made_for(species: np.ndarray | None, neighbors: NeighborList) -> NeighborList:
    """Mark a new list as good for these species; `replace` does not keep the mark."""
    object.__setattr__(neighbors, "species", species)
    return neighbors


def neighbor_list(
    atoms: Atoms, cutoff: Any, *, species: Any = None, indices: Any = None, num_threads: int = 1
) -> NeighborList:
    """Return the neighbors of the atoms, or of some of them, within a cutoff.

    Parameters
    ----------
    atoms : ase.Atoms
        The structure; it is not modified.  `atoms.pbc` decides, per axis, what is periodic; the cell
        vector along an axis that is not periodic plays no role.
    cutoff : float or array_like, (n_species, n_species)
        Cutoff in Å; pairs with |r_ij| < cutoff are kept.  A matrix holds the cutoff of each ordered pair,
        `cutoff[species[i], species[j]]` of center i and neighbor j, and needs `species`.
    species : array_like of int, (n_atoms,), optional
        Species index of each atom.  Neighbors are grouped by it; without it, atoms count as one species.
    indices : array_like of int or bool, optional
        Atoms that are centers, in the order wanted, counted from the end if negative; or a mask,
        (n_atoms,).  All atoms by default.
    num_threads : int
        Threads of the search.  The result does not depend on it.

    Returns
    -------
    NeighborList

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If the structure is refused by `acepure.structures.gate.check_structure`; if `cutoff` is not positive
        and finite, or does not fit `species`; if an index occurs twice; if the structure is too
        elongated to be searched.
    IndexError
        If an index is out of range.
    CoincidentAtomsError
        If two atoms, or an atom and its periodic image, are nearer than 1e-6 Å.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from acepure.neighbors.lists import neighbor_list
    >>> water = molecule("H2O")
    >>> pairs = neighbor_list(water, 1.2)
    >>> pairs.offsets.tolist(), pairs.neighbors.tolist()
    ([0, 2, 3, 4], [1, 2, 0, 0])
    >>> neighbor_list(water, 1.2, indices=[-1])
    NeighborList(n_centers=1, n_pairs=1)
    """
    check_structure(atoms)
    species = _checked_species(species, len(atoms))
    cutoffs = _checked_cutoffs(cutoff, species)
    centers = check_indices(indices, len(atoms))
    if isinstance(num_threads, bool) or not isinstance(num_threads, (int, np.integer)):
        raise TypeError(f"num_threads must be an integer, got {type(num_threads).__name__}")
    if num_threads < 1:
        raise ValueError(f"num_threads must be at least 1, got {num_threads}")

    species = np.zeros(len(atoms), dtype=np.int32) if species is None else species
    return find_pairs(atoms, cutoffs, species, centers, int(num_threads))


def find_pairs(
    atoms: Atoms, cutoffs: np.ndarray, species: np.ndarray, centers: np.ndarray, num_threads: int
) -> NeighborList:
    """Return what `neighbor_list` returns, for arguments that have been checked.

    Parameters
    ----------
    atoms : ase.Atoms
    cutoffs : ndarray, (n_species, n_species), float64
        Å.
    species : ndarray, (n_atoms,), int32
    centers : ndarray, (n_centers,), int32
    num_threads : int
    """
    if len(atoms) <= FEW_ATOMS and not atoms.pbc.any():
        return _sorted_list(atoms, *_all_pairs(len(atoms)), centers, species, cutoffs)
    present = np.bincount(species, minlength=len(cutoffs)) > 0
    search = max(cutoffs[present][:, present].max(), SHORTEST_SEARCH) * (1 + SEARCH_MARGIN)
    _refuse_too_many(atoms, search)
    if len(atoms) <= FEW_ATOMS:
        found = _images(atoms, search)
        if found is not None:
            return _sorted_list(atoms, *found, centers, species, cutoffs)
    import vesin

    box = search_box(atoms, search)
    # The arrays of the search belong to vesin's object (copy=False): it must live as long as they do.
    finder = vesin.NeighborList(cutoff=box.search, full_list=False, n_threads=num_threads)
    pairs, shifts = finder.compute(box.points, box.vectors, True, "PS", copy=False)
    shifts = box.true_shifts(pairs, shifts)
    return _sorted_list(atoms, pairs, shifts, centers, species, cutoffs)


@lru_cache(maxsize=FEW_ATOMS)
def _all_pairs(n_atoms: int) -> tuple[np.ndarray, np.ndarray]:
    """The half list of all pairs of a molecule, and their shifts, all zero."""
    pairs = np.stack(np.triu_indices(n_atoms, 1), axis=1).astype(np.uintp)
    return pairs, np.zeros((len(pairs), 3), dtype=np.int32)


def _images(atoms: Atoms, search: float) -> tuple[np.ndarray, np.ndarray] | None:
    """The half list of few atoms and its shifts; None where one of them reaches beyond FARTHEST_CELLS."""
    positions, cell = np.ascontiguousarray(atoms.positions), np.ascontiguousarray(atoms.cell.array)
    room = ROOM * len(atoms)
    while True:
        pairs, shifts = np.empty((room, 2), dtype=np.uintp), np.empty((room, 3), dtype=np.int32)
        found = images(positions, cell, atoms.pbc.view(np.uint8), search, FARTHEST_CELLS, pairs, shifts)
        if found <= room:
            return None if found < 0 else (pairs[:found], shifts[:found])
        room = found


def _sorted_list(atoms: Atoms, pairs: Any, shifts: Any, centers: Any, species: Any, cutoffs: Any) -> NeighborList:
    n_atoms = len(atoms)
    if 2 * len(pairs) > np.iinfo(np.int32).max:
        raise ValueError(f"the neighbor list has {2 * len(pairs)} pairs, more than {np.iinfo(np.int32).max}")
    slot = np.full(n_atoms, -1, dtype=np.int32)
    slot[centers] = np.arange(len(centers), dtype=np.int32)
    rank = np.empty(n_atoms, dtype=np.int32)
    rank[np.argsort(species, kind="stable")] = np.arange(n_atoms, dtype=np.int32)

    offsets = np.empty(len(centers) + 1, dtype=np.int64)
    count_pairs(pairs, slot, offsets)
    m = int(offsets[-1])
    neighbors = np.empty(m, dtype=np.int32)
    out_shifts = np.empty((m, 3), dtype=np.int32)
    vectors = np.empty((m, 3))
    kept = sort_pairs(
        pairs,
        shifts,
        slot,
        rank,
        np.ascontiguousarray(atoms.positions, dtype=np.float64),
        np.ascontiguousarray(atoms.cell.array, dtype=np.float64),
        species,
        cutoffs**2,
        np.empty(n_atoms, dtype=np.int64),
        np.empty(m, dtype=np.int32),
        np.empty(m, dtype=np.int32),
        offsets,
        neighbors,
        out_shifts,
        vectors,
    )
    if kept < 0:
        pair, reverse = divmod(-1 - kept, 2)
        raise _coincident(
            atoms, pairs[pair, ::-1] if reverse else pairs[pair], -shifts[pair] if reverse else shifts[pair]
        )
    if kept < m:  # copied, so that a short list does not hold on to the memory of a long one
        neighbors, out_shifts, vectors = (
            neighbors[:kept].copy(),
            out_shifts[:kept].copy(),
            vectors[:kept].copy(),
        )
    return made_for(species, NeighborList(offsets, centers, neighbors, out_shifts, vectors, n_atoms, cutoffs))


def _coincident(atoms: Atoms, pair: np.ndarray, shift: np.ndarray) -> CoincidentAtomsError:
    i, j = int(pair[0]), int(pair[1])
    first, second = f"atom {i} ({atoms.symbols[i]})", f"atom {j} ({atoms.symbols[j]})"
    if shift.any():
        second = f"the periodic image {tuple(shift.tolist())} of {second}"
    return CoincidentAtomsError(f"{first} and {second} are at the same place (nearer than 1e-6 Å); remove one of them")


def _refuse_too_many(atoms: Atoms, search: float) -> None:
    """Raise before a periodic structure is searched so far that its pairs could not be held."""
    if not atoms.pbc.all():
        return
    (a, b, c), (d, e, f), (g, h, i) = atoms.cell.array.tolist()
    volume = abs(a * (e * i - f * h) + b * (f * g - d * i) + c * (d * h - e * g))  # numpy takes longer
    neighbors = len(atoms) / volume * 4 / 3 * np.pi * search**3
    needed = _BYTES_PER_PAIR * neighbors * len(atoms)
    if needed > physical_memory():
        raise ValueError(
            f"a cutoff of {search:.4g} Å gives about {neighbors:.1e} neighbors per atom; the list needs about "
            f"{needed / 2**30:.1e} GiB, and there are {physical_memory() / 2**30:,.1f} GiB. Is the cutoff in Å?"
        )


def _checked_species(species: Any, n_atoms: int) -> np.ndarray | None:
    if species is None:
        return None
    refuse_masked("species", species)
    result = np.asarray(species)
    if result.dtype.kind not in "iu":
        raise TypeError(f"species must be integers (species indices), got dtype {result.dtype}")
    if result.shape != (n_atoms,):
        raise ValueError(f"species must have shape ({n_atoms},), one index per atom, got {result.shape}")
    if result.min() < 0:
        raise ValueError(f"species must not be negative, got {result.min()} at atom {result.argmin()}")
    return np.ascontiguousarray(result, dtype=np.int32)


def _checked_cutoffs(cutoff: Any, species: np.ndarray | None) -> np.ndarray:
    """Return the (n_species, n_species) matrix of cutoffs."""
    values = np.asarray(cutoff)
    if values.dtype.kind not in "iuf":
        raise TypeError(f"cutoff must be a number or a matrix of numbers (Å), got {cutoff!r}")
    if values.ndim not in (0, 2) or (values.ndim == 2 and values.shape[0] != values.shape[1]):
        raise ValueError(f"cutoff must be a number or a square matrix, got shape {values.shape}")
    refuse_masked("cutoff", cutoff)
    refuse_larger("cutoff", values.shape, physical_memory(), "one row per species is enough")
    values = values.astype(np.float64)
    if values.size == 0 or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"cutoff must be positive and finite (Å), got {values.tolist()}")
    n_species = 1 if species is None else int(species.max()) + 1
    if values.ndim == 0:
        return np.full((n_species, n_species), float(values))
    if species is None:
        raise ValueError("cutoff is a matrix, one value per pair of species: species is needed too")
    if n_species > len(values):
        raise ValueError(f"cutoff is for {len(values)} species, but species contains {n_species - 1}")
    return np.ascontiguousarray(values)


def check_indices(indices: Any, n_atoms: int) -> np.ndarray:
    """Return the atom index of each center; all for None."""
    if indices is None:
        return np.arange(n_atoms, dtype=np.int32)
    if isinstance(indices, slice):
        try:
            return np.arange(*indices.indices(n_atoms), dtype=np.int32)
        except (TypeError, ValueError) as error:  # bounds that are no integers, a step of 0
            raise type(error)(f"indices={indices}: {error}") from None
    refuse_masked("indices", indices)
    values = np.asarray(indices)
    if values.ndim != 1:
        raise ValueError(f"indices must be one-dimensional, got shape {values.shape}")
    if values.dtype.kind == "b":
        if len(values) != n_atoms:
            raise ValueError(f"indices is a mask of {len(values)} values; {n_atoms} atoms need as many")
        return np.flatnonzero(values).astype(np.int32)
    if values.size == 0:
        return np.empty(0, dtype=np.int32)
    if values.dtype.kind not in "iu":
        raise TypeError(f"indices must be integers, a slice or a mask, got dtype {values.dtype}")
    outside = (values < -n_atoms) | (values >= n_atoms)
    if outside.any():
        raise IndexError(f"indices contains {values[outside][0]}, out of range for {n_atoms} atoms")
    result = values.astype(np.int64)  # a short type cannot hold n_atoms
    result[result < 0] += n_atoms
    found, counts = np.unique(result, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"indices contains atom {found[counts > 1][0]} more than once")
    return result.astype(np.int32)
