"""Product algebras: how a product of two one-particle functions is a sum of one-particle functions.

    φ_u φ_v = Σ_κ p^κ_uv φ_κ                                             (Ho, Gutleb, Ortner, arXiv:2401.01550)

An algebra is all that the recursion of `purification` needs to know about the functions.  For atoms the
product factorizes: real Gaunt coefficients for the directions, a *radial algebra* for the distances.

    Algebra                 linearize(u, v) for any hashable, sortable index
      ChebyshevParticles    one-dimensional particles, index k
      LegendreParticles     one-dimensional particles, index k
      AtomicAlgebra         index OneParticle(l, z, q, m), built on a RadialAlgebra (acepure.algebra.radial_algebra)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import sqrt
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev, legendre

from acepure.algebra.coupling import gaunt_product
from acepure.algebra.radial_algebra import RadialAlgebra, Terms, kept_terms
from acepure.labels.factors import OneParticle

__all__ = [
    "Algebra",
    "AtomicAlgebra",
    "ChebyshevParticles",
    "LegendreParticles",
]


class Algebra(ABC):
    """One-particle functions that are closed under multiplication."""

    @abstractmethod
    def linearize(self, u: Any, v: Any) -> Terms:
        """Return ((κ, p^κ_uv), ...) of :eq:`eq-linearization`, φ_u φ_v = Σ_κ p^κ_uv φ_κ; empty for a zero product."""


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
        return kept_terms(
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

    _multiply = staticmethod(chebyshev.chebmul)  # type: ignore[assignment]  # a function for a method

    @staticmethod
    def _norm(k: int) -> float:
        return sqrt(2.0) if k else 1.0


class LegendreParticles(_PolynomialParticles):
    """Products of Legendre polynomials (Adams' formula); normalized: √(2k + 1) P_k, orthonormal for dx / 2.

    Examples
    --------
    >>> [(k, round(c, 4)) for k, c in LegendreParticles().linearize(1, 2)]
    [(1, 0.4), (3, 0.6)]
    """

    _multiply = staticmethod(legendre.legmul)  # type: ignore[assignment]  # a function for a method

    @staticmethod
    def _norm(k: int) -> float:
        return sqrt(2.0 * k + 1.0)


class AtomicAlgebra(Algebra):
    """Atoms around a center: zero for different species, Gaunt coefficients times a radial algebra.

    Parameters
    ----------
    radial : RadialAlgebra
        Products of the radial functions; indices are `OneParticle`, (l, z, q, m).

    Examples
    --------
    f T_1 Y_00 times f T_2 Y_10 is f² (½ T_1 + ½ T_3) Y_10 / √(4π).

    >>> from acepure.algebra.radial_algebra import GradedAlgebra
    >>> from acepure.labels.factors import OneParticle
    >>> terms = AtomicAlgebra(GradedAlgebra()).linearize(OneParticle(0, 0, (1, 1), 0), OneParticle(1, 0, (1, 2), 0))
    >>> [(v.l, v.q, round(p, 4)) for v, p in terms]
    [(1, (2, 1), 0.141), (1, (2, 3), 0.141)]
    """

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
                    (OneParticle(L, u.z, q, int(M) - L), float(row[M]) * c)
                    for M in np.flatnonzero(row)
                    for q, c in radial
                ]
            self._products[u, v] = tuple(terms)
        return self._products[u, v]
