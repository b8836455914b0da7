"""Assertions on the cutoff: what is beyond does not matter, and neighbors enter smoothly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
from numpy.typing import ArrayLike

from acepure._utils.checks import count, number
from acepure.testing.comparison import DEFAULT_TOLERANCE, Function, Move, check_moves, reproduction, values_of

# How far from an integer a measured power of the distance to the cutoff may be.
_POWER_MARGIN = 0.25
# Differences count when they are so many roundings of the values.
_SIGNIFICANT = 1e4
_DIRECTIONS = 400


def assert_local(
    function: Function,
    atoms: Atoms,
    rcut: float,
    *,
    seed: int = 0,
    tolerance: float = DEFAULT_TOLERANCE,
    scale: ArrayLike | None = None,
) -> None:
    """Assert that rows depend on atoms up to a distance alone.

    For every center, the atoms that have no image within `rcut` are removed, then moved by random vectors that keep
    them outside; the row of the center must stay.

    Parameters
    ----------
    function : callable
        From an ase.Atoms to one row per atom.
    atoms : ase.Atoms
        Large enough that some atoms are out of reach of others.
    rcut : float
        Å. For forces of a potential it is twice the cutoff of the energy, or more.
    seed, tolerance, scale
        As for `assert_invariant`.

    Raises
    ------
    AssertionError
        Naming the center and what was done.
    ValueError
        When every atom is within reach of every other, so that nothing could be tested.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from acepure import ACEBasis
    >>> basis = ACEBasis(["Cu"], rcut=4.0, order=2)
    >>> assert_local(basis.descriptors, bulk("Cu", cubic=True) * (1, 1, 5), 4.0)
    >>> assert_local(basis.descriptors, bulk("Cu", cubic=True) * (1, 1, 5), 3.0)
    Traceback (most recent call last):
    ...
    AssertionError: row 0 depends on atoms beyond 3 Å, ...
    """
    __tracebackhide__ = True
    moves = _without_far_atoms(atoms, number("rcut", rcut, above=0), np.random.default_rng(seed))
    check_moves(function, atoms, moves, tolerance, scale, per_atom=True)


def _without_far_atoms(atoms: Atoms, rcut: float, rng: np.random.Generator) -> Iterator[Move]:
    far = np.empty(0)
    for center, far in _far_atoms(atoms, rcut):
        kept = np.setdiff1d(np.arange(len(atoms)), far)
        row = int(np.searchsorted(kept, center))
        changed = {"removed": (atoms[kept], row), "moved": (_moved_outside(atoms, center, far, rcut, rng), center)}
        for verb, (other, there) in changed.items():

            def pair(
                values: np.ndarray, got: np.ndarray, center: int = center, there: int = there
            ) -> tuple[np.ndarray, np.ndarray]:
                rows = values.copy()  # one row is compared, at the scale of all of them
                rows[center] = got[there]
                return rows, values

            what = f"row {center} depends on atoms beyond {rcut:g} Å, {len(far)} of which were {verb}"
            yield Move(other, what, pair, {"far": far})
    if not far.size:
        raise ValueError(f"atoms must hold atoms that are farther than rcut={rcut:g} Å from others, images included")


def _far_atoms(atoms: Atoms, rcut: float) -> Iterator[tuple[int, np.ndarray]]:
    """Centers that have atoms out of reach, with these."""
    first, second = neighbor_list("ij", atoms, rcut * (1 + 1e-9))
    for center in range(len(atoms)):
        near = np.append(second[first == center], center)
        far = np.setdiff1d(np.arange(len(atoms)), near)
        if far.size:
            yield center, far


def _moved_outside(atoms: Atoms, center: int, far: np.ndarray, rcut: float, rng: np.random.Generator) -> Atoms:
    """The structure with far atoms displaced; those that would come within reach stay where they are."""
    moved = atoms.copy()
    moved.positions[far] += rng.uniform(-0.1, 0.1, size=(len(far), 3)) * rcut
    first, second = neighbor_list("ij", moved, rcut * (1 + 1e-9))
    back = np.intersect1d(second[first == center], far)
    moved.positions[back] = atoms.positions[back]
    return moved


def assert_smooth_at_cutoff(
    function: Function,
    atoms: Atoms,
    rcut: float,
    order: int,
    *,
    center: int = 0,
    symbol: str | None = None,
    per_atom: bool = True,
    seed: int = 0,
) -> None:
    """Assert that a neighbor enters at the cutoff with so many continuous derivatives.

    An atom is put at the distance r of the center, along a direction away from the other atoms. Beyond the cutoff the
    row of the center must not depend on it; inside,

        g(h) = max |f(rcut − h) − f(without)| ~ h^p   with   p > order,

    where p = log2 g(2h)/g(h) is measured at the smallest h where g is far above rounding. Derivatives up to `order` are
    continuous (and zero, from outside) if and only if g = o(h^order). Powers less than 0.25 above `order` count as
    `order`.

    Parameters
    ----------
    function : callable
        From an ase.Atoms to an array.
    atoms : ase.Atoms
        A molecule: the center, with other neighbors or none.
    rcut : float
        Å.
    order : int
        0: continuous values; 1: continuous forces; 2: continuous second derivatives.
    center : int, optional
    symbol : str, optional
        Of the atom that enters; by default that of the center.
    per_atom : bool, optional
        True to look at the row of the center; False for global values, such as an energy: then other atoms must be
        out of reach of the entering one, for example a single atom.
    seed : int, optional
        For directions.

    Raises
    ------
    AssertionError
        Also when the atom changes nothing inside the cutoff: then this is not the cutoff.
    ValueError
        When there is no room for the atom.

    Examples
    --------
    >>> from ase import Atoms
    >>> from acepure import ACEBasis
    >>> basis = ACEBasis(["Cu"], rcut=4.0)
    >>> assert_smooth_at_cutoff(basis.descriptors, Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]]), 4.0, order=2)
    >>> assert_smooth_at_cutoff(basis.descriptors, Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]]), 4.0, order=3)
    Traceback (most recent call last):
    ...
    AssertionError: derivatives of order 3 are not continuous at 4 Å: values change as h^3.0...
    """
    __tracebackhide__ = True
    rcut, order = number("rcut", rcut, above=0), count("order", order, least=0)
    if atoms.pbc.any():
        raise ValueError("atoms must be a molecule, without periodic axes")
    direction = _free_direction(atoms, center, rcut, per_atom, seed)
    used = {"center": center, "direction": direction}

    def at(distance: float) -> np.ndarray:
        entering = Atoms([symbol or atoms[center].symbol], [atoms.positions[center] + distance * direction])
        values = values_of(function, atoms + entering, atoms.calc)
        return values[center] if per_atom else values

    outside = at(1.2 * rcut)
    scale = max(abs(outside).max(initial=0), abs(at(0.7 * rcut)).max(initial=0))
    rounding = np.finfo(outside.dtype).eps * scale
    for excess in (1e-9, 1e-3, 0.1):
        change = abs(at(rcut * (1 + excess)) - outside).max(initial=0)
        if change > 100 * rounding:
            raise AssertionError(
                f"values change by {change:.3g} with an atom at {1 + excess:g} times the cutoff of {rcut:g} Å\n"
                f"{reproduction(atoms, **used)}"
            )
    h = 0.125 * rcut / 2.0 ** np.arange(40)
    g = np.array([abs(at(rcut - step) - outside).max(initial=0) for step in h])
    significant = np.flatnonzero(g > _SIGNIFICANT * rounding)
    if len(significant) < 3 or (np.diff(significant[:3]) != 1).any():
        raise AssertionError(
            f"values do not change when an atom comes closer than {rcut:g} Å: is this the cutoff?\n"
            f"{reproduction(atoms, **used)}"
        )
    last = significant[np.flatnonzero(np.append(np.diff(significant) != 1, True))[0]]  # before the first gap
    power = np.log2(g[last - 1] / g[last])
    if power <= order + _POWER_MARGIN:
        raise AssertionError(
            f"derivatives of order {order} are not continuous at {rcut:g} Å: values change as h^{power:.2f}, and by "
            f"{g[last]:.3g} at h = {h[last]:.3g} Å inside\n{reproduction(atoms, **used)}"
        )


def _free_direction(atoms: Atoms, center: int, rcut: float, per_atom: bool, seed: int) -> np.ndarray:
    """The direction in which an atom near the cutoff is farthest from the others."""
    directions = np.random.default_rng(seed).normal(size=(_DIRECTIONS, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    others = np.delete(atoms.positions, center, axis=0) - atoms.positions[center]
    if not len(others):
        return directions[0]
    places = directions[:, None, None] * np.linspace(0.7, 1.2, 11)[:, None, None] * rcut
    clearance = np.linalg.norm(places - others, axis=-1).min(axis=(1, 2))
    best = clearance.argmax()
    if clearance[best] < (0.2 if per_atom else 1.25) * rcut:
        raise ValueError(
            f"atoms leave no room for another near the cutoff of atom {center}: it would be {clearance[best]:.2f} Å "
            "from others"
        )
    return directions[best]
