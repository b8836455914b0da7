"""Energies and forces of a .yace file, written from the description of the format with NumPy alone.

    A_{μnlm} = Σ_{j of species μ} R_nl(r_ij) Ỹ_lm(r̂_ij),      ρ_ip = Re Σ_terms c̃_p Π_t A_{μ_t n_t l_t m_t},

    E_i = E0 + F(ρ_i1, ..., ρ_iP)

It shares no arithmetic with the rest of the package but the neighbor list, so that the two check each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from scipy.sparse import csr_array

from acepure.errors import SpeciesError
from acepure.features.linear import EnergyAndForces
from acepure.interfaces.yace.bonds import Bond
from acepure.interfaces.yace.complex_harmonics import complex_harmonics
from acepure.interfaces.yace.embeddings import FileEmbedding
from acepure.neighbors.lists import NeighborList, neighbor_list
from acepure.structures.gate import check_structure

if TYPE_CHECKING:
    from acepure.interfaces.yace.yace_calculator import YaceCalculator

__all__ = ["Terms", "YacePotential"]

# How many complex numbers an intermediate array may have.
_BLOCK = 2_000_000


@dataclass(frozen=True, eq=False)
class Terms:
    """Terms c̃_p Π_t A_{μ_t n_t l_t m_t} of equal rank, of one species of center.

    Attributes
    ----------
    mus, ns, ls, ms : numpy.ndarray of int, shape (n_terms, rank)
        Species of neighbors, n from 0, l and m.
    ctildes : numpy.ndarray, shape (n_terms, n_densities)
        c̃_p.
    """

    mus: np.ndarray
    ns: np.ndarray
    ls: np.ndarray
    ms: np.ndarray
    ctildes: np.ndarray


@dataclass(frozen=True, eq=False)
class _Plan:
    """What a species of center needs.

    Attributes
    ----------
    sums : numpy.ndarray of int, shape (n_sums, 4)
        (μ, n, l, m) of each A; l = −1 for terms of rank 1.
    factors : list of numpy.ndarray of int, shape (n_terms, rank)
        Positions in `sums`, for each rank.
    """

    sums: np.ndarray
    factors: list[np.ndarray]


@dataclass(frozen=True, eq=False)
class YacePotential:
    """A potential of a .yace file.

    Attributes
    ----------
    elements : tuple of str
    E0 : numpy.ndarray, shape (n_elements,)
        Energies of isolated atoms in eV.
    bonds : dict of (int, int) to ChebyshevBond or PolynomialBond
        Ordered pairs (center, neighbor).
    embeddings : tuple of FileEmbedding
        F of each species of center.
    terms : tuple of tuple of Terms
        For each species of center.
    """

    elements: tuple[str, ...]
    E0: np.ndarray
    bonds: dict[tuple[int, int], Bond]
    embeddings: tuple[FileEmbedding, ...]
    terms: tuple[tuple[Terms, ...], ...]
    _plans: dict[int, _Plan] = field(default_factory=dict, repr=False)

    @property
    def cutoffs(self) -> np.ndarray:
        """Cutoffs of the ordered pairs in Å, shape (n_elements, n_elements)."""
        n = len(self.elements)
        return np.array([[self.bonds[i, j].rcut for j in range(n)] for i in range(n)])

    def __repr__(self) -> str:
        n_terms = sum(len(terms.ctildes) for center in self.terms for terms in center)
        return f"YacePotential({', '.join(self.elements)}; {n_terms} terms)"

    def evaluate(self, atoms: Atoms) -> EnergyAndForces:
        """Return energies (eV), forces (eV/Å) and the virial (eV).

        Meant for comparisons, not for dynamics: a structure of 100 atoms takes seconds.

        Parameters
        ----------
        atoms : ase.Atoms

        Raises
        ------
        TypeError, ValueError
            For what is no structure, for species that the file does not name, and for atoms closer than its
            radial functions are defined.
        """
        check_structure(atoms)
        species = self._species(atoms)
        neighbors = neighbor_list(atoms, self.cutoffs, species=species)
        energies, gradients = self.E0[species], np.zeros((neighbors.n_pairs, 3))
        for z in range(len(self.elements)):
            for centers in self._blocks(z, np.flatnonzero(species == z), neighbors):
                pairs = np.flatnonzero(np.isin(_center_of_pairs(neighbors), centers))
                energies[centers] += self._block(z, centers, pairs, neighbors, species, gradients)
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, _center_of_pairs(neighbors), gradients)
        np.add.at(forces, neighbors.neighbors, -gradients)
        return EnergyAndForces(energies, forces, -gradients.T @ neighbors.vectors)

    def calculator(self) -> YaceCalculator:
        """Return an ASE calculator, as slow as `evaluate`."""
        from acepure.interfaces.yace.yace_calculator import YaceCalculator

        return YaceCalculator(self)

    def _species(self, atoms: Atoms) -> np.ndarray:
        unknown = sorted(set(atoms.symbols) - set(self.elements))
        if unknown:
            raise SpeciesError(f"atoms holds {', '.join(unknown)}; the file is for {', '.join(self.elements)}")
        return np.array([self.elements.index(s) for s in atoms.symbols], dtype=np.int32)

    def _blocks(self, z: int, centers: np.ndarray, neighbors: NeighborList) -> Iterator[np.ndarray]:
        """Centers of one species, so many at a time that arrays stay small."""
        plan, pairs = self._plan(z), int(np.diff(neighbors.offsets).max(initial=1))
        size = max(1, _BLOCK // max([1, pairs * len(plan.sums), *(factors.size for factors in plan.factors)]))
        return (centers[i : i + size] for i in range(0, len(centers), size))

    def _plan(self, z: int) -> _Plan:
        if z not in self._plans:
            names = []
            for terms in self.terms[z]:
                ls = terms.ls if terms.ls.shape[1] > 1 else np.full_like(terms.ls, -1)
                names.append(np.stack([terms.mus, terms.ns, ls, terms.ms], axis=2).reshape(-1, 4))
            every = np.concatenate([np.empty((0, 4), dtype=np.int64), *names])
            sums, inverse = np.unique(every, axis=0, return_inverse=True)
            ends = np.cumsum([0, *map(len, names)])
            parts = (inverse.ravel()[a:b] for a, b in pairwise(ends))
            self._plans[z] = _Plan(sums, [p.reshape(t.mus.shape) for p, t in zip(parts, self.terms[z])])
        return self._plans[z]

    def _block(
        self,
        z: int,
        centers: np.ndarray,
        pairs: np.ndarray,
        neighbors: NeighborList,
        species: np.ndarray,
        gradients: np.ndarray,
    ) -> np.ndarray:
        """E_i − E0 of some centers of species z; writes ∂E_i/∂r_ij of their pairs."""
        plan = self._plan(z)
        rows = np.searchsorted(centers, _center_of_pairs(neighbors)[pairs])
        A = np.zeros((len(centers), len(plan.sums)), dtype=complex)
        parts = []
        for mu in range(len(self.elements)):
            columns = np.flatnonzero(plan.sums[:, 0] == mu)
            mine = species[neighbors.neighbors[pairs]] == mu
            if len(columns) and mine.any():
                part = _PairSums(self.bonds[z, mu], plan.sums[columns], neighbors.vectors[pairs[mine]])
                A[:, columns] = _sum_by_row(rows[mine], len(centers)) @ part.values()
                parts.append((part, columns, mine))
        densities, slopes = np.zeros((len(centers), self.embeddings[z].n_densities)), np.zeros_like(A)
        for terms, factors in zip(self.terms[z], plan.factors):
            densities += np.prod([A[:, column] for column in factors.T], axis=0).real @ terms.ctildes
        energies, of_densities = self.embeddings[z].evaluate(densities)
        for terms, factors in zip(self.terms[z], plan.factors):
            _add_slopes(of_densities @ terms.ctildes.T, factors, A, slopes)
        for part, columns, mine in parts:
            gradients[pairs[mine]] = part.gradients(slopes[rows[mine]][:, columns])
        return energies


class _PairSums:
    """The terms R_nl(r) Ỹ_lm(r̂) of pairs of one kind."""

    def __init__(self, bond: Bond, sums: np.ndarray, vectors: np.ndarray) -> None:
        channels, inverse = np.unique(sums[:, 1:3], axis=0, return_inverse=True)
        self._channel = inverse.ravel()
        l, m = np.maximum(sums[:, 2], 0), sums[:, 3]
        self._harmonic = l * l + l + m
        r = np.linalg.norm(vectors, axis=1)
        self._unit = vectors / r[:, None]
        self._radial, self._slope = bond.evaluate(r, channels)
        self._Y, self._dY = complex_harmonics(vectors, int(l.max()))

    def values(self) -> np.ndarray:
        return self._radial[:, self._channel] * self._Y[:, self._harmonic]

    def gradients(self, slopes: np.ndarray) -> np.ndarray:
        """Re Σ_v (∂E/∂A_v) ∂φ_v/∂r, shape (n_pairs, 3)."""
        along = (slopes * self._slope[:, self._channel] * self._Y[:, self._harmonic]).sum(axis=1).real
        by_harmonic = (slopes * self._radial[:, self._channel]) @ _selection(self._harmonic, self._Y.shape[1])
        return along[:, None] * self._unit + np.einsum("ph,pah->pa", by_harmonic, self._dY).real


def _add_slopes(weights: np.ndarray, factors: np.ndarray, A: np.ndarray, slopes: np.ndarray) -> None:
    """Add ∂/∂A of Σ weights Π_t A of each row of A; weights are of shape (n_rows, n_terms)."""
    values = [A[:, column] for column in factors.T]
    for t, column in enumerate(factors.T):
        others = weights
        for value in (*values[:t], *values[t + 1 :]):
            others = others * value
        slopes += others @ _selection(column, A.shape[1])


def _selection(columns: np.ndarray, n_columns: int) -> csr_array:
    """The matrix with a 1 in each row, at the column given."""
    n = len(columns)
    return csr_array((np.ones(n), columns, np.arange(n + 1)), shape=(n, n_columns))


def _sum_by_row(rows: np.ndarray, n_rows: int) -> csr_array:
    return csr_array(_selection(rows, n_rows).T)


def _center_of_pairs(neighbors: NeighborList) -> np.ndarray:
    return np.repeat(neighbors.centers, np.diff(neighbors.offsets))
