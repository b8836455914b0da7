"""Nonlinear site energies in a fit: rows of the linearized problem, and gradients of squares without rows.

Rows are those of `acepure.models.linearization`. For weighted squares ℓ of the errors, with e = ∂ℓ/∂E and w = ∂ℓ/∂F
(and ∂ℓ/∂W for the virial),

    ∂ℓ/∂θ_p     Σ_i [(e F_p − Σ_q F_pq ρ̇_iq) B̄(i) − F_p Ḃ(i)],      ρ̇_iq = θ_q · Ḃ(i),

where Ḃ is the derivative of the features along the motion w of the atoms and of space: Σ_k w_k · f_k is minus the rate
at which the energy changes along w. So a gradient costs one evaluation of forces and one `jvp`, some ten times less
than rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from acepure.features.directional import jvp
from acepure.features.linear import EnergyAndForces
from acepure.fitting.design import Design
from acepure.fitting.labels import LabeledStructure
from acepure.models.linearization import EmbeddedFunction
from acepure.neighbors.environments import Environments


@dataclass(frozen=True, eq=False)
class EmbeddedDesign:
    """Errors of a potential with embedded densities, linearized in their coefficients.

    Columns are (density, species of center, feature).

    Attributes
    ----------
    design : Design
        Weights, reference energies and core.
    function : EmbeddedFunction
    """

    design: Design
    function: EmbeddedFunction

    @property
    def n_columns(self) -> int:
        """Coefficients of all densities."""
        return self.function.densities.coefficients.size

    def n_rows(self, item: LabeledStructure) -> int:
        """Number of rows of a structure."""
        return self.design.n_rows(item)

    def gradient(self, item: LabeledStructure, num_threads: int | None = None) -> tuple[float, np.ndarray]:
        """Return ℓ of a structure and ∂ℓ/∂θ, shape of θ."""
        environments = Environments(self.design.basis, item.atoms, num_threads=num_threads)
        neighbors = environments.neighbors  # one list for all that follows
        misfit = self.design.misfit(item, environments, self.function.evaluate(environments))
        B, rate = jvp(
            self.design.basis, item.atoms, misfit.forces, misfit.strain, neighbors=neighbors, num_threads=num_threads
        )
        species = environments.species
        B = B - self.function.vacuum[species]
        slope, bent = self.function.derivatives(B, species)
        theta = self.function.densities.coefficients
        rates = np.einsum("npq,nq->np", bent, self.function.contracted(rate, species))
        of_value, gradient = misfit.energy * slope - rates, np.zeros_like(theta)
        for z in range(theta.shape[1]):
            mine = species == z
            gradient[:, z] = -2 * (of_value[mine].T @ B[mine] - slope[mine].T @ rate[mine])
        return misfit.squares, gradient

    def rows(self, item: LabeledStructure, num_threads: int | None = None) -> np.ndarray:
        """Return the weighted rows of a structure, its errors last, shape (n_rows, n_columns + 1)."""
        environments = Environments(self.design.basis, item.atoms, num_threads=num_threads)
        rows = self.function.linearized(environments)
        predicted, labels = self.function.evaluate(environments), self.design.labels(item, environments)
        errors = EnergyAndForces(
            np.array([labels.energy - predicted.energy]),
            labels.forces - predicted.forces,
            labels.virial - predicted.virial,
        )
        return self.design.stacked(item, *rows, errors)
