"""Linear functions of equivariant features of several irreps, in one pass: one set of sums and products serves all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike
from scipy.sparse import csr_array, kron, vstack

from acepure._kernels.forces import accumulate_forces
from acepure._utils.checks import real_array
from acepure.algebra.operators import Operators
from acepure.features.basis import ACEBasis, check_basis
from acepure.features.centers import CenterGroup
from acepure.labels.factors import OneParticle, ProductSet
from acepure.neighbors.environments import Environments
from acepure.neighbors.lists import NeighborList
from acepure.stages.fused import FeatureEvaluator, LinearEvaluator, PairGeometry

__all__ = ["TensorFunction", "TensorGradients"]


@dataclass(frozen=True, eq=False)
class TensorGradients:
    """Derivatives of the sum over the centers, of every component.

    Attributes
    ----------
    positions : numpy.ndarray, shape (n_atoms, 3, n_components)
        ∂T/∂r_kb, in units of the coefficients per Å.
    strain : numpy.ndarray, shape (3, 3, n_components)
        ∂T/∂ε_ab at r ↦ (1 + ε) r, the components staying in their frame.
    """

    positions: np.ndarray
    strain: np.ndarray


class TensorFunction:
    """T_i^{LM} = Σ_k θ_{z_i k} B_k^{LM}(i) for one irrep or several.

    The coefficients are folded into products once, θ ↦ (P_B C_ext)ᵀ θ, one column for each component; irreps share the
    sums A and the products.

    Parameters
    ----------
    bases : sequence of ACEBasis
        Of the same species and radial functions, as `acepure.fitting.tensors.with_irrep` makes them.
    coefficients : sequence of array_like, shape (n_species, n_features)
        θ of each.

    Raises
    ------
    TypeError, ValueError
        For bases that cannot share their sums, and coefficients of another shape.

    Examples
    --------
    >>> from ase.build import molecule
    >>> basis = ACEBasis(["H", "O"], order=2, totaldegree=4, L=1)
    >>> function = TensorFunction([basis], [np.ones((2, len(basis)))])
    >>> bool(np.allclose(function.evaluate(molecule("H2O")), basis.descriptors(molecule("H2O")).sum(axis=1)))
    True
    """

    def __init__(self, bases: Sequence[ACEBasis], coefficients: Sequence[ArrayLike]) -> None:
        bases = tuple(bases)
        for basis in bases:
            check_basis(basis, tensors=True)
        shared = {(basis.species, basis.radial, basis.reference) for basis in bases}
        if len(shared) != 1:
            raise ValueError(f"bases must have the same species, radial functions and reference; got {len(shared)}")
        if len(coefficients) != len(bases):
            raise ValueError(f"coefficients must be {len(bases)} arrays, one for each basis; got {len(coefficients)}")
        self._bases, self._basis = bases, bases[0]
        self.n_components = sum(2 * basis.L + 1 for basis in bases)
        n = len(self._basis.species)
        thetas = [
            real_array(f"coefficients[{k}]", theta, (n, len(basis)))
            for k, (basis, theta) in enumerate(zip(bases, coefficients))
        ]
        self._coefficients = thetas
        self._folded: list[tuple[PairGeometry, Operators]] = []
        for z in range(n):
            groups = [next(group for group in basis._groups if z in group.species) for basis in bases]
            folded, shift = _folded(groups, [theta[z] for theta in thetas], bases)
            geometry = PairGeometry(folded, self._basis.radial, self._basis.species, shift)
            self._folded.append((geometry, folded))
        self._evaluators = [FeatureEvaluator(geometry, folded) for geometry, folded in self._folded]

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles hold bases and coefficients; the compiled tables are built anew."""
        return TensorFunction, (self._bases, self._coefficients)

    @cached_property
    def _components(self) -> list[list[LinearEvaluator]]:
        """For each component and species of center, the products that have weight in it alone."""
        units = np.eye(self.n_components)[:, None]
        return [[LinearEvaluator(geometry, folded, unit) for geometry, folded in self._folded] for unit in units]

    def evaluate(
        self, atoms: Atoms, *, neighbors: NeighborList | None = None, num_threads: int | None = None
    ) -> np.ndarray:
        """Return T_i of every center, shape (n_centers, n_components): M = −L..L, irreps one behind the other.

        Parameters
        ----------
        atoms : ase.Atoms
        neighbors : NeighborList, optional
            From `ACEBasis.neighbor_list` or `VerletList.update` of the same structure; that the positions are the same
            is not checked.
        num_threads : int, optional
        """
        environments = Environments(self._basis, atoms, neighbors=neighbors, num_threads=num_threads)
        return self.evaluate_environments(environments)

    def evaluate_environments(self, environments: Environments) -> np.ndarray:
        """Return T_i of environments that have been checked."""
        result = np.empty((environments.n_centers, self.n_components))
        for part, targets in environments.parts():
            for z, evaluator in enumerate(self._evaluators):
                chosen = environments.chosen(part, [z])
                evaluator.evaluate(chosen, result, targets[chosen.rows])
        return result

    def gradients(
        self, atoms: Atoms, *, neighbors: NeighborList | None = None, num_threads: int | None = None
    ) -> TensorGradients:
        """Return the derivatives of Σ_i T_i; arguments as `evaluate`. A component costs what forces of an energy do."""
        environments = Environments(self._basis, atoms, neighbors=neighbors, num_threads=num_threads)
        positions = np.zeros((self.n_components, len(atoms), 3))
        strain = np.zeros((self.n_components, 3, 3))
        for part, _ in environments.parts():
            values, gradients = np.empty((part.n_centers, 1)), np.empty((part.n_pairs, 3))
            for component, evaluators in enumerate(self._components):
                for z, evaluator in enumerate(evaluators):
                    evaluator.evaluate(environments.chosen(part, [z]), values, gradients)
                into = positions[component], strain[component]
                accumulate_forces(part.offsets, part.centers, part.neighbors, part.vectors, gradients, *into)
        # The kernel sums forces and virials, which are minus the derivatives.
        return TensorGradients(-np.moveaxis(positions, 0, -1), -np.moveaxis(strain, 0, -1))

    def __repr__(self) -> str:
        return f"TensorFunction({self.n_components} components, {', '.join(self._basis.species)})"


