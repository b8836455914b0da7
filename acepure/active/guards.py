"""What is never sent to a reference calculation: atoms that overlap, and copies of what is known."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from acepure.features.basis import ACEBasis

# Atoms nearer than this part of the sum of their covalent radii overlap; their labels would rule a fit, if any came.
_OVERLAP = 0.55
# Structures whose atoms all lie within this distance (Å) are copies.
_COPY = 0.02


def overlap(atoms: Atoms, basis: ACEBasis) -> str | None:
    """Return why atoms are too near to each other; None if they are not."""
    neighbors = basis.neighbor_list(atoms)
    if not neighbors.n_pairs:
        return None
    first = np.repeat(neighbors.centers, np.diff(neighbors.offsets))
    r, radii = np.linalg.norm(neighbors.vectors, axis=1), covalent_radii[atoms.numbers]
    part = r / (radii[first] + radii[neighbors.neighbors])
    k = int(part.argmin())
    if part[k] >= _OVERLAP:
        return None
    return f"atoms {first[k]} and {neighbors.neighbors[k]} overlap: {r[k]:.3f} Å"


def copied(atoms: Atoms, others: Iterable[tuple[str, int, Atoms]]) -> str | None:
    """Return the name of a structure with the same cell and atoms, all within 0.02 Å; None if there is none."""
    for name, k, other in others:
        if len(atoms) != len(other) or not np.array_equal(atoms.numbers, other.numbers):
            continue
        if not np.array_equal(atoms.pbc, other.pbc) or not np.allclose(atoms.cell, other.cell, rtol=0, atol=_COPY):
            continue
        moved = atoms.positions - other.positions
        if atoms.pbc.any():
            fractions = moved @ np.linalg.inv(atoms.cell.complete())
            moved = (fractions - np.round(fractions) * atoms.pbc) @ atoms.cell.complete()
        if np.linalg.norm(moved, axis=1).max() < _COPY:
            return f"{name}[{k}]"
    return None
