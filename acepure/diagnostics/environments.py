"""Environments of many structures, one structure at a time: which atoms are looked at, and their features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from ase import Atoms
from tqdm import tqdm

from acepure._utils.checks import count

_END = object()


def chosen_centers(
    structures: Iterable[Atoms],
    *,
    indices: Iterable[Any] | None = None,
    atoms_per_structure: int | None = None,
    seed: int = 0,
    progress: bool | None = None,
    description: str = "structures",
) -> Iterator[tuple[int, Atoms, Any]]:
    """Yield number, structure and centers (None for all) of each structure.

    Parameters
    ----------
    structures : iterable of ase.Atoms, or one ase.Atoms
        A generator is read once and never held as a whole.
    indices : iterable, optional
        One entry per structure: its centers as in `ACEBasis.descriptors`, None for all. For one ase.Atoms, its centers.
    atoms_per_structure : int, optional
        Take so many centers of each structure at random, without repetition; all if there are fewer. The choice depends
        on `seed` and on the number of the structure, counted from 0, alone.
    seed : int
        Of the random numbers.
    progress : bool, optional
        Show a bar; default: when writing to a terminal.
    description : str
        Of the bar.

    Raises
    ------
    ValueError
        For an entry that is no structure, and for numbers of structures and indices that differ, when it is reached.

    Examples
    --------
    >>> from ase.build import bulk
    >>> [len(centers) for _, _, centers in chosen_centers([bulk("Cu") * 2, bulk("Cu") * 3], atoms_per_structure=10)]
    [8, 10]
    """
    if indices is not None and atoms_per_structure is not None:
        raise ValueError("indices and atoms_per_structure exclude each other: both choose the centers")
    seed = count("seed", seed, least=0)
    if atoms_per_structure is not None:
        atoms_per_structure = count("atoms_per_structure", atoms_per_structure)
    if isinstance(structures, Atoms):
        structures, indices = [structures], None if indices is None else [indices]
    for name, value in (("structures", structures), ("indices", indices)):
        if isinstance(value, str) or not (value is None or isinstance(value, Iterable)):
            raise TypeError(f"{name} must be an iterable, one entry per structure; got {value!r}")
    bar = tqdm(structures, desc=description, unit="structure", disable=None if progress is None else not progress)
    return _centers(bar, indices, atoms_per_structure, seed)


def _centers(
    structures: Iterable[Atoms], indices: Iterable[Any] | None, n_atoms: int | None, seed: int
) -> Iterator[tuple[int, Atoms, Any]]:
    given = None if indices is None else iter(indices)
    number = -1
    for number, atoms in enumerate(structures):
        if not isinstance(atoms, Atoms):
            raise TypeError(f"structures[{number}] must be an ase.Atoms; got {type(atoms).__name__}")
        centers = None
        if given is not None:
            centers = next(given, _END)
            if centers is _END:
                raise ValueError(f"indices has {number} entries, but there are more structures; one for each is needed")
        elif n_atoms is not None:
            rng = np.random.default_rng([seed, number])
            centers = np.sort(rng.choice(len(atoms), min(n_atoms, len(atoms)), replace=False))
        yield number, atoms, centers
    if number < 0:
        raise ValueError("structures is empty; at least one structure is needed")
    if given is not None and next(given, _END) is not _END:
        raise ValueError(f"indices has more entries than the {number + 1} structures; one for each is needed")


def environments_by_species(structures: Iterable[Atoms], **sampling: Any) -> dict[str, int]:
    """Return how many environments of each species of center are looked at; further arguments of `chosen_centers`.

    Examples
    --------
    >>> from ase.build import bulk
    >>> environments_by_species([bulk("NaCl", "rocksalt", a=5.6) * 2] * 3, atoms_per_structure=20)
    {'Na': 24, 'Cl': 24}
    """
    counts: Counter[str] = Counter()
    for _, atoms, centers in chosen_centers(structures, **{"progress": False, **sampling}):
        symbols = np.array(atoms.get_chemical_symbols())
        counts.update(symbols[slice(None) if centers is None else centers].tolist())
    return dict(counts)


def feature_rows(basis: Any, number: int, atoms: Atoms, centers: Any, num_threads: int | None) -> np.ndarray:
    """Return features of some atoms of a structure, shape (n_centers, n_features); errors name the structure."""
    try:
        return basis.descriptors(atoms, indices=centers, num_threads=num_threads)
    except (TypeError, ValueError, IndexError) as error:
        raise type(error)(f"structures[{number}]: {error}") from None
