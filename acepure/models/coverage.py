"""What the structures of a fit hold, and what of another structure lies outside of it.

Three things are compared, from the cheapest on:

    distances       of each pair of species, with the shortest in the fit
    surroundings    which species are among the neighbors of an atom, with those of the fit: no structure may have had
                    In with both P and As around it, so that nothing says what these do together
    deviations      of the posterior, with those of structures left out of the fit, see `ErrorLaw.largest`

Each is said once, in one line, as an `ExtrapolationWarning`, or raised.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations, combinations_with_replacement
from typing import TYPE_CHECKING, Any

import numpy as np

from acepure._utils.checks import number
from acepure._utils.pairs import PairTable
from acepure.errors import ExtrapolationWarning
from acepure.features.basis import ACEBasis
from acepure.neighbors.lists import NeighborList

if TYPE_CHECKING:
    from acepure.models.calibration import Calibration
    from acepure.models.uncertainty import Uncertainty

__all__ = ["LIMIT", "CoverageCheck", "Surroundings"]

#: Deviations beyond this multiple of the largest in training are worth a warning.
LIMIT = 2.0
# Distances down to this part of the shortest one in training are no extrapolation worth a warning.
TOLERATED = 0.95
# A pair is warned of again when it is shorter than this part of the last distance.
SHORTER = 0.9

Kinds = frozenset[str]


class Surroundings:
    """Which species have been seen together around an atom of each species, within the cutoff.

    Parameters
    ----------
    seen : mapping of str to iterable of frozenset of str
        Species of center → species of neighbors of one atom, for all atoms; parts of larger sets are dropped.

    Examples
    --------
    >>> seen = Surroundings({"In": [frozenset(["In", "P"]), frozenset(["In", "As"])]})
    >>> seen.holds("In", frozenset(["As"])), seen.holds("In", frozenset(["As", "P"]))
    (True, False)
    """

    def __init__(self, seen: Mapping[str, Iterable[Kinds]] | None = None) -> None:
        self._seen: dict[str, list[Kinds]] = {}
        for center, kinds in (seen or {}).items():
            for found in kinds:
                self.add(center, frozenset(found))

    @property
    def centers(self) -> set[str]:
        """Species that have been seen at all."""
        return set(self._seen)

    def add(self, center: str, kinds: Kinds) -> None:
        """Take what is around one atom."""
        present = self._seen.setdefault(center, [])
        if not any(kinds <= other for other in present):
            self._seen[center] = [other for other in present if not other <= kinds] + [kinds]

    def joined(self, other: Surroundings) -> Surroundings:
        """Return what has been seen in either."""
        return Surroundings.from_list([*self.to_list(), *other.to_list()])

    def holds(self, center: str, kinds: Kinds) -> bool:
        """Whether all of these species have been around one atom of the species of center."""
        return any(kinds <= other for other in self._seen.get(center, ()))

    def missing(self, center: str, kinds: Kinds, order: int) -> list[Kinds]:
        """Return the smallest sets among `kinds`, of at most `order` species, that have not been around one atom."""
        found: list[Kinds] = []
        for size in range(1, min(order, len(kinds)) + 1):
            for some in map(frozenset, combinations(sorted(kinds), size)):
                if not self.holds(center, some) and not any(smaller < some for smaller in found):
                    found.append(some)
        return found

    def to_list(self) -> list[list[Any]]:
        """Return JSON types: [center, neighbors] each."""
        return [[center, kinds] for center in sorted(self._seen) for kinds in sorted(map(sorted, self._seen[center]))]

    @classmethod
    def from_list(cls, data: Iterable[Any]) -> Surroundings:
        """Read what `to_list` returned."""
        result = cls()
        for center, kinds in data:
            result.add(str(center), frozenset(map(str, kinds)))
        return result


def kinds_around(basis: ACEBasis, species: np.ndarray, neighbors: NeighborList) -> list[tuple[str, Kinds, int]]:
    """Return center, species of neighbors within the cutoff, and an atom of which it is true, all different.

    Parameters
    ----------
    basis : ACEBasis
        Supplies species and cutoffs.
    species : numpy.ndarray of int
        Of all atoms.
    neighbors : NeighborList
        It may reach farther than the cutoff.
    """
    zi, zj, r = _pairs(species, neighbors)
    around = np.zeros((len(neighbors.centers), len(basis.species)), dtype=bool)
    near = r < basis.cutoffs[zi, zj]
    around[np.repeat(np.arange(len(around)), np.diff(neighbors.offsets))[near], zj[near]] = True
    rows = np.column_stack([species[neighbors.centers], around])
    distinct, first = np.unique(rows, axis=0, return_index=True)
    names = np.array(basis.species)
    return [
        (str(names[row[0]]), frozenset(names[row[1:].astype(bool)].tolist()), int(neighbors.centers[k]))
        for row, k in zip(distinct, first)
    ]


def shortest_pairs(basis: ACEBasis, species: np.ndarray, neighbors: NeighborList) -> dict[tuple[str, str], float]:
    """Return the shortest distance of each ordered pair of species in a list, in Å."""
    zi, zj, r = _pairs(species, neighbors)
    shortest = np.full((len(basis.species),) * 2, np.inf)
    np.minimum.at(shortest, (zi, zj), r)
    found = np.argwhere(np.isfinite(shortest))
    return {(basis.species[i], basis.species[j]): float(shortest[i, j]) for i, j in found}


def _pairs(species: np.ndarray, neighbors: NeighborList) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Species of center and neighbor, and the distance."""
    zi = np.repeat(species[neighbors.centers], np.diff(neighbors.offsets))
    return zi, species[neighbors.neighbors], np.linalg.norm(neighbors.vectors, axis=1)


