"""Structures rotated, translated, moved to other images, and given other vectors of the same lattice."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from acepure._utils.checks import real_array

#: The 48 elements of O(3) that map the axes onto themselves, rotations first; the identity is number 0.
SPECIAL_ORTHOGONAL: tuple[np.ndarray, ...] = tuple(
    sorted(
        (
            np.array(signs)[:, None] * np.eye(3)[list(order)]
            for order in itertools.permutations(range(3))
            for signs in itertools.product((1.0, -1.0), repeat=3)
        ),
        key=lambda matrix: (-np.linalg.det(matrix), -np.trace(matrix)),
    )
)


def random_orthogonal(seed: int, *, improper: bool = False) -> np.ndarray:
    """Return a rotation, or a rotation times the inversion, from the uniform distribution.

    Parameters
    ----------
    seed : int
        The same seed gives the same matrix.
    improper : bool, optional
        Determinant −1.

    Examples
    --------
    >>> Q = random_orthogonal(0, improper=True)
    >>> bool(np.allclose(Q @ Q.T, np.eye(3))), round(float(np.linalg.det(Q)))
    (True, -1)
    """
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    return -q if (np.linalg.det(q) < 0) != improper else q


def orthogonal_matrix(name: str, value: ArrayLike) -> np.ndarray:
    """Return a checked element of O(3)."""
    matrix = real_array(name, value, (3, 3))
    if abs(matrix @ matrix.T - np.eye(3)).max() > 1e-10:
        raise ValueError(f"{name} must be orthogonal, Q Qᵀ = 1; got {matrix.tolist()}")
    return matrix


def transformed(atoms: Atoms, matrix: np.ndarray) -> Atoms:
    """Return the structure with r ↦ Q r for positions and lattice vectors."""
    moved = atoms.copy()
    moved.set_cell(atoms.cell.array @ matrix.T)
    moved.positions = atoms.positions @ matrix.T
    return moved


def translated(atoms: Atoms, vectors: ArrayLike) -> Atoms:
    """Return the structure with r ↦ r + t, one t or one for each atom."""
    moved = atoms.copy()
    moved.positions += np.asarray(vectors)
    return moved


def moved_to_images(atoms: Atoms, seed: int) -> tuple[Atoms, np.ndarray]:
    """Return the structure with each atom in another cell, and the cells, (n_atoms, 3) of −2..2."""
    cells = np.random.default_rng(seed).integers(-2, 3, size=(len(atoms), 3)) * atoms.pbc
    return translated(atoms, cells @ atoms.cell.array), cells


def lattice_change(pbc: Sequence[bool] | np.ndarray, shears: Iterable[tuple[int, int, int]]) -> np.ndarray:
    """Return a matrix of integers with determinant 1: each shear (i, j, k) adds k times vector j to vector i.

    Only pairs of different, periodic axes count.
    """
    change = np.eye(3, dtype=int)
    for i, j, k in shears:
        if i != j and pbc[i] and pbc[j]:
            change[i] += k * change[j]
    return change


def with_lattice_basis(atoms: Atoms, change: ArrayLike) -> Atoms:
    """Return the structure with lattice vectors Z·cell: another basis of the same lattice, if det Z = ±1."""
    other = atoms.copy()
    other.set_cell(np.asarray(change) @ atoms.cell.array)
    return other
