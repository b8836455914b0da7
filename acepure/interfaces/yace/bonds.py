"""Radial functions of a pair of species in a .yace file.

    TableBond         "ChebPow", ...: R_nl = Σ_k c_nlk g_k, interpolated in a table; and the core of the format
    PolynomialBond    "ACE.jl.*": P_n by a three-term recurrence in x = ((1 + r0)/(1 + r))^p, for all l the same

Both are evaluated for *channels* (n, l), n from 0; l = −1 stands for the functions that products of one factor take:
g_n, or P_n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from acepure.interfaces.yace.radial_families import FAMILIES, Pair, gaussian_core, step_down, zbl_core

# The last node of a table is at the cutoff up to rounding, where functions count as zero.
_AT_CUTOFF = 1 - 1e-12


@dataclass(frozen=True)
class Core:
    """What a file adds at short distances, and where it takes the radial functions away.

    Attributes
    ----------
    kind : str
        "density": p e^{−λr²}/r, and F ends where it is large; "distance": the same, led over to the radial functions
        between rcut_in − dcut_in and rcut_in; "zbl": nuclei, led over by the distance of the nearest neighbor.
    strength, decay : float
        p and λ.
    end, width : float
        rcut_in and dcut_in, Å.
    charges : (int, int)
        Of center and neighbor.
    """

    kind: str = "density"
    strength: float = 0.0
    decay: float = 0.0
    end: float = 0.0
    width: float = 0.0
    charges: tuple[int, int] = (1, 1)


@dataclass(frozen=True, eq=False)
class TableBond:
    """Combinations of g_k, interpolated between the nodes of a table by cubic Hermite polynomials.

    Attributes
    ----------
    rcut : float
        Å.
    parameter : float
        λ of the family.
    coefficients : numpy.ndarray, shape (n_radial, lmax + 1, n_base)
        c_nlk.
    step : float
        Distance of the nodes in Å, before it is made to divide rcut.
    family : str
        One of `FAMILIES`.
    dcut : float
        Å.
    core : Core
    """

    rcut: float
    parameter: float
    coefficients: np.ndarray
    step: float
    family: str = "ChebPow"
    dcut: float = 0.0
    core: Core = Core()

    @property
    def n_nodes(self) -> int:
        """Number of steps to the cutoff."""
        return int(self.rcut / self.step)

    @property
    def spacing(self) -> float:
        """Distance of the nodes in Å."""
        return self.rcut / self.n_nodes

    def rows(self, channels: np.ndarray) -> np.ndarray:
        """Return channels (n, l) as combinations of g_k and the core, shape (len(channels), n_base + 1)."""
        n_base = self.coefficients.shape[2]
        single = channels[:, 1] < 0
        rows = np.where(single[:, None], np.eye(n_base + 1)[np.where(single, channels[:, 0], 0)], 0.0)
        rows[~single, :n_base] = self.coefficients[channels[~single, 0], channels[~single, 1]]
        return rows

    def evaluate(self, r: np.ndarray, channels: np.ndarray) -> Pair:
        """Return values and d/dr, each (len(r), len(channels)).

        Raises
        ------
        ValueError
            For distances within the first step of the table, where LAMMPS stops too.
        """
        rows = self.rows(channels)
        values, slopes = self.interpolated(r)
        return (rows @ values).T, (rows @ slopes).T

    def interpolated(self, r: np.ndarray) -> Pair:
        """Return g_k and the core, each (n_base + 1, len(r)), and d/dr."""
        step = self.spacing
        node = np.floor(r / step)
        if (node < 1).any():
            raise ValueError(f"atoms are {r.min():.3g} Å apart; the tables of the file begin at {step:.3g} Å")
        t = r / step - node
        (f0, d0), (f1, d1) = (self.exact(k * step) for k in (node, node + 1))
        d0, d1 = d0 * step, d1 * step
        a, b = 3 * (f1 - f0) - d1 - 2 * d0, 2 * (f0 - f1) + d0 + d1
        inside = r < self.rcut
        return (f0 + t * (d0 + t * (a + t * b))) * inside, (d0 + t * (2 * a + 3 * t * b)) / step * inside

    def exact(self, r: np.ndarray) -> Pair:
        """Return what the table holds: g_k and the core, each (n_base + 1, len(r)), and d/dr; zero from rcut on."""
        n_base, core = self.coefficients.shape[2], self.core
        g, dg = FAMILIES[self.family](r, self.rcut, self.parameter, self.dcut, n_base)
        if core.kind == "zbl":
            c, dc = zbl_core(r, self.rcut, core.strength, self.dcut, core.charges)
        else:
            c, dc = gaussian_core(r, self.rcut, core.strength, core.decay)
            g, dg = (a * (r > core.end - core.width) for a in (g, dg))
        if core.kind == "distance":
            s, ds = step_down(r, core.end, core.width)
            g, dg = g * (1 - s), dg * (1 - s) - g * ds
            c, dc = c * s, dc * s + c * ds
        inside = r < _AT_CUTOFF * self.rcut
        return np.vstack([g, c]) * inside, np.vstack([dg, dc]) * inside


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


Bond = TableBond | PolynomialBond


def _power(x: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    return x**n, n * x ** (n - 1) if n else np.zeros_like(x)
