"""Nonlinear site energies, linearized: gradients and rows of a fit to E_i = F(ρ_i1, ..., ρ_iP).

With ρ_ip = θ_p · B̄(i), B̄ = B − B(∅), and h_ijp = Σ_q F_pq ∂ρ_iq/∂r_ij,

    ∂E/∂θ_p     Σ_i F_p B̄(i)
    ∂f_k/∂θ_p   −Σ_i [F_p ∂B(i)/∂r_k + (Σ_j h_ijp (δ_kj − δ_ki)) B̄(i)]

and for weighted squares ℓ of the errors, with e = ∂ℓ/∂E and w = ∂ℓ/∂F (and ∂ℓ/∂W for the virial)

    ∂ℓ/∂θ_p     Σ_i [(e F_p − Σ_q F_pq ρ̇_iq) B̄(i) − F_p Ḃ(i)],      ρ̇_iq = θ_q · Ḃ(i),

where Ḃ is the derivative of the features along the motion w of the atoms and of space: Σ_k w_k · f_k is minus the rate
at which the energy changes along w. So a gradient costs one evaluation of forces and one `jvp`, some ten times less
than rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from acepure.features.basis import evaluate_features
from acepure.features.derivatives import sum_gradients
from acepure.features.directional import jvp
from acepure.features.linear import EnergyAndForces, LinearFunction
from acepure.fitting.design import Design
from acepure.fitting.labels import LabeledStructure
from acepure.models.embedding import Embedding
from acepure.neighbors.environments import Environments


@dataclass(frozen=True, eq=False)
class EmbeddedDesign:
    """Errors of a potential with embedded densities, linearized in their coefficients.

    Columns are (density, species of center, feature).

    Attributes
    ----------
    design : Design
        Weights, reference energies and core.
    embedding : Embedding
    densities : LinearFunction
        With θ, shape (n_densities, n_species, n_features).
    vacuum : numpy.ndarray, shape (n_species, n_features)
        B(∅).
    """

    design: Design
    embedding: Embedding
    densities: LinearFunction
    vacuum: np.ndarray

    @property
    def n_columns(self) -> int:
        """Coefficients of all densities."""
        return self.densities.coefficients.size

    def n_rows(self, item: LabeledStructure) -> int:
        """Number of rows of a structure."""
        return self.design.n_rows(item)

    def evaluate(self, environments: Environments) -> EnergyAndForces:
        """Return Σ F with forces and virial, without E0 and core."""
        F, at_rest = self.embedding, np.einsum("pzk,zk->zp", self.densities.coefficients, self.vacuum)
        return self.densities.evaluate_environments(
            environments, lambda rho, z: (F.value(rho - at_rest[z]), F.gradient(rho - at_rest[z]))
        )

    def gradient(self, item: LabeledStructure, num_threads: int | None = None) -> tuple[float, np.ndarray]:
        """Return ℓ of a structure and ∂ℓ/∂θ, shape of θ."""
        environments = Environments(self.design.basis, item.atoms, num_threads=num_threads)
        misfit = self.design.misfit(item, environments, self.evaluate(environments))
        neighbors = environments.neighbors
        B, rate = jvp(
            self.design.basis, item.atoms, misfit.forces, misfit.strain, neighbors=neighbors, num_threads=num_threads
        )
        B = B - self.vacuum[environments.species]
        slope, bent = self._derivatives(B, environments.species)
        theta = self.densities.coefficients
        rates = np.einsum("npq,qnk,nk->np", bent, theta[:, environments.species], rate, optimize=True)
        of_value, gradient = misfit.energy * slope - rates, np.zeros_like(theta)
        for z in range(len(self.vacuum)):
            mine = environments.species == z
            gradient[:, z] = -2 * (of_value[mine].T @ B[mine] - slope[mine].T @ rate[mine])
        return misfit.squares, gradient

    def rows(self, item: LabeledStructure, num_threads: int | None = None) -> np.ndarray:
        """Return the weighted rows of a structure, its errors last, shape (n_rows, n_columns + 1)."""
        environments = Environments(self.design.basis, item.atoms, num_threads=num_threads)
        species, n_atoms = environments.species, len(item.atoms)
        B = evaluate_features(self.design.basis, environments) - self.vacuum[species]
        slope, bent = self._derivatives(B, species)
        shape = self.densities.coefficients.shape
        value, positions, strain = np.zeros(shape), np.zeros((3 * n_atoms, *shape)), np.zeros((3, 3, *shape))
        sums = sum_gradients(self.design.basis, environments, weights=slope.T)
        positions += np.moveaxis(sums.positions.reshape(*shape[:2], 3 * n_atoms, shape[2]), 2, 0)
        strain += np.moveaxis(sums.strain, (2, 3), (0, 1))
        for p in range(shape[0]):
            moved, strained = self._of_densities(environments, bent[:, p])
            for z in range(shape[1]):
                mine = species == z
                value[p, z] = slope[mine, p] @ B[mine]
                positions[:, p, z] += moved[:, mine] @ B[mine]
                strain[:, :, p, z] += strained[:, :, mine] @ B[mine]
        predicted, labels = self.evaluate(environments), self.design.labels(item, environments)
        errors = EnergyAndForces(
            np.array([labels.energy - predicted.energy]),
            labels.forces - predicted.forces,
            labels.virial - predicted.virial,
        )
        n = self.n_columns
        return self.design.stacked(item, value.ravel(), positions.reshape(-1, n), strain.reshape(3, 3, n), errors)

    def _derivatives(self, B: np.ndarray, species: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rho = np.einsum("nk,pnk->np", B, self.densities.coefficients[:, species], optimize=True)
        return self.embedding.gradient(rho), self.embedding.curvature(rho)

    def _of_densities(self, environments: Environments, bent: np.ndarray) -> tuple[csr_array, np.ndarray]:
        """Σ_q bent_iq ∂ρ_iq with respect to positions, shape (3 n_atoms, n_atoms), and strain, (3, 3, n_atoms)."""
        neighbors, n = environments.neighbors, len(environments.species)
        h = self.densities.pair_gradients(environments, bent)
        owner = np.repeat(neighbors.centers, np.diff(neighbors.offsets))
        strain = np.zeros((n, 3, 3))
        np.add.at(strain, owner, h[:, :, None] * neighbors.vectors[:, None, :])
        rows = 3 * np.concatenate([neighbors.neighbors, owner])[:, None] + np.arange(3)
        columns = np.repeat(np.concatenate([owner, owner]), 3)
        moved = csr_array((np.concatenate([h, -h]).ravel(), (rows.ravel(), columns)), shape=(3 * n, n))
        return moved, np.moveaxis(strain, 0, 2)
