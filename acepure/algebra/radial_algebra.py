"""Products of radial functions as sums of radial functions.

    R_a R_b = Σ_q p_q R_q

An algebra knows labels alone, never a distance; what a label means is evaluated by
`RadialBasis.evaluate_labels`.

    GradedAlgebra   functions f^s P_n(x): exact for every envelope and transform
    FormalAlgebra   any functions: the product is named by the multiset of its factors
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev

__all__ = ["FormalAlgebra", "GradedAlgebra", "RadialAlgebra", "Terms", "kept_terms"]

RadialLabel = Any  # hashable and sortable: the algebras differ in it
Terms = tuple[tuple[Any, float], ...]

# Coefficients below this part of the largest one of a product are rounding of exact zeros.
_NEGLIGIBLE = 1e-14


def kept_terms(pairs: Iterable[tuple[Any, float]]) -> Terms:
    """Return the terms of a product without those that are rounding of exact zeros."""
    pairs = list(pairs)
    largest = max((abs(c) for _, c in pairs), default=0.0)
    return tuple((index, c) for index, c in pairs if abs(c) > _NEGLIGIBLE * largest)


class RadialAlgebra(ABC):
    """Products of the radial functions that one species of center sees."""

    @abstractmethod
    def basis_label(self, n: int, l: int) -> RadialLabel:
        """Return the label of the n-th radial function (n = 0, 1, ...) at degree l in the basis."""

    @abstractmethod
    def product(self, z: int, a: RadialLabel, b: RadialLabel) -> Terms:
        """Return ((q, coefficient), ...) with R_a R_b = Σ_q coefficient · R_q for neighbors of species z."""

    def chebyshev_coefficients(self, z: int, l: int) -> np.ndarray | None:
        """Return Q of the functions f Σ_k Q_nk T_k(x) of the basis at degree l; None where they are no such functions.

        Parameters
        ----------
        z : int
            Species of the neighbors.
        l : int

        Returns
        -------
        numpy.ndarray, lower triangular, or None
            A single number 1 stands for the identity of any size.
        """
        return None


class GradedAlgebra(RadialAlgebra):
    """f^s P_a · f^t P_b = f^{s+t} Σ_c p_c T_c(x), exact for every envelope f and transform x(r).

    Labels are q = (s, n).  Grade s = 1 holds the functions of the basis, f P_n with
    P_n = Σ_k Q_nk T_k; grades s ≥ 2 occur only in products and are f^s T_n, whatever P is.  Where P depends on l, the
    functions of the basis are named (1, n, l).

    Parameters
    ----------
    chebyshev_coefficients : mapping or None
        Lower-triangular Q, shape (n_radial, n_radial), or (n_l, n_radial, n_radial) where P depends on l, for each
        neighbor species z; None when P_n = T_n, where a product has two terms, T_a T_b = ½ (T_{a+b} + T_{|a−b|}).

    Notes
    -----
    Why this is exact: :eq:`eq-grading`.

    Examples
    --------
    >>> GradedAlgebra().product(0, (1, 1), (1, 3))  # f T_1 · f T_3 = ½ f² T_2 + ½ f² T_4
    (((2, 2), 0.5), ((2, 4), 0.5))
    """

    def __init__(self, chebyshev_coefficients: dict[int, np.ndarray] | None = None) -> None:
        self._coefficients = chebyshev_coefficients
        depths = [len(Q) for Q in (chebyshev_coefficients or {}).values() if Q.ndim == 3]
        self._n_l = min(depths, default=0)
        self._products: dict[Any, Terms] = {}

    def basis_label(self, n: int, l: int) -> tuple[int, ...]:
        if not self._n_l:
            return (1, n)
        if l >= self._n_l:
            raise ValueError(f"matrices of the radial functions reach l < {self._n_l}; the basis needs l = {l}")
        return (1, n, l)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GradedAlgebra):
            return NotImplemented
        mine, others = self._coefficients, other._coefficients
        if mine is None or others is None:
            return mine is others
        return mine.keys() == others.keys() and all(np.array_equal(mine[z], others[z]) for z in mine)

    __hash__ = None  # type: ignore[assignment]  # equality is by arrays

    def product(self, z: int, a: tuple[int, ...], b: tuple[int, ...]) -> Terms:
        key = (z, a, b) if self._coefficients is not None else (a, b)
        if key not in self._products:
            grade = a[0] + b[0]
            coefficients = chebyshev.chebmul(self._series(z, a), self._series(z, b))
            self._products[key] = kept_terms(((grade, n), float(c)) for n, c in enumerate(coefficients))
        return self._products[key]

    def chebyshev_coefficients(self, z: int, l: int) -> np.ndarray:
        if self._coefficients is None:
            return np.ones((1, 1))
        return self._coefficients[z][l] if self._n_l else self._coefficients[z]

    def _series(self, z: int, label: tuple[int, ...]) -> np.ndarray:
        s, n, *l = label
        if s == 1 and self._coefficients is not None:
            return self._coefficients[z][(*l, n)][: n + 1]
        return np.eye(1, n + 1, n)[0]


class FormalAlgebra(RadialAlgebra):
    """Products of arbitrary radial functions, named by the multiset of the factors: exact by definition.

    Labels are q = sorted tuple of the radial indices multiplied; the basis has q = (n,).

    Examples
    --------
    >>> FormalAlgebra().product(0, (3,), (0, 1))
    (((0, 1, 3), 1.0),)
    """

    def basis_label(self, n: int, l: int) -> tuple[int, ...]:
        return (n,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FormalAlgebra)

    __hash__ = None  # type: ignore[assignment]  # as the other algebras

    def product(self, z: int, a: tuple[int, ...], b: tuple[int, ...]) -> Terms:
        return ((tuple(sorted(a + b)), 1.0),)
