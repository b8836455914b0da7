"""What networks are trained on: pairs of structures, and labels less what the base of the network has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acepure.features.linear import EnergyAndForces
from acepure.fitting.labels import LabeledStructure
from acepure.fitting.weights import Weights
from acepure.functions.radial import RadialBasis
from acepure.layers._torch import Tensor, torch
from acepure.layers.geometry import Batch, Pairs, radial_values
from acepure.layers.network import Network
from acepure.neighbors.lists import NeighborList

__all__: list[str] = []  # of no use outside

# Part of the identity in the Gram matrices of radial functions. Without it, the narrow peaks of molecules make
# coefficients of a thousand, and ruin what is a little outside.
_RIDGE = 1e-3


@dataclass(frozen=True, eq=False)
class Example:
    """One structure.

    Attributes
    ----------
    pairs : Pairs
    labels : EnergyAndForces
        Less the base; zeros where there is no label.
    factors : numpy.ndarray, shape (3,)
        What errors of the energy, of forces and of the virial are multiplied by; 0 where there is no label.
    """

    pairs: Pairs
    labels: EnergyAndForces
    factors: np.ndarray

    @classmethod
    def of(cls, item: LabeledStructure, pairs: Pairs, base: EnergyAndForces, weights: Weights) -> Example:
        """Take the base off the labels."""
        n, factors = len(item.atoms), weights.row_factors(item.config_type, len(item.atoms))
        given = (item.energy, item.forces, item.virial)
        energy = 0.0 if item.energy is None else item.energy - base.energy
        forces = np.zeros((n, 3)) if item.forces is None else item.forces - base.forces
        virial = np.zeros((3, 3)) if item.virial is None else item.virial - base.virial
        used = [factor if label is not None else 0.0 for factor, label in zip(factors, given)]
        return cls(pairs, EnergyAndForces(np.array([energy]), forces, virial), np.array(used))


class LabeledBatch(Batch):
    """Structures side by side with what they are compared with."""

    def __init__(self, examples: Sequence[Example], network: Network, dtype: Tensor) -> None:
        reverse = network.architecture.reverse
        super().__init__([example.pairs for example in examples], network.n_species, dtype, reverse)

        def stacked(values: Iterable[Any]) -> Tensor:
            return torch.as_tensor(np.array(list(values)), dtype=dtype)

        self.factors = stacked(example.factors for example in examples)
        self._energies = stacked(example.labels.energy for example in examples)
        self._virials = stacked(example.labels.virial for example in examples)
        self._forces = torch.as_tensor(np.concatenate([e.labels.forces for e in examples]), dtype=dtype)

    def errors(self, energies: Tensor, forces: Tensor, virials: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the errors of energies (n,), forces (n_atoms, 3) and virials (n, 3, 3), times their factors."""
        return (
            (self.of_structures(energies) - self._energies) * self.factors[:, 0],
            (forces - self._forces) * self.factors[self.structure, 1, None],
            (virials - self._virials) * self.factors[:, 2, None, None],
        )


def whitening_of(
    lists: Iterable[tuple[np.ndarray, NeighborList]], radial: RadialBasis, names: Sequence[str], n_radial: int
) -> np.ndarray:
    """Return what makes radial functions orthonormal for the pairs of structures, as `radial_values` takes it.

    Pairs of species that are not met take the matrix of all pairs.
    """
    n_species = len(names)
    plain = np.tile(np.eye(n_radial), (n_species**2, 1, 1))
    gram, counts = np.zeros((n_species**2, n_radial, n_radial)), np.zeros(n_species**2)
    for species, neighbors in lists:
        ends = np.repeat(species, np.diff(neighbors.offsets)), species[neighbors.neighbors]
        r = np.sqrt((neighbors.vectors**2).sum(1))
        g, kinds = radial_values(radial, names, ends, r, plain)[0], ends[0] * n_species + ends[1]
        for kind in np.unique(kinds):
            mine = g[kinds == kind]
            gram[kind] += mine.T @ mine
            counts[kind] += len(mine)
    if not counts.any():
        return plain
    gram[counts == 0], counts[counts == 0] = gram.sum(0) / counts.sum(), 1.0
    gram /= counts[:, None, None]
    gram += _RIDGE * np.trace(gram, axis1=1, axis2=2)[:, None, None] / n_radial * np.eye(n_radial)
    return np.tril(np.linalg.inv(np.linalg.cholesky(gram)))


def batches(examples: Sequence[Example], n_pairs: int, order: np.ndarray) -> list[list[Example]]:
    """Divide examples, in an order, into parts of about so many pairs."""
    found: list[list[Example]] = [[]]
    size = 0
    for k in order:
        if size >= n_pairs:
            found.append([])
            size = 0
        found[-1].append(examples[k])
        size += examples[k].pairs.neighbors.n_pairs
    return found


def score(examples: Sequence[Example], predict: Callable[[LabeledBatch], tuple[Tensor, ...]], make: Any) -> float:
    """Return the mean logarithm of the root mean square errors, weighted, of the kinds of labels there are."""
    squares, counts = np.zeros(3), np.zeros(3)
    for part in batches(examples, 10_000, np.arange(len(examples))):
        batch = make(part)
        for kind, errors in enumerate(batch.errors(*predict(batch))):
            squares[kind] += float((errors**2).sum())
            counts[kind] += sum(e.factors[kind] > 0 for e in part)
    used = counts > 0
    return float(np.mean(0.5 * np.log(np.maximum(squares[used], 1e-300) / counts[used])))
