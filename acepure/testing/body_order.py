"""Assertions on body order: values as sums over subsets of neighbors.

A value f(N) that depends on a set N of neighbors is in one way alone a sum over subsets,

    f(N) = Σ_{S ⊆ N} g(S),        g(S) = Σ_{T ⊆ S} (−1)^(|S| − |T|) f(T).

It has body order ≤ ν + 1 if g(S) = 0 for |S| > ν: nothing takes more than ν neighbors at a time. A product of ν sums
over neighbors has it, but holds terms where the same neighbor is taken twice, so that g(S) ≠ 0 for |S| < ν too: these
are its self-interactions. It has none if g(S) = 0 for all |S| ≠ ν, which is to say

    f(N) = Σ_{S ⊆ N, |S| = ν} f(S)        for all N:

zero for fewer than ν neighbors, and a sum over the subsets of exactly ν of them for more.
"""

from __future__ import annotations

import itertools

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from acepure.testing.comparison import DEFAULT_TOLERANCE, Comparison, Function, check_rows, values_of

#: Neighbors that are taken from a structure at most: 2^n calls.
MAX_NEIGHBORS = 10

_Values = dict[tuple[int, ...], np.ndarray]


def assert_body_order(
    function: Function,
    atoms: Atoms,
    order: ArrayLike,
    *,
    center: int | None = 0,
    tolerance: float = DEFAULT_TOLERANCE,
    scale: ArrayLike | None = None,
) -> None:
    """Assert that values take at most ν neighbors at a time: Σ_{T ⊆ S} (−1)^(|S| − |T|) f(T) = 0 for all |S| > ν.

    Parameters
    ----------
    function : callable
        From an ase.Atoms to one row per atom; with center None, to global values.
    atoms : ase.Atoms
        A molecule: the center and its neighbors, more than ν of them, at most 10.
    order : int, or array_like of int that broadcasts to the values
        ν, for example one for each feature.
    center : int or None, optional
        Which row; None for a global value such as an energy, where ν then counts all atoms: 2 for a sum over pairs.
        No atoms at all have the value zero.
    tolerance, scale
        As for `assert_invariant`; the default scale is the largest |f(T)|.

    Raises
    ------
    AssertionError
        Naming the set S.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from ase.calculators.morse import MorsePotential
    >>> from acepure.testing import calculated
    >>> assert_body_order(calculated(MorsePotential(), "energy"), molecule("CH4"), 2, center=None)
    """
    __tracebackhide__ = True
    values, orders = _values_of_subsets(function, atoms, order, center)
    comparison = Comparison(tolerance, _scale(values, scale), atoms)
    for S in values:
        above = len(S) > orders
        if above.any():
            g = sum((-1.0) ** (len(S) - len(T)) * values[T] for T in _subsets(S))
            what = f"more than {int(orders.max())} neighbors at a time, of atoms {S}: Σ (−1)^(|S|−|T|) f(T)"
            comparison.check(np.where(above, g, 0.0), np.zeros_like(g), what, S=S, center=_shown(center))


def assert_no_self_interaction(
    function: Function,
    atoms: Atoms,
    order: ArrayLike,
    *,
    center: int | None = 0,
    tolerance: float = DEFAULT_TOLERANCE,
    scale: ArrayLike | None = None,
) -> None:
    """Assert that values take exactly ν distinct neighbors at a time: f(N) = Σ_{S ⊆ N, |S| = ν} f(S) for all N.

    This says both that f(N) = 0 for fewer than ν neighbors and that nothing takes more than ν of them; the formula is
    derived in `acepure.testing.body_order`. It is checked for all subsets N of the neighbors.

    Parameters
    ----------
    function, atoms, order, center, tolerance, scale
        As for `assert_body_order`.

    Raises
    ------
    AssertionError
        Naming the set N.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from acepure import ACEBasis
    >>> basis = ACEBasis(["C", "H"], rcut=4.0, order=3, totaldegree=4)
    >>> orders = [label.order for label in basis.labels]
    >>> assert_no_self_interaction(basis.descriptors, molecule("CH4"), orders)
    >>> plain = ACEBasis(["C", "H"], rcut=4.0, order=3, totaldegree=4, canonical=False)
    >>> assert_no_self_interaction(plain.descriptors, molecule("CH4"), orders)
    Traceback (most recent call last):
    ...
    AssertionError: self-interaction: values for the neighbors (1,) ...
    """
    __tracebackhide__ = True
    values, orders = _values_of_subsets(function, atoms, order, center)
    comparison = Comparison(tolerance, _scale(values, scale), atoms)
    for N, got in values.items():
        expected = np.zeros_like(got)
        for nu in np.unique(orders).tolist():
            subsets = itertools.combinations(N, nu)
            of_order = sum((values[S] for S in subsets), np.zeros_like(got))
            expected = np.where(orders == nu, of_order, expected)
        what = f"self-interaction: values for the neighbors {N} are not the sum over subsets of ν of them"
        comparison.check(got, expected, what, N=N, center=_shown(center))


def _shown(center: int | None) -> int:
    return -1 if center is None else center


def _subsets(S: tuple[int, ...]) -> list[tuple[int, ...]]:
    return [T for size in range(len(S) + 1) for T in itertools.combinations(S, size)]


def _values_of_subsets(
    function: Function, atoms: Atoms, order: ArrayLike, center: int | None
) -> tuple[_Values, np.ndarray]:
    """f(T) for all subsets of the neighbors, smallest first, and ν of each value."""
    if not isinstance(atoms, Atoms) or atoms.pbc.any():
        raise ValueError("atoms must be a molecule, without periodic axes: images cannot be taken away")
    orders = np.asarray(order)
    if orders.dtype.kind not in "iu" or (orders < 0).any():
        raise ValueError(f"order must hold integers >= 0; got {order!r}")
    others = [k for k in range(len(atoms)) if k != center]
    if not orders.max(initial=0) < len(others) <= MAX_NEIGHBORS:
        raise ValueError(
            f"atoms must hold more than order={orders.max(initial=0)} neighbors and at most {MAX_NEIGHBORS}; "
            f"got {len(others)}"
        )
    values = {T: _value(function, atoms, T, center) for T in _subsets(tuple(others)) if T or center is not None}
    if center is None:
        values = {(): np.zeros_like(values[(0,)]), **values}
    return values, np.broadcast_to(orders, values[()].shape)


def _value(function: Function, atoms: Atoms, neighbors: tuple[int, ...], center: int | None) -> np.ndarray:
    kept = list(neighbors) if center is None else [center, *neighbors]
    values = values_of(function, atoms[kept], atoms.calc)
    if center is None:
        return values
    check_rows(values, atoms[kept])
    return values[0]


def _scale(values: _Values, scale: ArrayLike | None) -> ArrayLike:
    return max(float(abs(value).max(initial=0.0)) for value in values.values()) if scale is None else scale
