"""Exact moments of features for independent particles, without quadrature or sampling.

In a product 𝒜_k 𝒜_k' of canonical functions one particle meets at most one function of each, so only means
m_v = E[φ_v] and second moments q_uv = E[φ_u φ_v] of one particle enter (M: partial matchings of k with k'):

    E[𝒜_k 𝒜_k'] = Σ_M c(ν + ν' − |M|) Π_{(s,t)∈M} q_{k_s k'_t} Π_{others} m_v                         (1)

c(b) = J!/(J − b)! for J particles, and λ^b for a Poisson number of mean λ.  All other bases are combinations of
canonical functions: a product with Ã_v = A_v − μ_v either adds a particle, or meets one that is there, or is −μ_v,

    Ã_v 𝒜_k = 𝒜_{kv} + Σ_t Σ_κ p^κ_{k_t v} 𝒜_{k[t→κ]} − μ_v 𝒜_k,                                      (2)

the recursion of `acepure.algebra.recursion` backwards.  For orthogonal polynomials p ≥ 0: nothing cancels in the
Gram matrix of the self-interacting basis.  Without the second term, (2) is the step of the centered canonical basis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, groupby, permutations
from math import prod

import numpy as np

from acepure.algebra.linearization import Algebra

Index = tuple[int, ...]


def canonical_expansion(
    indices: Sequence[Index], mean: Sequence[float] | None, algebra: Algebra | None
) -> tuple[np.ndarray, list[Index]]:
    """Return R and the columns κ of I_k = Σ_κ R_kκ 𝒜_κ.

    Parameters
    ----------
    indices : sequence of tuple of int
        The rows k, sorted tuples.
    mean : sequence of float, or None
        μ_v; None is zero.
    algebra : Algebra or None
        For products of sums; None for canonical functions, where no particle meets itself.

    Returns
    -------
    R : numpy.ndarray, shape (n_rows, n_columns)
    columns : list of tuple of int
    """
    known: dict[Index, dict[Index, float]] = {(): {(): 1.0}}

    def expand(k: Index) -> dict[Index, float]:
        if k not in known:
            row: dict[Index, float] = {}
            for index, value in expand(k[:-1]).items():
                for other, factor in _times(index, k[-1], mean, algebra):
                    row[other] = row.get(other, 0.0) + factor * value
            known[k] = row
        return known[k]

    rows = [expand(k) for k in indices]
    columns = sorted({index for row in rows for index in row}, key=lambda index: (len(index), index))
    position = {index: i for i, index in enumerate(columns)}
    R = np.zeros((len(rows), len(columns)))
    for i, row in enumerate(rows):
        R[i, [position[index] for index in row]] = list(row.values())
    return R, columns


def _times(k: Index, v: int, mean: Sequence[float] | None, algebra: Algebra | None) -> Iterator[tuple[Index, float]]:
    """The terms of (2)."""
    yield tuple(sorted((*k, v))), 1.0
    if mean is not None and mean[v] != 0.0:
        yield k, -mean[v]
    if algebra is not None:
        for t, u in enumerate(k):
            for kappa, p in algebra.linearize(u, v):
                yield tuple(sorted((*k[:t], *k[t + 1 :], kappa))), p


def canonical_means(indices: Sequence[Index], single: np.ndarray, placements: Callable[[int], float]) -> np.ndarray:
    """Return E[𝒜_k] = c(ν) Π m, shape (n,); arguments as `canonical_gram`."""
    return np.array([placements(len(k)) * prod(single[v] for v in k) for k in indices])


def canonical_gram(
    indices: Sequence[Index], single: np.ndarray, pair: np.ndarray, placements: Callable[[int], float]
) -> np.ndarray:
    """Return E[𝒜_k 𝒜_k'] by (1).

    Parameters
    ----------
    indices : sequence of tuple of int
        Sorted by length.
    single : numpy.ndarray, shape (n,)
        m_v.
    pair : numpy.ndarray, shape (n, n)
        q_uv.
    placements : callable
        c(b).

    Returns
    -------
    numpy.ndarray, shape (n_indices, n_indices)
    """
    by_length = [list(group) for _, group in groupby(indices, key=len)]
    groups = [np.array(group, dtype=np.intp).reshape(len(group), len(group[0])) for group in by_length]
    return np.block([[_gram_block(a, b, single, pair, placements) for b in groups] for a in groups])


def _gram_block(
    a: np.ndarray, b: np.ndarray, single: np.ndarray, pair: np.ndarray, placements: Callable[[int], float]
) -> np.ndarray:
    """(1) for all k of one length and k' of another."""
    total = np.zeros((len(a), len(b)))
    for chosen, partners in _matchings(a.shape[1], b.shape[1]):
        left = single[np.delete(a, chosen, axis=1)].prod(axis=1)
        right = single[np.delete(b, partners, axis=1)].prod(axis=1)
        term = placements(a.shape[1] + b.shape[1] - len(chosen)) * np.outer(left, right)
        if term.any():
            for s, t in zip(chosen, partners):
                term *= pair[np.ix_(a[:, s], b[:, t])]
            total += term
    return total


def _matchings(n: int, m: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """All partial matchings of n things with m others: positions of the one, and their partners."""
    for size in range(min(n, m) + 1):
        for chosen in combinations(range(n), size):
            for partners in permutations(range(m), size):
                yield chosen, partners


def condition_number(gram: np.ndarray) -> float:
    """Return λ_max / λ_min of a Gram matrix whose rows and columns are scaled to unit diagonal.

    Scaling is free for every solver; what is left is what the basis owes.

    Parameters
    ----------
    gram : numpy.ndarray, shape (n, n)
        Symmetric, positive semi-definite.

    Returns
    -------
    float
        Infinite for a feature that vanishes, and where λ_min is round-off.

    Examples
    --------
    >>> condition_number(np.array([[4.0, 1.0], [1.0, 1.0]]))
    3.0
    """
    diagonal = np.diag(gram)
    if (diagonal <= 0).any():
        return float("inf")
    scale = 1.0 / np.sqrt(diagonal)
    eigenvalues = np.linalg.eigvalsh(gram * scale * scale[:, None])
    round_off = len(gram) * np.finfo(float).eps * eigenvalues[-1]
    return float(eigenvalues[-1] / eigenvalues[0]) if eigenvalues[0] > round_off else float("inf")
