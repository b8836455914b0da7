"""Site energies F(ρ_i1, ..., ρ_iP) of densities ρ_ip = θ_p · B̄(i), B̄ = B − B(∅), and their derivatives by θ.

With h_ijp = Σ_q F_pq ∂ρ_iq/∂r_ij, the derivatives of E = Σ_i F are

    ∂E/∂θ_p       Σ_i F_p B̄(i)
    ∂²E/∂θ_p∂r_k  Σ_i [F_p ∂B(i)/∂r_k + (Σ_j h_ijp (δ_kj − δ_ki)) B̄(i)]

and likewise for strain: where F is known, these are the rows of a linear model with features of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from acepure._utils.read_only import ReadOnly, read_only
from acepure.features.basis import ACEBasis, evaluate_features
from acepure.features.derivatives import sum_gradients
from acepure.features.linear import EnergyAndForces, LinearFunction, features_of_isolated_atoms
from acepure.models.embedding import Embedding
from acepure.neighbors.environments import Environments

__all__ = ["EmbeddedFunction", "Linearized"]


class Linearized(NamedTuple):
    """Derivatives by θ, columns in the order (density, species of center, feature).

    Attributes
    ----------
    value : numpy.ndarray, shape (n_columns,)
        Of Σ_i F over the centers.
    positions : numpy.ndarray, shape (3 n_atoms, n_columns)
        Of its gradient.
    strain : numpy.ndarray, shape (3, 3, n_columns)
    """

    value: np.ndarray
    positions: np.ndarray
    strain: np.ndarray


class EmbeddedFunction(ReadOnly):
    """Σ_i F(ρ_i1, ..., ρ_iP), without energies of isolated atoms.

    Parameters
    ----------
    embedding : Embedding
    densities : LinearFunction
        With θ, shape (n_densities, n_species, n_features).
    vacuum : numpy.ndarray, shape (n_species, n_features), optional
        B(∅), where it is known already.
    """

    def __init__(self, embedding: Embedding, densities: LinearFunction, vacuum: np.ndarray | None = None) -> None:
        self.embedding, self.densities = embedding, densities
        self.vacuum = read_only(features_of_isolated_atoms(densities.basis) if vacuum is None else vacuum)
        self.at_rest = read_only(np.einsum("pzk,zk->zp", densities.coefficients, self.vacuum))

    @property
    def basis(self) -> ACEBasis:
        """The basis of the densities."""
        return self.densities.basis

    def with_coefficients(self, theta: np.ndarray) -> EmbeddedFunction:
        """Return the function of other θ."""
        return EmbeddedFunction(self.embedding, self.densities.with_coefficients(theta), self.vacuum)

    def evaluate(self, environments: Environments) -> EnergyAndForces:
        """Return F of each center, forces and virial."""
        F, at_rest = self.embedding, self.at_rest
        return self.densities.evaluate_environments(
            environments, lambda rho, z: (F.value(rho - at_rest[z]), F.gradient(rho - at_rest[z]))
        )

    def derivatives(self, B: np.ndarray, species: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return F_p, shape (n, P), and F_pq, shape (n, P, P), of centers with the features B̄."""
        rho = self.contracted(B, species)
        return self.embedding.gradient(rho), self.embedding.curvature(rho)

    def contracted(self, features: np.ndarray, species: np.ndarray) -> np.ndarray:
        """Return θ_p · features of centers, shape (n, P)."""
        result = np.empty((len(features), self.densities.n_outputs))
        for z in range(len(self.vacuum)):
            mine = species == z
            result[mine] = features[mine] @ self.densities.coefficients[:, z].T
        return result

    def features(self, environments: Environments) -> np.ndarray:
        """Return B̄ of the centers."""
        return evaluate_features(self.basis, environments) - self.vacuum[environments.center_species]

    def spread(self, environments: Environments, root: np.ndarray) -> np.ndarray:
        """Return Σ_p root_pᵀ F_p B̄(i) of each center, for roots of shape (P, n_species, n_features, any)."""
        B, species = self.features(environments), environments.center_species
        slope, result = self.derivatives(B, species)[0], np.zeros((len(B), root.shape[-1]))
        for z in range(len(self.vacuum)):
            mine = species == z
            for p in range(len(root)):
                result[mine] += slope[mine, p, None] * (B[mine] @ root[p, z])
        return result

    def linearized(self, environments: Environments) -> Linearized:
        """Return the derivatives by θ of energy, its gradient and its derivative by strain."""
        _ = environments.neighbors  # one list for all that follows
        species, n_atoms = environments.center_species, len(environments.species)
        B = self.features(environments)
        slope, bent = self.derivatives(B, species)
        shape = self.densities.coefficients.shape
        value, n = np.zeros(shape), self.densities.coefficients.size
        sums = sum_gradients(self.basis, environments, weights=slope.T)
        positions = np.moveaxis(sums.positions.reshape(*shape[:2], 3 * n_atoms, shape[2]), 2, 0).copy()
        strain = np.moveaxis(sums.strain, (2, 3), (0, 1)).copy()
        for p in range(shape[0]):
            moved, strained = self._of_densities(environments, bent[:, p])
            for z in range(shape[1]):
                mine = species == z
                value[p, z] = slope[mine, p] @ B[mine]
                positions[:, p, z] += moved[:, mine] @ B[mine]
                strain[:, :, p, z] += strained[:, :, mine] @ B[mine]
        return Linearized(value.ravel(), positions.reshape(-1, n), strain.reshape(3, 3, n))

    def _of_densities(self, environments: Environments, bent: np.ndarray) -> tuple[csr_array, np.ndarray]:
        """Σ_q bent_iq ∂ρ_iq by positions, shape (3 n_atoms, n_centers), and strain, (3, 3, n_centers)."""
        neighbors, n = environments.neighbors, environments.n_centers
        h = self.densities.pair_gradients(environments, bent)
        owner = np.repeat(np.arange(n), np.diff(neighbors.offsets))
        strain = np.zeros((n, 3, 3))
        np.add.at(strain, owner, h[:, :, None] * neighbors.vectors[:, None, :])
        moving = np.concatenate([neighbors.neighbors, neighbors.centers[owner]])
        rows = 3 * moving[:, None] + np.arange(3)
        columns = np.repeat(np.concatenate([owner, owner]), 3)
        shape = 3 * len(environments.species), n
        moved = csr_array((np.concatenate([h, -h]).ravel(), (rows.ravel(), columns)), shape=shape)
        return moved, np.moveaxis(strain, 0, 2)
