"""The embeddings of .yace files, F(ρ) = Σ_p w_p f(ρ_p; m_p), from the description of the format.

With a = |ρ| and s its sign, f(ρ; 1) = ρ in both kinds, and otherwise

    FinnisSinclairShiftedScaled    s [(a + x e^{−a})^m − y e^{−a}],    x = m^{1/(1 − m)},    y = m^{m/(1 − m)} = x^m
    FinnisSinclair                 s [(1 − g) a^m + w^{1 − m} g a],    g = exp(−(w a)³) where that is > e^{−30}, w = 10⁶
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["KINDS", "LINEAR", "SHIFTED", "FileEmbedding"]

SHIFTED = "FinnisSinclairShiftedScaled"
KINDS = ("FinnisSinclair", SHIFTED)
# Of "FinnisSinclair": where the power begins, and beyond which (w a)³ it is alone.
_W, _FAR = 1e6, 30.0
_NEAR_ONE = 1e-10


@dataclass(frozen=True, eq=False)
class FileEmbedding:
    """F of one species of center.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    weights, exponents : numpy.ndarray, shape (n_densities,)
        w_p and m_p > 0.
    """

    kind: str
    weights: np.ndarray
    exponents: np.ndarray

    @property
    def n_densities(self) -> int:
        """P."""
        return len(self.weights)

    @property
    def is_linear(self) -> bool:
        """Whether all exponents are 1."""
        return bool((abs(self.exponents - 1) < _NEAR_ONE).all())

    def evaluate(self, rho: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return F, shape (n,), and ∂F/∂ρ, shape (n, n_densities), of densities of shape (n, n_densities)."""
        values, slopes = np.empty_like(rho), np.empty_like(rho)
        for p, m in enumerate(self.exponents):
            one = _linear if abs(m - 1) < _NEAR_ONE else _shifted if self.kind == SHIFTED else _plain
            values[:, p], slopes[:, p] = one(rho[:, p], float(m))
        return values @ self.weights, slopes * self.weights


#: F = ρ_1.
LINEAR = FileEmbedding(SHIFTED, np.ones(1), np.ones(1))


def _linear(rho: np.ndarray, m: float) -> tuple[np.ndarray, np.ndarray]:
    return rho, np.ones_like(rho)


def _shifted(rho: np.ndarray, m: float) -> tuple[np.ndarray, np.ndarray]:
    a = abs(rho)
    x = m ** (1 / (1 - m))
    decay = np.exp(-a)
    base = a + x * decay
    return np.sign(rho) * (base**m - x**m * decay), m * base ** (m - 1) * (1 - x * decay) + x**m * decay


def _plain(rho: np.ndarray, m: float) -> tuple[np.ndarray, np.ndarray]:
    a = abs(rho)
    near = (_W * a) ** 3 <= _FAR
    g = np.where(near, np.exp(-((_W * np.where(near, a, 0.0)) ** 3)), 0.0)
    dg = -3 * _W**3 * a**2 * g
    scale = _W ** (1 - m)
    far = np.where(a > 1e-10, a, 1.0)  # below, the function is a line: 1 − g is no more than 1e−12
    power, slope = far**m, m * far ** (m - 1)
    value = np.where(a > 1e-10, (1 - g) * power + scale * g * a, scale * a)
    derivative = np.where(a > 1e-10, (1 - g) * slope - dg * power + scale * (g + dg * a), scale)
    return np.sign(rho) * value, derivative
