"""Orbitals on atoms: which rows of a matrix belong to which shell, and how codes order them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from acepure._utils.checks import count, real_array, symbol
from acepure._utils.read_only import ReadOnly, read_only

__all__ = ["CONVENTIONS", "Orbitals"]

LETTERS = "spdfghi"
#: Code → {l: matrix from real harmonics M = −l..l to the orbitals of a shell}; degrees that are not named are as here.
CONVENTIONS: dict[str, dict[int, np.ndarray]] = {
    "acepure": {},
    "pyscf": {1: np.eye(3)[[2, 0, 1]]},  # p is x, y, z; spherical d and higher are M = −l..l
}


class Orbitals(ReadOnly):
    """Shells of orbitals on each species.

    Parameters
    ----------
    shells : mapping of str to str or sequence of int
        The degrees of the shells of each species, in the order of the matrix: {"O": "ssp", "H": "s"}, or (0, 0, 1).
    convention : str or mapping of int to array_like, shape (2l + 1, 2l + 1)
        "acepure" (real harmonics, M = −l..l), "pyscf", or for each degree that differs the orthogonal matrix U of
        orbitals = U (real harmonics).

    Examples
    --------
    >>> orbitals = Orbitals({"O": "ssp", "H": "s"}, "pyscf")
    >>> orbitals.starts(["O", "H", "H"]).tolist()
    [0, 5, 6, 7]
    """

    def __init__(self, shells: Mapping[str, Any], convention: Any = "acepure") -> None:
        if not isinstance(shells, Mapping) or not shells:
            raise TypeError(f'orbitals must map symbols to shells, such as {{"O": "ssp", "H": "s"}}; got {shells!r}')
        self._shells = {symbol("a species of orbitals", name): _degrees(name, value) for name, value in shells.items()}
        self._convention = read_only(_convention(convention))
        self._sizes = {name: sum(2 * l + 1 for l in degrees) for name, degrees in self._shells.items()}

    @property
    def shells(self) -> Mapping[str, tuple[int, ...]]:
        """Degrees of the shells of each species; read-only."""
        return MappingProxyType(self._shells)

    @property
    def convention(self) -> Mapping[int, np.ndarray]:
        """How shells are ordered: matrices by degree; read-only."""
        return MappingProxyType(self._convention)

    def starts(self, symbols: Iterable[str]) -> np.ndarray:
        """Return the first row of each atom, and the number of rows as the last entry, shape (n_atoms + 1,)."""
        unknown = sorted(set(symbols) - set(self._sizes))
        if unknown:
            raise ValueError(f"orbitals name shells of {', '.join(self._sizes)}, not of {', '.join(unknown)}")
        return np.cumsum([0, *(self._sizes[name] for name in symbols)])

    def rows(self, name: str, shell: int) -> np.ndarray:
        """Return the rows of a shell, counted from the first row of its atom."""
        degrees = self.shells[name]
        start = sum(2 * l + 1 for l in degrees[:shell])
        return np.arange(start, start + 2 * degrees[shell] + 1)

    def rotation(self, l: int) -> np.ndarray:
        """Return U of orbitals = U (real harmonics M = −l..l), shape (2l + 1, 2l + 1)."""
        return self.convention.get(l, np.eye(2 * l + 1))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values from which equal orbitals are made."""
        rotations = {str(l): U.tolist() for l, U in self.convention.items()}
        return {"shells": {name: list(degrees) for name, degrees in self.shells.items()}, "convention": rotations}

    def __repr__(self) -> str:
        letters = {name: "".join(LETTERS[l] if l < 7 else f"({l})" for l in ls) for name, ls in self.shells.items()}
        return f"Orbitals({letters})"


def _degrees(name: str, value: Any) -> tuple[int, ...]:
    if isinstance(value, str):
        unknown = sorted(set(value) - set(LETTERS))
        if unknown:
            raise ValueError(f"orbitals[{name!r}] must be letters of {LETTERS}; got {value!r}")
        value = [LETTERS.index(letter) for letter in value]
    if not isinstance(value, (Sequence, np.ndarray)) or len(value) == 0:
        raise TypeError(f"orbitals[{name!r}] must be letters such as 'ssp' or degrees such as (0, 0, 1); got {value!r}")
    return tuple(count(f"a degree of orbitals[{name!r}]", l, least=0) for l in value)


def _convention(convention: Any) -> dict[int, np.ndarray]:
    if isinstance(convention, str):
        if convention not in CONVENTIONS:
            raise ValueError(f"convention must be one of {', '.join(CONVENTIONS)}, or matrices; got {convention!r}")
        return CONVENTIONS[convention]
    if not isinstance(convention, Mapping):
        raise TypeError(f"convention must be a name or map degrees to matrices; got {convention!r}")
    result = {}
    for degree, matrix in convention.items():
        l = count("a degree of convention", int(degree) if isinstance(degree, str) else degree, least=0)
        U = real_array(f"convention[{l}]", matrix, (2 * l + 1, 2 * l + 1))
        if abs(U @ U.T - np.eye(2 * l + 1)).max() > 1e-10:
            raise ValueError(f"convention[{l}] must be an orthogonal matrix; got {U.tolist()}")
        result[l] = U
    return result
