"""What a .yace file holds, and its energies and forces, written from the description of the format with NumPy alone.

    A_{μnlm} = Σ_{j of species μ} R_nl(r_ij) Ỹ_lm(r̂_ij),      ρ_ip = Re Σ_terms c̃_p Π_t A_{μ_t n_t l_t m_t},

    E_i = E0 + F(ρ_i1, ..., ρ_iP)

It shares no arithmetic with the rest of the package but the neighbor list, so that the two check each other; cores are
described in `embeddings` and `radial_families`. `potential` is for use, this is for comparisons.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from ase import Atoms
from scipy.sparse import csr_array

from acepure.errors import SpeciesError
from acepure.features.linear import EnergyAndForces
from acepure.interfaces.yace.bonds import Bond, TableBond
from acepure.interfaces.yace.complex_harmonics import complex_harmonics
from acepure.interfaces.yace.embeddings import FileEmbedding
from acepure.neighbors.lists import NeighborList, neighbor_list
from acepure.structures.gate import check_structure

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
class Plan:
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
class YaceContent:
    """What a .yace file holds.

    Attributes
    ----------
    elements : tuple of str
    E0 : numpy.ndarray, shape (n_elements,)
        Energies of isolated atoms in eV.
    bonds : dict of (int, int) to TableBond or PolynomialBond
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
    _plans: dict[int, Plan] = field(default_factory=dict, repr=False)

    @property
    def cutoffs(self) -> np.ndarray:
        """Cutoffs of the ordered pairs in Å, shape (n_elements, n_elements)."""
        n = len(self.elements)
        return np.array([[self.bonds[i, j].rcut for j in range(n)] for i in range(n)])

    @property
    def n_terms(self) -> int:
        """Number of products of all species."""
        return sum(len(terms.ctildes) for center in self.terms for terms in center)

    @property
    def core(self) -> str:
        """Kind of the cores, "" without any."""
        cores = [bond.core for bond in self.bonds.values() if isinstance(bond, TableBond)]
        return cores[0].kind if any(core.strength or core.kind == "zbl" for core in cores) else ""

    def plan(self, z: int) -> Plan:
        """Return which sums a species of center needs."""
        if z not in self._plans:
            names = []
            for terms in self.terms[z]:
                ls = terms.ls if terms.ls.shape[1] > 1 else np.full_like(terms.ls, -1)
                names.append(np.stack([terms.mus, terms.ns, ls, terms.ms], axis=2).reshape(-1, 4))
            every = np.concatenate([np.empty((0, 4), dtype=np.int64), *names])
            sums, inverse = np.unique(every, axis=0, return_inverse=True)
            ends = np.cumsum([0, *map(len, names)])
            parts = (inverse.ravel()[a:b] for a, b in pairwise(ends))
            self._plans[z] = Plan(sums, [p.reshape(t.mus.shape) for p, t in zip(parts, self.terms[z])])
        return self._plans[z]


def evaluate_content(content: YaceContent, atoms: Atoms) -> EnergyAndForces:
    """Return energies (eV), forces (eV/Å) and the virial (eV): a structure of 100 atoms takes seconds.

    Parameters
    ----------
    content : YaceContent
    atoms : ase.Atoms

    Raises
    ------
    TypeError, ValueError
        For what is no structure, for species that the file does not name, and for atoms closer than its radial
        functions are defined.
    """
    check_structure(atoms)
    unknown = sorted(set(atoms.symbols) - set(content.elements))
    if unknown:
        raise SpeciesError(f"atoms holds {', '.join(unknown)}; the file is for {', '.join(content.elements)}")
    species = np.array([content.elements.index(s) for s in atoms.symbols], dtype=np.int32)
    neighbors = neighbor_list(atoms, content.cutoffs, species=species)
    energies, gradients = content.E0[species], np.zeros((neighbors.n_pairs, 3))
    for z in range(len(content.elements)):
        for centers in _blocks(content.plan(z), np.flatnonzero(species == z), neighbors):
            pairs = np.flatnonzero(np.isin(_center_of_pairs(neighbors), centers))
            energies[centers] += _block(content, z, centers, pairs, neighbors, species, gradients)
    forces = np.zeros((len(atoms), 3))
    np.add.at(forces, _center_of_pairs(neighbors), gradients)
    np.add.at(forces, neighbors.neighbors, -gradients)
    return EnergyAndForces(energies, forces, -gradients.T @ neighbors.vectors)


