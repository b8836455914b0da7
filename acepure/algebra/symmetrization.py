"""Symmetrization: O(3)-invariant (or equivariant) features as sparse combinations of products.

A *block* is a multiset of factors (l, z, q), sorted.  Its features are

    B_i = Σ_k C_ik Π_t A_{k_t},      Σ_k mult(k)! C_ik C_i'k = δ_ii',

k running over the distinct multisets of one-particle indices (l, z, q, m) in the block and mult(k)! the product of
the factorials of their multiplicities.  With û the orthonormal symmetric coupling tensor of the block and g the
multiplicities of its equal factors, C_ik = û_i[m] √(Π g!) / mult(k)!.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import factorial, prod, sqrt

import numpy as np
from scipy.sparse import csr_array

from acepure.algebra.coupling import couplings, symmetric_couplings
from acepure.labels.factors import Block, Factor, ProductSet, equality_pattern, one_particle_set

__all__ = ["multiplicity_factor", "symmetrization"]

# Entries of an orthonormal tensor below this are exact zeros, up to rounding.
_ZERO = 1e-13


def multiplicity_factor(pattern: tuple[int, ...]) -> float:
    """Return √(Π g!) over the multiplicities g of equal factors.

    Parameters
    ----------
    pattern : tuple of int
        Numbers of the distinct factors, as `equality_pattern` gives them.

    Examples
    --------
    >>> round(multiplicity_factor((0, 0, 1)) ** 2, 9)  # two equal factors and another
    2.0
    """
    return sqrt(prod(factorial(pattern.count(group)) for group in set(pattern)))


def symmetrization(
    blocks: Sequence[Block], L: int = 0, parity: int | None = None
) -> tuple[csr_array, ProductSet, np.ndarray]:
    """Build C, block by block, orthonormal as in :eq:`eq-orthonormal-couplings`: Σ_k mult(k)! C_ik C_i'k = δ_ii'.

    Parameters
    ----------
    blocks : sequence of Block
        Sorted multisets of factors, all different.  The empty block is the constant 1.
    L : int
        Target degree; each coupling has 2L + 1 rows, M = −L..L.
    parity : int, optional
        Target parity, ±1; default (−1)^L.

    Returns
    -------
    operator : scipy.sparse.csr_array, shape (n_rows, n_products)
        Rows by block, coupling and M.
    products : ProductSet
        Names the columns: only products with a non-zero coefficient.
    offsets : numpy.ndarray, shape (n_blocks + 1,)
        Rows of block b are offsets[b]:offsets[b + 1].

    Examples
    --------
    B = (A_1,−1 A_1,−1 + A_10 A_10 + A_11 A_11) / √6, of two equal factors with l = 1:

    >>> from acepure.labels.factors import Factor
    >>> C, products, offsets = symmetrization([(Factor(1, 0, 0), Factor(1, 0, 0))])
    >>> C.toarray().round(4), len(products), offsets.tolist()
    (array([[0.4082, 0.4082, 0.4082]]), 3, [0, 1])
    """
    one_particle = one_particle_set(blocks)
    start = {Factor(v.l, v.z, v.q): i for i, v in enumerate(one_particle) if v.m == -v.l}
    offsets = np.zeros(len(blocks) + 1, dtype=np.int64)
    rows, columns, values = [], [], []
    runs: list[list[np.ndarray]] = []
    n_products = 0
    for b, block in enumerate(blocks):
        ms, coefficients = _block_coefficients(tuple(f.l for f in block), equality_pattern(block), L, parity)
        n_rows, n_columns = coefficients.shape
        row, column = np.nonzero(coefficients)
        rows.append(row + offsets[b])
        columns.append(column + n_products)
        values.append(coefficients[row, column])
        offsets[b + 1] = offsets[b] + n_rows
        n_products += n_columns
        factors = ms + np.array([start[f] for f in block], dtype=np.int64)
        if not runs or runs[-1][0].shape[1] != len(block):
            runs.append([])
        runs[-1].append(factors)
    operator = csr_array(
        (_join(values, float), (_join(rows, np.int64), _join(columns, np.int64))),
        shape=(int(offsets[-1]), n_products),
    )
    return operator, ProductSet(one_particle, tuple(np.concatenate(run) for run in runs)), offsets


def _join(arrays: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype=dtype)


@cache
def _block_coefficients(
    ls: tuple[int, ...], pattern: tuple[int, ...], L: int, parity: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Columns (l + m of each factor, shape (n, ν)) and coefficients, shape (n_couplings (2L + 1), n)."""
    if not ls:
        return np.zeros((1, 0), dtype=np.int64), np.ones((1 if L == 0 and parity != -1 else 0, 1))
    tensors, _ = couplings(ls, L, parity)
    symmetric, _ = symmetric_couplings(ls, pattern, L, parity)
    d, n_products = len(symmetric), prod(2 * l + 1 for l in ls)
    flat = tensors.reshape(len(tensors), n_products * (2 * L + 1))
    dense = (symmetric @ flat).reshape(d, n_products, 2 * L + 1) * sqrt(2 * L + 1)
    dense = np.swapaxes(dense, 1, 2).reshape(d * (2 * L + 1), n_products)
    dense[np.abs(dense) < _ZERO] = 0.0
    ms = np.stack(np.unravel_index(np.arange(dense.shape[1]), [2 * l + 1 for l in ls]), axis=1)
    canonical = np.ones(len(ms), dtype=bool)
    for t in range(len(ls) - 1):
        if pattern[t] == pattern[t + 1]:
            canonical &= ms[:, t] <= ms[:, t + 1]
    keep = np.flatnonzero(canonical & (dense != 0).any(axis=0))
    ms = ms[keep]
    return ms, dense[:, keep] * (multiplicity_factor(pattern) / _factorial_multiplicities(ms, pattern))


def _factorial_multiplicities(ms: np.ndarray, pattern: tuple[int, ...]) -> np.ndarray:
    """mult(k)! of each row: equal (factor, m) stand next to each other, so runs are counted."""
    result = np.ones(len(ms))
    run = np.ones(len(ms))
    for t in range(1, len(pattern)):
        same = (pattern[t] == pattern[t - 1]) & (ms[:, t] == ms[:, t - 1])
        run = np.where(same, run + 1, 1.0)
        result *= run
    return result
