"""From what a .yace file holds to products of real sums and tables of radial functions, which the kernels run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from acepure._utils.memory import physical_memory, refuse_larger
from acepure.algebra.operators import Operators
from acepure.algebra.radial_algebra import FormalAlgebra
from acepure.features.products import ProductFunction
from acepure.functions.radial import RadialBasis
from acepure.functions.splines import RadialTable, SplineRadialBasis
from acepure.interfaces.yace.bonds import PolynomialBond, TableBond
from acepure.interfaces.yace.complex_products import merged, real_products
from acepure.interfaces.yace.evaluator import Terms, YaceContent
from acepure.labels.factors import OneParticle, ProductSet
from acepure.neighbors.sites import Sites
from acepure.stages.fused import LinearEvaluator, PairGeometry

# A channel of degree l takes as many steps as blocks of so many harmonics.
_BLOCK = 8
# So many numbers products may be multiplied out to, of one rank.
_MOST_PRODUCTS = 2**27


def compiled(content: YaceContent, basis: Sites) -> ProductFunction:
    """Return the densities of each center, with ρ_core behind them where there are cores.

    Of a linear potential without cores it is E_i − E0, the only output.

    Parameters
    ----------
    content : YaceContent
    basis : Sites
        Of the same species and cutoffs.

    Raises
    ------
    ValueError
        If tables or products would not fit in memory.
    """
    n_outputs = 1
    if not is_linear(content):
        n_outputs = max(F.n_densities for F in content.embeddings) + bool(content.core)
    evaluators = [_evaluator(content, z, basis, n_outputs) for z in range(len(content.elements))]
    return ProductFunction(basis, evaluators, n_outputs)


def is_linear(content: YaceContent) -> bool:
    """Whether E_i − E0 is linear in the products."""
    return not content.core and all(F.is_linear for F in content.embeddings)


@dataclass(frozen=True, eq=False)
class _Leaves:
    """Radial functions of one species of center, and its sums over real harmonics.

    Attributes
    ----------
    radial : RadialBasis
    names : numpy.ndarray of int, shape (n_leaves, 4)
        (l, μ, q, m) of each sum, in order, with all m.
    of_sums : numpy.ndarray of int
        Which of these the sums of the file are.
    single : numpy.ndarray of int, shape (n, 2)
        Sums that are added to outputs as they are: which, and to which output.
    """

    radial: RadialBasis
    names: np.ndarray
    of_sums: np.ndarray
    single: np.ndarray


def _evaluator(content: YaceContent, z: int, basis: Sites, n_outputs: int) -> LinearEvaluator:
    runs = [(positions, _folded(content, z, terms.ctildes, n_outputs)) for terms, positions in _runs(content, z)]
    leaves = _leaves(content, z, n_outputs)
    place = {tuple(name): i for i, name in enumerate(leaves.names.tolist())}
    mirror = np.array([place[l, mu, q, -m] for l, mu, q, m in leaves.names.tolist()])
    factors, weights = [], []
    if len(leaves.single):
        rows, values = merged(leaves.single[:, :1], np.sqrt(4 * np.pi) * np.eye(n_outputs)[leaves.single[:, 1]])
        factors.append(rows)
        weights.append(values)
    for positions, ctildes in runs:
        refuse_larger(
            "the products of a file", (len(positions) << positions.shape[1],), 8 * _MOST_PRODUCTS, "it cannot be used"
        )
        rows, values = real_products(leaves.names[:, 3], mirror, leaves.of_sums[positions], ctildes)
        factors.append(rows)
        weights.append(values)
    if not factors:  # an atom whose energy is E0
        factors, weights = [np.zeros((1, 1), dtype=np.int64)], [np.zeros((1, n_outputs))]
    products = ProductSet(tuple(OneParticle(l, mu, q, m) for l, mu, q, m in leaves.names.tolist()), tuple(factors))
    C = csr_array(np.concatenate(weights).T)
    operators = Operators(FormalAlgebra(), C, products, None, C, products, canonical=False)
    return LinearEvaluator(PairGeometry(operators, leaves.radial, basis.species), operators, np.eye(n_outputs))


def _runs(content: YaceContent, z: int) -> Iterator[tuple[Terms, np.ndarray]]:
    """Terms of several factors with the positions of these, and of one factor where there is no table."""
    has_table = isinstance(content.bonds[z, 0], TableBond)
    for terms, positions in zip(content.terms[z], content.plan(z).factors):
        if len(positions) and (positions.shape[1] > 1 or not has_table):
            yield terms, positions


def _folded(content: YaceContent, z: int, ctildes: np.ndarray, n_outputs: int) -> np.ndarray:
    """c̃ of the densities as weights of the outputs."""
    F = content.embeddings[z]
    if is_linear(content):
        return ctildes @ F.with_core(np.zeros((1, F.n_densities)), np.zeros(1))[1].T
    return np.pad(ctildes, [(0, 0), (0, n_outputs - F.n_densities)])


def _leaves(content: YaceContent, z: int, n_outputs: int) -> _Leaves:
    """Functions with the same coefficients are one, and all terms of one factor are one function of each output."""
    sums = content.plan(z).sums
    labels, used = sums[:, 1].copy(), {}
    single = []  # (l, μ, q, m) and output
    for mu in range(len(content.elements)):
        bond, mine = content.bonds[z, mu], (sums[:, 0] == mu) & (sums[:, 2] >= 0)
        if isinstance(bond, TableBond):
            outputs = _of_one_factor(content, z, mu, n_outputs)
            used[mu], q = np.unique(np.vstack([outputs, bond.rows(sums[mine, 1:3])]), axis=0, return_inverse=True)
            single += [(0, mu, int(q.ravel()[p]), 0, p) for p in range(n_outputs) if outputs[p].any()]
            labels[mine] = q.ravel()[n_outputs:]
    names = np.column_stack([np.maximum(sums[:, 2], 0), sums[:, 0], labels, sums[:, 3]])
    wanted = (sums[:, 2] >= 0) | (not used)
    names, of_sums = names[wanted], np.full(len(sums), -1)
    # All m of each, as the kernel counts channels by l.
    every = {(l, mu, q, m) for l, mu, q, _ in names.tolist() for m in range(-l, l + 1)}
    leaves = np.array(sorted(every.union(s[:4] for s in single)), dtype=np.int64)
    if not len(leaves):  # an atom whose energy is E0 still has a sum
        leaves = np.zeros((1, 4), dtype=np.int64)
    place = {tuple(name): i for i, name in enumerate(leaves.tolist())}
    of_sums[wanted] = [place[tuple(name)] for name in names.tolist()]
    radial = _tables(content, z, used, leaves) if used else _PolynomialRadial(content)
    return _Leaves(radial, leaves, of_sums, np.array([(place[s[:4]], s[4]) for s in single]))


def _of_one_factor(content: YaceContent, z: int, mu: int, n_outputs: int) -> np.ndarray:
    """What neighbors of one species add to each output by themselves, in g_k and the core."""
    bond = content.bonds[z, mu]
    assert isinstance(bond, TableBond)
    rows = np.zeros((n_outputs, bond.coefficients.shape[2] + 1))
    for terms in content.terms[z]:
        mine = terms.mus[:, 0] == mu
        if terms.mus.shape[1] == 1 and mine.any():
            np.add.at(rows.T, terms.ns[mine, 0], _folded(content, z, terms.ctildes[mine], n_outputs))
    if content.core:
        rows[-1, -1] = 1.0
    return rows


def _tables(content: YaceContent, z: int, used: dict[int, np.ndarray], leaves: np.ndarray) -> SplineRadialBasis:
    """Tables of each function, or of the g_k that they are combinations of; whichever is less work for a pair."""
    own = combined = 0
    for mu, rows in used.items():
        l_top = np.zeros(len(rows), dtype=np.int64)
        mine = leaves[:, 1] == mu
        np.maximum.at(l_top, leaves[mine, 2], leaves[mine, 0])
        own += int(_blocks(l_top).sum())
        combined += int(_blocks(np.where(rows != 0, l_top[:, None], -1).max(axis=0)).sum())
    symbols, tables = content.elements, {}
    for mu, rows in used.items():
        bond = content.bonds[z, mu]
        assert isinstance(bond, TableBond)
        size = (len(used), bond.n_nodes, 2, max(rows.shape))
        refuse_larger("the tables of radial functions", size, physical_memory() / 4, "the file has too many nodes")
        r = bond.spacing * np.arange(bond.n_nodes)
        r[0] = bond.spacing / 2  # no distance is so short, and cores are infinite at 0
        values, slopes = (g.T if combined < own else (rows @ g).T for g in bond.exact(r))
        combinations = rows.T if combined < own else None
        tables[symbols[z], symbols[mu]] = RadialTable(bond.rcut, values, slopes, combinations)
    pairs = {(a, b): content.bonds[i, j].rcut for i, a in enumerate(symbols) for j, b in enumerate(symbols)}
    return SplineRadialBasis(pairs, tables)


def _blocks(l: np.ndarray) -> np.ndarray:
    return -(-((l + 1) ** 2) // _BLOCK)


@dataclass(frozen=True, eq=False)
class _PolynomialRadial(RadialBasis):
    """The functions P_n of a file, without a table; labels are n."""

    content: YaceContent

    def cutoff(self, center: str, neighbor: str) -> float:
        return self._bond(center, neighbor).rcut

    def evaluate(self, r: ArrayLike, center: str, neighbor: str, n_radial: int) -> np.ndarray:
        return self.evaluate_labels(r, center, neighbor, range(n_radial))

    def evaluate_labels(self, r: ArrayLike, center: str, neighbor: str, labels: Sequence[Any]) -> np.ndarray:
        return self.evaluate_labels_with_gradients(r, center, neighbor, labels)[0]

    def evaluate_labels_with_gradients(
        self, r: ArrayLike, center: str, neighbor: str, labels: Sequence[Any]
    ) -> tuple[np.ndarray, np.ndarray]:
        channels = np.array([(n, 0) for n in labels])
        return self._bond(center, neighbor).evaluate(np.asarray(r), channels)

    def _bond(self, center: str, neighbor: str) -> TableBond | PolynomialBond:
        elements = self.content.elements
        return self.content.bonds[elements.index(center), elements.index(neighbor)]