def _blocks(plan: Plan, centers: np.ndarray, neighbors: NeighborList) -> Iterator[np.ndarray]:
    """Centers of one species, so many at a time that arrays stay small."""
    pairs = int(np.diff(neighbors.offsets).max(initial=1))
    size = max(1, _BLOCK // max([1, pairs * len(plan.sums), *(factors.size for factors in plan.factors)]))
    return (centers[i : i + size] for i in range(0, len(centers), size))


def _block(
    content: YaceContent,
    z: int,
    centers: np.ndarray,
    pairs: np.ndarray,
    neighbors: NeighborList,
    species: np.ndarray,
    gradients: np.ndarray,
) -> np.ndarray:
    """E_i − E0 of some centers of species z; writes ∂E_i/∂r_ij of their pairs."""
    plan, F = content.plan(z), content.embeddings[z]
    rows = np.searchsorted(centers, _center_of_pairs(neighbors)[pairs])
    vectors, kinds = neighbors.vectors[pairs], species[neighbors.neighbors[pairs]]
    A = np.zeros((len(centers), len(plan.sums)), dtype=complex)
    parts = []
    for mu in range(len(content.elements)):
        columns, mine = np.flatnonzero(plan.sums[:, 0] == mu), kinds == mu
        if len(columns) and mine.any():
            part = _PairSums(content.bonds[z, mu], plan.sums[columns], vectors[mine])
            A[:, columns] = _sum_by_row(rows[mine], len(centers)) @ part.values()
            parts.append((part, columns, mine))
    densities, slopes = np.zeros((len(centers), F.n_densities)), np.zeros_like(A)
    for terms, factors in zip(content.terms[z], plan.factors):
        densities += np.prod([A[:, column] for column in factors.T], axis=0).real @ terms.ctildes
    energies, of_densities, radial = _site_energies(content, z, densities, rows, kinds, vectors)
    for terms, factors in zip(content.terms[z], plan.factors):
        _add_slopes(of_densities @ terms.ctildes.T, factors, A, slopes)
    gradients[pairs] = radial
    for part, columns, mine in parts:
        gradients[pairs[mine]] += part.gradients(slopes[rows[mine]][:, columns])
    return energies


def _site_energies(
    content: YaceContent, z: int, rho: np.ndarray, rows: np.ndarray, kinds: np.ndarray, vectors: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """E_i − E0, ∂/∂ρ, and of each pair what core and nearest neighbor add to ∂E_i/∂r_ij."""
    F, n = content.embeddings[z], len(rho)
    r = np.linalg.norm(vectors, axis=1)
    c, dc = np.zeros((2, len(r)))
    near, width = np.full(len(r), np.inf), np.ones(len(r))
    for mu in range(len(content.elements)):
        mine, bond = kinds == mu, content.bonds[z, mu]
        if content.core and isinstance(bond, TableBond) and mine.any():
            c[mine], dc[mine] = (both[-1] for both in bond.interpolated(r[mine]))
            near[mine], width[mine] = r[mine] - bond.core.end + bond.core.width, bond.core.width
    core = np.bincount(rows, weights=c, minlength=n)
    if content.core != "zbl":
        energies, of_rho, of_core = F.with_core(rho, core)
        along = of_core[rows] * dc
    else:
        nearest = [min(np.flatnonzero(rows == i), key=lambda p: near[p], default=None) for i in range(n)]
        far = [(np.inf, 1.0) if p is None else (near[p], width[p]) for p in nearest]
        energies, of_rho, of_core, of_near = F.with_nuclei(rho, core, *np.array(far).T)
        along = of_core[rows] * dc
        for i, p in enumerate(nearest):
            if p is not None:
                along[p] += of_near[i]
    return energies, of_rho, along[:, None] * vectors / r[:, None]


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