class CoverageCheck:
    """Says what lies outside of the data of a fit, each of it once.

    Parameters
    ----------
    potential : LinearACE, or what has `basis` and `shortest_distances`
        `surroundings` and `calibration` are looked at too, where it has them.
    raises : bool
        Raise an `ExtrapolationWarning` instead of warning.
    limit : float
        Deviations beyond this multiple of the largest in training are said.
    """

    def __init__(self, potential: Any, *, raises: bool = False, limit: float = LIMIT) -> None:
        self._basis: ACEBasis = potential.basis
        self._raises, self._limit = raises, number("limit", limit, above=0)
        self._pairs = None if potential.shortest_distances is None else _ShortPairs(potential)
        surroundings: Surroundings | None = getattr(potential, "surroundings", None)
        self._surroundings = None if surroundings is None or self._complete(surroundings) else surroundings
        self._calibration: Calibration | None = getattr(potential, "calibration", None)
        self._said: set[Any] = set()

    def check(self, species: np.ndarray, neighbors: NeighborList, where: str = "") -> None:
        """Look at distances and surroundings; `where` names the structure.

        Parameters
        ----------
        species : numpy.ndarray of int
            Species indices of all atoms.
        neighbors : NeighborList
            It may reach farther than the cutoff.
        where : str
            Begins each text.
        """
        for text in self.outside(species, neighbors):
            self.say(where + text)

    def check_deviations(self, found: Uncertainty, n_atoms: int, where: str = "") -> None:
        """Look at standard deviations of a prediction."""
        posterior = found.posterior
        if self._calibration is None or posterior is None:
            return
        self.check_grades("energy", self._calibration.grades("energy", [posterior.energy], n_atoms), where)
        self.check_grades("forces", self._calibration.grades("forces", posterior.forces), where)

    def check_grades(self, quantity: str, grades: np.ndarray, where: str = "") -> None:
        """Look at deviations in units of the largest in training."""
        for text in self.beyond(quantity, grades):
            self.say(where + text)

    def outside(self, species: np.ndarray, neighbors: NeighborList, names: np.ndarray | None = None) -> Iterator[str]:
        """Yield what is to be said of distances and surroundings; `names` are those of the atoms, default numbers."""
        names = np.arange(len(species)) if names is None else names
        if self._pairs is not None:
            for text in self._pairs.found(species, neighbors, names, repeats=self._raises):
                yield f"{text}: the energy is extrapolated"
        if self._surroundings is None:
            return
        for center, kinds, atom in kinds_around(self._basis, species, neighbors):
            for missing in self._surroundings.missing(center, kinds, self._basis.order):
                # Pairs are said with their distance.
                if (len(missing) > 1 or self._pairs is None) and self._is_new((center, missing)):
                    yield (
                        f"atom {names[atom]} is {center} with {' and '.join(sorted(missing))} around it, which no "
                        "structure of the fit had: what they do together rests on the prior"
                    )

    def beyond(self, quantity: str, grades: np.ndarray, names: np.ndarray | None = None) -> Iterator[str]:
        """Yield what is to be said of deviations, in units of the largest in training."""
        worst = int(np.argmax(grades)) if len(grades) else 0
        if len(grades) and grades[worst] > self._limit and self._is_new(quantity):
            atom = f" on atom {worst if names is None else names[worst]}" if quantity == "forces" else ""
            yield (
                f"the {'force' if quantity == 'forces' else quantity}{atom} is {grades[worst]:.2g} times as uncertain "
                "as the most uncertain of structures left out of the fit: it is extrapolated"
            )

    def say(self, text: str) -> None:
        """Warn, or raise."""
        if self._raises:
            raise ExtrapolationWarning(text)
        warnings.warn(text, ExtrapolationWarning, stacklevel=4)

    def _is_new(self, what: Any) -> bool:
        """Whether it has not been said; what is raised may be raised again."""
        if self._raises:
            return True
        new = what not in self._said
        self._said.add(what)
        return new

    def _complete(self, surroundings: Surroundings) -> bool:
        everything = frozenset(self._basis.species)
        return all(not surroundings.missing(center, everything, self._basis.order) for center in everything)


