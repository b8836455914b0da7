"""Radial functions of a pair of species in a .yace file.

    ChebyshevBond     "ChebPow": R_nl = Σ_k c_nlk g_k,  g_k = (1 − T_k(x))/2,  x = 1 − 2 (1 − r/rcut)^λ,  from tables
    PolynomialBond    "ACE.jl.*": P_n by a three-term recurrence in x = ((1 + r0)/(1 + r))^p, for all l the same

Both are evaluated for *channels* (n, l), n from 0; l = −1 stands for the functions that products of one factor take:
g_k with k = n + 1, or P_n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Bond", "ChebyshevBond", "PolynomialBond"]


@dataclass(frozen=True, eq=False)
class ChebyshevBond:
    """Combinations of g_k, interpolated between the nodes of a table by cubic Hermite polynomials.

    Attributes
    ----------
    rcut : float
        Å.
    exponent : float
        λ.
    coefficients : numpy.ndarray, shape (n_radial, lmax + 1, n_base)
        c_nlk.
    step : float
        Distance of the nodes in Å, before it is made to divide rcut.
    """

    rcut: float
    exponent: float
    coefficients: np.ndarray
    step: float

    def evaluate(self, r: np.ndarray, channels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return values and d/dr, each (len(r), len(channels)).

        Raises
        ------
        ValueError
            For distances within the first step of the table, where LAMMPS stops too.
        """
        step = self.rcut / int(self.rcut / self.step)
        node = np.floor(r / step)
        if (node < 1).any():
            raise ValueError(f"atoms are {r.min():.3g} Å apart; the tables of the file begin at {step:.3g} Å")
        t = (r / step - node)[:, None]
        (f0, d0), (f1, d1) = (self.exact(k * step, channels) for k in (node, node + 1))
        d0, d1 = d0 * step, d1 * step
        a, b = 3 * (f1 - f0) - d1 - 2 * d0, 2 * (f0 - f1) + d0 + d1
        inside = (r < self.rcut)[:, None]
        return (f0 + t * (d0 + t * (a + t * b))) * inside, (d0 + t * (2 * a + 3 * t * b)) / step * inside

    def exact(self, r: np.ndarray, channels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what the table holds: values and d/dr, each (len(r), len(channels)); zero from rcut on."""
        n_base = self.coefficients.shape[2]
        y = np.clip(1 - r / self.rcut, 0.0, None)
        x, slope = 1 - 2 * y**self.exponent, 2 * self.exponent / self.rcut * y ** (self.exponent - 1)
        T, dT = np.ones((2, n_base + 1, len(r)))
        T[1], dT[0] = x, 0.0
        for k in range(2, n_base + 1):
            T[k] = 2 * x * T[k - 1] - T[k - 2]
            dT[k] = 2 * T[k - 1] + 2 * x * dT[k - 1] - dT[k - 2]
        g, dg = 0.5 * (1 - T[1:]), -0.5 * dT[1:] * slope
        single = channels[:, 1] < 0
        rows = np.where(single[:, None], np.eye(n_base)[np.where(single, channels[:, 0], 0)], 0.0)
        rows[~single] = self.coefficients[channels[~single, 0], channels[~single, 1]]
        inside = (y > 0)[:, None]
        return (rows @ g).T * inside, (rows @ dg).T * inside


@dataclass(frozen=True, eq=False)
class PolynomialBond:
    """Polynomials times (x − xl)^pl (x − xr)^pr, evaluated without a table.

    Attributes
    ----------
    rcut, r0 : float
        Å.
    p, pl, pr : int
    xl, xr : float
    recurrence : numpy.ndarray, shape (n_radial, 3)
        (A, B, C) of P_0 = A_0 f, P_1 = (A_1 x + B_1) P_0, P_n = (A_n x + B_n) P_{n−1} + C_n P_{n−2}.
    """

    rcut: float
    r0: float
    p: int
    xl: float
    xr: float
    pl: int
    pr: int
    recurrence: np.ndarray

    def evaluate(self, r: np.ndarray, channels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return values and d/dr, each (len(r), len(channels)).

        Raises
        ------
        ValueError
            For distances below the inner cutoff, about which the format says nothing.
        """
        x = ((1 + self.r0) / (1 + r)) ** float(self.p)
        inside = r < self.rcut
        outside = ((x < self.xl) & (self.pl > 0)) | ((x > self.xr) & (self.pr > 0))
        if (outside & inside).any():
            raise ValueError(f"atoms are {r[outside & inside].min():.3g} Å apart; the radial functions begin farther")
        left, dleft = _power(x - self.xl, self.pl)
        right, dright = _power(x - self.xr, self.pr)
        P, dP = np.zeros((2, len(self.recurrence), len(r)))
        for n, (a, b, c) in enumerate(self.recurrence):
            if n == 0:
                P[0], dP[0] = a * left * right, a * (dleft * right + left * dright)
                continue
            P[n] = (a * x + b) * P[n - 1] + (c * P[n - 2] if n > 1 else 0.0)
            dP[n] = (a * x + b) * dP[n - 1] + a * P[n - 1] + (c * dP[n - 2] if n > 1 else 0.0)
        chosen = channels[:, 0]
        return (P[chosen] * inside).T, (dP[chosen] * (inside * -self.p * x / (1 + r))).T


Bond = ChebyshevBond | PolynomialBond


def _power(x: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    return x**n, n * x ** (n - 1) if n else np.zeros_like(x)
