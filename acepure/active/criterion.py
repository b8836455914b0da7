"""How sure a potential is of the forces on a structure, and a potential that is drawn to where it is not.

The criterion is the largest ratio of lengths

    c = max_i σ(F_i) / (|F_i| + ε),      σ(F_i)² = tr Cov F_i,

with calibrated σ. The bias lowers the energy where that of the posterior is uncertain,

    E_b = E − τ σ_E,    σ_E = |v|,    v = Σ_i S(z_i)ᵀ (B(i) − B(∅)),

whose gradient is that of a linear function with weights that are the same for all atoms of a species,

    θ_b(z) = θ(z) − τ S(z) v / σ_E,

so that one linear function gives forces and virial: the whole covariance, without a committee (C. van der Oord et al.,
npj Comput. Mater. 9, 168 (2023), have one).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ase import Atoms

from acepure._utils.checks import check_kind, number
from acepure.features.basis import ACEBasis, evaluate_features
from acepure.features.linear import EnergyAndForces, LinearFunction, features_of_isolated_atoms
from acepure.models.linear import LinearACE
from acepure.models.posterior import dense_root
from acepure.neighbors.environments import Environments
from acepure.neighbors.lists import NeighborList


def relative_force_uncertainty(
    model: LinearACE,
    atoms: Atoms,
    epsilon: float = 0.2,
    *,
    neighbors: NeighborList | None = None,
    num_threads: int | None = None,
) -> np.ndarray:
    """Return σ(F_i) / (|F_i| + ε) of each atom.

    Parameters
    ----------
    model : LinearACE
        With its posterior; σ is calibrated if the model is.
    atoms : ase.Atoms
    epsilon : float
        ε in eV/Å, > 0: forces below it count as zero.
    neighbors, num_threads
        As elsewhere.

    Returns
    -------
    numpy.ndarray, shape (n_atoms,)

    Examples
    --------
    >>> from ase.build import bulk
    >>> basis = ACEBasis(["Cu"], order=1, totaldegree=3)
    >>> model = LinearACE(basis, [0.0] * len(basis), posterior=0.1 * np.eye(len(basis))[None])
    >>> atoms = bulk("Cu", cubic=True)
    >>> bool(relative_force_uncertainty(model, atoms).max() < 1e-10)  # no forces, by symmetry
    True
    """
    epsilon = number("epsilon", epsilon, above=0)
    sigma = np.sqrt(3) * model.uncertainty(atoms, neighbors=neighbors, num_threads=num_threads).forces
    forces = model.evaluate(atoms, neighbors=neighbors, num_threads=num_threads).forces
    return sigma / (np.linalg.norm(forces, axis=1) + epsilon)


class BiasedPotential:
    """E − τ σ_E, for `ACECalculator`.

    Parameters
    ----------
    model : LinearACE
        With its posterior.
    tau : float
        τ ≥ 0; may be changed at any time.

    Attributes
    ----------
    model : LinearACE
    tau : float

    Examples
    --------
    >>> from ase.build import bulk
    >>> basis = ACEBasis(["Cu"], order=1, totaldegree=3)
    >>> model = LinearACE(basis, [0.1] * len(basis), posterior=0.1 * np.eye(len(basis))[None])
    >>> atoms = bulk("Cu", cubic=True)
    >>> lowered = BiasedPotential(model, 0.5).evaluate(atoms).energy
    >>> bool(np.isclose(lowered, model.evaluate(atoms).energy - 0.5 * model.energy_uncertainty(atoms)))
    True
    """

    def __init__(self, model: LinearACE, tau: float = 0.0) -> None:
        check_kind("model", model, LinearACE)
        if model.posterior is None:
            raise ValueError("the model has no posterior; fit it with uncertainty=True")
        self.model, self.tau = model, number("tau", tau, least=0)
        self._function = LinearFunction(model.basis, model.coefficients)  # arranged once, weighted anew every time
        root = dense_root(model.posterior)
        self._root = root.reshape(-1, root.shape[2])
        self._vacuum = features_of_isolated_atoms(model.basis)
        self._E0s = np.array([model.E0s[s] for s in model.basis.species])

    @property
    def basis(self) -> ACEBasis:
        """Of the model."""
        return self.model.basis

    @property
    def shortest_distances(self) -> Mapping[tuple[str, str], float] | None:
        """Of the model."""
        return self.model.shortest_distances

    def evaluate(
        self, atoms: Atoms, *, neighbors: NeighborList | None = None, num_threads: int | None = None
    ) -> EnergyAndForces:
        """Return energies, forces and virial; without bias, those of the model."""
        if not self.tau:
            return self.model.evaluate(atoms, neighbors=neighbors, num_threads=num_threads)
        environments, features = self._features(atoms, neighbors, num_threads)
        along = self._weights_of_sigma(environments.center_species, features)
        weights = self.model.coefficients - self.tau * along
        biased = self._function.with_coefficients(weights).evaluate_environments(environments)
        offsets = self._E0s - (weights * self._vacuum).sum(axis=1)
        return self.model._completed(environments, biased, offsets)

    def sigma(
        self, atoms: Atoms, *, neighbors: NeighborList | None = None, num_threads: int | None = None
    ) -> EnergyAndForces:
        """Return σ_E by the posterior in shares of atoms, −∂σ_E/∂r and −∂σ_E/∂ε; the gradient is 0 where σ_E is."""
        environments, features = self._features(atoms, neighbors, num_threads)
        weights = self._weights_of_sigma(environments.center_species, features)
        found = self._function.with_coefficients(weights).evaluate_environments(environments)
        shift = (weights * self._vacuum).sum(axis=1)[environments.center_species]
        return EnergyAndForces(found.energies - shift, found.forces, found.virial)

    def _features(
        self, atoms: Atoms, neighbors: NeighborList | None, num_threads: int | None
    ) -> tuple[Environments, np.ndarray]:
        """B(i) − B(∅) of all centers, and the environments they were computed for."""
        environments = Environments(self.basis, atoms, neighbors=neighbors, num_threads=num_threads)
        _ = environments.neighbors  # one list for all that follows
        features = evaluate_features(self.basis, environments)
        return environments, features - self._vacuum[environments.center_species]

    def _weights_of_sigma(self, species: np.ndarray, features: np.ndarray) -> np.ndarray:
        """S(z) v / σ_E of each species; 0 where σ_E is."""
        sums = np.array([features[species == z].sum(axis=0) for z in range(len(self.basis.species))])
        v = sums.ravel() @ self._root
        sigma = float(np.linalg.norm(v))
        return (self._root @ (v / sigma if sigma else v)).reshape(sums.shape)
