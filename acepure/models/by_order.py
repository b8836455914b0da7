"""The body orders of a potential: E0, pair term with its core, three-body term, ..."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from ase import Atoms

from acepure.features.basis import ACEBasis, evaluate_features
from acepure.features.body_orders import body_order_functions
from acepure.features.change_of_basis import coordinate_map
from acepure.features.linear import EnergyAndForces, LinearFunction
from acepure.models.posterior import dense_root
from acepure.models.uncertainty import UncertainModel
from acepure.neighbors.environments import Environments

__all__ = ["BodyOrderedModel"]


class BodyOrderedModel(UncertainModel):
    """The part of `LinearACE` that takes energies apart into body orders."""

    def energies_by_order(self, atoms: Atoms, *, num_threads: int | None = None) -> np.ndarray:
        """Return the true body orders of the energy in eV, shape (1 + order, n_atoms).

            E_i = Σ_ν E_i^ν,      E_i^ν = Σ_{j_1 < ... < j_ν} V_ν(i; j_1, ..., j_ν)  over distinct neighbors

        Row 0 is E0, row ν the (ν + 1)-body term, zero on atoms with fewer than ν neighbors; a core is in row 1. Exact
        in every basis: see `acepure.features.body_orders.body_order_functions`.

        Examples
        --------
        >>> from acepure import ACEBasis, LinearACE
        >>> basis = ACEBasis(["Cu"], order=2, canonical=False)
        >>> model = LinearACE(basis, np.full(len(basis), 0.01), E0s={"Cu": -0.5})
        >>> E0, pair, triple = model.energies_by_order(Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]])).sum(axis=1)
        >>> float(E0), bool(pair == 0), bool(abs(triple) < 1e-12)
        (-1.0, False, True)
        """
        return np.array([term.energies for term in self._terms(atoms, num_threads)])

    def forces_by_order(self, atoms: Atoms, *, num_threads: int | None = None) -> np.ndarray:
        """Return the forces of each body order in eV/Å, shape (1 + order, n_atoms, 3); rows as `energies_by_order`."""
        return np.array([term.forces for term in self._terms(atoms, num_threads)])

    def covariance_by_order(self, atoms: Atoms, *, num_threads: int | None = None) -> np.ndarray:
        """Return the covariance of the energies of the body orders by the posterior, in eV², shape (1 + order,) * 2.

            Cov(E^ν, E^ν'),      E^ν = Σ_i E_i^ν,      their sum over all ν, ν' being the variance of E.

        The roots of the diagonal say how well the data determine each order. Where they are much larger than that of
        the sum, the data leave the split between orders open: what one order has more, another has less.

        Raises
        ------
        ValueError
            For a model without posterior; for a basis that is not canonical, or of which the index set is not closed
            (see `acepure.features.change_of_basis.coordinate_map`).

        Examples
        --------
        >>> from acepure import ACEBasis, LinearACE
        >>> basis = ACEBasis(["Cu"], order=2, totaldegree=3)
        >>> model = LinearACE(basis, np.zeros(len(basis)), posterior=np.eye(len(basis))[None])
        >>> covariance = model.covariance_by_order(Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]]))
        >>> (covariance > 1e-12).astype(int).tolist()
        [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
        """
        basis, root = self._canonical_root
        environments = Environments(basis, atoms, num_threads=num_threads)
        features, species = evaluate_features(basis, environments), environments.species
        sums = np.array([features[species == z].sum(axis=0) for z in range(len(basis.species))])
        spread = np.zeros((1 + basis.order, root.shape[2]))
        for nu, columns in enumerate(basis.order_slices.values(), 1):
            spread[nu] = np.einsum("zk,zkm->m", sums[:, columns], root[:, columns])
        return spread @ spread.T

    def _terms(self, atoms: Atoms, num_threads: int | None) -> list[EnergyAndForces]:
        """E0 and the terms of order 1, 2, ..., with one neighbor list for all."""
        environments = Environments(self.basis, atoms, num_threads=num_threads)
        _ = environments.neighbors  # one list for all that follows
        terms = [function.evaluate_environments(environments) for function in self._order_functions]
        if self.core is not None:
            terms[0] = terms[0].plus(self.core.evaluate_environments(environments, self.basis.species))
        E0s = np.array([self.E0s[symbol] for symbol in atoms.symbols])
        return [EnergyAndForces(E0s, np.zeros((len(atoms), 3)), np.zeros((3, 3))), *terms]

    @cached_property
    def _order_functions(self) -> list[LinearFunction]:
        return body_order_functions(self.basis, self.coefficients)

    @cached_property
    def _canonical_root(self) -> tuple[ACEBasis, np.ndarray]:
        """The canonical basis of these radial functions, and the root of the posterior in it."""
        basis, root = self.basis, dense_root(self._root())
        if not basis.canonical:
            raise ValueError("a self-interacting basis does not write its body orders in its own functions")
        if basis.reference is None:
            return basis, root
        plain = ACEBasis(radial=basis.radial, **basis.specification.to_dict())
        changes = [coordinate_map(plain, basis, center)[:, 1:] for center in basis.species]
        return plain, np.array([change.T @ part for change, part in zip(changes, root)])
