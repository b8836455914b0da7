"""The design matrix: one row per label, reduced to its R factor while it is made.

    energy   Σ_i (1, B(i))       = E − Σ_i E0(z_i)                  times w_E / √N
    forces   −∂/∂r_k             = F_k                               times w_F
    virial   −∂/∂ε_ab, a ≤ b     = W_ab                              times w_V / √N, and √2 where a < b

The columns of each species of center are (1, B); the last column is the right-hand side. The energies and derivatives
of a repulsive core are taken off first. The matrix is never held: batches of structures that the data alone decide
are reduced to R factors, and these are merged by a tree, so that any number of workers gives the same bits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np

from acepure._utils.tall_qr import RFactor
from acepure._utils.workers import (
    Workers,
    batched,
    checked_workers,
    kernel_threads,
    naming_structure,
    structure_bar,
    tree_reduce,
)
from acepure.features.basis import ACEBasis, evaluate_features
from acepure.features.derivatives import sum_gradients
from acepure.features.directional import jvp
from acepure.features.linear import EnergyAndForces, LinearFunction
from acepure.fitting.labeled import LabeledSet
from acepure.fitting.labels import LabeledStructure
from acepure.fitting.reference_energies import reference_energy
from acepure.fitting.weights import LabelWeights, Weights
from acepure.models.repulsion import PairCore
from acepure.neighbors.environments import Environments

_UPPER = np.triu_indices(3)
# Rows of a batch, in numbers of columns: merging two R factors then costs a tenth of making them.
_ROWS_PER_COLUMN = 8


class Rows(Protocol):
    """What the rows of a fit are made by."""

    @property
    def n_columns(self) -> int: ...
    def n_rows(self, item: Any) -> int: ...
    def rows(self, item: Any, num_threads: int | None = None) -> np.ndarray: ...


@dataclass(frozen=True)
class Design:
    """What the rows of a fit are made of.

    Parameters
    ----------
    basis : ACEBasis
    weights : Weights
    E0s : mapping of str to float
        Reference energy of each species in eV.
    core : PairCore, optional
    """

    basis: ACEBasis
    weights: Weights
    E0s: Mapping[str, float]
    core: PairCore | None = None

    @property
    def n_columns(self) -> int:
        """Coefficients: a constant and the features for each species."""
        return len(self.basis.species) * (1 + len(self.basis))

    def n_rows(self, item: LabeledStructure) -> int:
        """Number of rows of a structure."""
        return sum(self.rows_by_kind(item))

    def rows_by_kind(self, item: LabeledStructure) -> tuple[int, int, int]:
        """Number of rows of a structure for its energy, its forces and its virial, in this order."""
        w = self.weights.of(item.config_type)
        return (
            int(item.energy is not None and w.energy > 0),
            3 * len(item.atoms) * (item.forces is not None and w.forces > 0),
            6 * (item.virial is not None and w.virial > 0),
        )

    def rows(self, item: LabeledStructure, num_threads: int | None = None) -> np.ndarray:
        """Return the weighted rows of a structure, right-hand side last, shape (n_rows, n_columns + 1)."""
        environments = Environments(self.basis, item.atoms, num_threads=num_threads)
        _ = environments.neighbors  # one list for all that follows
        n_energies, n_forces, n_virials = self.rows_by_kind(item)
        value = np.zeros((len(self.basis.species), 1 + len(self.basis)))
        positions, strain = np.zeros((3 * len(item.atoms), *value.shape)), np.zeros((3, 3, *value.shape))
        if n_energies:
            features, species = evaluate_features(self.basis, environments), environments.species
            for z in range(len(self.basis.species)):
                value[z, 0] = (species == z).sum()
                value[z, 1:] = features[species == z].sum(axis=0)
        if n_forces or n_virials:
            gradients = sum_gradients(self.basis, environments)
            moved = gradients.positions.reshape(len(self.basis.species), len(positions), -1)
            positions[:, :, 1:] = np.swapaxes(moved, 0, 1)
            strain[:, :, :, 1:] = np.moveaxis(gradients.strain, 0, 2)
        labels = self.labels(item, environments)
        return self.stacked(
            item, value.ravel(), positions.reshape(len(positions), -1), strain.reshape(3, 3, -1), labels
        )

    def labels(self, item: LabeledStructure, environments: Environments) -> EnergyAndForces:
        """Return the labels of a structure without reference energies and core; zeros for those that it has not."""
        core = self._core_results(environments)
        energy = 0.0 if item.energy is None else item.energy - reference_energy(item.atoms, self.E0s) - core.energy
        return EnergyAndForces(
            np.array([energy]),
            np.zeros_like(core.forces) if item.forces is None else item.forces - core.forces,
            np.zeros((3, 3)) if item.virial is None else item.virial - core.virial,
        )

    def stacked(
        self,
        item: LabeledStructure,
        value: np.ndarray,
        positions: np.ndarray,
        strain: np.ndarray,
        labels: EnergyAndForces,
    ) -> np.ndarray:
        """Return weighted rows, right-hand side last, from a value (n,) and its derivatives (3 N, n) and (3, 3, n)."""
        factors, (n_energies, n_forces, n_virials) = self._factors(item), self.rows_by_kind(item)
        rows = np.empty((n_energies + n_forces + n_virials, len(value) + 1))
        first = n_energies + n_forces
        rows[:n_energies, :-1], rows[:n_energies, -1] = factors.energy * value, factors.energy * labels.energy
        if n_forces:
            np.multiply(positions, -factors.forces, out=rows[n_energies:first, :-1])
            rows[n_energies:first, -1] = factors.forces * labels.forces.ravel()
        if n_virials:
            scale = factors.virial * np.where(_UPPER[0] == _UPPER[1], 1.0, np.sqrt(2.0))
            rows[first:, :-1] = -strain[_UPPER] * scale[:, None]
            rows[first:, -1] = scale * labels.virial[_UPPER]
        return rows

    def _factors(self, item: LabeledStructure) -> LabelWeights:
        return self.weights.row_factors(item.config_type, len(item.atoms))

    def misfit(self, item: LabeledStructure, environments: Environments, predicted: EnergyAndForces) -> Misfit:
        """Return the weighted squares of errors of a structure, and along what they change; without its rows.

        Parameters
        ----------
        item : LabeledStructure
        environments : Environments
            Of its atoms.
        predicted : EnergyAndForces
            Without reference energies and core.
        """
        factors, labels = self._factors(item), self.labels(item, environments)
        energy, squares = 0.0, 0.0
        forces, strain = np.zeros((len(item.atoms), 3)), np.zeros((3, 3))
        if item.energy is not None:
            energy = factors.energy**2 * (labels.energy - predicted.energy)
            squares += energy * (labels.energy - predicted.energy)
        if item.forces is not None:
            forces = factors.forces**2 * (labels.forces - predicted.forces)
            squares += float(np.sum(forces * (labels.forces - predicted.forces)))
        if item.virial is not None:
            errors = labels.virial - predicted.virial
            strain = factors.virial**2 * (np.triu(errors) + np.triu(errors, 1))
            squares += float(np.sum(strain * errors))
        return Misfit(squares, energy, forces, strain)

    def gradient(
        self, item: LabeledStructure, function: LinearFunction, num_threads: int | None = None
    ) -> tuple[float, np.ndarray]:
        """Return |y − X θ|² and Xᵀ(y − X θ) of a structure without its rows, for the columns of features.

        Parameters
        ----------
        item : LabeledStructure
        function : LinearFunction
            Of the same basis, with θ.
        num_threads : int, optional

        Returns
        -------
        squares : float
        gradient : numpy.ndarray, shape (n_species, n_features)
        """
        environments = Environments(self.basis, item.atoms, num_threads=num_threads)
        misfit = self.misfit(item, environments, function.evaluate_environments(environments))
        neighbors = environments.neighbors
        features, derivatives = jvp(
            self.basis, item.atoms, misfit.forces, misfit.strain, neighbors=neighbors, num_threads=num_threads
        )
        gradient = np.zeros((len(self.basis.species), len(self.basis)))
        np.add.at(gradient, environments.species, misfit.energy * features - derivatives)
        return misfit.squares, gradient

    def _core_results(self, environments: Environments) -> EnergyAndForces:
        """Energies, forces and virial of the core; zeros without one."""
        if self.core is None:
            return EnergyAndForces(np.zeros(1), np.zeros((len(environments.species), 3)), np.zeros((3, 3)))
        return self.core.evaluate_environments(environments, self.basis.species)


@dataclass(frozen=True, eq=False)
class Misfit:
    """Weighted squares of the errors of a structure, and −½ of their derivatives.

    Attributes
    ----------
    squares : float
        Σ r².
    energy : float
        With respect to the energy.
    forces : numpy.ndarray, shape (n_atoms, 3)
        To the forces: a motion of the atoms, along which energies change by −Σ F · this.
    strain : numpy.ndarray, shape (3, 3)
        To the virial, likewise.
    """

    squares: float
    energy: float
    forces: np.ndarray
    strain: np.ndarray


@dataclass(frozen=True, eq=False)
class Triangle:
    """The R factor of the weighted rows (X | y), and how many there were.

    Attributes
    ----------
    R : numpy.ndarray, shape (n_columns + 1, n_columns + 1)
        RᵀR = (X | y)ᵀ(X | y).
    n_rows : int
    """

    R: np.ndarray = field(repr=False)
    n_rows: int

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all of it as arrays by name, for files."""
        return {"R": self.R, "n_rows": np.array([self.n_rows])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Triangle:
        """Return the inverse of `arrays`."""
        return cls(arrays["R"], int(arrays["n_rows"][0]))


def assemble(
    design: Rows,
    labeled: Collection[Any] | LabeledSet,
    *,
    workers: Workers = 1,
    num_threads: int | None = None,
    progress: bool | None = None,
) -> Triangle:
    """Reduce the rows of all structures.

    Parameters
    ----------
    design : Design, or any object with `n_columns`, `n_rows` and `rows`
    labeled : collection of LabeledStructure, or of what the design makes rows of
        Of known length; gone through once.
    workers : int or dask.distributed.Client
        As in `acepure._utils.workers.tree_reduce`; the result does not depend on them.
    num_threads : int, optional
        Threads of the kernels in this process; workers take one each.
    progress : bool, optional

    Returns
    -------
    Triangle

    Raises
    ------
    ValueError
        If there are no rows; errors of a structure name it.
    """
    workers = checked_workers(workers)
    reduce = partial(reduce_batch, design, num_threads=kernel_threads(workers, num_threads))
    batches = batched(labeled, design.n_rows, _ROWS_PER_COLUMN * design.n_columns)
    with structure_bar("fit rows", labeled, progress) as bar:
        total = tree_reduce(reduce, RFactor.merge, batches, workers, bar=bar)
    if total is None or not total.n_rows:
        raise ValueError("no structure has a label with a weight > 0; there is nothing to fit")
    return Triangle(total.R, total.n_rows)


def reduce_batch(design: Rows, batch: Sequence[tuple[int, Any]], num_threads: int | None = None) -> RFactor:
    """The R factor of the rows of some structures, which come with their numbers."""
    factor = RFactor(design.n_columns + 1)
    for number, item in batch:
        with naming_structure(number):
            factor.add(design.rows(item, num_threads))
    return factor
