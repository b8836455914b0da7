"""Training of nonlinear site energies: from a linear fit, by gradients of the loss that take one motion per structure.

With ρ_ip = θ_p · B̄(i), B̄ = B − B(∅), weighted squares ℓ of the errors, e = ∂ℓ/∂E and w = ∂ℓ/∂F (and ∂ℓ/∂W for the
virial),

    ∂ℓ/∂θ_p = Σ_i [(e F_p − Σ_q F_pq ρ̇_iq) B̄(i) − F_p Ḃ(i)],      ρ̇_iq = θ_q · Ḃ(i),

with Ḃ the derivative of the features along the motion w of the atoms and of space: Σ_k w_k · f_k is minus the rate at
which the energy changes along w. So a gradient costs one evaluation of forces and one `jvp`.

The unknowns are those of the linear fit, whitened: θ_p = R v_p, R Rᵀ = (XᵀX + λ)⁻¹ there. In them the linear problem is
|v − v₀|², so that one step solves for ρ_1 exactly when the other densities are given, and L-BFGS needs few steps.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from acepure._utils.workers import naming_structure, structure_bar
from acepure.features.directional import jvp
from acepure.features.environments import Environments
from acepure.features.linear import LinearFunction, features_of_isolated_atoms
from acepure.fitting.design import Design
from acepure.fitting.labels import LabeledStructure
from acepure.models.embedding import Embedding

__all__ = ["Loss"]


class Loss:
    """Σ of weighted squares of the errors, its gradient by coefficients, and root mean squares by kind of label.

    Parameters
    ----------
    design : Design
        Of the linear fit.
    embedding : Embedding
    num_threads : int, optional
    """

    def __init__(self, design: Design, embedding: Embedding, num_threads: int | None = None) -> None:
        self.design, self.embedding, self.num_threads = design, embedding, num_threads
        self.vacuum = features_of_isolated_atoms(design.basis)

    def function(self, theta: np.ndarray) -> LinearFunction:
        """Return the densities of coefficients (n_densities, n_species, n_features), without vacuum."""
        return LinearFunction(self.design.basis, theta)

    def __call__(
        self, densities: LinearFunction, item: LabeledStructure, environments: Environments
    ) -> tuple[float, np.ndarray]:
        """Return ℓ of a structure and ∂ℓ/∂θ, shape of θ."""
        theta, F = densities.coefficients, self.embedding
        at_rest = np.einsum("pzk,zk->zp", theta, self.vacuum)
        predicted = densities.evaluate_environments(
            environments, lambda rho, z: (F.value(rho - at_rest[z]), F.gradient(rho - at_rest[z]))
        )
        misfit = self.design.misfit(item, environments, predicted)
        species, given = environments.species, {"neighbors": environments.neighbors, "num_threads": self.num_threads}
        B, dB = jvp(self.design.basis, item.atoms, misfit.forces, misfit.strain, **given)
        B = B - self.vacuum[species]
        gradient = np.zeros_like(theta)
        for z in range(len(theta[0])):
            mine = species == z
            rho, rate = B[mine] @ theta[:, z].T, dB[mine] @ theta[:, z].T
            slope, bent = F.gradient(rho), F.curvature(rho)
            of_value = misfit.energy * slope - np.einsum("npq,nq->np", bent, rate)
            gradient[:, z] = -2 * (of_value.T @ B[mine] - slope.T @ dB[mine])
        return misfit.squares, gradient
