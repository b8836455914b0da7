"""Assertions on periodic structures: larger cells, and other vectors of the same lattice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from acepure._utils.checks import count
from acepure.testing.comparison import DEFAULT_TOLERANCE, Function, Move, check_moves
from acepure.testing.moves import lattice_change, with_lattice_basis


def assert_supercell(
    function: Function,
    atoms: Atoms,
    repeats: Sequence[Sequence[int]] | None = None,
    *,
    per_atom: bool = True,
    extensive: bool = True,
    tolerance: float = DEFAULT_TOLERANCE,
    scale: ArrayLike | None = None,
) -> None:
    """Assert that a repeated cell has repeated rows.

    Parameters
    ----------
    function : callable
        From an ase.Atoms to an array.
    atoms : ase.Atoms
        Periodic along one axis at least.
    repeats : sequence of (int, int, int), optional
        By default 2 along each periodic axis in turn, and along all of them.
    per_atom : bool, optional
        True when the first axis of the values counts atoms; False for global values.
    extensive : bool, optional
        Whether global values grow with the number of cells, as energies do, or stay, as averages and stresses do.
    tolerance, scale
        As for `assert_invariant`; a scale belongs to the values of the single cell.

    Raises
    ------
    AssertionError
    ValueError
        For repeats along an axis that is not periodic.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from acepure import ACEBasis
    >>> assert_supercell(ACEBasis(["Cu"]).descriptors, bulk("Cu"))
    """
    __tracebackhide__ = True
    moves = _repeated(atoms, repeats, per_atom, extensive)
    check_moves(function, atoms, moves, tolerance, scale, per_atom=per_atom)


def _repeated(atoms: Atoms, repeats: Sequence[Sequence[int]] | None, per_atom: bool, extensive: bool) -> Iterator[Move]:
    for repeat in _default_repeats(atoms) if repeats is None else repeats:
        numbers = tuple(count(f"repeats: {repeat!r}", k) for k in repeat)
        if len(numbers) != 3 or any(k > 1 and not periodic for k, periodic in zip(numbers, atoms.pbc)):
            raise ValueError(f"repeats must be 1 along axes that are not periodic; got {repeat!r} for {atoms.pbc}")
        what = f"not repeated with the cell, repeat {numbers}" + (" (row: cell, column: atom, ...)" if per_atom else "")

        def pair(values: np.ndarray, got: np.ndarray, n: int = int(np.prod(numbers))) -> tuple[np.ndarray, np.ndarray]:
            if not per_atom:
                return got / n if extensive else got, values
            rows = got.reshape(n, *values.shape) if len(got) == n * len(values) else got
            return rows, np.broadcast_to(values, (n, *values.shape))

        yield Move(atoms.repeat(numbers), what, pair)


def _default_repeats(atoms: Atoms) -> list[tuple[int, ...]]:
    if not atoms.pbc.any():
        raise ValueError("atoms must be periodic along one axis at least")
    single = [tuple(1 + int(k == axis) for k in range(3)) for axis in np.flatnonzero(atoms.pbc)]
    together = tuple(1 + int(periodic) for periodic in atoms.pbc)
    return single if together in single else [*single, together]


def assert_cell_choice(
    function: Function,
    atoms: Atoms,
    changes: Sequence[ArrayLike] | None = None,
    *,
    left_handed: bool = True,
    tolerance: float = DEFAULT_TOLERANCE,
    scale: ArrayLike | None = None,
) -> None:
    """Assert that the lattice counts, not the vectors that span it, and of axes that are not periodic nothing.

    Parameters
    ----------
    function : callable
        From an ase.Atoms to an array.
    atoms : ase.Atoms
    changes : sequence of array_like of int, shape (3, 3), optional
        Z with |det Z| = 1: the vectors become Z·cell. It must not mix periodic axes with others. By default shears of
        pairs of periodic axes, by one and by two vectors.
    left_handed : bool, optional
        Also the reversed order of the vectors, which makes a cell left-handed.
    tolerance, scale
        As for `assert_invariant`.

    Raises
    ------
    AssertionError

    Notes
    -----
    Along axes without periodicity three vectors are tried: none, short and long, where atoms are outside of the cell.

    Examples
    --------
    >>> from ase.build import bulk, molecule
    >>> from acepure import ACEBasis
    >>> assert_cell_choice(ACEBasis(["Cu"]).descriptors, bulk("Cu"))
    >>> assert_cell_choice(ACEBasis(["H", "O"]).descriptors, molecule("H2O"))
    """
    __tracebackhide__ = True
    check_moves(function, atoms, _other_bases(atoms, changes, left_handed), tolerance, scale)


def _other_bases(atoms: Atoms, changes: Sequence[ArrayLike] | None, left_handed: bool) -> Iterator[Move]:
    for change in _default_changes(atoms) if changes is None else changes:
        other = with_lattice_basis(atoms, _checked_change(change, atoms))
        yield Move(other, "not the same for other vectors of the lattice", used={"change": change})
    if left_handed and atoms.cell.any():
        reverse = with_lattice_basis(atoms, np.eye(3)[::-1])
        reverse.pbc = atoms.pbc[::-1]
        yield Move(reverse, "not the same for lattice vectors in reversed order")
    if not atoms.pbc.all():  # zero, short and long vectors along axes without periodicity, not parallel to the others
        filled = atoms.cell.complete().array
        for factor in (0.0, 1.0, 50.0):
            other = atoms.copy()
            other.set_cell(np.where(atoms.pbc[:, None], atoms.cell.array, factor * filled))
            yield Move(other, "depends on the cell along axes without periodicity", used={"cell": other.cell.array})


def _default_changes(atoms: Atoms) -> list[np.ndarray]:
    axes = np.flatnonzero(atoms.pbc).tolist()
    if len(axes) < 2:
        return []
    shears = [(i, j, k) for i, j in zip(axes, axes[-1:] + axes[:-1]) for k in (1, -2)]
    return [lattice_change(atoms.pbc, [shear]) for shear in shears] + [lattice_change(atoms.pbc, shears[::2])]


def _checked_change(change: ArrayLike, atoms: Atoms) -> np.ndarray:
    matrix = np.asarray(change)
    if matrix.shape != (3, 3) or (matrix != np.round(matrix)).any() or round(abs(np.linalg.det(matrix))) != 1:
        raise ValueError(f"changes must hold (3, 3) matrices of integers with determinant ±1; got {matrix.tolist()}")
    if matrix[np.not_equal.outer(atoms.pbc, atoms.pbc)].any():
        raise ValueError(f"changes must not mix periodic axes with others, pbc = {atoms.pbc}; got {matrix.tolist()}")
    return matrix
