"""Boxes that vesin searches well.

vesin is always given a box that is periodic along all three axes: a non-periodic axis becomes a periodic
one, longer than the structure by more than the cutoff, so that no image can be seen across the gap.
Measured with vesin 0.6.2, its own mixed boundary conditions cost time proportional to the square of
the extent (30 times more for a slab 300 Å thick), and elongated boxes end the process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.geometry import complete_cell, minkowski_reduce

__all__ = ["FARTHEST_CELLS", "SearchBox", "search_box"]

# Atoms more than this many cells away are wrapped first: vesin counts grid cells in 32 bits.
FARTHEST_CELLS = 1000
# Cells with vectors longer than this many times the distance of their faces are reduced first.
LARGEST_SKEW = 4.0
# vesin shrinks grids above MAX_GRID cells in proportion; a thin axis then gets none, a division by 0.
MAX_GRID = 1e5
THINNEST_GRID = 4
# What remains of that is met by a longer search, at the cost of more candidates.
INFLATIONS = (1.0, 1.2, 1.5, 2.0, 3.0)


@dataclass(frozen=True)
class SearchBox:
    """A periodic box with the same pairs as the structure, in a shape that vesin searches well."""

    points: np.ndarray  # (n_atoms, 3), Å
    vectors: np.ndarray  # (3, 3), rows, Å
    search: float  # Å
    wraps: np.ndarray | None = None  # (n_atoms, 3): points = positions − wraps·cell
    reduction: np.ndarray | None = None  # (3, 3): vectors = reduction·cell

    def true_shifts(self, pairs: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        """Shifts S between the positions as given: S = S_box·reduction + wraps_i − wraps_j."""
        if self.wraps is None and self.reduction is None:
            return shifts
        result = shifts.astype(np.int64)
        if self.reduction is not None:
            result = result @ self.reduction
        if self.wraps is not None:
            result += self.wraps[pairs[:, 0]] - self.wraps[pairs[:, 1]]
        if len(result) and np.abs(result).max() > np.iinfo(np.int32).max:
            raise ValueError("atoms has positions too many cells apart for 32-bit shifts; wrap them with atoms.wrap()")
        return result.astype(np.int32)


def search_box(atoms: Atoms, search: float) -> SearchBox:
    """Find a box for the search; the usual case, a compact periodic cell, takes positions and cell as is."""
    for inflation in INFLATIONS:
        result, heights = _box_and_heights(atoms, search * inflation)
        if not _too_thin(_grid(heights, search * inflation)):
            return result
    raise ValueError(
        f"atoms fills a region of {np.round(heights, 1).tolist()} Å, too elongated to be searched with a "
        f"cutoff of {search:.3g} Å; split the structure or shorten its longest cell vector"
    )


def _box_and_heights(atoms: Atoms, search: float) -> tuple[SearchBox, np.ndarray]:
    """Return a box, and the distances between its opposite faces (3,) in Å."""
    pbc = atoms.pbc
    points, cell = atoms.positions, atoms.cell.array
    if not pbc.all():
        # Along axes that are not periodic: unit vectors, orthogonal to all the others.
        cell = np.ascontiguousarray(complete_cell(np.where(pbc[:, None], cell, 0.0)))
    inverse = np.linalg.inv(cell)
    fractional = points @ inverse
    low, high = fractional.min(axis=0), fractional.max(axis=0)

    wraps = None
    if (pbc & (np.maximum(-low, high) > FARTHEST_CELLS)).any():
        wraps = np.where(pbc, np.floor(fractional), 0.0)
        if np.abs(wraps).max() > np.iinfo(np.int32).max:
            raise ValueError(
                f"atoms has positions {np.abs(wraps).max():.1e} cells away from the cell; wrap them with atoms.wrap()"
            )
        points = points - wraps @ cell
        wraps = wraps.astype(np.int64)

    extents = high - low
    heights = 1 / np.linalg.norm(inverse, axis=0)
    if not pbc.all() and _too_thin(_grid(_padded(heights, extents, pbc, search), search)):
        points, extents = _without_gaps(points, cell, inverse, pbc, search)
    heights = _padded(heights, extents, pbc, search)
    box = cell * _padded(np.ones(3), extents, pbc, search)[:, None]

    reduction = None
    if (np.linalg.norm(box, axis=1) > LARGEST_SKEW * heights).any():
        reduced, reduction = minkowski_reduce(box)
        box = np.ascontiguousarray(reduced)
        heights = 1 / np.linalg.norm(np.linalg.inv(box), axis=0)
    return SearchBox(points, box, search, wraps, reduction), heights


def _padded(lengths: np.ndarray, extents: np.ndarray, pbc: np.ndarray, search: float) -> np.ndarray:
    """Lengths along periodic axes as given; along the others long enough to hide every image."""
    return np.where(pbc, lengths, extents + 1.01 * search)


def _grid(heights: np.ndarray, search: float) -> np.ndarray:
    """Number of grid cells along each axis that vesin would make, were memory no concern."""
    return np.maximum(np.trunc(heights / search), 1.0)


def _too_thin(grid: np.ndarray) -> bool:
    total = grid.prod()
    return bool(total > MAX_GRID and grid.min() * np.cbrt(MAX_GRID / total) < THINNEST_GRID)


def _without_gaps(points: Any, cell: Any, inverse: Any, pbc: Any, search: float) -> tuple[np.ndarray, np.ndarray]:
    """Close gaps along non-periodic axes that are wider than the search: they hide no pair.

    Two atoms on different sides of a gap stay farther apart than the search, all others keep their
    distance.  Returns the new points and their extents along the axes, in Å.
    """
    points = points.copy()
    extents = np.zeros(3)
    for axis in np.flatnonzero(~pbc):
        place = points @ inverse[:, axis]
        order = np.argsort(place, kind="stable")
        excess = np.maximum(np.diff(place[order]) - 2 * search, 0.0)
        moved = np.concatenate([[0.0], np.cumsum(excess)])
        points[order] -= moved[:, None] * cell[axis]
        extents[axis] = place[order[-1]] - place[order[0]] - moved[-1]
    return points, extents
