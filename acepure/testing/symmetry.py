"""Assertions on rotations, reflections, translations, periodic images and permutations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress
from numpy.typing import ArrayLike

from acepure._utils.checks import real_array
from acepure.functions.harmonics import RealSphericalHarmonics
from acepure.labels.irreps import resolve_irrep
from acepure.testing.comparison import DEFAULT_TOLERANCE, Function, Move, check_moves
from acepure.testing.moves import (
    SPECIAL_ORTHOGONAL,
    moved_to_images,
    orthogonal_matrix,
    random_orthogonal,
    transformed,
    translated,
)

#: From values and a matrix Q to the values of the transformed structure.
Action = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _vector(values: np.ndarray, Q: np.ndarray) -> np.ndarray:
    return values @ Q.T


def _tensor(values: np.ndarray, Q: np.ndarray) -> np.ndarray:
    return Q @ values @ Q.T


def _voigt(values: np.ndarray, Q: np.ndarray) -> np.ndarray:
    return full_3x3_to_voigt_6_stress(_tensor(voigt_6_to_full_3x3_stress(values), Q))


def _components(irrep: str) -> Action:
    """D^L(Q) on the last axis, M = −L..L, from harmonics of turned points, with the parity asked for.

    Both sides of Y(Q r) = D Y(r) are known at many points, so D follows by least squares.
    """
    L, parity = resolve_irrep(irrep=irrep)
    of_degree, points = slice(L * L, (L + 1) ** 2), np.random.default_rng(L).normal(size=(4 * L + 4, 3))
    harmonics = RealSphericalHarmonics(L)
    before = harmonics.evaluate(points)[:, of_degree]

    def action(values: np.ndarray, Q: np.ndarray) -> np.ndarray:
        after = harmonics.evaluate(points @ Q.T)[:, of_degree]
        sign = parity * (-1) ** L if np.linalg.det(Q) < 0 else 1
        shape = values.shape if L else (*values.shape, 1)  # features of L = 0 have no axis of components
        turned = sign * values.reshape(shape) @ np.linalg.lstsq(before, after, rcond=None)[0]
        return turned.reshape(values.shape)

    return action


ACTIONS: dict[str, Action] = {"scalar": lambda values, Q: values, "vector": _vector, "tensor": _tensor, "voigt": _voigt}


def assert_invariant(function: Function, atoms: Atoms, **options: Any) -> None:
    """Assert f(Q r + t) = f(r) for rotations, reflections and translations, and for atoms in other periodic images.

    Parameters
    ----------
    function : callable
        From an ase.Atoms to an array; rows stay with their atoms, and global values stay.
    atoms : ase.Atoms
        Lattice vectors rotate with the atoms.
    **options
        Of `assert_equivariant`, without `kind`.

    Raises
    ------
    AssertionError
        With the matrix, the two values that differ most, and the structure.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from acepure import ACEBasis
    >>> assert_invariant(ACEBasis(["H", "O"], rcut=4.0).descriptors, molecule("H2O"))
    >>> assert_invariant(lambda atoms: atoms.positions[:, 2], molecule("H2O"), seed=1)
    Traceback (most recent call last):
    ...
    AssertionError: not invariant under a rotation...
    """
    __tracebackhide__ = True
    assert_equivariant(function, atoms, "scalar", **options)


def assert_equivariant(
    function: Function,
    atoms: Atoms,
    kind: str | Action = "vector",
    *,
    operations: Sequence[ArrayLike] | None = None,
    reflections: bool = True,
    translations: Sequence[ArrayLike] | None = None,
    wrapping: bool = True,
    seed: int = 0,
    tolerance: float = DEFAULT_TOLERANCE,
    scale: ArrayLike | None = None,
) -> None:
    """Assert f(Q r + t) = D(Q) f(r): forces and tensors turn with the structure.

    Parameters
    ----------
    function : callable
        From an ase.Atoms to an array; rows stay with their atoms, and global values stay.
    atoms : ase.Atoms
        Lattice vectors rotate with the atoms.
    kind : {"scalar", "vector", "tensor", "voigt"}, an irrep or callable
        What D(Q) does: nothing, Q v on the last axis, Q T Qᵀ on the last two, the same for the six components of a
        stress in the order of ASE (xx, yy, zz, yz, xz, xy), the components M = −L..L of an irrep such as "1o" or "2e",
        as features have them; or your own function from (values, Q) to values.
    operations : sequence of array_like, shape (3, 3), optional
        Orthogonal matrices Q; by default two of those that map the axes onto themselves and two random ones, each
        also times the inversion.
    reflections : bool, optional
        False leaves out improper matrices of the default, for functions that tell left from right.
    translations : sequence of array_like, shape (3,), optional
        t in Å; by default two random ones of a few Å. Rounding grows with them.
    wrapping : bool, optional
        Also move single atoms by lattice vectors of periodic axes, and into the cell.
    seed : int, optional
        For all that is random.
    tolerance : float, optional
    scale : array_like, optional
        A deviation may be tolerance · scale; by default the largest |value|.

    Raises
    ------
    AssertionError

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from acepure.testing import calculated
    >>> atoms = bulk("Cu", cubic=True)
    >>> atoms.rattle(0.1, seed=0)
    >>> assert_equivariant(calculated(EMT(), "forces"), atoms, "vector", tolerance=1e-10)
    >>> assert_equivariant(calculated(EMT(), "stress"), atoms, "voigt", tolerance=1e-10)
    """
    __tracebackhide__ = True
    if isinstance(kind, str) and kind not in ACTIONS and kind[:1].isdigit():
        kind = _components(kind)
    if not callable(kind) and kind not in ACTIONS:
        raise ValueError(f"kind must be one of {', '.join(map(repr, ACTIONS))} or a function; got {kind!r}")
    turned, shifted = _turned(atoms, kind, operations, reflections, seed), _shifted(atoms, translations, wrapping, seed)
    check_moves(function, atoms, chain(turned, shifted), tolerance, scale)


def _turned(
    atoms: Atoms, kind: str | Action, operations: Sequence[ArrayLike] | None, reflections: bool, seed: int
) -> Iterator[Move]:
    action = kind if callable(kind) else ACTIONS[kind]
    adjective = "invariant" if kind == "scalar" else "equivariant"
    for Q in _matrices(operations, reflections, seed):
        what = f"not {adjective} under a {'rotation' if np.linalg.det(Q) > 0 else 'reflection'}"
        yield Move(transformed(atoms, Q), what, partial(_acted, action, Q), {"Q": Q})


def _acted(action: Action, Q: np.ndarray, values: np.ndarray, got: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return got, action(values, Q)


def _shifted(atoms: Atoms, translations: Sequence[ArrayLike] | None, wrapping: bool, seed: int) -> Iterator[Move]:
    for vector in _vectors(translations, seed):
        yield Move(translated(atoms, vector), "not invariant under a translation", used={"vector": vector})
    if wrapping and atoms.pbc.any():
        moved, cells = moved_to_images(atoms, seed)
        yield Move(moved, "not invariant when single atoms are moved by lattice vectors", used={"cells": cells})
        wrapped = moved.copy()
        wrapped.wrap()
        yield Move(wrapped, "not invariant when atoms are wrapped into the cell")


def _matrices(operations: Sequence[ArrayLike] | None, reflections: bool, seed: int) -> Iterator[np.ndarray]:
    if operations is not None:
        yield from (orthogonal_matrix(f"operations[{k}]", matrix) for k, matrix in enumerate(operations))
        return
    special = np.random.default_rng(seed).choice(23, size=2, replace=False) + 1  # number 0 is the identity
    matrices = [*(SPECIAL_ORTHOGONAL[k] for k in special), *(random_orthogonal(2 * seed + k) for k in range(2))]
    for matrix in matrices:
        yield matrix
        if reflections:
            yield -matrix


def _vectors(translations: Sequence[ArrayLike] | None, seed: int) -> Iterator[np.ndarray]:
    if translations is None:
        yield from np.random.default_rng(seed).uniform(-3, 3, size=(2, 3))
    else:
        yield from (real_array(f"translations[{k}]", vector, (3,)) for k, vector in enumerate(translations))


def assert_permutation_invariant(
    function: Function,
    atoms: Atoms,
    *,
    permutations: Sequence[ArrayLike] | None = None,
    per_atom: bool = True,
    seed: int = 0,
    tolerance: float = DEFAULT_TOLERANCE,
    scale: ArrayLike | None = None,
) -> None:
    """Assert f(P r) = P f(r): another order of the atoms is another order of rows, and nothing else.

    Parameters
    ----------
    function : callable
        From an ase.Atoms to an array.
    atoms : ase.Atoms
    permutations : sequence of array_like of int, shape (n_atoms,), optional
        Atom k of the permuted structure is atom permutation[k]; by default the reversed order and two random ones.
    per_atom : bool, optional
        True when the first axis of the values counts atoms; False for global values, which stay.
    seed, tolerance, scale
        As for `assert_invariant`.

    Raises
    ------
    AssertionError

    Examples
    --------
    >>> from ase.build import molecule
    >>> from acepure import ACEBasis
    >>> assert_permutation_invariant(ACEBasis(["H", "O"], rcut=4.0).descriptors, molecule("H2O"))
    """
    __tracebackhide__ = True
    moves = _permuted(atoms, permutations, per_atom, seed)
    check_moves(function, atoms, moves, tolerance, scale, per_atom=per_atom)


def _permuted(atoms: Atoms, permutations: Sequence[ArrayLike] | None, per_atom: bool, seed: int) -> Iterator[Move]:
    n = len(atoms)
    if permutations is None:
        rng = np.random.default_rng(seed)
        permutations = [np.arange(n)[::-1], rng.permutation(n), rng.permutation(n)]
    for permutation in permutations:
        order = np.asarray(permutation)
        if sorted(order.tolist()) != list(range(n)):
            raise ValueError(f"permutations must hold each of 0..{n - 1} once; got {order.tolist()}")
        yield Move(
            atoms[order],
            "not the same for another order of the atoms",
            partial(_reordered, order if per_atom else ...),
            {"permutation": order},
        )


def _reordered(order: Any, values: np.ndarray, got: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return got, values[order]
