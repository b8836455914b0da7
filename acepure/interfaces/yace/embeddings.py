"""The embeddings of .yace files, F(ρ) = Σ_p w_p f(ρ_p; m_p), from the description of the format.

    E_i − E0 = s F(ρ) + ρ_core            s from 1 to 0 as ρ_core grows
             = s F(ρ) + (1 − s) ρ_core    s from 1 to 0 as the nearest neighbor comes nearer ("zbl")

With a = |ρ| and s its sign, f(ρ; 1) = ρ in both kinds, and otherwise

    FinnisSinclairShiftedScaled    s [(a + x e^{−a})^m − y e^{−a}],    x = m^{1/(1 − m)},    y = m^{m/(1 − m)} = x^m
    FinnisSinclair                 s [(1 − g) a^m + w^{1 − m} g a],    g = exp(−(w a)³) where that is > e^{−30}, w = 10⁶
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from acepure.interfaces.yace.radial_families import step_down

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
    core_end, core_width : float
        s goes from 1 to 0 while ρ_core goes from core_end − core_width to core_end.
    """

    kind: str
    weights: np.ndarray
    exponents: np.ndarray
    core_end: float = np.inf
    core_width: float = 0.0

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

    def with_core(self, rho: np.ndarray, core: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return E_i − E0 = s F(ρ) + ρ_core, ∂/∂ρ and ∂/∂ρ_core, shapes (n,), (n, n_densities) and (n,)."""
        F, dF = self.evaluate(rho)
        s, ds = step_down(core, self.core_end, self.core_width)
        return F * s + core, dF * s[:, None], F * ds + 1

    def with_nuclei(
        self, rho: np.ndarray, core: np.ndarray, near: np.ndarray, width: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return E_i − E0 = s F(ρ) + (1 − s) ρ_core, ∂/∂ρ, ∂/∂ρ_core and ∂/∂near.

        s goes from 0 to 1 while `near`, how much farther the nearest neighbor is than where it must not be, goes from 0
        to `width`; both of shape (n,), near infinite without neighbors.
        """
        F, dF = self.evaluate(rho)
        u, du = step_down(1 - near / width, 1.0, 1.0)
        return F * u + core * (1 - u), dF * u[:, None], 1 - u, (core - F) * du / width


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
