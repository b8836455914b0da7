"""Embeddings F of a few densities: E_i = E0(z_i) + F(ρ_i1, ..., ρ_iP), with first and second derivatives.

    FinnisSinclair     ρ_1 + Σ_p f(ρ_p),  f(ρ) ~ sign(ρ) |ρ|^m away from 0: what `.yace` files hold
    SmoothRoot         ρ_1 + Σ_p ρ_p (1 + ρ_p²)^(−1/4): the same for m = ½ without its kink
    Even               ρ_1 + Σ_p (√(1 + ρ_p²) − 1)
    Polynomial         ρ_1 + Σ_p ρ_p²
    Tanh               ρ_1 + Σ_p tanh(ρ_p)

All are zero for densities that are zero, so that an isolated atom keeps its energy, and linear in ρ_1. A class of a
user's own needs `n_densities`, `value`, `gradient` and `curvature`; as a dataclass it can be saved.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from acepure._utils.checks import count, number
from acepure._utils.serialization import Serializable

__all__ = ["EMBEDDINGS", "Embedding", "Even", "FinnisSinclair", "Polynomial", "SmoothRoot", "Tanh", "resolve_embedding"]


class Embedding(Serializable, ABC):
    """F of P densities, for many atoms at once.

    Attributes
    ----------
    n_densities : int
        P.

    Examples
    --------
    >>> FinnisSinclair().value(np.array([[0.2, 0.0]]))
    array([0.2])
    """

    n_densities: int

    @abstractmethod
    def value(self, rho: np.ndarray) -> np.ndarray:
        """Return F, shape (n,), of densities of shape (n, P); zero where all densities are zero."""

    @abstractmethod
    def gradient(self, rho: np.ndarray) -> np.ndarray:
        """Return F_p = ∂F/∂ρ_p, shape (n, P)."""

    @abstractmethod
    def curvature(self, rho: np.ndarray) -> np.ndarray:
        """Return F_pq = ∂²F/∂ρ_p∂ρ_q, shape (n, P, P)."""


@dataclass(frozen=True)
class _Separate(Embedding):
    """ρ_1 + Σ_{p>1} f(ρ_p)."""

    n_densities: int = 2

    def __post_init__(self) -> None:
        count("n_densities", self.n_densities, least=2)

    def value(self, rho: np.ndarray) -> np.ndarray:
        return np.asarray(rho[:, 0] + self._derivative(rho[:, 1:], 0).sum(axis=1))

    def gradient(self, rho: np.ndarray) -> np.ndarray:
        result = np.ones_like(rho)
        result[:, 1:] = self._derivative(rho[:, 1:], 1)
        return result

    def curvature(self, rho: np.ndarray) -> np.ndarray:
        result = np.zeros((*rho.shape, rho.shape[1]))
        p = np.arange(1, rho.shape[1])
        result[:, p, p] = self._derivative(rho[:, 1:], 2)
        return result

    @abstractmethod
    def _derivative(self, x: np.ndarray, k: int) -> np.ndarray:
        """Return f, f' or f'', for k = 0, 1, 2."""


@dataclass(frozen=True)
class FinnisSinclair(_Separate):
    """ρ_1 + Σ_{p>1} f(ρ_p), the shifted and scaled Finnis-Sinclair function of pacemaker.

        f(ρ) = sign(ρ) [(a + x₀ e^{−a})^m − y₀ e^{−a}],      a = |ρ|,      x₀ = (1/m)^{x₁},  x₁ = (1/m)/(1 − 1/m),
                                                                          y₀ = (1/m)^{1/(1 − 1/m)}

    for 0 < m < 1, which goes as |ρ|^m far away; f'' jumps at 0. (A. Bochkarev et al., Phys. Rev. Mater. 6, 013804
    (2022); as in its `.yace` files.)

    Parameters
    ----------
    n_densities : int
        P ≥ 2.
    m : float
        0 < m < 1; ½ is the square root of Finnis and Sinclair, and the embedded-atom method.
    """

    m: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < number("m", self.m) < 1:
            raise ValueError(f"m must be between 0 and 1; got {self.m:g}")

    def _derivative(self, x: np.ndarray, k: int) -> np.ndarray:
        m, power = self.m, 1 / (1 - 1 / self.m)
        x0, y0 = (1 / m) ** (power / m), (1 / m) ** power
        a, e = np.abs(x), np.exp(-np.abs(x))
        inner, slope = a + x0 * e, 1 - x0 * e
        if k == 0:
            return np.sign(x) * (inner**m - y0 * e)
        if k == 1:
            return np.asarray(m * inner ** (m - 1) * slope + y0 * e)
        bent = m * (m - 1) * inner ** (m - 2) * slope**2 + m * inner ** (m - 1) * x0 * e - y0 * e
        return np.sign(x) * bent


@dataclass(frozen=True)
class SmoothRoot(_Separate):
    """ρ_1 + Σ_{p>1} ρ_p (1 + ρ_p²)^(−1/4): ± √|ρ| far away, smooth at 0."""

    def _derivative(self, x: np.ndarray, k: int) -> np.ndarray:
        s = 1 + x**2
        if k == 0:
            return np.asarray(x * s**-0.25)
        if k == 1:
            return np.asarray((1 + 0.5 * x**2) * s**-1.25)
        return np.asarray(-x * (1.5 + 0.25 * x**2) * s**-2.25)


@dataclass(frozen=True)
class Even(_Separate):
    """ρ_1 + Σ_{p>1} (√(1 + ρ_p²) − 1): a parabola near 0, |ρ| far away; the linear model is at ρ_p = 0."""

    def _derivative(self, x: np.ndarray, k: int) -> np.ndarray:
        root = np.sqrt(1 + x**2)
        return np.asarray((root - 1, x / root, root**-3)[k])


@dataclass(frozen=True)
class Polynomial(_Separate):
    """ρ_1 + Σ_{p>1} ρ_p²: products of canonical functions, so that body orders double."""

    def _derivative(self, x: np.ndarray, k: int) -> np.ndarray:
        return np.asarray((x**2, 2 * x, np.full_like(x, 2.0))[k])


@dataclass(frozen=True)
class Tanh(_Separate):
    """ρ_1 + Σ_{p>1} tanh(ρ_p): bounded, so that the nonlinear part cannot run away far from the data."""

    def _derivative(self, x: np.ndarray, k: int) -> np.ndarray:
        t = np.tanh(x)
        return np.asarray((t, 1 - t**2, -2 * t * (1 - t**2))[k])


#: Name → the embedding of two densities.
EMBEDDINGS = {
    "finnis-sinclair": FinnisSinclair,
    "smooth-root": SmoothRoot,
    "even": Even,
    "polynomial": Polynomial,
    "tanh": Tanh,
}


def resolve_embedding(embedding: Embedding | str) -> Embedding:
    """Return an embedding from one, or from a name.

    Examples
    --------
    >>> resolve_embedding("finnis-sinclair")
    FinnisSinclair(n_densities=2, m=0.5)
    """
    if isinstance(embedding, str) and embedding in EMBEDDINGS:
        return EMBEDDINGS[embedding]()
    if not isinstance(embedding, Embedding):
        raise ValueError(f"embedding must be an Embedding or one of {', '.join(EMBEDDINGS)}; got {embedding!r}")
    return embedding