class _ShortPairs:
    """Pairs that are shorter than those in training, without repetition."""

    def __init__(self, potential: Any) -> None:
        known, basis = potential.shortest_distances, potential.basis
        table = PairTable("shortest_distances", known, lambda n, v: number(n, v, above=0)) if known else {}
        self._basis = basis
        self._shortest: dict[tuple[int, int], float | None] = {}
        self._limits: dict[tuple[int, int], float] = {}
        for i, j in combinations_with_replacement(range(len(basis.species)), 2):
            a, b = basis.species[i], basis.species[j]
            shortest = min(table[a, b], table[b, a]) if (a, b) in table else None
            self._shortest[i, j] = shortest
            # A pair that was not in training is out of range wherever it counts.
            self._limits[i, j] = min(basis.cutoffs[i, j], basis.cutoffs[j, i])
            if shortest is not None:
                self._limits[i, j] = min(self._limits[i, j], TOLERATED * shortest)

    def found(self, species: np.ndarray, neighbors: NeighborList, names: np.ndarray, repeats: bool) -> Iterator[str]:
        """Yield a text for the shortest pair of each two species, if out of range, and shorter than said before."""
        r2 = np.einsum("pa,pa->p", neighbors.vectors, neighbors.vectors)
        near = np.flatnonzero(r2 < max(self._limits.values()) ** 2)
        if not near.size:
            return
        first = neighbors.centers[np.searchsorted(neighbors.offsets, near, side="right") - 1]
        second, r = neighbors.neighbors[near], np.sqrt(r2[near])
        for (i, j), limit in self._limits.items():
            short = np.flatnonzero((species[first] == i) & (species[second] == j) & (r < limit))
            if short.size:
                nearest = short[r[short].argmin()]
                if not repeats:
                    self._limits[i, j] = SHORTER * float(r[nearest])
                a, b = names[first[nearest]], names[second[nearest]]
                yield self._text((i, j), int(a), int(b), float(r[nearest]))

    def _text(self, pair: tuple[int, int], first: int, second: int, r: float) -> str:
        name = "-".join(self._basis.species[k] for k in pair)
        shortest = self._shortest[pair]
        known = "no such pair was in training" if shortest is None else f"the shortest in training is {shortest:.3f} Å"
        return f"a {name} pair is {r:.3f} Å apart (atoms {first} and {second}), and {known}"
