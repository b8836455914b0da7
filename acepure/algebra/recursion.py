"""The recursion that turns products of neighbor sums into every basis of the family.

With Ã_v = A_v − μ_v, an index k = (k', v) and I_() = 1,

    I_{k'v} = Ã_v I_{k'} − Σ_t ( Σ_κ p^κ_{k_t v} I_{k'[t→κ]} + c_{k_t v} I_{k' without t} )

(Ho, Gutleb, Ortner, arXiv:2401.01550, for the κ-terms; Wick ordering for the c-terms):

    basis                        μ     κ-terms   c_uv
    self-interacting             0     no        0
    shifted                      μ     no        0
    canonical                    0     yes       0
    centered canonical           μ     yes       Σ_κ p^κ_uv μ_κ
    Wick                         μ     no        Cov_uv
    canonical, measured pairs    μ     yes       Cov_uv

μ enters through Ã alone, so the operator depends on the κ-terms (from the algebra) and on c.

With κ-terms and c together the result depends on which factor is taken as v, unless c_uv is a function
of the product φ_u φ_v as in the fourth row.  I_k is then the mean over v: symmetric in its factors, without
which it would not commute with rotations, and equal to any single order where the orders agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from acepure.algebra.linearization import Algebra

__all__ = ["mean_pairs", "purification"]

Index = tuple[Any, ...]
Row = dict[Index, float]

# Entries below this part of the largest one of their row are exact cancellations, up to rounding.
_CANCELLED = 1e-14


def purification(
    indices: Iterable[Sequence[Any]],
    algebra: Algebra | None,
    pairs: Callable[[Any, Any], float] | None = None,
) -> tuple[csr_array, list[Index]]:
    """Build the operator P of I_k = Σ_k' P_kk' Π_t Ã_{k'_t} by the recursion :eq:`eq-recursion`.

    Parameters
    ----------
    indices : iterable of sequences
        The rows: each k a sequence of one-particle indices (hashable, sortable), in any order.
    algebra : Algebra or None
        Supplies the κ-terms; None leaves them out (self-interacting, shifted and Wick bases).
    pairs : callable, optional
        c(u, v), symmetric; None means zero.

    Returns
    -------
    operator : scipy.sparse.csr_array, shape (n_rows, n_columns)
    columns : list of tuple
        The extended index set: sorted tuples, first those of the rows, then the others by order and index.

    Examples
    --------
    Two one-dimensional particles: 𝒜_11 = A_1 A_1 − ½ A_0 − ½ A_2.

    >>> from acepure.algebra.linearization import ChebyshevParticles
    >>> P, columns = purification([(1, 1)], ChebyshevParticles())
    >>> columns
    [(1, 1), (0,), (2,)]
    >>> P.toarray()
    array([[ 1. , -0.5, -0.5]])
    """
    rows = [tuple(sorted(k)) for k in indices]
    expand = _Recursion(algebra, pairs)
    expansions = [expand(k) for k in rows]
    position = {k: i for i, k in enumerate(dict.fromkeys(rows))}
    extra = {k for row in expansions for k in row if k not in position}
    for k in sorted(extra, key=lambda k: (len(k), k)):
        position[k] = len(position)
    indptr = np.cumsum([0] + [len(row) for row in expansions])
    columns = np.array([position[k] for row in expansions for k in row], dtype=np.int64)
    values = np.array([value for row in expansions for value in row.values()], dtype=float)
    operator = csr_array((values, columns, indptr), shape=(len(rows), len(position)))
    operator.sort_indices()
    return operator, list(position)


def mean_pairs(algebra: Algebra, mean: Callable[[Any], float]) -> Callable[[Any, Any], float]:
    """Return c_uv = Σ_κ p^κ_uv μ_κ, the constants of the centered canonical basis.

    Parameters
    ----------
    algebra : Algebra
    mean : callable
        μ(κ) for every index κ that products can reach.

    Returns
    -------
    callable
        c(u, v), for `purification`.

    Examples
    --------
    Particles whose T_2 has the mean −1/3, all others with mean zero: T_1 T_1 = ½ (T_2 + T_0).

    >>> from acepure.algebra.linearization import ChebyshevParticles
    >>> c = mean_pairs(ChebyshevParticles(), {0: 1.0, 2: -1 / 3}.get)
    >>> round(c(1, 1), 6)
    0.333333
    """

    def pairs(u: Any, v: Any) -> float:
        return sum(p * mean(kappa) for kappa, p in algebra.linearize(u, v))

    return pairs


class _Recursion:
    """Expansions of I_k in products of Ã, each sub-index computed once."""

    def __init__(self, algebra: Algebra | None, pairs: Callable[[Any, Any], float] | None) -> None:
        self.algebra = algebra
        self.pairs = pairs
        self._rows: dict[Index, Row] = {(): {(): 1.0}}

    def __call__(self, k: Index) -> Row:
        if k not in self._rows:
            average = self.algebra is not None and self.pairs is not None
            last = range(len(k)) if average else (len(k) - 1,)
            row: Row = {}
            for t in last:
                self._accumulate(row, 1.0 / len(last), k[:t] + k[t + 1 :], k[t])
            largest = max(map(abs, row.values()))
            self._rows[k] = {index: c for index, c in row.items() if abs(c) > _CANCELLED * largest}
        return self._rows[k]

    def _accumulate(self, row: Row, weight: float, rest: Index, v: Any) -> None:
        for index, value in self(rest).items():
            extended = tuple(sorted((*index, v)))
            row[extended] = row.get(extended, 0.0) + weight * value
        for t, u in enumerate(rest):
            without = rest[:t] + rest[t + 1 :]
            if self.algebra is not None:
                for kappa, p in self.algebra.linearize(u, v):
                    _subtract(row, weight * p, self(tuple(sorted((*without, kappa)))))
            if self.pairs is not None:
                c = self.pairs(u, v)
                if c != 0.0:
                    _subtract(row, weight * c, self(without))


def _subtract(row: Row, factor: float, other: Row) -> None:
    for index, value in other.items():
        row[index] = row.get(index, 0.0) - factor * value
