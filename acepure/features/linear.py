"""Linear functions of the features: energies, forces and virial in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from acepure._utils.checks import refuse_masked
from acepure._utils.read_only import read_only_array
from acepure.features.basis import ACEBasis, check_basis
from acepure.features.products import EnergyAndForces, ProductFunction
from acepure.stages.fused import LinearEvaluator

__all__ = ["EnergyAndForces", "LinearFunction"]


class LinearFunction(ProductFunction):
    """E = Σ_i Σ_f θ_{z_i f} B_f(i), with gradients by reverse accumulation.

    The coefficients are folded into products once, θ ↦ (P_B C_ext)ᵀ θ, so that evaluation costs the same for canonical
    and other bases of equal extended products.

    Several outputs ρ_ip = Σ_f θ_{p z_i f} B_f(i) are evaluated in one pass. Forces of a function of them, the sum of
    F(ρ_i1, ..., ρ_iP), take one reverse sweep with the adjoints ∂F/∂ρ_ip: P + 1 times the work of one output on
    products, and the same on pairs.

    Parameters
    ----------
    basis : ACEBasis
    coefficients : array_like of float64, shape (n_species, n_features), or (n_features,) for one species
        θ, rows by species of center in the order of `basis.species`. For several outputs (n_outputs, n_species,
        n_features).

    Attributes
    ----------
    basis : ACEBasis
    coefficients : numpy.ndarray
        θ, read-only.
    n_outputs : int

    Examples
    --------
    >>> from ase.build import bulk
    >>> basis = ACEBasis(["Cu"], order=2)
    >>> function = LinearFunction(basis, np.ones(len(basis)))
    >>> result = function.evaluate_with_gradients(bulk("Cu", cubic=True))
    >>> bool(abs(result.forces).max() < 1e-10)
    True

    Two densities, and E_i = ρ_i1 + √(1 + ρ_i2²):

    >>> densities = LinearFunction(basis, np.random.default_rng(0).normal(size=(2, 1, len(basis))))
    >>> densities.evaluate(bulk("Cu", cubic=True)).shape
    (4, 2)
    >>> def embedding(rho, z):
    ...     root = np.sqrt(1 + rho[:, 1] ** 2)
    ...     return rho[:, 0] + root, np.stack([np.ones(len(rho)), rho[:, 1] / root], axis=1)
    >>> densities.evaluate_with_gradients(bulk("Cu", cubic=True), embedding=embedding).energies.shape
    (4,)
    """

    basis: ACEBasis
    coefficients: np.ndarray

    def __init__(self, basis: ACEBasis, coefficients: ArrayLike) -> None:
        self._fold(basis, coefficients, None)

    def with_coefficients(self, coefficients: ArrayLike) -> LinearFunction:
        """Return the function of other coefficients, in one of the shapes of the constructor.

        Folding then takes two sparse products; the arrangement of products is that of this function, unless products
        without weight here have weight there.
        """
        result = LinearFunction.__new__(LinearFunction)
        result._fold(self.basis, coefficients, self._evaluators)
        return result

    def _fold(self, basis: ACEBasis, coefficients: ArrayLike, like: list[LinearEvaluator] | None) -> None:
        check_basis(basis)
        refuse_masked("coefficients", coefficients)
        coefficients = np.asarray(coefficients)
        if coefficients.ndim == 1 and len(basis.species) == 1:
            coefficients = coefficients[None]
        shape: tuple[int | None, ...] = (len(basis.species), len(basis))
        if coefficients.ndim == 3:
            shape = (None, *shape)
        self.basis = basis
        self.coefficients = read_only_array("coefficients", coefficients, shape)
        outputs = self.coefficients.reshape(-1, *self.coefficients.shape[-2:])
        if len(outputs) == 0:
            raise ValueError(f"coefficients must have at least one output; got shape {coefficients.shape}")
        self.n_outputs = len(outputs)
        self._evaluators = basis._tables.linear_evaluators(outputs, like)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles hold basis and coefficients; the compiled tables are built anew."""
        return LinearFunction, (self.basis, self.coefficients)

    def __repr__(self) -> str:
        return f"LinearFunction({self.basis!r})"

    @property
    def _has_axis(self) -> bool:
        return self.coefficients.ndim == 3


def features_of_isolated_atoms(basis: ACEBasis) -> np.ndarray:
    """Return the features of an atom without neighbors, shape (n_species, n_features); zero for canonical bases."""
    return np.concatenate([basis.descriptors(Atoms(symbol)) for symbol in basis.species])
