"""Neighbor lists of large structures by blocks of centers, so that memory does not grow with the structure.

The structure is divided along its cell vectors into boxes of about `centers_per_block` atoms, each wider than the
cutoff.  The neighbors of the atoms of a box are in it and in the boxes around it, of which periodic images are taken
where the structure ends.

    atoms → _Grid (which atom in which box) → one small structure per box → neighbor_list → NeighborList of atoms
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
from ase import Atoms
from ase.geometry import complete_cell

from acepure.neighbors.lists import NeighborList, find_pairs
from acepure.structures.gate import check_structure

__all__ = ["CENTERS_PER_BLOCK", "neighbor_blocks"]

#: A list of this many centers takes about 20 MB at 45 neighbors each; twice as many gain little speed.
CENTERS_PER_BLOCK = 4096

# Boxes are wider than the cutoff by this factor, against rounding of fractional coordinates.
_MARGIN = 1.0 + 1e-6


def neighbor_blocks(
    atoms: Atoms,
    cutoffs: np.ndarray,
    species: np.ndarray,
    *,
    num_threads: int = 1,
    centers_per_block: int = CENTERS_PER_BLOCK,
) -> Iterator[NeighborList]:
    """Yield neighbor lists that together hold every atom as a center once.

    Parameters
    ----------
    atoms : ase.Atoms
    cutoffs : numpy.ndarray, shape (n_species, n_species)
        Cutoffs in Å.
    species : numpy.ndarray of int32, shape (n_atoms,)
        Species indices.
    num_threads : int
    centers_per_block : int
        Aim for so many centers per list; a structure of up to this many atoms gives one list.

    Yields
    ------
    NeighborList
        As `neighbor_list` gives, for some of the centers; centers, neighbors and shifts are those of `atoms`.

    Examples
    --------
    >>> from ase.build import bulk
    >>> atoms = bulk("Cu", cubic=True) * 6
    >>> lists = list(neighbor_blocks(atoms, np.array([[3.0]]), np.zeros(len(atoms), np.int32), centers_per_block=300))
    >>> len(lists) > 1, sum(part.n_centers for part in lists), sum(part.n_pairs for part in lists)
    (True, 864, 10368)
    """
    check_structure(atoms)
    yield from find_blocks(atoms, cutoffs, species, num_threads, centers_per_block)


def find_blocks(
    atoms: Atoms, cutoffs: np.ndarray, species: np.ndarray, num_threads: int, centers_per_block: int | None = None
) -> Iterator[NeighborList]:
    """Yield what `neighbor_blocks` yields, for arguments that have been checked."""
    centers_per_block = centers_per_block or CENTERS_PER_BLOCK
    grid = _Grid(atoms, float(np.max(cutoffs)), centers_per_block) if len(atoms) > centers_per_block else None
    if grid is None or grid.n_boxes == 1:
        yield find_pairs(atoms, cutoffs, species, np.arange(len(atoms), dtype=np.int32), num_threads)
        return
    for box in range(grid.n_boxes):
        members, images, centers = grid.around(box)
        if not len(centers):
            continue
        cluster = Atoms(
            numbers=atoms.numbers[members],
            positions=grid.positions[members] + images @ grid.cell,
            cell=grid.cell,
            pbc=atoms.pbc & (grid.counts == 1),
        )
        local = find_pairs(cluster, cutoffs, species[members], centers.astype(np.int32), num_threads)
        owners = np.repeat(members[local.centers], np.diff(local.offsets))
        neighbors = members[local.neighbors]
        yield replace(
            local,
            centers=members[local.centers].astype(np.int32),
            neighbors=neighbors.astype(np.int32),
            n_atoms=len(atoms),
            shifts=(local.shifts + images[local.neighbors] + grid.wraps[owners] - grid.wraps[neighbors]).astype(
                np.int32
            ),
        )


class _Grid:
    """Atoms sorted into boxes along the cell vectors.

    Attributes
    ----------
    counts : numpy.ndarray, shape (3,)
        Boxes along each cell vector; 1 where the cell is too thin to be divided.
    cell : numpy.ndarray, shape (3, 3)
        The cell, with unit vectors across non-periodic axes.
    positions, wraps : numpy.ndarray, shape (n_atoms, 3)
        positions = positions given − wraps @ cell, inside the cell along periodic axes.
    """

    def __init__(self, atoms: Atoms, cutoff: float, centers_per_block: int) -> None:
        self.pbc = atoms.pbc
        self.cell = np.ascontiguousarray(complete_cell(np.where(self.pbc[:, None], atoms.cell.array, 0.0)))
        inverse = np.linalg.inv(self.cell)
        fractional = atoms.positions @ inverse
        self.wraps = np.where(self.pbc, np.floor(fractional), 0.0).astype(np.int64)
        self.positions = atoms.positions - self.wraps @ self.cell
        fractional -= self.wraps
        low = np.where(self.pbc, 0.0, fractional.min(axis=0))
        extent = np.where(self.pbc, 1.0, np.maximum(fractional.max(axis=0) - low, 1e-12))
        heights = extent / np.linalg.norm(inverse, axis=0)  # Å between the faces
        self.counts = _boxes(heights, cutoff * _MARGIN, len(atoms) / centers_per_block)
        self.n_boxes = int(self.counts.prod())
        index = np.clip(((fractional - low) / extent * self.counts).astype(np.int64), 0, self.counts - 1)
        flat = np.ravel_multi_index(index.T, self.counts)
        self.order = np.argsort(flat, kind="stable")  # atoms of one box, by index
        self.start = np.concatenate([[0], np.cumsum(np.bincount(flat, minlength=self.n_boxes))])
        # Distance of each atom from the two faces of its box along each axis, in Å: halos keep the near ones.
        inside = (fractional - low) / extent * self.counts - index
        self.width = heights / self.counts
        self.below, self.above = inside * self.width, (1.0 - inside) * self.width
        self.reach = cutoff * _MARGIN

    def around(self, box: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Atoms that the centers of a box may see.

        Returns
        -------
        members : numpy.ndarray, shape (n,)
            Atoms of the box and of its surroundings, sorted by index and image.
        images : numpy.ndarray, shape (n, 3)
            Cell shifts of their images.
        centers : numpy.ndarray
            Positions in `members` of the atoms of the box itself.
        """
        here = np.array(np.unravel_index(box, self.counts))
        members, images, own = [], [], []
        for step in product(*(((-1, 0, 1) if n > 1 else (0,)) for n in self.counts)):
            image, there = np.divmod(here + step, self.counts)
            if (image[~self.pbc] != 0).any():
                continue
            flat = np.ravel_multi_index(there, self.counts)
            atoms = self.order[self.start[flat] : self.start[flat + 1]]
            for axis, direction in enumerate(step):
                if direction:
                    distance = self.below if direction > 0 else self.above
                    atoms = atoms[distance[atoms, axis] < self.reach]
            members.append(atoms)
            images.append(np.broadcast_to(image, (len(atoms), 3)))
            own.append(np.full(len(atoms), not any(step)))
        inside, shifts = np.concatenate(members), np.concatenate(images)
        order = np.lexsort((shifts[:, 2], shifts[:, 1], shifts[:, 0], inside))
        return inside[order], shifts[order], np.flatnonzero(np.concatenate(own)[order])


def _boxes(heights: np.ndarray, narrowest: float, wanted: float) -> np.ndarray:
    """Divide the widest boxes first, until there are enough of them or none can be divided."""
    counts = np.ones(3, dtype=np.int64)
    while counts.prod() < wanted:
        widths = heights / (counts + 1)
        possible = widths >= narrowest
        if not possible.any():
            break
        counts[np.argmax(np.where(possible, heights / counts, 0.0))] += 1
    return counts
