"""Linear functions of the features: energies, forces and virial in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from acepure._kernels.forces import accumulate_forces
from acepure._utils.checks import real_array, refuse_masked
from acepure.features.basis import ACEBasis, check_basis
from acepure.features.environments import Environments
from acepure.neighbors.lists import NeighborList

__all__ = ["EnergyAndForces", "LinearFunction"]


@dataclass(frozen=True, eq=False)
class EnergyAndForces:
    """Energies and their derivatives.

    Attributes
    ----------
    energies : numpy.ndarray, shape (n_atoms,), or (n_centers,) for a list of some centers
        E_i, in units of the coefficients (eV for a potential).
    forces : numpy.ndarray, shape (n_atoms, 3)
        −∂E/∂r_k with E the sum of these energies, in units of the coefficients per Å.
    virial : numpy.ndarray, shape (3, 3)
        W_ab = −∂E/∂ε_ab, in units of the coefficients; the stress of ASE is −W / volume.
    """

    energies: np.ndarray
    forces: np.ndarray
    virial: np.ndarray

    @property
    def energy(self) -> float:
        """Σ_i E_i."""
        return float(self.energies.sum())


class LinearFunction:
    """E = Σ_i Σ_f θ_{z_i f} B_f(i), with gradients by reverse accumulation.

    The coefficients are folded into products once, θ ↦ (P_B C_ext)ᵀ θ, so that evaluation costs the same for canonical
    and other bases of equal extended products.

    Parameters
    ----------
    basis : ACEBasis
    coefficients : array_like of float64, shape (n_species, n_features), or (n_features,) for one species
        θ, rows by species of center in the order of `basis.species`.

    Examples
    --------
    >>> from ase.build import bulk
    >>> basis = ACEBasis(["Cu"], order=2)
    >>> function = LinearFunction(basis, np.ones(len(basis)))
    >>> result = function.evaluate_with_gradients(bulk("Cu", cubic=True))
    >>> bool(abs(result.forces).max() < 1e-10)
    True
    """

    def __init__(self, basis: ACEBasis, coefficients: ArrayLike) -> None:
        check_basis(basis)
        refuse_masked("coefficients", coefficients)
        coefficients = np.asarray(coefficients)
        if coefficients.ndim == 1 and len(basis.species) == 1:
            coefficients = coefficients[None]
        self.basis = basis
        self.coefficients = real_array("coefficients", coefficients, (len(basis.species), len(basis))).copy()
        self.coefficients.flags.writeable = False  # they are folded into products here, once
        self._evaluators = basis.linear_evaluators(self.coefficients)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles hold basis and coefficients; the compiled tables are built anew."""
        return LinearFunction, (self.basis, self.coefficients)

    def __repr__(self) -> str:
        return f"LinearFunction({self.basis!r})"

    def evaluate(
        self, atoms: Atoms, *, neighbors: NeighborList | None = None, num_threads: int | None = None
    ) -> np.ndarray:
        """Return E_i, shape (n_atoms,), or (n_centers,) for a list of some centers.

        Parameters
        ----------
        atoms : ase.Atoms
        neighbors : NeighborList, optional
            From `ACEBasis.neighbor_list` or `VerletList.update` of the same structure; that the positions
            are the same is not checked.
        num_threads : int, optional

        Raises
        ------
        TypeError, ValueError
            For a structure or a list that does not belong to the basis.
        """
        environments = Environments(self.basis, atoms, neighbors=neighbors, num_threads=num_threads)
        energies = np.empty(environments.n_centers)
        for part, rows in environments.parts():
            energies[rows] = self._evaluate(environments, part, None)
        return energies

    def evaluate_with_gradients(
        self, atoms: Atoms, *, neighbors: NeighborList | None = None, num_threads: int | None = None
    ) -> EnergyAndForces:
        """Return energies, forces and virial; arguments as `evaluate`.

        Without `neighbors`, the lists and gradients of a large structure are held for a block of centers at a time.
        """
        return self.evaluate_environments(Environments(self.basis, atoms, neighbors=neighbors, num_threads=num_threads))

    def evaluate_environments(self, environments: Environments) -> EnergyAndForces:
        """Return energies, forces and virial of environments that have been checked."""
        energies = np.empty(environments.n_centers)
        forces, virial = np.zeros((len(environments.species), 3)), np.zeros((3, 3))
        for part, rows in environments.parts():
            gradients = np.empty((part.n_pairs, 3))
            energies[rows] = self._evaluate(environments, part, gradients)
            accumulate_forces(part.offsets, part.centers, part.neighbors, part.vectors, gradients, forces, virial)
        return EnergyAndForces(energies, forces, virial)

    def _evaluate(self, environments: Environments, part: NeighborList, gradients: np.ndarray | None) -> np.ndarray:
        """Return the energies of a part; write ∂E_i/∂r_ij of its pairs into `gradients`, unless None."""
        energies = np.zeros(part.n_centers)
        for z, evaluator in enumerate(self._evaluators):
            rows = environments.rows(part, [z])
            evaluator.evaluate(part, rows, environments.species, energies, gradients, environments.num_threads)
        return energies


def features_of_isolated_atoms(basis: ACEBasis) -> np.ndarray:
    """Return the features of an atom without neighbors, shape (n_species, n_features); zero for canonical bases."""
    return np.concatenate([basis.descriptors(Atoms(symbol)) for symbol in basis.species])
