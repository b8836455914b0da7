"""Errors on folds that were left out, for any weights, from the reduced rows alone.

With θ̄ = T u and the ridge λ|u|², let A be the R factor of all weighted rows with the ridge below, (R T; √λ). In
v = A u every Gram matrix is at most the identity, whatever the condition of the rows:

    H_fk = (R_fk T A⁻¹)ᵀ (R_fk T A⁻¹),     (λ A⁻ᵀ A⁻¹ + Σ_k w_k² Σ_{f' ≠ f} H_f'k) v_f = Σ_k w_k² Σ_{f' ≠ f} b_f'k.

So each (weights, fold) costs one Cholesky factorization.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from acepure.fitting.recipe_triangles import KINDS, FoldTriangles, triangle_of
from acepure.fitting.solvers import solve
from acepure.fitting.system import Unknowns

# λ relative to the square of the largest singular value: below, the map to v would lose all digits.
_LEAST_RIDGE = 1e-14


class HeldOutErrors(NamedTuple):
    """Errors over all folds; NaN for a kind of label that is not there."""

    energy: float  #: mean absolute error, eV per atom
    forces: float  #: root mean square error, eV/Å
    virial: float  #: root mean square of (W − Ŵ)/√N, eV, over the six components with √2 off the diagonal

    @property
    def score(self) -> float:
        """The sum of the logarithms of those that are there and not zero."""
        return float(sum(np.log(x) for x in self if x > 0))

    def __str__(self) -> str:
        shown = (f"{1e3 * self.energy:.4g} meV/atom", f"{self.forces:.4g} eV/Å", f"{self.virial:.3g} eV/√N")
        return ", ".join(
            f"{kind} {text}" for kind, text, value in zip(KINDS, shown, self, strict=True) if not np.isnan(value)
        )


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Cross-validation of one basis and prior.

    Attributes
    ----------
    rows : FoldTriangles
    to_coefficients : numpy.ndarray, shape (n_columns, n_unknowns)
        T A⁻¹.
    ridge : numpy.ndarray, shape (n_unknowns, n_unknowns)
        λ A⁻ᵀ A⁻¹.
    grams : dict
        (H_fk, b_fk) of each fold and kind.
    """

    rows: FoldTriangles
    to_coefficients: np.ndarray
    ridge: np.ndarray
    grams: dict[tuple[int, str], tuple[np.ndarray, np.ndarray]]

    @classmethod
    def of(cls, rows: FoldTriangles, unknowns: Unknowns, weights: Sequence[float], lam: float | None = None) -> HeldOut:
        """Prepare it; λ is that of the evidence with these weights and all folds, unless it is given."""
        problem = unknowns.problem(rows.weighted(weights))
        lam = solve(problem, "blr").lam if lam is None else lam
        lam = max(lam, _LEAST_RIDGE * problem.s[0] ** 2)
        n = len(problem.s)
        A = triangle_of(np.vstack([problem.X, np.sqrt(lam) * np.eye(n)]))
        inverse = solve_triangular(A, np.eye(n))
        L = unknowns.T @ inverse
        grams = {}
        for key, block in rows.blocks.items():
            Z = block[:, :-1] @ L
            grams[key] = Z.T @ Z, Z.T @ block[:, -1]
        return cls(rows, L, lam * inverse.T @ inverse, grams)

    def coefficients(self, weights: Sequence[float], *left: int) -> np.ndarray:
        """Return θ̄ from all folds but some, shape (n_columns,)."""
        factor = dict(zip(KINDS, weights))
        G, b = self.ridge.copy(), np.zeros(len(self.ridge))
        for (f, kind), (H, c) in self.grams.items():
            if f not in left:
                G += factor[kind] ** 2 * H
                b += factor[kind] ** 2 * c
        return self.to_coefficients @ cho_solve(cho_factor(G), b)

    def errors(self, weights: Sequence[float]) -> HeldOutErrors:
        """Return the errors with weights (w_E, w_F, w_V)."""
        sums, counts = self._sums(weights)
        with np.errstate(invalid="ignore"):
            energy, forces, virial = sums.sum(axis=0) / counts.sum(axis=0)
        return HeldOutErrors(float(energy), float(np.sqrt(forces)), float(np.sqrt(virial)))

    def fold_scores(self, weights: Sequence[float], kinds: Sequence[str]) -> np.ndarray:
        """Return the sum of the logarithms of the errors of some kinds for each fold that has labels of all of them."""
        sums, counts = self._sums(weights)
        chosen = [KINDS.index(kind) for kind in kinds]
        usable = (counts[:, chosen] > 0).all(axis=1) & (sums[:, chosen] > 0).all(axis=1)
        means = sums[usable][:, chosen] / counts[usable][:, chosen]
        halves = np.array([1.0 if kind == "energy" else 0.5 for kind in kinds])
        scores: np.ndarray = np.log(means) @ halves
        return scores

    def _sums(self, weights: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """Sums over absolute errors of energies, and over squares of the others, and how many; shape (folds, 3)."""
        sums, counts = np.zeros((2, self.rows.folds, len(KINDS)))
        for fold in range(self.rows.folds):
            vector = np.append(self.coefficients(weights, fold), -1.0)
            absolute = np.abs(self.rows.energies[self.rows.energy_folds == fold] @ vector)
            sums[fold, 0], counts[fold, 0] = absolute.sum(), len(absolute)
            for k, kind in enumerate(KINDS[1:], 1):
                if (fold, kind) in self.rows.blocks:
                    sums[fold, k] = np.sum((self.rows.blocks[fold, kind] @ vector) ** 2)
                    counts[fold, k] = self.rows.n_rows[fold, kind]
        return sums, counts
