"""From coefficients to the unknowns of the solvers: prior and constraint, applied once for all of them.

The coefficients of one species are θ̄ = (θ_0, θ), E_i = E0 + θ_0 + Σ_k θ_k B_k(i). An isolated atom has the energy E0
exactly: with b = B(no neighbors) and a = (1, b),

    a · θ̄ = 0.

In scaled coefficients Γ̄θ̄ with Γ̄ = (1, Γ) the constraint is (Γ̄⁻¹a) · Γ̄θ̄ = 0. One Householder reflection H takes Γ̄⁻¹a
to the first axis, so that Γ̄θ̄ = H (0, u) with free unknowns u, and |Γ̄θ̄| = |u|. For canonical features b = 0 and this
drops the constant; for centered and shifted ones dropping it would be wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag, qr

from acepure.features.basis import ACEBasis
from acepure.features.linear import features_of_isolated_atoms
from acepure.fitting.design import Triangle
from acepure.fitting.priors import SmoothnessPrior
from acepure.fitting.solvers import SolverProblem

__all__ = ["Unknowns", "unknowns"]


@dataclass(frozen=True, eq=False)
class Unknowns:
    """θ̄ = T u.

    Attributes
    ----------
    T : numpy.ndarray, shape (n_species * (1 + n_features), n_species * n_features)
    n_species : int
    """

    T: np.ndarray
    n_species: int

    def problem(self, triangle: Triangle) -> SolverProblem:
        """Return least squares for u."""
        R = np.hstack([triangle.R[:, :-1] @ self.T, triangle.R[:, -1:]])
        return SolverProblem.from_triangle(qr(R, mode="r")[0][: R.shape[1]], triangle.n_rows)

    def coefficients(self, u: np.ndarray) -> np.ndarray:
        """Return θ, shape (n_species, n_features), without θ_0, which follows from it."""
        return (self.T @ u).reshape(self.n_species, -1)[:, 1:]

    def feature_rows(self) -> np.ndarray:
        """Return the part of T that belongs to θ, shape (n_species, n_features, n_unknowns)."""
        return self.T.reshape(self.n_species, -1, self.T.shape[1])[:, 1:]


def unknowns(basis: ACEBasis, prior: SmoothnessPrior) -> Unknowns:
    """Return T for a basis and a prior."""
    scales = np.concatenate([[1.0], prior.scales(basis)])
    blocks = []
    for vacuum in features_of_isolated_atoms(basis):
        a = np.concatenate([[1.0], vacuum]) / scales
        v = a.copy()
        v[0] += np.copysign(np.linalg.norm(a), a[0])
        H = np.eye(len(a)) - np.outer(v, v) * (2.0 / (v @ v))
        blocks.append(H[:, 1:] / scales[:, None])
    return Unknowns(block_diag(*blocks), len(basis.species))
