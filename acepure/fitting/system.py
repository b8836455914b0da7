"""From coefficients to the unknowns of the solvers: prior and constraint, applied once for all of them.

The coefficients of one species are θ̄ = (θ_0, θ), E_i = E0 + θ_0 + Σ_k θ_k B_k(i). An isolated atom has the energy E0
exactly: with b = B(no neighbors) and a = (1, b),

    a · θ̄ = 0.

Before it, the prior is θ̄ = T̄ v with v ~ N(0, 1): T̄ = chol(Kc) ⊗ (1, root(S) / Γ), see `species_prior.py`. With the
constraint A θ̄ = 0 of all species, and N an orthonormal basis of the null space of A T̄ from Householder reflections,

    θ̄ = T u,      T = T̄ N,

where |u| is the penalty. For canonical features b = 0 and this drops the constants; for centered and shifted ones
dropping them would be wrong.

Scalars that are no energies have free constants instead (θ_0 is an unknown like others), and what turns with the
structure has none, since nothing but a scalar is constant: `Constants` says which.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
from scipy.linalg import qr
from scipy.sparse import block_diag, csr_array, diags_array, kron

from acepure.features.basis import ACEBasis
from acepure.features.linear import features_of_isolated_atoms
from acepure.fitting.design import Triangle
from acepure.fitting.priors import SmoothnessPrior
from acepure.fitting.solvers import Solution, SolverProblem, largest_evidence
from acepure.fitting.species_prior import correlations, exchangeable, has_common_functions, root_of_correlation

#: θ_0 of each species: bound by the energy of an isolated atom, free, or none.
Constants = Literal["bound", "free", "none"]

# A coefficient is open if the data take less than this part of its variance in the prior away.
_SAID = 0.5
#: Coefficients by which ρ and ρc are chosen: those of lowest degree.
TELLING = 800
# ρ and ρc between which the evidence chooses.
_OFFERED = (0.0, 0.9, 0.99, 0.999)


@dataclass(frozen=True, eq=False)
class Unknowns:
    """θ̄ = T u.

    Attributes
    ----------
    T : numpy.ndarray, shape (n_species * (n_constants + n_features), n_unknowns)
    n_species : int
    n_constants : int
        Columns of each species before its features: 1, or 0 without constants.
    """

    T: np.ndarray
    n_species: int
    n_constants: int = 1

    def problem(self, triangle: Triangle) -> SolverProblem:
        """Return least squares for u."""
        R = np.hstack([triangle.R[:, :-1] @ self.T, triangle.R[:, -1:]])
        return SolverProblem.from_triangle(qr(R, mode="r")[0][: R.shape[1]], triangle.n_rows)

    def coefficients(self, u: np.ndarray) -> np.ndarray:
        """Return θ, shape (n_species, n_features), without θ_0."""
        return (self.T @ u).reshape(self.n_species, -1)[:, self.n_constants :]

    def constants(self, u: np.ndarray) -> np.ndarray:
        """Return θ_0, shape (n_species,); zero without constants."""
        found: np.ndarray = (self.T @ u).reshape(self.n_species, -1)[:, : self.n_constants]
        return found.sum(axis=1)

    def feature_rows(self) -> np.ndarray:
        """Return the part of T that belongs to θ, shape (n_species, n_features, n_unknowns)."""
        return self.T.reshape(self.n_species, -1, self.T.shape[1])[:, self.n_constants :]


def unknowns(basis: ACEBasis, prior: SmoothnessPrior, constants: Constants = "bound") -> Unknowns:
    """Return T for a basis and a prior; a ρ that the prior leaves to the evidence is taken as 0."""
    neighbors, centers = prior.neighbors or 0.0, prior.centers or 0.0
    return _Unconstrained.of(basis, replace(prior, neighbors=neighbors), constants).unknowns(neighbors, centers)


@dataclass(frozen=True, eq=False)
class _Unconstrained:
    """What maps to coefficients have in common for all (ρ, ρc)."""

    scales: np.ndarray
    n_species: int
    constants: Constants
    vacuum: np.ndarray | None
    correlations: list[csr_array]

    @classmethod
    def of(cls, basis: ACEBasis, prior: SmoothnessPrior, constants: Constants) -> _Unconstrained:
        correlated = len(basis.species) > 1 and prior.neighbors != 0
        vacuum = features_of_isolated_atoms(basis) if constants == "bound" else None
        S = correlations(basis) if correlated else []
        return cls(prior.scales(basis), len(basis.species), constants, vacuum, S)

    def lowest(self, n_coefficients: int) -> np.ndarray:
        """Which features have the smallest Γ: about as many coefficients, those of equal Γ together."""
        enough = min(max(n_coefficients // self.n_species, 1), len(self.scales))
        return self.scales <= np.sort(self.scales)[enough - 1]

    def part(self, kept: np.ndarray) -> _Unconstrained:
        """Return the same for some of the features."""
        vacuum = None if self.vacuum is None else self.vacuum[:, kept]
        S = [csr_array(one[kept][:, kept]) for one in self.correlations]
        return replace(self, scales=self.scales[kept], vacuum=vacuum, correlations=S)

    def columns(self, kept: np.ndarray) -> np.ndarray:
        """Return the columns of rows that belong to some of the features, and the constants."""
        constants = np.ones(int(self.constants != "none"), dtype=bool)
        return np.flatnonzero(np.tile(np.append(constants, kept), self.n_species))

    def unknowns(self, neighbors: float, centers: float) -> Unknowns:
        """Return T of (ρ, ρc)."""
        n_species, n = self.n_species, len(self.scales)
        root = diags_array(1 / self.scales)
        if self.correlations and neighbors:
            root = root @ root_of_correlation(self.correlations, neighbors)
        between = np.linalg.cholesky(exchangeable(n_species, centers))
        of_one = root if self.constants == "none" else block_diag([[[1.0]], root])
        free = kron(between, of_one, format="csr")
        if self.vacuum is None:
            return Unknowns(free.toarray(), n_species, int(self.constants == "free"))
        constraint = block_diag([np.concatenate([[1.0], b])[None] for b in self.vacuum], format="csr")
        # Constants first: then reflections leave the order of the others, and where b = 0 are the identity.
        constants = np.arange(n_species) * (1 + n)
        order = np.concatenate([constants, np.setdiff1d(np.arange(free.shape[1]), constants)])
        Q = qr((constraint @ free).toarray().T[order])[0][:, n_species:]
        return Unknowns(free[:, order] @ Q, n_species)


def prior_from_evidence(
    basis: ACEBasis, prior: SmoothnessPrior, triangle: Triangle, constants: Constants = "bound"
) -> tuple[SmoothnessPrior, str]:
    """Return the prior with the (ρ, ρc) of largest evidence where it leaves them open, and what was done, as text.

    First ρ is chosen, with ρc as large as offered, then ρc, by the features of lowest degree: 800 coefficients tell as
    much as thousands. One R factor serves all.

    Parameters
    ----------
    basis : ACEBasis
        Of the fit, in its coordinates.
    prior : SmoothnessPrior
    triangle : Triangle
    constants : {"bound", "free", "none"}
        Of the rows.
    """
    if len(basis.species) < 2 or (prior.neighbors is not None and prior.centers is not None):
        return prior, ""
    if not has_common_functions(basis):
        fixed = replace(prior, neighbors=prior.neighbors or 0.0, centers=prior.centers or 0.0)
        return fixed, "radial functions differ between pairs of species, so that species do not know of each other"
    common = _Unconstrained.of(basis, prior, constants)
    kept = common.lowest(TELLING)
    rows = Triangle(triangle.R[:, np.append(common.columns(kept), -1)], triangle.n_rows)
    common = common.part(kept)

    @cache
    def evidence(rho: float, rho_centers: float) -> float:
        return largest_evidence(common.unknowns(rho, rho_centers).problem(rows))[1]

    centers = _OFFERED[-1] if prior.centers is None else prior.centers
    rho = prior.neighbors
    if rho is None:
        rho = max(_OFFERED, key=lambda x: evidence(x, centers))
    if prior.centers is None:
        centers = max(_OFFERED[:-1], key=lambda x: evidence(rho, x))
    apart = evidence(0.0, 0.0)
    text = (
        f"species know of each other: correlation {rho:g} between neighbors, {centers:g} between centers; "
        f"log evidence {evidence(rho, centers) - apart:+.0f} against none"
    )
    return replace(prior, neighbors=rho, centers=centers), text


def undetermined_text(basis: ACEBasis, rows: np.ndarray, solution: Solution) -> str:
    """Return how many coefficients of each order the data say little about; empty for solvers without prior.

    These keep more than half of their variance: Var(θ_k) of the posterior over that of the prior, |T_k|² σ²/λ.

    Parameters
    ----------
    basis : ACEBasis
    rows : numpy.ndarray, shape (n_species, n_features, n_unknowns)
        `Unknowns.feature_rows`.
    solution : Solution
    """
    if not solution.lam > 0 or not solution.noise > 0:
        return ""
    before = np.square(rows).sum(axis=2) * solution.noise**2 / solution.lam
    after = np.square(rows @ solution.root).sum(axis=2)
    is_open = after > (1 - _SAID) * before
    orders = np.array([label.order for label in basis.labels])
    parts = [
        f"{is_open[:, orders == order].sum():,} of {is_open[:, orders == order].size:,} of order {order}"
        for order in range(1, basis.order + 1)
        if (orders == order).any()
    ]
    return f"data say little about {', '.join(parts)}: these coefficients keep more than half of their prior variance"
