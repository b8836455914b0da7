"""Product algebras: how a product of two one-particle functions is a sum of one-particle functions.

    φ_u φ_v = Σ_κ p^κ_uv φ_κ                                             (Ho, Gutleb, Ortner, arXiv:2401.01550)

An algebra is all that the recursion of `purification` needs to know about the functions.  For atoms the
product factorizes: real Gaunt coefficients for the directions, a *radial algebra* for the distances.

    Algebra                 linearize(u, v) for any hashable, sortable index
      ChebyshevParticles    one-dimensional particles, index k
      LegendreParticles     one-dimensional particles, index k
      AtomicAlgebra         index OneParticle(l, z, q, m), built on a RadialAlgebra
    RadialAlgebra           products of radial functions with labels q
      GradedAlgebra         f^s P_n(x): exact for every envelope and transform
      FormalAlgebra         any functions: the product is named by the multiset of its factors
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import chebyshev, legendre

from acepure.operators.coupling import gaunt_product

__all__ = [
    "Algebra",
    "AtomicAlgebra",
    "ChebyshevParticles",
    "Factor",
    "FormalAlgebra",
    "GradedAlgebra",
    "LegendreParticles",
    "OneParticle",
    "RadialAlgebra",
]

# Coefficients below this part of the largest one of a product are rounding of exact zeros.
_NEGLIGIBLE = 1e-14

RadialLabel = Hashable
Terms = tuple[tuple[Any, float], ...]


class Factor(NamedTuple):
    """What a product knows of one of its factors besides m: degree l, neighbor species z, radial label q."""

    l: int
    z: int
    q: Any


class OneParticle(NamedTuple):
    """Index v of a one-particle function φ_v = δ(z, z_j) R_q(r) Y_lm(r̂)."""

    l: int
    z: int
    q: Any
    m: int


class Algebra(ABC):
    """One-particle functions that are closed under multiplication."""

    @abstractmethod
    def linearize(self, u: Any, v: Any) -> Terms:
        """Return ((κ, p^κ_uv), ...) with φ_u φ_v = Σ_κ p^κ_uv φ_κ; empty when the product is zero."""


class _PolynomialParticles(Algebra):
    """Orthogonal polynomials of one coordinate in [−1, 1], index k = degree, optionally normalized."""

    def __init__(self, normalized: bool = False) -> None:
        self.normalized = normalized
        self._products: dict[tuple[int, int], Terms] = {}

    def linearize(self, u: int, v: int) -> Terms:
        key = (min(u, v), max(u, v))
        if key not in self._products:
            self._products[key] = self._product(*key)
        return self._products[key]

    def _product(self, u: int, v: int) -> Terms:
        coefficients = self._multiply([0] * u + [1], [0] * v + [1])
        scale = [self._norm(k) if self.normalized else 1.0 for k in range(u + v + 1)]
        return _terms(
            (k, float(coefficients[k]) * scale[u] * scale[v] / scale[k]) for k in range(len(coefficients))
        )

    @staticmethod
    @abstractmethod
    def _multiply(a: list[int], b: list[int]) -> np.ndarray: ...

    @staticmethod
    @abstractmethod
    def _norm(k: int) -> float: ...


class ChebyshevParticles(_PolynomialParticles):
    """T_u T_v = ½ (T_{u+v} + T_{|u−v|}); normalized: T_0 and √2 T_k, orthonormal for dx / (π √(1 − x²)).

    Examples
    --------
    >>> ChebyshevParticles().linearize(1, 3)
    ((2, 0.5), (4, 0.5))
    """

    _multiply = staticmethod(chebyshev.chebmul)

    @staticmethod
    def _norm(k: int) -> float:
        return sqrt(2.0) if k else 1.0


class LegendreParticles(_PolynomialParticles):
    """Products of Legendre polynomials (Adams' formula); normalized: √(2k + 1) P_k, orthonormal for dx / 2."""

    _multiply = staticmethod(legendre.legmul)

    @staticmethod
    def _norm(k: int) -> float:
        return sqrt(2.0 * k + 1.0)


class RadialAlgebra(ABC):
    """Products of the radial functions that one species of center sees."""

    @abstractmethod
    def basis_label(self, n: int, l: int) -> RadialLabel:
        """Return the label of the n-th radial function (n = 0, 1, ...) at degree l in the basis."""

    @abstractmethod
    def product(self, z: int, a: RadialLabel, b: RadialLabel) -> Terms:
        """Return ((q, coefficient), ...) with R_a R_b = Σ_q coefficient · R_q for neighbors of species z."""


class GradedAlgebra(RadialAlgebra):
    """f^s P_a · f^t P_b = f^{s+t} Σ_c p_c T_c(x), exact for every envelope f and transform x(r).

    Labels are q = (s, n).  Grade s = 1 holds the functions of the basis, f P_n with
    P_n = Σ_k Q_nk T_k; grades s ≥ 2 occur only in products and are f^s T_n, whatever P is.

    Parameters
    ----------
    chebyshev_coefficients : mapping or None
        Lower-triangular Q, shape (n_radial, n_radial), for each neighbor species z; None when P_n = T_n, where a
        product has two terms, T_a T_b = ½ (T_{a+b} + T_{|a−b|}).
    """

    def __init__(self, chebyshev_coefficients: dict[int, np.ndarray] | None = None) -> None:
        self._coefficients = chebyshev_coefficients
        self._products: dict[Any, Terms] = {}

    def basis_label(self, n: int, l: int) -> tuple[int, int]:
        return (1, n)

    def product(self, z: int, a: tuple[int, int], b: tuple[int, int]) -> Terms:
        key = (z, a, b) if self._coefficients is not None else (a, b)
        if key not in self._products:
            grade = a[0] + b[0]
            coefficients = chebyshev.chebmul(self._series(z, a), self._series(z, b))
            self._products[key] = _terms(((grade, n), float(c)) for n, c in enumerate(coefficients))
        return self._products[key]

    def _series(self, z: int, label: tuple[int, int]) -> np.ndarray:
        s, n = label
        if s == 1 and self._coefficients is not None:
            return self._coefficients[z][n, : n + 1]
        return np.eye(1, n + 1, n)[0]


class FormalAlgebra(RadialAlgebra):
    """Products of arbitrary radial functions, named by the multiset of the factors: exact by definition.

    Labels are q = sorted tuple of the radial indices multiplied; the basis has q = (n,).
    """

    def basis_label(self, n: int, l: int) -> tuple[int, ...]:
        return (n,)

    def product(self, z: int, a: tuple[int, ...], b: tuple[int, ...]) -> Terms:
        return ((tuple(sorted(a + b)), 1.0),)


class AtomicAlgebra(Algebra):
    """Atoms around a center: zero for different species, Gaunt coefficients times a radial algebra."""

    def __init__(self, radial: RadialAlgebra) -> None:
        self.radial = radial
        self._products: dict[tuple[OneParticle, OneParticle], Terms] = {}

    def linearize(self, u: OneParticle, v: OneParticle) -> Terms:
        if u.z != v.z:
            return ()
        if (u, v) not in self._products:
            radial = self.radial.product(u.z, u.q, v.q)
            terms = []
            for L, gaunt in gaunt_product((u.l, v.l)).items():
                row = gaunt[u.l + u.m, v.l + v.m]
                terms += [
                    (OneParticle(L, u.z, q, int(M) - L), float(row[M]) * c) for M in np.flatnonzero(row) for q, c in radial
                ]
            self._products[u, v] = tuple(terms)
        return self._products[u, v]


def _terms(pairs: Any) -> Terms:
    pairs = list(pairs)
    largest = max((abs(c) for _, c in pairs), default=0.0)
    return tuple((index, c) for index, c in pairs if abs(c) > _NEGLIGIBLE * largest)
