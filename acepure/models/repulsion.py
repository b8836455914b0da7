"""Repulsive cores: pair energies of short distances, E_i = ½ Σ_j V(r_ij), for what no data tell.

`ZBLCore` is the screened repulsion of nuclei (Ziegler, Biersack, Littmark, The Stopping and Range of Ions in Solids,
1985), switched off smoothly; `PairCore` is the base for others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.data import atomic_numbers
from numpy.typing import ArrayLike

from acepure._kernels.forces import accumulate_forces
from acepure._utils.checks import distances, number, real_array, symbol
from acepure._utils.pairs import PairTable, per_pair, value_at
from acepure._utils.serialization import Serializable
from acepure.features.linear import EnergyAndForces
from acepure.neighbors.checks import check_list
from acepure.neighbors.environments import Environments
from acepure.neighbors.lists import SHORTEST_SEARCH, NeighborList, neighbor_list
from acepure.structures.gate import check_structure

__all__ = ["PairCore", "ZBLCore"]

# e²/(4πε0) in eV·Å.
COULOMB = units.Hartree * units.Bohr
# The universal screening function φ(x) = Σ_k c_k exp(−d_k x), x = r (Z1^p + Z2^p) / a; a in Å.
SCREENING_WEIGHTS = np.array([0.18175, 0.50986, 0.28022, 0.02817])
SCREENING_RATES = np.array([3.19980, 0.94229, 0.40290, 0.20162])
SCREENING_LENGTH, SCREENING_POWER = 0.46850, 0.23


class PairCore(Serializable, ABC):
    """Base of repulsive cores; subclass it for one of your own.

    A subclass defines `cutoff` and `energy_and_slope`, both the same for (a, b) and (b, a). V and dV/dr must go to 0 at
    the cutoff, or energies and forces jump there. A frozen dataclass is the simplest form: it can be saved without
    further code.

    Examples
    --------
    >>> from ase import Atoms
    >>> class SoftCore(PairCore):
    ...     def cutoff(self, a, b):
    ...         return 1.5
    ...     def energy_and_slope(self, r, a, b):
    ...         return (1.5 - r) ** 3, -3 * (1.5 - r) ** 2
    >>> SoftCore().energy_and_forces(Atoms("Cu2", [(0, 0, 0), (0, 0, 0.5)])).energy
    1.0
    """

    @abstractmethod
    def cutoff(self, a: str, b: str) -> float:
        """Return the distance in Å from which on V is 0, for two chemical symbols; 0 for none."""

    @abstractmethod
    def energy_and_slope(self, r: np.ndarray, a: str, b: str) -> tuple[np.ndarray, np.ndarray]:
        """Return V (eV) and dV/dr (eV/Å), each (n,), for distances 0 < r < cutoff in Å, shape (n,)."""

    def check_reach(self, species: Sequence[str], cutoffs: np.ndarray) -> None:
        """Raise unless neighbor lists of these cutoffs hold all pairs of the core.

        Parameters
        ----------
        species : sequence of str
        cutoffs : numpy.ndarray, shape (n_species, n_species)
            As `ACEBasis.cutoffs`, in Å.

        Raises
        ------
        ValueError
            Naming the first pair for which the core reaches farther.
        """
        for (i, a), (j, b) in product(enumerate(species), repeat=2):
            if self.cutoff(a, b) > cutoffs[i, j]:
                raise ValueError(
                    f"the core reaches {self.cutoff(a, b):g} Å for the pair {a}-{b}, but the cutoff of the basis is "
                    f"{cutoffs[i, j]:g} Å; shorten the core or lengthen the cutoff"
                )

    def energy_and_forces(self, atoms: Atoms, neighbors: NeighborList | None = None) -> EnergyAndForces:
        """Return energies (eV), forces (eV/Å) and virial (eV) of the core alone.

        Parameters
        ----------
        atoms : ase.Atoms
        neighbors : NeighborList, optional
            Of the same structure; it may reach farther than the core.

        Raises
        ------
        TypeError, ValueError
            As `evaluate`, and for what is no structure.
        """
        check_structure(atoms)
        if neighbors is None:
            reach = self._reach(dict.fromkeys(atoms.get_chemical_symbols()))
            neighbors = neighbor_list(atoms, max(reach, SHORTEST_SEARCH))
        return _accumulated(neighbors, *self.evaluate(neighbors, atoms.get_chemical_symbols()))

    def evaluate_environments(self, environments: Environments, species: Sequence[str]) -> EnergyAndForces:
        """Return energies, forces and virial of environments that have been checked and reach beyond the core.

        Parameters
        ----------
        environments : Environments
        species : sequence of str
            Those of the basis.
        """
        neighbors = environments.neighbors
        return _accumulated(neighbors, *self._evaluate(neighbors, environments.species, species))

    def evaluate(self, neighbors: NeighborList, symbols: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return E_i = ½ Σ_j V(r_ij) and its derivatives ∂E_i/∂r_ij = ½ V'(r_ij) r_ij/|r_ij|.

        Parameters
        ----------
        neighbors : NeighborList
            Pairs beyond the core are not looked at.
        symbols : sequence of str
            Chemical symbol of each atom of the structure.

        Returns
        -------
        energies : numpy.ndarray, shape (n_centers,)
            eV.
        gradients : numpy.ndarray, shape (n_pairs, 3)
            eV/Å.

        Raises
        ------
        TypeError, ValueError
            If the list is of another structure or shorter than the core, or a symbol is unknown.
        """
        names = list(dict.fromkeys(symbol("symbols", s) for s in symbols))
        _check_list(neighbors, len(symbols), self._reach(names))
        return self._evaluate(neighbors, np.array([names.index(s) for s in symbols]), names)

    def _evaluate(
        self, neighbors: NeighborList, kinds: np.ndarray, names: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """`evaluate` of atoms of which the symbols are given by their places in `names`."""
        reach = self._reach(names)
        energies, gradients = np.zeros(neighbors.n_centers), np.zeros((neighbors.n_pairs, 3))
        r2 = np.einsum("pa,pa->p", neighbors.vectors, neighbors.vectors)
        near = np.flatnonzero(r2 < reach**2)
        if near.size:
            rows = np.searchsorted(neighbors.offsets, near, side="right") - 1
            r = np.sqrt(r2[near])
            ends = kinds[neighbors.centers[rows]], kinds[neighbors.neighbors[near]]
            values, slopes = self._pair_energies(r, *ends, names)
            energies += 0.5 * np.bincount(rows, weights=values, minlength=len(energies))
            gradients[near] = (0.5 * slopes / r)[:, None] * neighbors.vectors[near]
        return energies, gradients

    def _reach(self, names: Iterable[str]) -> float:
        """The largest cutoff of all pairs of these symbols."""
        return max((number("cutoff", self.cutoff(a, b), least=0) for a, b in product(names, repeat=2)), default=0.0)

    def _pair_energies(
        self, r: np.ndarray, first: np.ndarray, second: np.ndarray, names: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """V and dV/dr of each pair, of which the ends are given by their places in `names`."""
        both = np.zeros((2, len(r)))
        for (i, a), (j, b) in product(enumerate(names), repeat=2):
            here = np.flatnonzero((first == i) & (second == j) & (r < self.cutoff(a, b)))
            if here.size:
                for target, name, given in zip(both, ("V", "dV/dr"), self.energy_and_slope(r[here], a, b)):
                    target[here] = real_array(f"{name} of {self!r}", given, (len(here),))
        return both[0], both[1]


def _accumulated(neighbors: NeighborList, energies: np.ndarray, gradients: np.ndarray) -> EnergyAndForces:
    """Sum ∂E_i/∂r_ij to forces and virial."""
    forces, virial = np.zeros((neighbors.n_atoms, 3)), np.zeros((3, 3))
    accumulate_forces(
        neighbors.offsets, neighbors.centers, neighbors.neighbors, neighbors.vectors, gradients, forces, virial
    )
    return EnergyAndForces(energies, forces, virial)


def _check_list(neighbors: NeighborList, n_atoms: int, reach: float) -> None:
    """Raise unless the list is of so many atoms and can hold all pairs of the core."""
    if isinstance(neighbors, NeighborList) and neighbors.n_atoms != n_atoms:
        raise ValueError(
            f"neighbors belongs to a structure of {neighbors.n_atoms} atoms, but there are {n_atoms} symbols"
        )
    check_list(neighbors, n_atoms)
    if not neighbors.cutoffs.max(initial=0.0) >= reach:
        raise ValueError(f"neighbors reaches {neighbors.cutoffs.max(initial=0.0):g} Å, but the core {reach:g} Å")


@dataclass(frozen=True)
class ZBLCore(PairCore):
    """The universal screened repulsion of nuclei, switched off between two distances.

        V(r) = e²/(4πε0) Z1 Z2 φ(r/a)/r · s(u),      a = 0.46850 Å / (Z1^0.23 + Z2^0.23),
        φ(x) = 0.18175 e^(−3.19980 x) + 0.50986 e^(−0.94229 x) + 0.28022 e^(−0.40290 x) + 0.02817 e^(−0.20162 x),
        s(u) = (1 − u)³ (1 + 3u + 6u²),              u = (r − inner)/(outer − inner) between 0 and 1,

    with the constants of LAMMPS's ``pair_style zbl`` but another switch: s is 1 up to inner and 0 from outer on, with
    two continuous derivatives at both.

    Parameters
    ----------
    inner, outer : float or mapping of (str, str) to float
        Å, 0 <= inner < outer; one for all pairs, or one per pair of symbols.

    Raises
    ------
    TypeError, ValueError
        For distances out of range, pairs that have only one of the two, or two values for one pair; on evaluation, for
        pairs that are not named.

    Examples
    --------
    >>> from ase import Atoms
    >>> core = ZBLCore(inner=0.7, outer=1.4)
    >>> dimer = Atoms("Si2", [(0, 0, 0), (0, 0, 0.5)])
    >>> round(core.energy_and_forces(dimer).energy, 1)  # eV
    470.5
    >>> dimer.positions[1, 2] = 1.4
    >>> core.energy_and_forces(dimer).energy
    0.0
    """

    inner: float | Mapping[tuple[str, str], float]
    outer: float | Mapping[tuple[str, str], float]

    def __post_init__(self) -> None:
        for name in ("inner", "outer"):
            value = per_pair(name, getattr(self, name), lambda n, v: number(n, v, least=0))
            object.__setattr__(self, name, value)
            if isinstance(value, PairTable):
                _check_symmetric(name, value)
        named: set[Any] = {*_pairs(self.inner), *_pairs(self.outer)}
        for pair in named or {(None, None)}:
            inner, outer = value_at("inner", self.inner, *pair), value_at("outer", self.outer, *pair)
            if outer <= inner:
                where = f" for the pair {'-'.join(pair)}" if pair[0] else ""
                raise ValueError(f"outer must be > inner{where}; got inner={inner!r}, outer={outer!r}")

    def cutoff(self, a: str, b: str) -> float:
        return value_at("outer", self.outer, a, b)

    def energy_and_slope(self, r: ArrayLike, a: str, b: str) -> tuple[np.ndarray, np.ndarray]:
        """Return V (eV) and dV/dr (eV/Å), each (n,).

        Parameters
        ----------
        r : array_like, shape (n,)
            Distances in Å, > 0.
        a, b : str
            Chemical symbols.

        Raises
        ------
        TypeError, ValueError
            For distances that are not positive, or unknown symbols.
        """
        r = distances("r", r)
        if not r.all():
            raise ValueError("r must hold distances > 0: the repulsion is infinite at 0")
        inner, outer = value_at("inner", self.inner, a, b), value_at("outer", self.outer, a, b)
        value, slope = screened_repulsion(r, atomic_numbers[symbol("a", a)], atomic_numbers[symbol("b", b)])
        u = np.clip((r - inner) / (outer - inner), 0.0, 1.0)
        switch = (1 - u) ** 3 * (1 + 3 * u + 6 * u**2)
        switch_slope = -30 * (u * (1 - u)) ** 2 / (outer - inner)
        return value * switch, slope * switch + value * switch_slope


def screened_repulsion(r: np.ndarray, z1: int, z2: int) -> tuple[np.ndarray, np.ndarray]:
    """Return e²/(4πε0) Z1 Z2 φ(r/a)/r (eV) and its derivative (eV/Å), each (n,)."""
    per_length = (z1**SCREENING_POWER + z2**SCREENING_POWER) / SCREENING_LENGTH
    rates = SCREENING_RATES * per_length
    terms = SCREENING_WEIGHTS * np.exp(-np.multiply.outer(r, rates))
    strength = COULOMB * (z1 * z2)  # to the same bits for both orders
    value = strength * terms.sum(axis=-1) / r
    return value, -strength * (terms @ rates) / r - value / r


def _pairs(value: float | Mapping[tuple[str, str], float]) -> set[tuple[str, str]]:
    return set(value) if isinstance(value, PairTable) else set()


def _check_symmetric(name: str, table: PairTable) -> None:
    for a, b in table:
        if table[a, b] != table[b, a]:
            raise ValueError(
                f"{name} must be the same for both orders of a pair; got {table[a, b]:g} for {a}-{b} and "
                f"{table[b, a]:g} for {b}-{a}"
            )