def _folded(
    groups: Sequence[CenterGroup], thetas: Sequence[np.ndarray], bases: Sequence[ACEBasis]
) -> tuple[Operators, np.ndarray | None]:
    """The operators whose features are the components themselves, and μ of their sums."""
    rows = []
    for group, theta, basis in zip(groups, thetas, bases):
        weights = csr_array(kron(theta[None], np.eye(2 * basis.L + 1)))
        if group.operators.invariant_purification is not None:
            weights = weights @ group.operators.invariant_purification
        rows.append(csr_array(weights @ group.operators.extended_symmetrization))
    products, positions = _union([group.operators.extended_products for group in groups])
    stacked = []
    for row, position in zip(rows, positions):
        row = row.tocoo()
        shape = (row.shape[0], len(products))
        stacked.append(csr_array((row.data, (row.coords[0], position[row.coords[1]])), shape=shape))
    W = csr_array(vstack(stacked))
    W.eliminate_zeros()
    W.sort_indices()
    first = groups[0]
    folded = Operators(first.operators.algebra, W, products, None, W, products, first.operators.canonical)
    if first.shift is None:
        return folded, None
    mean: dict[OneParticle, np.ndarray] = {}
    for group in groups:
        assert group.shift is not None  # all bases have the same reference
        mean |= dict(zip(group.operators.extended_products.one_particle, group.shift.T))
    return folded, np.array([mean[v] for v in products.one_particle]).T.copy()


def _union(sets: Sequence[ProductSet]) -> tuple[ProductSet, list[np.ndarray]]:
    """All products of some sets, and where those of each set are among them."""
    one_particle = tuple(sorted({v for products in sets for v in products.one_particle}))
    index = {v: i for i, v in enumerate(one_particle)}
    runs: dict[int, list[tuple[int, int, np.ndarray]]] = {}  # order → set, first product, factors
    for k, products in enumerate(sets):
        renamed, start = np.array([index[v] for v in products.one_particle], dtype=int), 0
        for run in products.factors:
            runs.setdefault(run.shape[1], []).append((k, start, np.sort(renamed[run], axis=1)))
            start += len(run)
    positions = [np.empty(len(products), dtype=int) for products in sets]
    factors, start = [], 0
    for order in sorted(runs):
        together = np.concatenate([run for *_, run in runs[order]])
        unique, inverse = np.unique(together, axis=0, return_inverse=True)
        inverse, done = inverse.ravel(), 0
        for k, first, run in runs[order]:
            positions[k][first : first + len(run)] = start + inverse[done : done + len(run)]
            done += len(run)
        factors.append(unique)
        start += len(unique)
    return ProductSet(one_particle, tuple(factors)), positions
