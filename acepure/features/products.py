"""Functions of products of neighbor sums: energies, forces and virial in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from acepure._kernels.forces import accumulate_forces
from acepure._utils.checks import real_array
from acepure._utils.read_only import ReadOnly
from acepure.neighbors.environments import Chosen, Environments
from acepure.neighbors.lists import NeighborList
from acepure.neighbors.sites import Sites
from acepure.stages.fused import LinearEvaluator

__all__ = ["EnergyAndForces", "ProductFunction"]


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

    def plus(self, other: EnergyAndForces) -> EnergyAndForces:
        """The sums of both."""
        return EnergyAndForces(self.energies + other.energies, self.forces + other.forces, self.virial + other.virial)


#: F and its gradient from (n, n_outputs) values of centers of one species, given by its index: (n,) and (n, n_outputs).
Embedding = Callable[[np.ndarray, int], tuple[ArrayLike, ArrayLike]]


class ProductFunction(ReadOnly):
    """ρ_ip = Σ_k w_{p z_i k} Π_t A_{k_t}(i), with gradients by reverse accumulation.

    Several outputs are evaluated in one pass. Forces of a function of them, the sum of F(ρ_i1, ..., ρ_iP), take one
    reverse sweep with the adjoints ∂F/∂ρ_ip: P + 1 times the work of one output on products, and the same on pairs.

    Parameters
    ----------
    basis : Sites
        Species and cutoffs.
    evaluators : sequence of LinearEvaluator
        One for each species of center.
    n_outputs : int
        P.

    Attributes
    ----------
    basis : Sites
    n_outputs : int
    """

    basis: Sites
    n_outputs: int

    def __init__(self, basis: Sites, evaluators: Sequence[LinearEvaluator], n_outputs: int) -> None:
        self.basis, self._evaluators, self.n_outputs = basis, list(evaluators), n_outputs

    @property
    def _has_axis(self) -> bool:
        """Whether outputs have an axis of their own even where there is but one."""
        return True

    def evaluate(
        self, atoms: Atoms, *, neighbors: NeighborList | None = None, num_threads: int | None = None
    ) -> np.ndarray:
        """Return ρ_ip, shape (n_atoms, n_outputs), or (n_centers, n_outputs) for a list of some centers.

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
        values = np.empty((environments.n_centers, self.n_outputs))
        for part, rows in environments.parts():
            inside = np.empty((part.n_centers, self.n_outputs))
            for evaluator, chosen in self._by_species(environments, part):
                evaluator.evaluate(chosen, inside, None)
            values[rows] = inside
        return values if self._has_axis else values[:, 0]

    def evaluate_with_gradients(
        self,
        atoms: Atoms,
        *,
        embedding: Embedding | None = None,
        neighbors: NeighborList | None = None,
        num_threads: int | None = None,
    ) -> EnergyAndForces:
        """Return energies, forces and virial.

        Without `neighbors`, the lists and gradients of a large structure are held for a block of centers at a time.

        Parameters
        ----------
        atoms, neighbors, num_threads
            As in `evaluate`.
        embedding : callable, optional
            F of E_i = F(ρ_i1, ..., ρ_iP), needed for several outputs. It takes ρ of many centers of one species, shape
            (n, n_outputs), and the index of this species, and returns F, shape (n,), and ∂F/∂ρ, shape (n, n_outputs).
        """
        environments = Environments(self.basis, atoms, neighbors=neighbors, num_threads=num_threads)
        return self.evaluate_environments(environments, embedding)

    def evaluate_environments(self, environments: Environments, embedding: Embedding | None = None) -> EnergyAndForces:
        """Return energies, forces and virial of environments that have been checked."""
        if embedding is None and self.n_outputs > 1:
            raise ValueError(f"embedding must say how {self.n_outputs} outputs make an energy; got None")
        energies = np.empty(environments.n_centers)
        forces, virial = np.zeros((len(environments.species), 3)), np.zeros((3, 3))
        for part, rows in environments.parts():
            gradients, inside = np.empty((part.n_pairs, 3)), np.empty(part.n_centers)
            for z, (evaluator, chosen) in enumerate(self._by_species(environments, part)):
                if embedding is None:
                    evaluator.evaluate(chosen, inside[:, None], gradients)
                else:
                    evaluator.compose(chosen, _checked(embedding, z), inside, gradients)
            energies[rows] = inside
            accumulate_forces(part.offsets, part.centers, part.neighbors, part.vectors, gradients, forces, virial)
        return EnergyAndForces(energies, forces, virial)

    def pullback(
        self,
        atoms: Atoms,
        cotangents: ArrayLike,
        *,
        neighbors: NeighborList | None = None,
        num_threads: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return Σ_ip g_ip ∂ρ_ip with respect to positions and strain, as `acepure.pullback` does for features.

        Parameters
        ----------
        atoms, neighbors, num_threads
            As in `evaluate`.
        cotangents : array_like of float64, in the shape that `evaluate` returns
            g.

        Returns
        -------
        positions : numpy.ndarray, shape (n_atoms, 3)
            Σ_ip g_ip ∂ρ_ip/∂r_k, per Å; forces are minus this.
        strain : numpy.ndarray, shape (3, 3)
            The same with respect to ε_ab, at r ↦ (1 + ε) r; the virial is minus this.
        """
        environments = Environments(self.basis, atoms, neighbors=neighbors, num_threads=num_threads)
        shape = (environments.n_centers, self.n_outputs)[: 1 + self._has_axis]
        g = real_array("cotangents", cotangents, shape).reshape(-1, self.n_outputs)
        forces, virial = np.zeros((len(environments.species), 3)), np.zeros((3, 3))
        for part, rows in environments.parts():
            gradients = self._pair_gradients(environments, part, g[rows])
            accumulate_forces(part.offsets, part.centers, part.neighbors, part.vectors, gradients, forces, virial)
        return -forces, -virial

    def pair_gradients(self, environments: Environments, cotangents: np.ndarray) -> np.ndarray:
        """Return Σ_p g_ip ∂ρ_ip/∂r_ij of each pair of the list of environments, shape (n_pairs, 3)."""
        return self._pair_gradients(environments, environments.neighbors, cotangents)

    def _pair_gradients(self, environments: Environments, part: NeighborList, cotangents: np.ndarray) -> np.ndarray:
        gradients, g = np.empty((part.n_pairs, 3)), np.ascontiguousarray(cotangents)
        for evaluator, chosen in self._by_species(environments, part):
            evaluator.pullback(chosen, g, gradients)
        return gradients

    def _by_species(self, environments: Environments, part: NeighborList) -> Iterator[tuple[LinearEvaluator, Chosen]]:
        """Yield the evaluator of each species, and which centers of a part are of it."""
        for z, evaluator in enumerate(self._evaluators):
            yield evaluator, environments.chosen(part, [z])


def _checked(embedding: Embedding, z: int) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The embedding for centers of species z; what it returns must have the right shapes and be finite."""

    def function(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        energies, slopes = embedding(values, z)
        return (
            real_array("energies of the embedding", energies, (len(values),)),
            real_array("gradients of the embedding", slopes, values.shape),
        )

    return function
