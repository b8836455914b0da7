"""Purification of invariants: the recursion of `purification`, solved once per block pattern.

The purified feature of a block is again a combination of invariants, B = P_B · (C_ext · AA_ext), so P over
single products is never formed.  Unrolling the recursion for ν factors gives a sum over *schemes*: the factors are
divided into parts; a part is either *pooled*, its factors multiplied into one one-particle function
with weight (−1)^{|b|−1} (|b| − 1)!, or *contracted* to the constant c(b_1, b_2) of its two halves, with weight

    (−1)^{|b|−1} 2 |b_1|! |b_2|! / (|b| (|b| − 1)),

the mean over the orders in which the recursion may take the factors.  The radial and angular parts of a scheme
factorize: Gaunt coefficients reduce the coupling tensor, the radial algebra multiplies the labels.

A target L adds one free index M to the coupling tensors, a factor that occurs once and that no scheme touches
(a *probe*). By Schur's lemma the map between couplings of two blocks is the same for every M, so P_B acts on whole
features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from itertools import product
from math import factorial, prod
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from acepure.algebra.coupling import couplings, gaunt_product, symmetric_couplings
from acepure.algebra.radial_algebra import RadialAlgebra
from acepure.algebra.symmetrization import multiplicity_factor
from acepure.labels.factors import Block, Factor, equality_pattern
from acepure.labels.irreps import INVARIANT, Irrep

__all__ = ["purified_invariants"]

# Reduced tensors are sums of products of numbers of order one; smaller entries are exact zeros.
_ZERO = 1e-13

PairConstants = Callable[[Factor, Factor], float]


class Scheme(NamedTuple):
    """One way to divide the factors: pooled parts, contracted pairs of parts, and the weight."""

    pooled: tuple[tuple[int, ...], ...]
    contracted: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    weight: float


def purified_invariants(
    blocks: Sequence[Block],
    radial: RadialAlgebra | None,
    pairs: PairConstants | None = None,
    L: int = 0,
    parity: int | None = None,
) -> tuple[csr_array, list[Block]]:
    """Build P_B of :eq:`eq-purified-invariants`, B = P_B C_ext AA_ext, and the extended blocks.

    Parameters
    ----------
    blocks : sequence of Block
        Sorted multisets of factors: the rows, with one row for each symmetric coupling of each block.
    radial : RadialAlgebra or None
        Supplies the products of radial functions; None leaves the κ-terms out.
    pairs : callable, optional
        c(u, v) of two factors with equal l, the constant of Σ_m for each m: c_{um,vm'} = δ_mm' c(u, v).
    L : int
        Target degree.
    parity : int, optional
        Target parity, ±1; default (−1)^L.

    Returns
    -------
    operator : scipy.sparse.csr_array, shape (n_features, n_extended_features)
    extended : list of Block
        First the given blocks, in their order, then the others that occur, sorted by order; empty = constant.

    Examples
    --------
    Two equal factors without angles: the product of sums, and a sum over products of Chebyshev functions of grade 2.

    >>> from acepure.algebra.radial_algebra import GradedAlgebra
    >>> from acepure.labels.factors import Factor
    >>> block = (Factor(0, 0, (1, 0)), Factor(0, 0, (1, 0)))
    >>> operator, extended = purified_invariants([block], GradedAlgebra())
    >>> operator.shape, [len(b) for b in extended]
    ((1, 2), [2, 1])
    """
    target_irrep = Irrep(L, (-1) ** L if parity is None else parity)
    builder = _Builder(radial, pairs, target_irrep)
    source = {block: i for i, block in enumerate(blocks)}
    entries = [list(builder.terms(block)) for block in blocks]
    extra = {target for terms in entries for target, _ in terms if target not in source}
    extended = [*blocks, *sorted(extra, key=lambda block: (len(block), block))]
    offsets = np.cumsum([0] + [_size(block, target_irrep) for block in extended])
    position = {block: i for i, block in enumerate(extended)}
    rows, columns, values = [], [], []
    for b, terms in enumerate(entries):
        for target, matrix in terms:
            i, j = np.nonzero(matrix)
            rows.append(i + offsets[b])
            columns.append(j + offsets[position[target]])
            values.append(matrix[i, j])
    n_rows = int(offsets[len(blocks)])
    operator = csr_array(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
        shape=(n_rows, int(offsets[-1])),
    )
    return operator, extended


def _size(block: Block, irrep: Irrep) -> int:
    return len(_symmetric_basis(tuple(f.l for f in block), equality_pattern(block), irrep)) if block else 1


@cache
def _symmetric_basis(ls: tuple[int, ...], pattern: tuple[int, ...], irrep: Irrep) -> np.ndarray:
    """Orthonormal symmetric couplings û, flattened: shape (d_sym, Π (2 l_t + 1) (2 L + 1))."""
    tensors, _ = couplings(ls, *irrep)
    flat = tensors.reshape(len(tensors), prod(2 * l + 1 for l in ls) * (2 * irrep.L + 1))
    return symmetric_couplings(ls, pattern, *irrep)[0] @ flat


class _Builder:
    """Collects, for a block, {extended block: matrix (couplings of the block, couplings of the extended one)}."""

    def __init__(self, radial: RadialAlgebra | None, pairs: PairConstants | None, irrep: Irrep) -> None:
        self.radial = radial
        self.pairs = pairs
        self.irrep = irrep
        self._chains: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._map = cache(partial(_angular_map, irrep=irrep))  # forgotten with the builder

    def terms(self, block: Block) -> Iterator[tuple[Block, np.ndarray]]:
        ls, pattern = tuple(f.l for f in block), equality_pattern(block)
        total: dict[Block, np.ndarray] = {}
        largest: dict[Block, float] = {}
        for scheme in _schemes(len(block), self.radial is not None, self.pairs is not None):
            if not self._one_species(block, scheme):
                continue
            pooled = [self._chain(block, part) for part in scheme.pooled]
            halves = [(self._chain(block, a), self._chain(block, b)) for a, b in scheme.contracted]
            for degrees in _reductions(ls, scheme, self.irrep):
                constant = self._constant(block, scheme, halves, degrees[len(pooled) :])
                if constant == 0.0:
                    continue
                for labels in product(*pooled):
                    factors = [Factor(L, z, q) for L, (z, q, _) in zip(degrees, labels)]
                    order = sorted(range(len(factors)), key=factors.__getitem__)
                    target = tuple(factors[t] for t in order)
                    matrix = self._map(ls, pattern, scheme, degrees, tuple(order), equality_pattern(target))
                    if matrix is None:
                        continue
                    term = (constant * scheme.weight * prod(c for _, _, c in labels)) * matrix
                    total[target] = total[target] + term if target in total else term
                    largest[target] = max(largest.get(target, 0.0), np.abs(term).max())
        for target, matrix in total.items():
            matrix[np.abs(matrix) < _ZERO * largest[target]] = 0.0
            if matrix.any():
                yield target, matrix

    @staticmethod
    def _one_species(block: Block, scheme: Scheme) -> bool:
        parts = [*scheme.pooled, *(half for pair in scheme.contracted for half in pair)]
        return all(block[t].z == block[part[0]].z for part in parts for t in part)

    def _chain(self, block: Block, part: tuple[int, ...]) -> tuple[Any, ...]:
        """Product of the radial functions of a part: ((z, q, coefficient), ...)."""
        z = block[part[0]].z
        key = (z, *(block[t].q for t in part))
        if key not in self._chains:
            terms = {block[part[0]].q: 1.0}
            for t in part[1:]:
                assert self.radial is not None  # without it, parts that are pooled have one factor
                multiplied: dict[Any, float] = {}
                for q, c in terms.items():
                    for label, p in self.radial.product(z, q, block[t].q):
                        multiplied[label] = multiplied.get(label, 0.0) + c * p
                terms = multiplied
            self._chains[key] = tuple((z, q, c) for q, c in terms.items())
        return self._chains[key]

    def _constant(self, block: Block, scheme: Scheme, halves: list[Any], degrees: tuple[int, ...]) -> float:
        value = 1.0
        for L, (first, second) in zip(degrees, halves):
            assert self.pairs is not None  # without it, no parts are contracted
            constant = self.pairs
            value *= sum(c * d * constant(Factor(L, y, p), Factor(L, z, q)) for y, p, c in first for z, q, d in second)
        return value


def _angular_map(
    ls: tuple[int, ...],
    pattern: tuple[int, ...],
    scheme: Scheme,
    degrees: tuple[int, ...],
    order: tuple[int, ...],
    target_pattern: tuple[int, ...],
    irrep: Irrep,
) -> np.ndarray | None:
    """Matrix from the couplings of the block to those of the target; None where it vanishes."""
    reduced = _reductions(ls, scheme, irrep)[degrees]
    d = len(reduced)
    matrix = symmetric_couplings(ls, pattern, *irrep)[0] / multiplicity_factor(pattern)
    if order:
        tensor = reduced.transpose(0, *(1 + t for t in order), len(order) + 1).reshape(d, -1)
        target = _symmetric_basis(tuple(degrees[t] for t in order), target_pattern, irrep)
        matrix = matrix @ (tensor @ target.T) * multiplicity_factor(target_pattern)
    else:
        assert irrep == INVARIANT  # no constant transforms otherwise, and what vanishes is left out of the reductions
        matrix = matrix @ reduced.reshape(d, 1)
    return matrix if matrix.size and np.abs(matrix).max() > _ZERO else None


@cache
def _reductions(ls: tuple[int, ...], scheme: Scheme, irrep: Irrep) -> dict[tuple[int, ...], np.ndarray]:
    """Coupling tensors of ls with the parts multiplied out.

    Returns {(degrees of the pooled parts, degrees of the contracted pairs): tensor of shape
    (d, 2 L_1 + 1, ..., 2 L_p + 1, 2 L + 1)} over the pooled parts and M; vanishing ones are left out.
    """
    tensors, _ = couplings(ls, *irrep)
    partial: dict[tuple[int, ...], np.ndarray] = {(): tensors}
    # the factor that each axis (but the first) stands for; −1 for a finished part, −2 for M
    axes = [*range(len(ls)), -2]
    for part in scheme.pooled:
        expansion = gaunt_product(tuple(ls[t] for t in part))
        where = [1 + axes.index(t) for t in part]
        partial = {
            (*degrees, L): np.tensordot(tensor, gaunt, axes=(where, list(range(len(part)))))
            for degrees, tensor in partial.items()
            for L, gaunt in expansion.items()
        }
        axes = [t for t in axes if t not in part] + [-1]
    for first, second in scheme.contracted:
        left, right = gaunt_product(tuple(ls[t] for t in first)), gaunt_product(tuple(ls[t] for t in second))
        where = [1 + axes.index(t) for t in (*first, *second)]
        trace = {L: np.tensordot(left[L], right[L], axes=(len(first), len(second))) for L in left if L in right}
        partial = {
            (*degrees, L): np.tensordot(tensor, gaunt, axes=(where, list(range(len(where)))))
            for degrees, tensor in partial.items()
            for L, gaunt in trace.items()
        }
        axes = [t for t in axes if t not in (*first, *second)]
    M = 1 + axes.index(-2)
    found = {degrees: np.moveaxis(t, M, -1) for degrees, t in partial.items() if t.size}
    return {degrees: t for degrees, t in found.items() if np.abs(t).max() > _ZERO}


@cache
def _schemes(order: int, merge: bool, contract: bool) -> tuple[Scheme, ...]:
    result = []
    for parts in _set_partitions(tuple(range(order))):
        if not merge and any(len(part) > (2 if contract else 1) for part in parts):
            continue
        choices = [list(_part_choices(part, merge, contract)) for part in parts]
        for choice in product(*choices):
            pooled = tuple(part for part, halves, _ in choice if halves is None)
            contracted = tuple(halves for _, halves, _ in choice if halves is not None)
            result.append(Scheme(pooled, contracted, prod(weight for _, _, weight in choice)))
    return tuple(result)


def _part_choices(part: tuple[int, ...], merge: bool, contract: bool) -> Iterator[tuple[Any, ...]]:
    size = len(part)
    sign = (-1.0) ** (size - 1)
    if size == 1 or merge:
        yield part, None, sign * factorial(size - 1)
    if contract and size > 1:
        for mask in range(1, 2 ** (size - 1)):  # the last factor stays in the second half: each split once
            first = tuple(t for i, t in enumerate(part) if mask >> i & 1)
            second = tuple(t for t in part if t not in first)
            if merge or size == 2:
                weight = 2.0 * factorial(len(first)) * factorial(len(second)) / (size * (size - 1))
                yield part, (first, second), sign * weight


def _set_partitions(items: tuple[int, ...]) -> Iterator[list[tuple[int, ...]]]:
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for mask in range(2 ** len(rest)):
        part = (first, *(t for i, t in enumerate(rest) if mask >> i & 1))
        for others in _set_partitions(tuple(t for i, t in enumerate(rest) if not mask >> i & 1)):
            yield [part, *others]
