"""Hypothesis strategies: species, environments, molecules, crystals, and what is done to them.

Atoms sit near sites of a grid with spacing 1.5 d, at most d/4 away, so that no two are closer than d, images included,
and nothing is drawn in vain. Values shrink to few atoms on neighboring sites, one species and no displacement; all
are made of what Hypothesis draws, so an example can be replayed.

    @given(crystals(["Cu", "Zr"]), rotations())
    def test_my_descriptor(atoms, rotation):
        assert_invariant(my_descriptor, atoms, operations=[rotation])
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms

from acepure._utils.checks import count, number, symbol
from acepure.testing.moves import SPECIAL_ORTHOGONAL, lattice_change, random_orthogonal
from acepure.testing.optional import st
from acepure.testing.specifications import polynomial_radial_bases, specifications

__all__ = [
    "crystals",
    "environments",
    "lattice_changes",
    "molecules",
    "orthogonal_matrices",
    "permutations",
    "polynomial_radial_bases",
    "reflections",
    "rotations",
    "species",
    "specifications",
    "structures",
    "supercells",
    "translations",
]

#: From the whole table: light, heavy, magnetic, f elements, in no order of size.
SYMBOLS = ("Cu", "H", "O", "Zr", "Si", "C", "Fe", "Au", "Cs", "Gd")

# Spacing of sites and largest displacement, in units of the smallest distance: 1.5 − 2 · 0.25 = 1.
_SPACING, _DISPLACEMENT = 1.5, 0.25
# Displacements are multiples of this part of the largest: short numbers in messages.
_STEPS = 64
# Half the width of the grid of environments and molecules, in sites.
_HALF_WIDTH = 2
_MAX_STRAIN = 0.1


def species(symbols: Sequence[str] = SYMBOLS, max_size: int = 3) -> st.SearchStrategy[list[str]]:
    """Lists of different chemical symbols, from one to `max_size` of them.

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(species(max_size=2))
    ... def test(symbols):
    ...     assert 1 <= len(set(symbols)) == len(symbols) <= 2
    >>> test()
    """
    allowed = [symbol("symbols", name) for name in symbols]
    return st.lists(st.sampled_from(allowed), min_size=1, max_size=count("max_size", max_size), unique=True)


# --- structures -------------------------------------------------------------------------------------------------------


def environments(
    symbols: Sequence[str] = SYMBOLS[:2], min_neighbors: int = 0, max_neighbors: int = 6, *, min_distance: float = 1.0
) -> st.SearchStrategy[Atoms]:
    """Molecules whose atom 0, the center, is at the origin, with neighbors around it.

    Parameters
    ----------
    symbols : sequence of str
        From which every atom takes its own.
    min_neighbors, max_neighbors : int
        At most 124.
    min_distance : float
        Å; neighbors are found up to about six times as far.

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(environments(["Cu"], max_neighbors=4))
    ... def test(atoms):
    ...     assert len(atoms) <= 5 and not atoms.positions[0].any()
    >>> test()
    """
    return _clusters(symbols, 1 + count("min_neighbors", min_neighbors, least=0), 1 + max_neighbors, min_distance, True)


def molecules(
    symbols: Sequence[str] = SYMBOLS[:2], min_atoms: int = 1, max_atoms: int = 8, *, min_distance: float = 1.0
) -> st.SearchStrategy[Atoms]:
    """Structures without periodic axes, at most 125 atoms.

    Parameters
    ----------
    symbols : sequence of str
    min_atoms, max_atoms : int
    min_distance : float
        Å.

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(molecules(min_atoms=2))
    ... def test(atoms):
    ...     distances = atoms.get_all_distances()
    ...     assert distances[distances > 0].min() >= 1.0 - 1e-12 and not atoms.pbc.any()
    >>> test()
    """
    return _clusters(symbols, count("min_atoms", min_atoms), max_atoms, min_distance, False)


@st.composite
def _clusters(
    draw: st.DrawFn, symbols: Sequence[str], n_min: int, n_max: int, min_distance: float, centered: bool
) -> Atoms:
    d = number("min_distance", min_distance, above=0)
    n = draw(st.integers(n_min, count("the largest number of atoms", n_max, least=n_min)))
    sites = [0, *draw(_distinct(1, len(_SITES) - 1, n - 1))]
    positions = _SPACING * d * _SITES[sites] + _DISPLACEMENT * d * draw(_displacements(n))
    if centered:
        positions -= positions[0]
    return Atoms(draw(_symbols(symbols, n)), positions)


# Sites of a cubic grid, nearest to the origin first.
_SITES = np.array(
    sorted(
        itertools.product(range(-_HALF_WIDTH, _HALF_WIDTH + 1), repeat=3),
        key=lambda site: (sum(k * k for k in site), [-k for k in site]),
    )
)


def _distinct(low: int, high: int, size: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(low, high), min_size=size, max_size=size, unique=True)


def _displacements(n: int) -> st.SearchStrategy[np.ndarray]:
    """Vectors in the unit ball, shape (n, 3)."""
    numbers = st.lists(st.integers(-_STEPS, _STEPS), min_size=3 * n, max_size=3 * n)
    return numbers.map(lambda k: np.reshape(k, (n, 3)) / (_STEPS * np.sqrt(3)))


def _symbols(symbols: Sequence[str], n: int) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from([symbol("symbols", name) for name in symbols]), min_size=n, max_size=n)


@st.composite
def crystals(
    draw: Any,
    symbols: Sequence[str] = SYMBOLS[:2],
    max_atoms: int = 4,
    *,
    pbc: Sequence[bool] | None = None,
    min_distance: float = 1.5,
    skewed: bool = True,
) -> Atoms:
    """Structures with one, two or three periodic axes, in cells that are small, strained and skewed.

    Parameters
    ----------
    symbols : sequence of str
    max_atoms : int
        In the cell, which may be as short as 1.5 `min_distance`: one atom sees many images of itself.
    pbc : sequence of bool, optional
        Which axes are periodic; by default any, one at least. Vectors of others are zero or long.
    min_distance : float
        Å, images included.
    skewed : bool, optional
        Also other vectors of the lattice, with sharp angles, and atoms outside of the cell.

    Examples
    --------
    >>> from hypothesis import given
    >>> from ase.neighborlist import neighbor_list
    >>> @given(crystals(max_atoms=3, pbc=(True, True, False)))
    ... def test(atoms):
    ...     assert not len(neighbor_list("d", atoms, 1.499999))
    >>> test()
    """
    d = number("min_distance", min_distance, above=0)
    n = draw(st.integers(1, count("max_atoms", max_atoms)))
    periodic = np.array(draw(_PERIODIC) if pbc is None else pbc, dtype=bool)
    shape = np.array([draw(st.integers(1, 2)) for _ in range(3)])
    while shape.prod() < n:
        shape[shape.argmin()] += 1
    sites = np.array(np.unravel_index(draw(_distinct(0, int(shape.prod()) - 1, n)), shape)).T
    # A strain of at most 3 · 0.1 in norm is made good by the larger spacing.
    enlarged = d / (1 - 3 * _MAX_STRAIN)
    strain = draw(_strains())
    positions = enlarged * (_SPACING * sites + _DISPLACEMENT * draw(_displacements(n)))
    vectors = _SPACING * enlarged * np.diag(shape) * np.where(periodic, 1, draw(st.sampled_from([0, 4])))[:, None]
    atoms = Atoms(draw(_symbols(symbols, n)), positions @ strain, cell=vectors @ strain, pbc=periodic)
    if skewed:
        atoms.positions += draw(_cells(n)) * periodic @ atoms.cell.array
        atoms.set_cell(draw(lattice_changes(periodic)) @ atoms.cell.array)
    return atoms


_PERIODIC = st.sampled_from(sorted(itertools.product([True, False], repeat=3), key=lambda pbc: -sum(pbc))[:-1])


def _strains() -> st.SearchStrategy[np.ndarray]:
    """1 + ε with |ε_ab| ≤ 0.1."""
    numbers = st.lists(st.integers(-_STEPS, _STEPS), min_size=9, max_size=9)
    return numbers.map(lambda k: np.eye(3) + _MAX_STRAIN * np.reshape(k, (3, 3)) / _STEPS)


def _cells(n: int) -> st.SearchStrategy[np.ndarray]:
    return st.lists(st.integers(-1, 1), min_size=3 * n, max_size=3 * n).map(lambda k: np.reshape(k, (n, 3)))


def structures(symbols: Sequence[str] = SYMBOLS[:2], **arguments: Any) -> st.SearchStrategy[Atoms]:
    """Molecules or crystals; arguments as `crystals`.

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(structures(["H"]))
    ... def test(atoms):
    ...     assert set(atoms.symbols) == {"H"}
    >>> test()
    """
    return st.one_of(molecules(symbols), crystals(symbols, **arguments))


# --- what is done to them ---------------------------------------------------------------------------------------------

_SEEDS = st.integers(0, 2**32 - 1)


def rotations() -> st.SearchStrategy[np.ndarray]:
    """Rotations, shape (3, 3): those that map the axes onto themselves, or uniformly distributed ones.

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(rotations())
    ... def test(Q):
    ...     assert abs(np.linalg.det(Q) - 1) < 1e-12 and np.allclose(Q @ Q.T, np.eye(3))
    >>> test()
    """
    return st.one_of(st.sampled_from(SPECIAL_ORTHOGONAL[:24]), _SEEDS.map(random_orthogonal))


def reflections() -> st.SearchStrategy[np.ndarray]:
    """Improper elements of O(3): the inversion, mirrors, and products of these with any rotation.

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(reflections())
    ... def test(Q):
    ...     assert abs(np.linalg.det(Q) + 1) < 1e-12
    >>> test()
    """
    uniform = _SEEDS.map(lambda seed: random_orthogonal(seed, improper=True))
    return st.one_of(st.sampled_from(SPECIAL_ORTHOGONAL[24:]), uniform)


def orthogonal_matrices() -> st.SearchStrategy[np.ndarray]:
    """Elements of O(3), special or uniform, proper or not.

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(orthogonal_matrices())
    ... def test(Q):
    ...     assert np.allclose(Q @ Q.T, np.eye(3))
    >>> test()
    """
    return st.one_of(rotations(), reflections())


def permutations(n: int) -> st.SearchStrategy[np.ndarray]:
    """Orders of n atoms, shape (n,).

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(permutations(4))
    ... def test(order):
    ...     assert sorted(order) == [0, 1, 2, 3]
    >>> test()
    """
    return st.permutations(range(count("n", n, least=0))).map(lambda order: np.array(order, dtype=int))


def translations(size: float = 10.0) -> st.SearchStrategy[np.ndarray]:
    """Vectors, shape (3,), with components up to `size` in Å.

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(translations(2.0))
    ... def test(vector):
    ...     assert abs(vector).max() <= 2.0
    >>> test()
    """
    limit = number("size", size, above=0)
    return st.lists(st.floats(-limit, limit, allow_subnormal=False), min_size=3, max_size=3).map(np.array)


def supercells(pbc: Sequence[bool] = (True, True, True), max_repeat: int = 3) -> st.SearchStrategy[tuple[int, ...]]:
    """Repeats of a cell, one along axes that are not periodic.

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(supercells((True, False, True)))
    ... def test(repeat):
    ...     assert repeat[1] == 1 and max(repeat) <= 3
    >>> test()
    """
    most = count("max_repeat", max_repeat)
    return st.tuples(*(st.integers(1, most if periodic else 1) for periodic in pbc))


def lattice_changes(pbc: Sequence[bool] | np.ndarray = (True, True, True)) -> st.SearchStrategy[np.ndarray]:
    """Integer matrices Z with determinant 1: Z·cell spans the same lattice. Up to three shears of periodic axes.

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(lattice_changes((True, True, False)))
    ... def test(Z):
    ...     assert round(np.linalg.det(Z)) == 1 and list(Z[2]) == [0, 0, 1]
    >>> test()
    """
    shear = st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(-2, 2))
    return st.lists(shear, max_size=3).map(lambda shears: lattice_change(pbc, shears))
