"""Structures as they come in: what is accepted, and what is refused before any work.

Everything behind this file may rely on finite positions, a finite cell, and independent cell vectors
along the periodic axes.  `atoms.pbc` alone decides what is periodic; along the other axes the cell
vector may be anything finite, and is never read.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from ase import Atoms

__all__ = ["check_structure", "checked_structures", "species_of", "structure_list"]

# Below this the cell vector along a periodic axis counts as missing, in Å.
SHORTEST_CELL_VECTOR = 1e-6
# Smallest singular value of the normalized periodic cell vectors below which they count as dependent.
SMALLEST_SINGULAR_VALUE = 1e-8
# Volume of the parallelepiped of the normalized vectors above which that need not be looked at.
SMALLEST_CLEAR_VOLUME = 1e-3


def check_structure(atoms: Atoms, name: str = "atoms") -> None:
    """Raise unless `atoms` is a structure that can be computed on.

    Parameters
    ----------
    atoms : ase.Atoms
        The structure; it is not modified.
    name : str
        What to call it in messages.

    Raises
    ------
    TypeError
        If `atoms` is no `ase.Atoms`.
    ValueError
        If it holds no atoms, if positions (Å) or cell (Å) are not finite, or if the cell vectors along
        the periodic axes are zero or linearly dependent.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from acepure.structures.gate import check_structure
    >>> check_structure(bulk("Cu"))
    """
    if not isinstance(atoms, Atoms):
        raise TypeError(f"{name} must be an ase.Atoms, got {type(atoms).__name__}")
    if len(atoms) == 0:
        raise ValueError(f"{name} holds no atoms; at least one is needed")
    if not np.isfinite(atoms.positions).all():
        bad = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))
        shown = ", ".join(f"{i} ({atoms.symbols[i]})" for i in bad[:5]) + (", ..." if len(bad) > 5 else "")
        raise ValueError(f"{name} has NaN or infinite positions at atom(s) {shown}; finite ones are needed")
    cell = atoms.cell.array
    if not np.isfinite(cell).all():
        raise ValueError(f"{name} has NaN or infinite cell vectors {cell.tolist()}; finite ones are needed")
    if atoms.pbc.any():
        _check_periodic_vectors(cell, atoms.pbc, name)


def _check_periodic_vectors(cell: np.ndarray, pbc: np.ndarray, name: str) -> None:
    axes = np.flatnonzero(pbc)
    vectors = cell[axes]
    lengths = np.sqrt((vectors * vectors).sum(axis=1))
    if lengths.min() < SHORTEST_CELL_VECTOR:
        axis = axes[lengths.argmin()]
        raise ValueError(
            f"{name} is periodic along axis {axis}, but its cell vector there is {cell[axis].tolist()} Å; "
            f"set the cell, or pbc to False along that axis"
        )
    if len(axes) == 3 and abs(np.linalg.det(vectors / lengths[:, None])) > SMALLEST_CLEAR_VOLUME:
        return  # the usual case, in a third of the time
    # The smallest singular value measures dependence whatever the number of periodic axes.
    if np.linalg.svd(vectors / lengths[:, None], compute_uv=False)[-1] < SMALLEST_SINGULAR_VALUE:
        raise ValueError(
            f"{name} is periodic along axes {axes.tolist()}, but the cell vectors {vectors.tolist()} Å are "
            f"linearly dependent; independent ones are needed"
        )


def structure_list(structures: Atoms | Iterable[Atoms], name: str = "structures") -> list[Atoms]:
    """Return the checked structures as a list; one `ase.Atoms` is a list of one.

    Parameters
    ----------
    structures : ase.Atoms or iterable of ase.Atoms
        One structure or several; none is copied or modified.
    name : str
        What to call them in messages.

    Returns
    -------
    list of ase.Atoms

    Raises
    ------
    TypeError
        If `structures` is neither, or one item is no `ase.Atoms`.
    ValueError
        If there are none, or one fails :func:`check_structure`.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from acepure.structures.gate import structure_list
    >>> len(structure_list(bulk("Cu"))), len(structure_list([bulk("Cu"), bulk("Si")]))
    (1, 2)
    """
    return list(checked_structures(structures, name))


def checked_structures(structures: Atoms | Iterable[Atoms], name: str = "structures") -> Iterator[Atoms]:
    """Yield the structures that :func:`structure_list` returns, one at a time.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from acepure.structures.gate import checked_structures
    >>> sum(len(atoms) for atoms in checked_structures(bulk("Cu") * n for n in (1, 2)))
    9
    """
    if isinstance(structures, Atoms):
        check_structure(structures, name)
        yield structures
        return
    if isinstance(structures, str) or not isinstance(structures, Iterable):
        raise TypeError(f"{name} must be an ase.Atoms or an iterable of them, got {type(structures).__name__}")
    k = -1
    for k, atoms in enumerate(structures):
        check_structure(atoms, f"{name}[{k}]")
        yield atoms
    if k < 0:
        raise ValueError(f"{name} is empty; at least one ase.Atoms is needed")


def species_of(structures: Atoms | Iterable[Atoms]) -> tuple[str, ...]:
    """Return the chemical symbols that occur, sorted by atomic number.

    Parameters
    ----------
    structures : ase.Atoms or iterable of ase.Atoms
        One structure or several; for several, the union is taken.

    Returns
    -------
    tuple of str

    Raises
    ------
    TypeError, ValueError
        As :func:`structure_list`.

    Examples
    --------
    >>> from ase.build import bulk, molecule
    >>> from acepure.structures.gate import species_of
    >>> species_of([bulk("Cu"), molecule("CH3OH")])
    ('H', 'C', 'O', 'Cu')
    """
    return occurring_species(checked_structures(structures))


def occurring_species(structures: Iterable[Atoms]) -> tuple[str, ...]:
    """Return what `species_of` returns, of structures that have been checked."""
    symbol_of: dict[int, str] = {}
    for atoms in structures:
        symbol_of.update(zip(atoms.numbers.tolist(), atoms.symbols, strict=True))
    return tuple(symbol_of[number] for number in sorted(symbol_of))
